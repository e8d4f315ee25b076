"""Checks of what the functions for research are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.checks import check_finite
from backprop.core.shapes import ShapeError, as_tuple
from backprop.core.stored import Stored
from backprop.network import Network


def check_network(owner: object, network: Any) -> None:
    """Raise a TypeError unless it is a Network."""
    if not isinstance(network, Network):
        raise TypeError(
            f"{owner}: expected a Network, got {network!r:.100}: give Network(layers, cost)"
        )


def check_minibatch(network: Network, x: Any, y: Any) -> None:
    """Raise unless x and y are data for the network, as arrays that can go through it at once.

    Raises
    ------
    TypeError, ShapeError, ValueError
        As `Network.check_data`, which takes what a `Trainer` reads piece by piece, too.
    """
    if any(isinstance(one, Stored) for one in as_tuple(x)):
        network.check_x(x)
    network.check_data(x, y)


def real_vector(owner: object, what: str, value: Any, n: int, several: bool = False) -> np.ndarray:
    """Return a vector of n real numbers, or, if `several`, perhaps a matrix n x K, as an array.

    Raises
    ------
    ShapeError
        If it is anything else.
    ValueError
        If a number is not finite.
    """
    array = np.asarray(value)
    axes = (1, 2) if several else (1,)
    if array.dtype.kind not in "fiu" or array.ndim not in axes or len(array) != n:
        columns = f", or {n} x K for several" if several else ""
        raise ShapeError(
            f"{owner}: expected {what}, real numbers of shape ({n},){columns}, got {array.dtype} "
            f"of shape {array.shape}"
        )
    check_finite(f"{owner}: v", array)
    return array
