"""Images in files, such as PNG and JPEG: a folder for every class, or one by one (by Pillow)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backprop.core.extras import needs
from backprop.core.storage import FileError
from backprop.datasets.dataset import Dataset, checked

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_TRAINING, _TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation")
_HELD_BACK = 6  # one in so many is for testing, where no folder is

Files = tuple[list[Path], np.ndarray]  # and their labels


def read_image(path: str | os.PathLike[str], channels: int | None = None) -> np.ndarray:
    """Return an image as bytes, height x width if it is grey, else 3 x height x width.

    Grey pixels of 16 bits are uint16; where colours have 16 bits, Pillow reads the upper 8.

    Parameters
    ----------
    path : path-like
        Of any format that Pillow reads.
    channels : 1 or 3, optional
        Whether it is to be grey or in colours; as it is stored, unless told. What is transparent
        lies on black.

    Raises
    ------
    FileError
        If it is no image.
    ImportError
        If Pillow is not installed (``pip install 'backprop[images]'``).
    OSError
        If it cannot be opened.
    """
    with needs("images", "reading images such as PNG"):
        from PIL import Image, UnidentifiedImageError
    path = Path(path)
    with open(path, "rb") as file:
        try:
            with Image.open(file) as image:
                if image.mode.startswith("I") or image.mode == "F":
                    return _of_16_bits(path, image, channels)
                grey = image.mode in ("1", "L", "LA")
                if image.mode in ("LA", "RGBA", "PA", "P"):
                    image = _on_black(image)
                wanted = (1 if grey else 3) if channels is None else channels
                pixels = np.asarray(image.convert("L" if wanted == 1 else "RGB"), np.uint8)
        except FileError:
            raise
        except (UnidentifiedImageError, Image.DecompressionBombError) as error:
            why = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
            raise FileError(f"{path} is no image that can be read{why}") from error
        except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow's, of damage
            raise FileError(f"{path} is a damaged image: {error}") from error
    return pixels if wanted == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _of_16_bits(path: Path, image: Any, channels: int | None) -> np.ndarray:
    """Return grey pixels as uint16, once for each channel."""
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() >= 2**16:
        raise FileError(f"{path} has pixels of more than 16 bits: make an array of them, in .npy")
    grey = pixels.astype(np.uint16)
    return grey if channels in (None, 1) else np.stack([grey] * channels)


def _on_black(image: Any) -> Any:
    """Return an image without transparency: what shows through is black."""
    from PIL import Image

    whole = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", whole.size, (0, 0, 0, 255)), whole)


def read_images(folder: Path, rng: int = 0) -> Dataset:
    """Read a folder that has one folder of images for every class; see `load`.

    Parameters
    ----------
    folder : Path
        ``train/CLASS/*.png`` and ``test/CLASS/*.png``, or ``CLASS/*.png`` alone: then one in six,
        drawn at random but always the same, is for testing.
    rng : int
        The seed of that.

    Raises
    ------
    FileError
        If an image cannot be read, or they differ in size.
    ImportError
        If Pillow is not installed.
    """
    training, test = find_part(folder, _TRAINING), find_part(folder, _TEST)
    if training is not None and test is not None:
        classes = _classes(training)
        unknown = sorted(set(_classes(test)) - set(classes))
        if unknown:
            raise FileError(
                f"{test} has the class {unknown[0]!r}, and {training} has not: there are "
                f"{', '.join(classes[:12])}{', ...' * (len(classes) > 12)}"
            )
        files = [_files(part, classes) for part in (training, test)]
        source = f"images in {training} and {test.name}"
    else:
        base = training or test or folder
        classes = _classes(base)
        files = _held_back(base, classes, rng)
        source = f"images in {base}, one in six of them, drawn at random, for testing"
    return checked(folder.name, source, _arrays(files), [f"{folder}"] * 4, tuple(classes))


def _held_back(base: Path, classes: Sequence[str], rng: int) -> list[Files]:
    """Return the files of a folder, most of them, and those that are drawn for testing."""
    paths, labels = _files(base, classes)
    order = np.random.default_rng(rng).permutation(len(paths))
    cut = len(order) - len(order) // _HELD_BACK
    if cut == len(order):
        raise FileError(
            f"{base} holds {len(order)} images, and one in {_HELD_BACK} would be for testing: "
            "add images, or a folder of those for testing, train/CLASS and test/CLASS"
        )
    return [([paths[i] for i in which], labels[which]) for which in (order[:cut], order[cut:])]


def _arrays(files: Sequence[Files]) -> list[np.ndarray]:
    """Return images and labels, part by part; all images must be of one size and kind."""
    images = [[read_image(path) for path in paths] for paths, _ in files]
    colours = any(image.ndim == 3 for part in images for image in part)
    first = next((path, image) for (paths, _), part in zip(files, images, strict=True)
                 for path, image in zip(paths, part, strict=True))  # fmt: skip
    arrays: list[np.ndarray] = []
    for (paths, labels), part in zip(files, images, strict=True):
        for path, image in zip(paths, part, strict=True):
            if image.shape[-2:] != first[1].shape[-2:]:
                raise FileError(
                    f"{path} is {_size(image)} pixels, but {first[0]} {_size(first[1])}: "
                    "bring all images to one size first"
                )
            if image.dtype != first[1].dtype:
                raise FileError(
                    f"{path} has pixels of {8 * image.itemsize} bits, but {first[0]} of "
                    f"{8 * first[1].itemsize}: bring all images to one kind first"
                )
        if colours:
            part = [image if image.ndim == 3 else np.stack([image] * 3) for image in part]
        arrays += [np.array(part, first[1].dtype), labels]
    return arrays


def find_part(folder: Path, names: Iterable[str]) -> Path | None:
    """Return the folder within this one that has one of the names and holds classes."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and entry.name.lower() in names and _classes(entry):
            return entry
    return None


def holds_classes_of_images(folder: Path) -> bool:
    """Say whether there are folders of images in a folder, or in its train and test."""
    return bool(_classes(folder) or find_part(folder, _TRAINING) or find_part(folder, _TEST))


def _classes(folder: Path) -> list[str]:
    """Return the names of the folders that hold images."""
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir()
        and not entry.name.startswith(".")
        and any(is_image(file) for file in entry.iterdir())
    )


def is_image(path: Path) -> bool:
    """Say whether a name is that of an image."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _files(folder: Path, classes: Sequence[str]) -> Files:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        place = folder / name
        found = sorted(place.iterdir()) if place.is_dir() else []
        found = [file for file in found if is_image(file) and not file.is_dir()]
        paths += found
        labels += [label] * len(found)
    return paths, np.array(labels, np.int64)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[-1]} x {image.shape[-2]}"
