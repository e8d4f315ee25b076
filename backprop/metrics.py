"""Metrics: how good an output is, beside its cost.

a is a network's output, K x B, one example a column (K x T x B for sequences), and y what it
should have been: class labels, integers of the shape (B,) (T x B), or targets of a's shape,
one-hot or probabilities. K outputs decide between K classes by the largest; a single output
decides between the classes 0 and 1 at 1/2. Among the labels T x B of sequences, -1 marks a step
that only fills up a shorter sequence; it does not count.

All functions raise TypeError or ValueError if the shapes do not fit (nothing is broadcast), there
is no example, labels are not integers or out of range, or an output is NaN: a network that has
lost its numbers has no accuracy, and no class 0 as argmax would have it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_integer


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
    return _decisions("predicted_labels", "outputs a", a)


def true_labels(y: Any, ndim: int = 1) -> np.ndarray:
    """Return the class labels that are in `y`, or that its targets decide for.

    Parameters
    ----------
    y : array-like
        Integers of `ndim` axes; or targets with one axis more, in front, each column of which
        decides for a class as in `predicted_labels`.
    ndim : int
        The axes of the labels: 1, (B,), or 2 for sequences, T x B.

    Returns
    -------
    ndarray of int, of `ndim` axes
    """
    return _labels_in("true_labels", y, ndim)


def accuracy(a: np.ndarray, y: Any) -> float:
    """Return the fraction of columns whose predicted label is the true one, in [0, 1].

    Parameters
    ----------
    a, y
        Outputs, and labels or targets.
    """
    _, predicted, true, _ = _compared("accuracy", a, y)
    return float((predicted == true).mean())


def confusion_matrix(a: np.ndarray, y: Any, n_classes: int | None = None) -> np.ndarray:
    """Return how often each true label (row) was predicted as each label (column).

    Parameters
    ----------
    a, y
        Outputs, and labels or targets.
    n_classes : int, optional
        Rows and columns, at least the number of classes that `a` decides between, which is the
        default. More make room for labels that the network cannot predict.

    Returns
    -------
    ndarray of int, (n_classes, n_classes)
        Its sum is the number of columns, its trace the number predicted rightly.
    """
    _, predicted, true, n = _compared("confusion_matrix", a, y, n_classes)
    return np.bincount((true * n + predicted).ravel(), minlength=n * n).reshape(n, n)


def top_k_accuracy(a: np.ndarray, y: Any, k: int) -> float:
    """Return the fraction of columns whose true label is among the `k` largest outputs.

    Of equal outputs the first counts as larger, as in `predicted_labels`: with k = 1 this is
    `accuracy`.

    Parameters
    ----------
    a, y
        Outputs, at least two, and labels or targets.
    k : int
        From 1 to K.
    """
    owner = "top_k_accuracy"
    a, _, true, n = _compared(owner, a, y)
    if len(a) == 1:
        raise ValueError(f"{owner}: the outputs a must be at least two, got one")
    if check_integer(f"{owner}: k", k) > n:
        raise ValueError(f"{owner}: k must be at most the number of outputs, {n}, got {k}")
    a_true = np.take_along_axis(a, true[np.newaxis], axis=0)
    index = np.arange(n).reshape(n, *[1] * true.ndim)
    ahead = (a > a_true) | ((a == a_true) & (index < true))
    return float((ahead.sum(axis=0) < k).mean())


def mean_squared_error(a: np.ndarray, y: np.ndarray) -> float:
    """Return the mean of (a - y)^2 over outputs and batch, in double precision.

    `y` holds targets of a's shape, and may be of another dtype. Twice the book's quadratic cost is
    K times as much: that sums over the outputs.
    """
    owner, y = "mean_squared_error", np.asarray(y)
    _check_outputs(owner, "outputs a", a)
    if y.shape != a.shape:
        raise ValueError(f"{owner}: y must have the shape {a.shape} of a, got {y.shape}")
    _check_outputs(owner, "targets y", y)
    return float(np.square(np.subtract(a, y, dtype=np.float64)).mean())


def _compared(
    owner: str, a: np.ndarray, y: Any, n_classes: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return outputs, predicted and true labels of what counts, and the number of classes."""
    predicted = _decisions(owner, "outputs a", a)
    n = max(2, len(a))
    if n_classes is not None:
        n = check_integer(f"{owner}: n_classes", n_classes, least=n)
    y = np.asarray(y)
    if y.shape not in (a.shape, a.shape[1:]):
        raise ValueError(
            f"{owner}: y of shape {y.shape} does not fit outputs of shape {a.shape}: "
            f"labels have the shape {a.shape[1:]}, targets {a.shape}"
        )
    true = _labels_in(owner, y, a.ndim - 1)
    if true.ndim > 1 and true.min() == -1:
        real = true != -1
        if not real.any():
            raise ValueError(f"{owner}: all labels are -1: there is nothing to count")
        a, predicted, true = a[:, real], predicted[real], true[real]
    for label in (int(true.min()), int(true.max())):
        if not 0 <= label < n:
            raise ValueError(
                f"{owner}: label {label} is out of range: there are {n} classes, from 0"
            )
    return a, predicted, true, n


def _decisions(owner: str, what: str, a: Any) -> np.ndarray:
    _check_outputs(owner, what, a)
    if len(a) == 1:
        return (a[0] >= 0.5).astype(np.intp)  # type: ignore[no-any-return]
    return a.argmax(axis=0)  # type: ignore[no-any-return]


def _labels_in(owner: str, y: Any, ndim: int) -> np.ndarray:
    y = np.asarray(y)
    if y.ndim == ndim + 1:
        return _decisions(owner, "targets y", y)
    if y.ndim != ndim:
        raise ValueError(
            f"{owner}: labels have {ndim} axes and targets one more, got the shape {y.shape}"
        )
    if y.dtype.kind not in "iu":
        raise TypeError(f"{owner}: labels must be integers, got {y.dtype}")
    if y.size == 0:
        raise ValueError(f"{owner}: there is no label in an array of shape {y.shape}")
    return y.astype(np.intp)


def _check_outputs(owner: str, what: str, a: Any) -> None:
    check_array(owner, what, a, None, "real")
    if a.ndim < 2:
        raise ValueError(f"{owner}: the {what} have one example a column, got the shape {a.shape}")
    if a.size == 0:
        raise ValueError(f"{owner}: there is no example in the {what} of shape {a.shape}")
    if a.dtype.kind == "f" and np.isnan(a).any():
        raise ValueError(f"{owner}: the {what} hold NaN")


def default_metrics(y: Any) -> dict[str, Callable[[Any, Any], float]]:
    """Return accuracy where y holds classes (labels, one-hot columns, or one row of 0 and 1).

    For the targets of several outputs, a tuple, that of each under its number: "accuracy_0".
    """
    if isinstance(y, tuple):
        return {
            f"{name}_{k}": functools.partial(_of_output, metric, k)
            for k, targets in enumerate(y)
            for name, metric in default_metrics(targets).items()
        }
    if y.dtype.kind in "iu":
        return {"accuracy": accuracy}
    zero_or_one = bool(((y == 0) | (y == 1)).all())
    if zero_or_one and (len(y) == 1 or bool((y.sum(axis=0) == 1).all())):
        return {"accuracy": accuracy}
    return {}


def _of_output(metric: Callable[[Any, Any], float], k: int, a: Any, y: Any) -> float:
    return metric(a[k], y[k])
