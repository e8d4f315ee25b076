"""Weights of examples, and of the steps of sequences: what is given, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.checks import check_finite, kind_of
from backprop.core.shapes import Shape, ShapeError


def check_weights(owner: object, sample_weight: Any, shape: Shape) -> np.ndarray:
    """Return the weights as float64, for outputs of `shape`.

    Raises
    ------
    TypeError, ShapeError, ValueError
        If they are no numbers, of another shape, negative or not finite.
    """
    wanted = "an array of numbers, one for each example"
    if isinstance(sample_weight, (str, tuple)):
        got = kind_of(sample_weight)
        raise TypeError(f"{owner}: sample_weight must be {wanted}, got {got}")
    w = np.asarray(sample_weight)
    if w.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: sample_weight must be {wanted}, got {w.dtype}")
    w = w.astype(np.float64)
    if w.shape not in (shape[-1:], shape[1:]):
        expected = f"{shape[-1:]}, one for each example"
        if len(shape) > 2:
            expected += f", or {shape[1:]}, one for each step or place"
        raise ShapeError(f"{owner}: sample_weight must have the shape {expected}, got {w.shape}")
    check_finite(f"{owner}: sample_weight", w)
    if (w < 0).any():
        raise ValueError(f"{owner}: sample_weight must not be negative, got {w.min():g}")
    return w


def counted(w: np.ndarray, y: Any) -> np.ndarray:
    """Return the weights, 0 where a step is labelled -1, if they are weights of steps."""
    if w.ndim > 1 and y.dtype.kind in "iu" and y.shape == w.shape:
        return np.where(y == -1, 0.0, w)
    return w
