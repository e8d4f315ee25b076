"""Sums over the batch and along rows, by BLAS: NumPy's own sums of short rows are slower.

Each has a plain twin, which says what it means; the tests compare the two.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np


def sum_over_batch(delta: np.ndarray, out: np.ndarray) -> None:
    """Let `out`, n x 1, be the sum of delta, n x B, over the examples: as the product delta 1."""
    np.dot(delta, column_of_ones(delta.shape[1], delta.dtype), out=out)


def plain_sum_over_batch(delta: np.ndarray, out: np.ndarray) -> None:
    """`sum_over_batch`, plainly."""
    np.sum(delta, axis=1, keepdims=True, out=out)


def row_sums(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """Return the sums along the rows of x, or of x y, R x n, as R x 1: as scalar products."""
    if y is None:
        return x.dot(column_of_ones(x.shape[1], x.dtype))  # type: ignore[no-any-return]
    return np.matmul(x[:, None, :], y[:, :, None])[:, :, 0]


def plain_row_sums(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """`row_sums`, plainly."""
    product = x if y is None else x * y
    return product.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def column_of_ones(n: int, dtype: np.dtype) -> Any:
    """Return n x 1 ones, to be read only."""
    column = np.ones((n, 1), dtype)
    column.flags.writeable = False
    return column
