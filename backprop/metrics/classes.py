"""How often outputs decide for the right class, and how sure they are of it.

What a and y are, what is refused, and that a step of -1 does not count, `labels` says. Weights,
of shape (B,) or T x B, make of every mean the weighted one, sum(w v) / sum(w).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.metrics.base import Known, are_probabilities, check_probabilities
from backprop.metrics.labels import check_outputs, decisions
from backprop.metrics.weights import counted, weighted_mean


@partial(Known, greater_is_better=True, in_percent=True)
def accuracy(a: np.ndarray, y: Any, sample_weight: np.ndarray | None = None) -> float:
    """Return the fraction of columns whose predicted label is the true one, in [0, 1].

    Parameters
    ----------
    a, y
        Outputs, and labels or targets.
    sample_weight : ndarray, optional
    """
    found = decisions("accuracy", a, y, sample_weight=sample_weight)
    return weighted_mean(np.equal(found.predicted, found.true), found.weight)


def top_k_accuracy(a: np.ndarray, y: Any, k: int, sample_weight: np.ndarray | None = None) -> float:
    """Return the fraction of columns whose true label is among the `k` largest outputs.

    Of equal outputs the first counts as larger, as in `predicted_labels`: with k = 1 this is
    `accuracy`. As a metric it is named with its k: ``"top_5_accuracy"``.

    Parameters
    ----------
    a, y
        Outputs, at least two, and labels or targets.
    k : int
        From 1 to K.
    sample_weight : ndarray, optional
    """
    owner = "top_k_accuracy"
    a, true, n, weight, *_ = decisions(owner, a, y, sample_weight=sample_weight)
    if len(a) == 1:
        raise ValueError(f"{owner}: the outputs a must be at least two, got one")
    if check_integer(f"{owner}: k", k) > n:
        raise ValueError(f"{owner}: k must be at most the number of outputs, {n}, got {k}")
    a_true = np.take_along_axis(a, true[np.newaxis], axis=0)
    index = np.arange(n).reshape(n, *[1] * true.ndim)
    ahead = (a > a_true) | ((a == a_true) & (index < true))
    return weighted_mean(np.less(ahead.sum(axis=0), k), weight)


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
    found = decisions("confusion_matrix", a, y, n_classes)
    n = found.n
    return np.bincount((found.true * n + found.predicted).ravel(), minlength=n * n).reshape(n, n)


@partial(Known, greater_is_better=False, of_probabilities=True)
def log_loss(a: np.ndarray, y: Any, sample_weight: np.ndarray | None = None) -> float:
    """Return the mean of -ln of the probability given to what was right.

    -sum_j y_j ln a_j of K probabilities, -y ln a - (1 - y) ln(1 - a) of a single one, each
    probability no closer to 0 and 1 than the dtype's epsilon, as scikit-learn has it.

    Parameters
    ----------
    a : ndarray, K x B or K x T x B
        Probabilities that add up to 1; for K = 1 that of the class 1.
    y
        Labels or targets, which may be probabilities themselves.
    sample_weight : ndarray, optional
    """
    found = decisions("log_loss", a, y, sample_weight=sample_weight)
    a, several = found.a, len(found.a) > 1
    check_probabilities("log_loss", a)
    y = found.targets
    if y is not None and not are_probabilities(y):
        raise ValueError(
            f"log_loss: the targets y must be labels or probabilities"
            f"{' that add up to 1' * several}, got numbers from {y.min():g} to {y.max():g}"
        )
    eps = np.finfo(a.dtype if a.dtype.kind == "f" else np.float64).eps
    p = a.astype(np.float64)
    if not several:
        p = np.concatenate([1 - p, p])
        y = None if y is None else np.concatenate([1 - y, y])
    log_p = np.log(np.clip(p, eps, 1 - eps))
    if y is None:
        return weighted_mean(-log_p[found.true, np.arange(found.true.size)], found.weight)
    return weighted_mean(-(y * log_p).sum(axis=0), found.weight)


@partial(Known, greater_is_better=True, in_percent=True)
def binary_accuracy(a: np.ndarray, y: Any, sample_weight: np.ndarray | None = None) -> float:
    """Return the fraction of outputs that decide rightly between 0 and 1, each for itself, at 1/2.

    Parameters
    ----------
    a, y : ndarray, K x B or K x T x B
        Outputs, and targets 0 or 1 of the same shape: an example may have several labels, or none.
    sample_weight : ndarray, optional
    """
    right, weight = _each_decided("binary_accuracy", a, y, sample_weight)
    return weighted_mean(np.mean(right, axis=0), weight)


@partial(Known, greater_is_better=True, in_percent=True)
def subset_accuracy(a: np.ndarray, y: Any, sample_weight: np.ndarray | None = None) -> float:
    """Return the fraction of columns all of whose outputs decide rightly between 0 and 1, at 1/2.

    Parameters
    ----------
    a, y : ndarray, K x B or K x T x B
        Outputs, and targets 0 or 1 of the same shape: an example may have several labels, or none.
    sample_weight : ndarray, optional
    """
    right, weight = _each_decided("subset_accuracy", a, y, sample_weight)
    return weighted_mean(np.all(right, axis=0), weight)


def _each_decided(
    owner: str, a: np.ndarray, y: Any, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return where an output decides as its target does, and the weights of the columns."""
    y = np.asarray(y)
    check_outputs(owner, "outputs a", a)
    if y.shape != a.shape:
        raise ValueError(f"{owner}: y must have the shape {a.shape} of a, got {y.shape}")
    check_outputs(owner, "targets y", y)
    if not ((y == 0) | (y == 1)).all():
        raise ValueError(f"{owner}: targets must be 0 or 1, got {y.min():g} to {y.max():g}")
    weight, right = counted(owner, ((a >= 0.5) == (y >= 0.5),), a.shape[1:], sample_weight)
    return right, weight
