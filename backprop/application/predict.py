"""``backprop predict``: what a network says of images, arrays, or the rows of a table."""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from backprop import datasets, metrics
from backprop.application.arguments import (
    MAXIMUM,
    MODEL_HELP,
    READING,
    add_reading,
    said_as_options,
)
from backprop.application.console import warnings_as_notes
from backprop.application.models import open_model
from backprop.application.run_data import inputs
from backprop.application.run_table import is_table_name, no_encoding
from backprop.core.plain import to_json
from backprop.core.storage import FileError
from backprop.datasets.arrays import open_npy
from backprop.datasets.images import is_image, read_image
from backprop.datasets.pixels_csv import are_bytes, read_rows

FORMATS = ("text", "csv", "json")
_ARRAYS = re.compile(r"\.(npy|npz|pkl)$|[-.]idx\d-ubyte")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("predict", help="what a network says of images or rows")
    parser.add_argument("model", type=Path, metavar="RUN", help=MODEL_HELP)
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a CSV, Parquet, PNG, .npy or IDX file"
    )
    parser.add_argument("--maximum", **MAXIMUM)
    parser.add_argument("--outputs", action="store_true", help="print all outputs, not the class")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    add_reading(parser)
    parser.set_defaults(run=run, data=None)


def run(arguments: argparse.Namespace) -> int:
    """Print the predictions, and return the exit status."""
    network, config = open_model(arguments)
    reading = {name: config.table[name] for name in READING if name in config.table}
    predict(network, arguments.file, config.maximum, arguments.outputs, arguments.format, **reading)
    return 0


def predict(
    network: Any,
    path: Path,
    maximum: float | None,
    outputs: bool,
    form: str = "text",
    **reading: Any,
) -> None:
    """Print predictions for everything in a file, one a line, or as CSV or JSON.

    Parameters
    ----------
    network : Network
        With an `encoding`, if the file is a table.
    path : Path
        A CSV or Parquet file, an image such as PNG, an .npy file (examples one after another, or a
        single one), or an IDX file.
    maximum : float or None
        The pixel value that becomes 1.
    outputs : bool
        Whether to print all outputs, and not the prediction alone; those of a regression are the
        predictions.
    form : "text", "csv" or "json"
    **reading
        How a CSV file is written: `delimiter`, `decimal`, `charset`, `header`.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, or does not fit the network.
    """
    encoding = network.encoding
    if encoding is not None and encoding.columns:
        if path.is_dir() or is_image(path) or _ARRAYS.search(path.name.lower()):
            raise ValueError(f"the network was trained on a table, and {path} is none")
        with said_as_options(), warnings_as_notes(datasets.UnseenCategoryWarning):
            x = encoding.encode(path, dtype=network.dtype, **reading)
    else:
        x = inputs(network, str(path), _examples(network, path), maximum)
    a = network.predict(x)
    if encoding is not None:
        found, names = _decoded(encoding, a, form)
    else:
        found = [[label] for label in metrics.predicted_labels(a).tolist()]
        names = ["prediction"]
    if outputs and (encoding is None or encoding.task != "regression"):
        labels = encoding.classes if encoding is not None else ()
        of_outputs = [f"output {label}" for label in labels or range(len(a))]
        rows = a.T.tolist()
        if form == "text":
            found, names = rows, of_outputs
        else:
            names = [*names, *of_outputs]
            found = [[*one, *row] for one, row in zip(found, rows, strict=True)]
    _print(found, names, form)


def _examples(network: Any, path: Path) -> np.ndarray:
    """Return the images, or other arrays, in a file, one after another."""
    n = math.prod(size or 0 for size in network.input_shape)
    if path.is_dir() or path.suffix.lower() in (".npz", ".pkl"):
        what = "a folder" if path.is_dir() else "several arrays"
        raise ValueError(f"{path} is {what}: give one file, a CSV, Parquet, PNG, .npy or IDX file")
    if is_image(path):
        image = read_image(path)
        if image.size == 3 * n:  # a picture in colours for a network that takes grey ones
            image = read_image(path, channels=1)
        elif 3 * image.size == n:
            image = read_image(path, channels=3)
        turned = image.transpose(1, 2, 0) if image.ndim == 3 else image  # H x W x C, as stored
        return turned[np.newaxis] if turned.shape == network.input_shape else image[np.newaxis]
    if is_table_name(path.name):
        return _pixels(network, path, n)
    images = open_npy(path) if path.suffix.lower() == ".npy" else datasets.read_idx(path)
    shapes = (network.input_shape, network.input_shape[1:])
    single = images.shape in shapes or (0 < n == images.size and images.shape[0] > 1)
    if path.suffix.lower() == ".npy" and single:
        images = images[np.newaxis]
    if images.ndim == 2 and images.shape[1] == n:
        images = images.reshape(-1, *network.input_shape)
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(f"{path} holds no images, its shape is {images.shape}")
    return images


def _pixels(network: Any, path: Path, n: int) -> np.ndarray:
    """Return the images in a file of a row of pixels each, and perhaps a label before them."""
    try:
        rows = None if path.suffix.lower() in (".parquet", ".pq") else read_rows(path)
    except FileError:
        rows = None
    if rows is None or rows.shape[1] not in (n, n + 1):
        raise no_encoding(path, network, None if rows is None else rows.shape[1])
    pixels = rows[:, -n:]
    pixels = pixels.astype(np.uint8) if are_bytes(pixels) else pixels
    return pixels.reshape(-1, *network.input_shape)


def _decoded(encoding: Any, a: np.ndarray, form: str) -> tuple[list[list[Any]], list[str]]:
    """Return predictions in the table's terms, a list for every row, and the names of columns.

    Of several labels those of several columns are 0 and 1 again, and those of one column are
    together as they were, ``beach|sea``; in JSON they are a list.
    """
    made = encoding.decode(a)
    names = list(encoding.target)
    if encoding.task == "multi-label":
        if len(names) > 1 and form != "text":
            return [[int(name in labels) for name in names] for labels in made], names
        together = list if form == "json" else "|".join
        return [[together(labels)] for labels in made], names[:1]
    return made.reshape(len(made), -1).tolist(), names


def _print(rows: list[list[Any]], names: list[str], form: str) -> None:
    if form == "json":
        print(to_json([dict(zip(names, row, strict=True)) for row in rows], indent=1))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_short(one) for one in row] for row in rows)
    else:
        for row in rows:
            print(" ".join(str(_short(one)) for one in row))


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
