"""Layers that only rearrange in C: another shape of the same array has no code at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from backprop.compiled.twins.base import Twin, twin_for
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.reshape import Flatten, Reshape, TimeStep, Transpose


@twin_for(Reshape, Flatten)
class ReshapeTwin(Twin):
    """The same numbers, of rows too, seen in another shape."""

    header = "reshape.h"

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        return a_prev.view((*layer.output_shape(a_prev.features), a_prev.shape[-1]))

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        return delta.view(w.of(layer, "a_prev").shape)


@twin_for(Transpose)
class TransposeTwin(Twin):
    """Copies in C order."""

    header = "reshape.h"

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        return self._permute(w, layer, w.columns(a_prev), layer.axes, "a")

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        back = [layer.axes.index(axis) for axis in range(len(layer.axes))]
        return self._permute(w, layer, delta, back, "nabla_a_below")

    @staticmethod
    def _permute(w: Writer, layer: Any, x: Buffer, axes: Sequence[int], name: str) -> Buffer:
        *shape, batch = x.shape
        y = w.buffer(name, (*(shape[axis] for axis in axes), batch), layer=layer)
        last = len(axes)
        while last and axes[last - 1] == last - 1:  # axes that stay where they are, at the end
            last -= 1
        run = batch * math.prod(shape[last:])
        apart = [math.prod(shape[axis + 1 : last]) for axis in axes[:last]]
        lengths, places = _numbers(y.shape[:last]), _numbers(apart)
        note = f"the axes {', '.join(map(str, axes))}"
        w.call("permute", y.size // run, run, last, lengths, places, x, y, note=note)
        return y


@twin_for(TimeStep)
class TimeStepTwin(Twin):
    """One step of every sequence; with a mask its t-th real one."""

    header = "reshape.h"

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        a_prev = w.columns(a_prev)
        d, steps, batch = a_prev.shape
        a = w.buffer("a", (d, batch), layer=layer)
        if w.mask is None:
            t = layer.t % steps
            w.call("time_step", d, steps, batch, t, a_prev, a, note=f"a = a_prev at step {t}")
            return a
        picked = w.buffer("picked", (batch,), "int32_t", layer=layer)
        w.keep(layer, picked_steps=picked)
        note = "which step of every sequence"
        w.call("picked_steps", steps, batch, layer.t, w.mask, picked, note=note)
        w.call("picked_step", d, steps, batch, picked, a_prev, a, note="a = a_prev at that step")
        return a

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        shape = w.of(layer, "a_prev").shape
        below = w.buffer("nabla_a_below", shape, layer=layer)
        if w.mask is None:
            t = layer.t % shape[1]
            w.call("time_step_downstream", *shape, t, delta, below, note="nabla_a, 0 elsewhere")
            return below
        picked = w.of(layer, "picked_steps")
        w.call("picked_step_downstream", *shape, picked, delta, below, note="nabla_a at that step")
        return below


def _numbers(numbers: Sequence[int]) -> str:
    """Return integers as an array in C."""
    return f"(const int[]){{{', '.join(map(str, numbers))}}}" if numbers else "0"
