"""Sparse rows that are too many to be made dense at once: a minibatch of them is, at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from backprop.core.stored import Rows, Stored

DENSE_BYTES = 2**26  # up to so many, all rows are made dense at once, which is faster
BATCH = 1000  # rows that are predicted at a time


class ThinRows(Rows):
    """Rows of a sparse matrix, which are made dense and standardized when they are taken.

    Parameters
    ----------
    matrix : sparse matrix, N x n
        In the format "csr".
    shape : tuple of int
        Of the example that a row is made into.
    dtype : dtype
    scaler : StandardScaler or None
    """

    def __init__(self, matrix: Any, shape: tuple[int, ...], dtype: Any, scaler: Any) -> None:
        self.matrix, self.scaler, self.dtype = matrix, scaler, np.dtype(dtype)
        self.shape, self.ndim = (matrix.shape[0], *shape), 1 + len(shape)

    def __getitem__(self, rows: Any) -> np.ndarray:
        found = self.matrix[rows].toarray()
        if self.scaler is not None:
            found = self.scaler.transform(found)
        return found.reshape(-1, *self.shape[1:]).astype(self.dtype, copy=False)  # type: ignore[no-any-return]

    def take(self, chosen: np.ndarray, axis: int = 0) -> np.ndarray:
        return self[chosen]


class ThinColumns(Stored):
    """`ThinRows` as a network takes them, an example a column."""

    rows: ThinRows

    def __init__(self, rows: ThinRows) -> None:
        self.rows, self.dtype = rows, rows.dtype
        self.shape, self.ndim = (*rows.shape[1:], len(rows)), rows.ndim

    def part(self, some: slice) -> ThinColumns:
        rows = self.rows
        return ThinColumns(ThinRows(rows.matrix[some], rows.shape[1:], rows.dtype, rows.scaler))


def dense(data: Any) -> Any:
    """Return what is sparse as a dense array, and anything else as it is."""
    return data.toarray() if sparse.issparse(data) else data


def dense_if_small(data: Any) -> Any:
    """Return the same as `dense`, but sparse rows where a dense array would be large."""
    if not sparse.issparse(data) or math.prod(data.shape) * data.dtype.itemsize <= DENSE_BYTES:
        return dense(data)
    return data.tocsr()


def scaler_of(owner: str, what: str, rows: Any, sample_weight: Any) -> StandardScaler:
    """Return a scaler by the means and standard deviations of rows, which may be sparse.

    Raises
    ------
    ValueError
        If the rows, of which `what` says whose they are, are too large for that.
    """
    thin = sparse.issparse(rows)
    scaler = StandardScaler(with_mean=not thin)
    scaler.set_output(transform="default")  # arrays, whatever scikit-learn is set to
    with np.errstate(over="ignore", invalid="ignore"):
        scaler.fit(rows, sample_weight=sample_weight)
    if not np.isfinite(scaler.scale_).all():
        raise ValueError(
            f"{owner}: the numbers of {what} are too large to be standardized: divide them, or "
            "give standardize=False"
        )
    scaler.with_mean = True  # of rows that have been made dense
    return scaler


def columns_of(rows: Any, scaler: Any, network: Any) -> Any:
    """Return rows, dense or sparse, as the network takes them: standardized, a column each."""
    if sparse.issparse(rows):
        return ThinColumns(ThinRows(rows, network.input_shape, network.dtype, scaler))
    rows = rows if scaler is None else scaler.transform(rows)
    shaped = rows.reshape(len(rows), *network.input_shape).astype(network.dtype, copy=False)
    return np.moveaxis(shaped, 0, -1)


def by_batches(compute: Any, columns: Any) -> Any:
    """Return what is computed of columns, the examples last; of sparse rows some at a time."""
    if not isinstance(columns, ThinColumns):
        return compute(columns)
    n = columns.shape[-1]
    parts = [compute(columns[..., k : k + BATCH]) for k in range(0, n, BATCH)]
    if isinstance(parts[0], (tuple, list)):
        return tuple(np.concatenate(some, axis=-1) for some in zip(*parts, strict=True))
    return np.concatenate(parts, axis=-1)
