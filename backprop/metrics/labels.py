"""Classes: which ones outputs and targets decide for.

a is a network's output, K x B, one example a column (K x T x B for sequences), and y what it
should have been: class labels, integers of the shape (B,) (T x B), or targets of a's shape,
one-hot or probabilities. K outputs decide between K classes by the largest; a single output
decides between the classes 0 and 1 at 1/2. Among the labels T x B of sequences, -1 marks a step
that only fills up a shorter sequence; it does not count.

All functions raise TypeError or ValueError if the shapes do not fit (nothing is broadcast), there
is no example, labels are not integers or out of range, targets decide for no class or for several,
or an output is NaN: a network that has lost its numbers has no accuracy, and no class 0 as argmax
would have it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from backprop.core.checks import check_array, check_integer, holds_nan
from backprop.metrics.weights import check_sample_weight, counted

SEVERAL_LABELS = '"subset_accuracy", "binary_accuracy" or "f1_samples"'


class Decisions(NamedTuple):
    """Outputs with what they and the targets decide for, of the N columns that count.

    Attributes
    ----------
    a : ndarray, K x N
    true : ndarray of int, (N,)
    n : int
        How many classes there are.
    weight : ndarray of float64, (N,), or None
    targets : ndarray, K x N, or None
        What y holds, unless that is labels.
    """

    a: np.ndarray
    true: np.ndarray
    n: int
    weight: np.ndarray | None
    targets: np.ndarray | None

    @property
    def predicted(self) -> np.ndarray:
        """The class that each column of a decides for, (N,)."""
        return _decided(self.a)


def predicted_labels(a: np.ndarray) -> np.ndarray:
    """Return the class that each column of `a` decides for.

    Of equal outputs the first wins.

    Parameters
    ----------
    a : ndarray, K x B or K x ... x B
        Outputs of any strictly increasing activation; for K = 1 probabilities, or anything else
        whose decision is at 1/2.

    Returns
    -------
    ndarray of int, shape ``a.shape[1:]``
    """
    check_outputs("predicted_labels", "outputs a", a)
    return _decided(a)


def true_labels(y: Any, ndim: int = 1) -> np.ndarray:
    """Return the class labels that are in `y`, or that its targets decide for.

    Parameters
    ----------
    y : array-like
        Integers of `ndim` axes; or targets with one axis more, in front, each column of which is
        for one class: one-hot (in any two numbers, -1 and 1 as well as 0 and 1), or probabilities
        that add up to 1; a single row decides at 1/2 and lies in [0, 1].
    ndim : int
        The axes of the labels: 1, (B,), or 2 for sequences, T x B.

    Returns
    -------
    ndarray of int, of `ndim` axes
    """
    return _labels_in("true_labels", np.asarray(y), ndim)


def decisions(
    owner: str,
    a: np.ndarray,
    y: Any,
    n_classes: int | None = None,
    sample_weight: np.ndarray | None = None,
) -> Decisions:
    """Return what outputs and targets decide for, steps of -1 left out."""
    check_outputs(owner, "outputs a", a)
    n = max(2, len(a))
    if n_classes is not None:
        n = check_integer(f"{owner}: n_classes", n_classes, least=n)
    y = np.asarray(y)
    if y.shape not in (a.shape, a.shape[1:]):
        raise ValueError(
            f"{owner}: y of shape {y.shape} does not fit outputs of shape {a.shape}: "
            f"labels have the shape {a.shape[1:]}, targets {a.shape}"
        )
    weight = None
    if sample_weight is not None:
        weight = check_sample_weight(owner, sample_weight, a.shape[1:])
    true = _labels_in(owner, y, a.ndim - 1, weight)
    real = true != -1 if true.ndim > 1 else None
    if real is not None and not real.any():
        raise ValueError(f"{owner}: all labels are -1: there is nothing to count")
    of_targets = (y,) if y.ndim == a.ndim else ()
    weight, a, true, *rest = counted(owner, (a, true, *of_targets), a.shape[1:], weight, real)
    for label in (int(true.min()), int(true.max())):
        if not 0 <= label < n:
            raise ValueError(
                f"{owner}: label {label} is out of range: there are {n} classes, from 0"
            )
    return Decisions(a, true, n, weight, rest[0] if rest else None)


def holds_classes(y: np.ndarray, ndim: int) -> bool:
    """Say whether y is labels of `ndim` axes, one-hot columns, or one row of 0 and 1."""
    if y.ndim == ndim:
        return y.dtype.kind in "iu"
    if not ((y == 0) | (y == 1)).all():
        return False
    return len(y) == 1 or bool((y.sum(axis=0) == 1).all())


def holds_several_labels(y: np.ndarray, ndim: int) -> bool:
    """Say whether y is 0 and 1 for labels of which an example may have several, or none."""
    if y.ndim != ndim + 1 or len(y) == 1 or not ((y == 0) | (y == 1)).all():
        return False
    return bool((y.sum(axis=0) != 1).any())


def check_outputs(owner: str, what: str, a: Any) -> None:
    """Raise unless `a` is a real array of one example a column at least, without NaN."""
    check_array(owner, what, a, None, "real")
    if a.ndim < 2:
        raise ValueError(f"{owner}: the {what} have one example a column, got the shape {a.shape}")
    if a.size == 0:
        raise ValueError(f"{owner}: there is no example in the {what} of shape {a.shape}")
    if holds_nan(a):
        raise ValueError(f"{owner}: the {what} hold NaN")


def _decided(a: np.ndarray) -> np.ndarray:
    if len(a) == 1:
        return (a[0] >= 0.5).astype(np.intp)  # type: ignore[no-any-return]
    return a.argmax(axis=0)  # type: ignore[no-any-return]


def _labels_in(
    owner: str, y: np.ndarray, ndim: int, weight: np.ndarray | None = None
) -> np.ndarray:
    if y.ndim == ndim + 1:
        check_outputs(owner, "targets y", y)
        _check_decides(owner, y if weight is None else y[:, weight > 0])
        return _decided(y)
    if y.ndim != ndim:
        raise ValueError(
            f"{owner}: labels have {ndim} axes and targets one more, got the shape {y.shape}"
        )
    if y.dtype.kind not in "iu":
        raise TypeError(f"{owner}: labels must be integers, got {y.dtype}")
    if y.size == 0:
        raise ValueError(f"{owner}: there is no label in an array of shape {y.shape}")
    return y.astype(np.intp)


def _check_decides(owner: str, y: np.ndarray) -> None:
    """Raise a ValueError unless every column of targets decides for one class."""
    if len(y) == 1:
        if not (y.min() >= 0 and y.max() <= 1):
            two = len(np.unique(y)) == 2
            way = f"give y == {y.max():g}" if two else 'of numbers, use "mse", "mae" or "r2"'
            raise ValueError(
                f"{owner}: targets of one output decide between the classes 0 and 1 and must be "
                f"in [0, 1], got {y.min():g} to {y.max():g}: {way}"
            )
        return
    low, high = y.min(), y.max()
    hot = ((y == high).sum(axis=0) == 1) & ((y == low).sum(axis=0) == len(y) - 1)
    if hot.all():
        return
    adds_up = np.abs(y.sum(axis=0, dtype=np.float64) - 1) <= 1e-5
    open_ = ~(hot | (adds_up & (y.min(axis=0) >= 0)))
    if not open_.any():  # of equal probabilities the first wins, as of outputs
        return
    index = int(np.argmax(open_))
    column = y.reshape(len(y), -1)[:, index]
    place = ", ".join([":", *map(str, np.unravel_index(index, open_.shape))])
    holds = f"numbers from {column.min():g} to {column.max():g}"
    if set(np.unique(column)) <= {0, 1}:
        holds = f"{int((column == 1).sum())} ones"
    elif (column == column.max()).sum() > 1:
        holds = f"the largest {column.max():g} repeatedly"
    raise ValueError(
        f"{owner}: each column of the targets y must decide for one class, and y[{place}] holds "
        f"{holds}, neither one-hot nor probabilities: where an example may have several labels, "
        f'or none, use {SEVERAL_LABELS}; of numbers, "mse", "mae" or "r2"; steps that only fill '
        "up a sequence are labels of -1, or of weight 0"
    )
