"""The list of planted faults, and what most of them change."""

from __future__ import annotations

from typing import Any

from backprop.layers import Layer

FAULTS: list[tuple[str, Layer, tuple[int, ...], set[str]]] = []
"""Name, layer, input shape, and the properties of which one must be named."""


def fault(layer: Any, *named: str, shape: tuple[int, ...] = (4,)) -> None:
    FAULTS.append((type(layer).__name__, layer, shape, set(named)))


class Plain(Layer):
    """Base of layers that are wrong in one way: a = 2 a_prev."""

    def output(self, a_prev, mode):
        return 2 * a_prev

    def downstream(self, delta):
        return 2 * delta
