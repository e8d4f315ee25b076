"""Data: IDX files, the built-in digits, downloads, and what brings data into a network's form."""

from __future__ import annotations

from backprop.datasets.digits import make_digits
from backprop.datasets.idx import read_idx, write_idx
from backprop.datasets.sources import NAMES, Dataset, data_home, fetch, load, make_builtin
from backprop.datasets.transforms import one_hot, split, standardize, to_columns, to_images

__all__ = [
    "NAMES",
    "Dataset",
    "data_home",
    "fetch",
    "load",
    "make_builtin",
    "make_digits",
    "one_hot",
    "read_idx",
    "split",
    "standardize",
    "to_columns",
    "to_images",
    "write_idx",
]
