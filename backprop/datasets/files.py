"""What a path given to `load` holds, seen from names, and the reader that it is for."""

from __future__ import annotations

import os
from pathlib import Path

from backprop.core.storage import FileError
from backprop.datasets import arrays, images, pickles, pixels_csv
from backprop.datasets.dataset import Dataset
from backprop.datasets.idx_files import data_sets_in, held_in, is_whole, lacking, read_four

KINDS = (
    "a folder of IDX files, of .npy files or of a folder of images for every class, or a file "
    ".npz, .pkl.gz or .csv"
)


def read_path(path: Path) -> Dataset:
    """Read the data set that lies in a folder or file, whichever of all forms it has.

    Raises
    ------
    FileNotFoundError
        If there is nothing, or a file of it is missing.
    FileError
        If it is of no known form, or damaged.
    """
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_file(path)
    if path.parent.is_dir():  # as of gzip/emnist-letters, which files in gzip/ begin with
        four = data_sets_in(path.parent).get(path.name)
        if four is not None:
            return read_four(path.parent, path.name, four)
    raise FileNotFoundError(path)


def _read_folder(folder: Path) -> Dataset:
    found = data_sets_in(folder)
    whole = [prefix for prefix, four in found.items() if is_whole(four)]
    if "" in whole:
        return read_four(folder, "", found[""])
    if len(whole) == 1:
        return read_four(folder, whole[0], found[whole[0]])
    if whole:
        names = ", ".join(os.path.join(folder.name, prefix) for prefix in sorted(whole))
        raise FileError(f"{folder} holds several data sets: name one of them, {names}")
    if found:
        raise lacking(folder, found.get("", next(iter(found.values()))))
    npy = sorted(folder.glob("*.npy"))
    if npy:
        return arrays.read_npy_folder(folder, npy)
    single = [path for path in sorted(folder.iterdir()) if _is_data_set(path)]
    if len(single) == 1:
        return _read_file(single[0])
    if images.holds_classes_of_images(folder):
        return images.read_images(folder)
    raise FileNotFoundError(
        f"{folder} is no data set that is known: it holds {held_in(folder)}; give {KINDS}"
    )


def _is_data_set(path: Path) -> bool:
    """Say whether a file is one that holds a whole data set, by its name."""
    name = path.name.lower()
    if not path.is_file():
        return False
    csv = name.endswith((".csv", ".csv.gz")) and "test" not in name
    return name.endswith((".npz", ".pkl", ".pkl.gz")) or (csv and pixels_csv.holds_pixels(path))


def _read_file(path: Path) -> Dataset:
    name = path.name.lower()
    if name.endswith(".npz"):
        return arrays.read_npz(path)
    if name.endswith((".pkl", ".pkl.gz", ".pickle", ".pickle.gz")):
        return pickles.read_pickle(path)
    if name.endswith((".csv", ".csv.gz")):
        if not pixels_csv.holds_pixels(path):
            raise FileError(
                f"{path} is a table, and none of labels and pixels: "
                f"datasets.table({os.fspath(path)!r}, target=...) reads it"
            )
        return pixels_csv.read_pixels(path)
    if name.endswith(".npy"):
        raise FileError(
            f"{path} is one array: give the folder of {arrays.EXPECTED_FILES}, or an .npz file"
        )
    if "-idx" in name or ".idx" in name:
        raise NotADirectoryError(f"{path} is not a folder: give that of the four IDX files")
    raise FileError(f"{path} is no data set that is known: {KINDS}")
