"""Data: built-in digits, downloads, own files and tables, brought into a network's form."""

from __future__ import annotations

from backprop.core.stored import Stored
from backprop.datasets import sequences
from backprop.datasets.augmentation import (
    Affine,
    Compose,
    CutOut,
    Elastic,
    Noise,
    Rotate,
    Scale,
    Shift,
    Transform,
)
from backprop.datasets.columns import UnseenCategoryWarning
from backprop.datasets.dataset import Dataset
from backprop.datasets.digits import make_digits
from backprop.datasets.encoding import Encoding
from backprop.datasets.idx import read_idx, write_idx
from backprop.datasets.images import read_image
from backprop.datasets.sources import NAMES, data_home, fetch, load, make_builtin
from backprop.datasets.tables import Table, table
from backprop.datasets.transforms import one_hot, split, standardize, to_columns, to_images

__all__ = [
    "Affine",
    "NAMES",
    "Compose",
    "CutOut",
    "Dataset",
    "Elastic",
    "Encoding",
    "Noise",
    "Rotate",
    "Scale",
    "Shift",
    "Stored",
    "Table",
    "Transform",
    "UnseenCategoryWarning",
    "data_home",
    "fetch",
    "load",
    "make_builtin",
    "make_digits",
    "one_hot",
    "read_idx",
    "read_image",
    "sequences",
    "split",
    "standardize",
    "table",
    "to_columns",
    "to_images",
    "write_idx",
]
