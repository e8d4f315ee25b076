"""How far outputs are from targets that are numbers.

a is K x B, one example a column (K x T x B for sequences, of which each step counts as one), and
y holds targets of its shape. All is computed in double precision. Weights, of shape (B,) or T x B,
make of every mean over the examples the weighted one, sum(w v) / sum(w); a step of weight 0 does
not count. Of several outputs the result is the mean of theirs, as in scikit-learn.

All raise TypeError or ValueError if the shapes do not fit (nothing is broadcast) or there is NaN.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from backprop.metrics.base import Known
from backprop.metrics.labels import check_outputs
from backprop.metrics.weights import counted, weighted_mean


@partial(Known, greater_is_better=False)
def mean_squared_error(
    a: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
) -> float:
    """Return the mean of (a - y)^2 over outputs and batch.

    Twice the book's quadratic cost is K times as much: that sums over the outputs.
    """
    error, _, weight = _errors("mean_squared_error", a, y, sample_weight)
    return weighted_mean(np.square(error).mean(axis=0), weight)


@partial(Known, greater_is_better=False)
def root_mean_squared_error(
    a: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
) -> float:
    """Return the root of the mean of (a - y)^2 over the batch, of several outputs their mean."""
    error, _, weight = _errors("root_mean_squared_error", a, y, sample_weight)
    return float(np.sqrt(_row_means(np.square(error), weight)).mean())


@partial(Known, greater_is_better=False)
def mean_absolute_error(
    a: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
) -> float:
    """Return the mean of |a - y| over outputs and batch."""
    error, _, weight = _errors("mean_absolute_error", a, y, sample_weight)
    return weighted_mean(np.abs(error).mean(axis=0), weight)


@partial(Known, greater_is_better=True)
def r2(a: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
    """Return the coefficient of determination, 1 - sum (a - y)^2 / sum (y - mean y)^2.

    It is 1 at best, and 0 for outputs that are always the mean of y. Where y never changes it is
    1 if all is right, else 0; of a single example NaN.
    """
    error, y, weight = _errors("r2", a, y, sample_weight)
    if error.shape[1] < 2:
        return math.nan
    spread = y - _row_means(y, weight)[:, np.newaxis]
    left = _row_means(np.square(error), weight)
    there = _row_means(np.square(spread), weight)
    constant = there == 0
    share = np.divide(left, there, out=(left > 0).astype(np.float64), where=~constant)
    return float((1 - share).mean())


def _errors(
    owner: str, a: np.ndarray, y: Any, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return a - y and y, K x N, and the weights of the N columns that count."""
    y = np.asarray(y)
    check_outputs(owner, "outputs a", a)
    if y.shape != a.shape:
        labels = y.shape == a.shape[1:] and y.dtype.kind in "iu"
        way = f": of labels give one_hot(y, {len(a)})" if labels else ""
        raise ValueError(f"{owner}: y must have the shape {a.shape} of a, got {y.shape}{way}")
    check_outputs(owner, "targets y", y)
    weight, a, y = counted(owner, (a, y), a.shape[1:], sample_weight)
    return np.subtract(a, y, dtype=np.float64), y.astype(np.float64), weight


def _row_means(values: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    return np.average(values, axis=1, weights=weight)  # type: ignore[no-any-return]
