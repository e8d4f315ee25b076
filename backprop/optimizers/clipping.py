"""Clipping: gradients that are too large made smaller, before the optimizer sees them."""

from __future__ import annotations

import math

import numpy as np

from backprop.core.checks import check_number, check_vector
from backprop.kernels import memory


def clip_by_norm(nabla: np.ndarray, max_norm: float) -> float:
    """Shorten `nabla` in place to the length `max_norm` if it is longer; return its norm before.

    Summed in double precision, so that float32 gradients neither overflow nor underflow. Where
    the norm is infinite or NaN there is no direction to keep: `nabla` is left as it is, for the
    caller to see.

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
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, nabla.size, memory.UPDATE_BLOCK):
            block = nabla[start : start + memory.UPDATE_BLOCK].astype(np.float64, copy=False)
            squares += float(np.dot(block, block))
    norm = math.sqrt(squares)
    if max_norm < norm < math.inf:
        np.multiply(nabla, max_norm / norm, out=nabla)
    return norm


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
    np.clip(nabla, -limit, limit, out=nabla)
