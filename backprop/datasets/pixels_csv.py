"""Images as tables: ``mnist_train.csv`` and its like, the label first and then every pixel."""

from __future__ import annotations

import csv
import gzip
import itertools
import math
import re
import zlib
from pathlib import Path

import numpy as np

from backprop.core.storage import FileError
from backprop.datasets.dataset import Dataset, checked, without_test_data
from backprop.datasets.texts import is_number, open_text

_ROWS = 2000  # that are read at a time
_PIXEL = re.compile(r"(pixel)?\d+(x\d+)?|\d+x\d+")  # the name of a column of them


def read_pixels(path: Path) -> Dataset:
    """Read a training file, and the file for testing that lies beside it, ``mnist_test.csv``.

    Raises
    ------
    FileError
        If a file is damaged, or its rows are no labels with bytes after them.
    """
    if _other_part(path, "test", "train") is not None:
        path = _other_part(path, "test", "train") or path
    x, labels = read_labelled(path)
    test = _other_part(path, "train", "test")
    if test is None:
        return without_test_data(path.name, f"rows of pixels in {path}", x, labels, path)
    source = f"rows of pixels in {path} and {test.name}"
    return checked(path.name, source, [x, labels, *read_labelled(test)], [path, path, test, test])


def _other_part(path: Path, part: str, other: str) -> Path | None:
    """Return the file beside this one whose name has another part, if there is one."""
    name = re.sub(rf"{part}(?!.*{part})", other, path.name)
    found = path.with_name(name)
    return found if name != path.name and found.is_file() else None


def read_labelled(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of a file, N x height x width where they are square, and their labels."""
    table = read_rows(path)
    pixels = table[:, 1:]
    if not are_bytes(pixels):
        raise FileError(
            f"{path} must hold a label and then pixels, whole numbers from 0 to 255, in every row"
        )
    side = math.isqrt(pixels.shape[1])
    shape = (side, side) if side * side == pixels.shape[1] else (pixels.shape[1],)
    labels = np.nan_to_num(table[:, 0]).astype(np.int64)
    if (labels != table[:, 0]).any():
        raise FileError(f"{path} has labels that are no whole numbers")
    return pixels.astype(np.uint8).reshape(-1, *shape), labels


def read_rows(path: Path) -> np.ndarray:
    """Return the numbers in the rows of a file, float32.

    A first row that is no numbers is a header; its first column must then be called label, class,
    target or y, or be a pixel, or have no name.
    """
    blocks: list[np.ndarray] = []
    try:
        with open_text(path) as file:
            while lines := list(itertools.islice(file, _ROWS)):
                if not blocks and not is_number(lines[0].split(",")[0].strip('"')):
                    _check_header(path, lines.pop(0))
                if any(line.strip() for line in lines):
                    blocks.append(
                        np.loadtxt(
                            lines, np.float32, comments=None, delimiter=",", ndmin=2, quotechar='"'
                        )
                    )
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileError(f"{path} is a damaged gzip file: {error}") from error
    except ValueError as error:  # UnicodeDecodeError among them
        after = sum(map(len, blocks))
        raise FileError(f"{path} is damaged after its row {after}: {error}") from error
    widths = {block.shape[1] for block in blocks}
    if len(widths) != 1:
        raise FileError(f"{path} has rows of several lengths" if widths else f"{path} has no rows")
    return np.concatenate(blocks)


def are_bytes(pixels: np.ndarray) -> bool:
    """Say whether numbers, some at least, are whole ones from 0 to 255."""
    if not pixels.size or not (pixels.min() >= 0 and pixels.max() <= 255):  # also where one is NaN
        return False
    return bool((np.rint(pixels) == pixels).all())


def holds_pixels(path: Path) -> bool:
    """Say whether a CSV file begins as one of labels and pixels does."""
    try:
        with open_text(path) as file:
            for row in csv.reader(file):
                if not row:
                    continue
                if len(row) < 10:
                    return False
                if not is_number(row[0]):
                    return all(_PIXEL.fullmatch(name.strip()) for name in row[1:])
                return all(cell.strip().isdigit() for cell in row)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error):
        return False
    return False


def _check_header(path: Path, line: str) -> None:
    first = line.split(",")[0].strip().strip('"')
    is_pixel = _PIXEL.fullmatch(first.lower())
    if not is_pixel and first.lower() not in ("label", "class", "target", "y", ""):
        raise FileError(
            f"{path} has the first column {first!r:.40}, where labels are expected, before pixels"
        )
