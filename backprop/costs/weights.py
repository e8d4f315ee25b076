"""Weights of examples, and of the steps of sequences, in BP1."""

from __future__ import annotations

from typing import Any

import numpy as np


def weighted(start: Any, w: Any) -> Any:
    """Return where the way back starts, every column, or step, times its weight; BP1's last word.

    Both are arrays, or tuples of as many.
    """
    if isinstance(start, tuple):
        return tuple(map(weighted, start, w))
    return np.multiply(start, w, dtype=start.dtype)


def counted(w: np.ndarray, y: Any) -> np.ndarray:
    """Return the weights, 0 where a step is labelled -1, if they are weights of steps."""
    if w.ndim > 1 and y.dtype.kind in "iu" and y.shape == w.shape:
        return np.where(y == -1, 0.0, w)
    return w
