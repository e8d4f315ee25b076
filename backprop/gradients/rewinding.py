"""The same pass again, from the state and the random numbers of the first; and one unlike it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from backprop.layers.base import Layer

EVALUATIONS = 5
"""How often the value is computed in the same state, to see whether it is deterministic."""


def another_input(x: Any) -> Any:
    """Return an input unlike x that a layer takes if it takes x: no sign is changed."""
    if isinstance(x, tuple):
        return tuple(map(another_input, x))
    x = x[..., ::-1]
    return x if x.dtype.kind in "iu" else 0.75 * x


def rewinder(layers: Iterable[Layer]) -> Callable[[], None]:
    """Return a function after which the layers draw the random numbers again that come next.

    What else a training forward changes for the next one, such as running means, goes back too.
    """
    every = [layer for top in layers for _, layer in top.walk()]
    states = [(layer.rng, layer.rng.bit_generator.state) for layer in every if layer.rng]
    moved = [
        (layer, name, getattr(layer, name).copy()) for layer in every for name in layer.state_names
    ]

    def rewind() -> None:
        for rng, state in states:
            rng.bit_generator.state = state
        for layer, name, array in moved:
            layer.take_state(name, array.copy())

    return rewind


def values_again(value: Callable[[], np.ndarray]) -> list[np.ndarray]:
    """Return the value several times from one state, which are the same if it has a derivative."""
    with np.errstate(all="ignore"):
        return [value() for _ in range(EVALUATIONS)]
