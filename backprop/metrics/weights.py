"""Example weights: how much each example, or each step of a sequence, counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_finite


def check_sample_weight(owner: str, sample_weight: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights in double precision, of `shape`.

    Parameters
    ----------
    owner : str
        Who asks.
    sample_weight : ndarray of shape (B,), or of `shape`
        Not negative, not all 0, and of a finite sum. A weight of (B,) counts for all steps of
        its example.
    shape : tuple of int
        That of the labels: (B,), or (T, B) for sequences.

    Returns
    -------
    ndarray of float64, of `shape`

    Raises
    ------
    TypeError, ValueError
        If they are not such weights.
    """
    check_array(owner, "sample_weight", sample_weight, None, "real")
    if sample_weight.shape not in (shape, shape[-1:]):
        either = " or ".join(dict.fromkeys(map(str, (shape[-1:], shape))))
        raise ValueError(
            f"{owner}: sample_weight must have the shape {either}, a weight for each example, "
            f"got {sample_weight.shape}"
        )
    if sample_weight.dtype.kind == "f":
        check_finite(f"{owner}: sample_weight", sample_weight)
    if sample_weight.size and sample_weight.min() < 0:
        raise ValueError(f"{owner}: sample_weight must not be negative, got {sample_weight.min()}")
    if not sample_weight.any():
        raise ValueError(f"{owner}: sample_weight is 0 for all examples: there is nothing to count")
    weight = np.broadcast_to(sample_weight.astype(np.float64), shape)
    with np.errstate(over="ignore"):
        if not np.isfinite(weight.sum()):
            raise ValueError(
                f"{owner}: sample_weight adds up to infinity: only ratios count, give "
                "sample_weight / sample_weight.max()"
            )
    return weight


def weighted_mean(values: np.ndarray, weight: np.ndarray | None) -> float:
    """Return sum(w v) / sum(w), or the plain mean where there are no weights."""
    if weight is None:
        return float(values.mean(dtype=np.float64))
    return float((values * weight).sum(dtype=np.float64) / weight.sum())


def counted(
    owner: str,
    arrays: tuple[np.ndarray, ...],
    shape: tuple[int, ...],
    sample_weight: Any,
    real: np.ndarray | None = None,
) -> tuple[Any, ...]:
    """Return the weights, (N,) or None, and of each array the N columns that count.

    Parameters
    ----------
    owner : str
    arrays : tuple of ndarray
        Each ends in `shape`.
    shape : tuple of int
        That of the labels: (B,), or (T, B) for sequences, of which each step becomes a column.
    sample_weight : ndarray or None
        As in `check_sample_weight`. A step of a sequence counts only if its weight is not 0.
    real : ndarray of bool, of `shape`, optional
        What counts else.
    """
    weight = None
    if sample_weight is not None:
        weight = check_sample_weight(owner, sample_weight, shape)
        if len(shape) > 1:
            real = weight > 0 if real is None else real & (weight > 0)
    if real is None:
        columns = [array.reshape(*array.shape[: array.ndim - len(shape)], -1) for array in arrays]
        return None if weight is None else weight.ravel(), *columns
    if not real.any():
        raise ValueError(f"{owner}: no step has a label and a weight: there is nothing to count")
    return None if weight is None else weight[real], *(array[..., real] for array in arrays)
