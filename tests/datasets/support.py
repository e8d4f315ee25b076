"""Small data sets in the format IDX, and what is held of those that are read."""

from __future__ import annotations

import numpy as np

from backprop.datasets import write_idx

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def small_arrays():
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (6, 4, 5), dtype=np.uint8),
        rng.integers(0, 10, 6, dtype=np.uint8),
        rng.integers(0, 256, (3, 4, 5), dtype=np.uint8),
        rng.integers(0, 10, 3, dtype=np.uint8),
    ]


def write(folder, arrays, names=FILES):
    for name, array in zip(names, arrays, strict=True):
        write_idx(folder / name, array)


def assert_holds(data, arrays):
    got = (data.x_train, data.labels_train, data.x_test, data.labels_test)
    for array, expected in zip(got, arrays, strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def assert_one_line(caught):
    assert "\n" not in str(caught.value)
