"""Clipping: gradients that are too large made smaller, before the optimizer sees them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from backprop.core.checks import check_number, check_vector
from backprop.kernels import memory


def clip_by_norm(nabla: np.ndarray, max_norm: float) -> float:
    """Shorten `nabla` in place to the length `max_norm` if it is longer; return its norm before.

    Summed in double precision, and where squares do not fit into that, of numbers of 1e160 or
    1e-170, relatively to the largest. Where an element is infinite or NaN there is no direction to
    keep: `nabla` is left as it is, for the caller to see. (A norm that is itself beyond the largest
    number is returned as infinite, and clipped all the same.)

    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks,
    2013, algorithm 1.

    Parameters
    ----------
    nabla : ndarray, shape (P,)
        Of real floating-point numbers.
    max_norm : float
        Greater than 0.

    Raises
    ------
    TypeError, ValueError
        If either is anything else.
    """
    check_vector("clip_by_norm", "gradient nabla", nabla)
    max_norm = check_number("clip_by_norm: max_norm", max_norm, "(0, inf)")
    squares = 0.0
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for block in _blocks(nabla):
            squares += float(np.dot(block, block))
        norm = math.sqrt(squares)
        if not _LEAST_SQUARES < squares < math.inf:
            return _clip_extremes(nabla, max_norm)
        if max_norm < norm:
            _scale(nabla, norm, max_norm)
    return norm


_LEAST_SQUARES = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)
"""A sum of squares below this has lost digits of some that count."""


def _clip_extremes(nabla: np.ndarray, max_norm: float) -> float:
    """Do what `clip_by_norm` does, with squares relative to that of the largest element."""
    largest = float(max(nabla.max(initial=0), -nabla.min(initial=0)))
    if not 0 < largest < math.inf:
        return largest
    squares = 0.0
    for block in _blocks(nabla):
        relative = block / largest
        squares += float(np.dot(relative, relative))
    root = math.sqrt(squares)
    if max_norm / root < largest:
        np.divide(nabla, largest, out=nabla)
        _scale(nabla, root, max_norm)
    return largest * root


def _scale(nabla: np.ndarray, norm: float, max_norm: float) -> None:
    """Multiply by max_norm / norm, in place, in two steps where that is 0 in the dtype."""
    factor = max_norm / norm
    if factor < np.finfo(nabla.dtype).tiny:
        factor = math.sqrt(max_norm) / math.sqrt(norm)
        np.multiply(nabla, factor, out=nabla)
    np.multiply(nabla, factor, out=nabla)


def _blocks(nabla: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the elements in double precision, so many at a time."""
    for start in range(0, nabla.size, memory.UPDATE_BLOCK):
        yield nabla[start : start + memory.UPDATE_BLOCK].astype(np.float64, copy=False)


def clip_by_value(nabla: np.ndarray, limit: float) -> None:
    """Bring every element of `nabla` into [-limit, limit], in place. NaN stays NaN.

    Parameters
    ----------
    nabla : ndarray, shape (P,)
        Of real floating-point numbers.
    limit : float
        Greater than 0.

    Raises
    ------
    TypeError, ValueError
        If either is anything else.
    """
    check_vector("clip_by_value", "gradient nabla", nabla)
    limit = check_number("clip_by_value: limit", limit, "(0, inf)")
    with np.errstate(over="ignore", under="ignore"):  # a limit may be beyond the dtype
        np.clip(nabla, -limit, limit, out=nabla)
