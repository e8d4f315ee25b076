"""Layers made of layers in C: their children's calls, in order."""

from __future__ import annotations

from typing import Any

from backprop.compiled.twins.base import (
    Twin,
    twin_for,
    twin_of,
    write_back,
    write_back_from,
    write_forward,
)
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.containers.sequential import Sequential


@twin_for(Sequential)
class SequentialTwin(Twin):
    """One child after the other."""

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        a = a_prev
        for child in layer.children:
            a = write_forward(w, child, a)
        if layer.ends_in_sigma:
            w.keep(layer, z=w.of(layer.children[-1], "z"))
        return a

    def delta_of(self, w: Writer, layer: Any, nabla_a: Buffer) -> Buffer:
        if not layer.ends_in_sigma:
            return nabla_a
        last = layer.children[-1]
        return twin_of(last).delta_of(w, last, nabla_a)

    def descend(self, w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> Buffer | None:
        *below, last = layer.children
        enter = write_back_from if layer.ends_in_sigma else write_back
        nabla_a = enter(w, last, delta, input_gradient or bool(below))
        for index in range(len(below) - 1, -1, -1):
            assert nabla_a is not None
            nabla_a = write_back(w, below[index], nabla_a, input_gradient or index > 0)
        return nabla_a
