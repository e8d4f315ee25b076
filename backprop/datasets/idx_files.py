"""The four IDX files of a data set in a folder, under all the names that they have there.

MNIST's own, ``train-images-idx3-ubyte``, and with a dot, ``train-images.idx3-ubyte``; plain or
compressed; each in a folder of its own name, as an archive on Kaggle unpacks them; and those of
EMNIST (Cohen, Afshar, Tapson and van Schaik, "EMNIST: an extension of MNIST to handwritten
letters", 2017), ``emnist-letters-train-images-idx3-ubyte``, where several data sets share a folder
and every image is stored by columns.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from backprop.datasets.dataset import Dataset, checked
from backprop.datasets.idx import read_idx

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The names that MNIST has, in the order in which the four are kept everywhere."""

_NAME = re.compile(
    r"(?P<prefix>[\w-]+-)?(?P<part>train|t10k|test)-(?P<what>images|labels)"
    r"[-.]idx(?P<rank>\d)-ubyte(?P<gz>\.gz)?"
)
_ROLES = [("train", "images"), ("train", "labels"), ("test", "images"), ("test", "labels")]

_DIGITS, _UPPER = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_EMNIST = {  # the classes of its data sets; "letters" counts from 1
    "byclass": _DIGITS + _UPPER + _UPPER.lower(),
    "bymerge": _DIGITS + _UPPER + "abdefghnqrt",
    "balanced": _DIGITS + _UPPER + "abdefghnqrt",
    "letters": _UPPER,
    "digits": _DIGITS,
    "mnist": _DIGITS,
}

Four = dict[tuple[str, str], Path]


def data_sets_in(folder: Path) -> dict[str, Four]:
    """Return what there is of the four files, for every data set in a folder, by its prefix.

    That of MNIST's own names is "". A plain file is preferred to a compressed one.
    """
    found: dict[str, Four] = {}
    for path in sorted(folder.iterdir(), key=_preference):
        name = _NAME.fullmatch(path.name)
        if name is None:
            continue
        if path.is_dir():  # of its name, with the file in it
            inner = [one for one in path.iterdir() if _NAME.fullmatch(one.name) and one.is_file()]
            if len(inner) != 1:
                continue
            path = inner[0]
        role = ("test" if name["part"] == "t10k" else name["part"], name["what"])
        prefix = (name["prefix"] or "").removesuffix("-")
        found.setdefault(prefix, {}).setdefault(role, path)
    return found


def _preference(path: Path) -> tuple:
    return (path.name.endswith(".gz"), path.is_dir(), "-idx3" not in path.name, path.name)


def all_names(file: str) -> list[str]:
    """Return the names under which one of `FILES` may lie in a folder of MNIST's own names."""
    stems = [file, file.replace("-idx", ".idx")]
    if "images" in file:  # of any rank, as its name may say
        stems += [stem.replace("idx3", f"idx{rank}") for rank in (2, 4, 5) for stem in stems]
    return [stem + end for end in ("", ".gz") for stem in stems]


def is_whole(four: Four) -> bool:
    """Say whether all the four are there."""
    return len(four) == len(_ROLES)


def lacking(folder: Path, four: Four) -> FileNotFoundError:
    """Return the error that says which of the four files there are not."""
    missing = [file for file, role in zip(FILES, _ROLES, strict=True) if role not in four]
    return FileNotFoundError(
        f"{folder} lacks {', '.join(missing)} (plain or .gz); it holds {held_in(folder)}"
    )


def held_in(folder: Path) -> str:
    """Return the names in a folder, the first ones, for an error."""
    held = sorted(entry.name for entry in folder.iterdir())
    return ", ".join(held[:10]) + (", ..." if held[10:] else "") or "nothing"


def read_four(folder: Path, prefix: str, four: Four) -> Dataset:
    """Read the data set of this prefix.

    Raises
    ------
    FileNotFoundError
        If one of its files is not there.
    FileError
        If one is damaged, or does not fit the others.
    """
    if not is_whole(four):
        raise lacking(folder, four)
    paths = [four[role] for role in _ROLES]
    arrays = [read_idx(path) for path in paths]
    if prefix.split("-")[0] != "emnist":
        return checked(prefix or folder.name, f"IDX files in {folder}", arrays, paths)
    kind = prefix.rpartition("-")[2]
    classes = _EMNIST.get(kind)
    source = f"EMNIST {kind}, IDX files in {folder}, images turned upright"
    for k in (0, 2):
        if arrays[k].ndim == 3:
            arrays[k] = np.ascontiguousarray(arrays[k].transpose(0, 2, 1))
    if kind == "letters" and all(arrays[k].size and arrays[k].min() == 1 for k in (1, 3)):
        arrays[1::2] = [labels - 1 for labels in arrays[1::2]]
        source += ", labels counted from 0"
    return checked(prefix, source, arrays, paths, tuple(classes) if classes else None)
