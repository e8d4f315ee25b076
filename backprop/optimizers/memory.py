"""What the steps on one theta have left, and whose it is."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_optimizers: weakref.WeakSet[Any] = weakref.WeakSet()  # those that have stepped on something


def remember(optimizer: Any) -> None:
    """Let `begin_anew` reach an optimizer."""
    _optimizers.add(optimizer)


def begin_anew(theta: np.ndarray) -> None:
    """Have all optimizers forget their steps on `theta`, whose numbers have been drawn afresh."""
    for optimizer in list(_optimizers):
        optimizer.forget(theta)


@dataclass
class Memory:
    """What an optimizer keeps of a theta that it does not step on now.

    Attributes
    ----------
    place : tuple
        Where that theta is, see `place_of`.
    holder : weakref
        To the array whose memory it is: with that it is gone.
    t, accumulators
        Those of `Optimizer`.
    eta : float or None
        The learning rate of this theta alone.
    """

    place: Any = None
    holder: Any = None
    t: int = 0
    accumulators: dict[str, np.ndarray] = field(default_factory=dict)
    eta: float | None = None

    @classmethod
    def of(
        cls, theta: np.ndarray, t: int, accumulators: dict[str, np.ndarray], eta: float | None
    ) -> Memory:
        """Return what is kept of `theta`."""
        holder = theta
        while isinstance(holder.base, np.ndarray):  # a view lives no longer than it is held
            holder = holder.base
        return cls(_place_of(theta), weakref.ref(holder), t, accumulators, eta)

    @staticmethod
    def taken_from(memories: list[Memory], theta: np.ndarray) -> tuple[Memory, list[Memory]]:
        """Return what is kept of `theta`, or a fresh one, and the others whose theta still is."""
        place = _place_of(theta)
        alive = [memory for memory in memories if memory.holder() is not None]
        found = [memory for memory in alive if memory.place == place]
        others = [memory for memory in alive if memory.place != place]
        return (found or [Memory()])[0], others


def same_place(one: np.ndarray, other: np.ndarray) -> bool:
    """Say whether two arrays that are there are the same memory, seen in the same way."""
    return one is other or _place_of(one) == _place_of(other)


def _place_of(theta: np.ndarray) -> tuple[Any, ...]:
    return theta.__array_interface__["data"][0], theta.shape, theta.strides, theta.dtype.str
