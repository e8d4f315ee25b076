"""Pooling in C: maxima, which remember their places, and means."""

from __future__ import annotations

import math
from typing import Any

from backprop.compiled.twins import masks
from backprop.compiled.twins.base import Twin, twin_for, write_output_mask
from backprop.compiled.twins.windows import two
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.pooling import AvgPool1d, AvgPool2d, GlobalAvgPool, MaxPool1d, MaxPool2d


class PoolTwin(Twin):
    """Windows, and the shapes."""

    header = "pooling.h"

    def windows(self, w: Writer, layer: Any, a_prev: Buffer, of_some: str = "") -> str:
        """Return the constants of its windows, named with what says that they are of some."""
        name = f"pool{w.name_of(layer)}{of_some}"
        return "&" + w.numbers("Pool", name, self.numbers(w, layer, a_prev))

    def numbers(self, w: Writer, layer: Any, a_prev: Buffer) -> dict[str, int]:
        """Return the fields of a `Pool` in C."""
        channels, *sizes = a_prev.features
        height, width = two(sizes)
        rows, columns = two(layer.windows.output_sizes(sizes))
        kernel_h, kernel_w = two(layer.windows.kernel)
        stride_h, stride_w = two(layer.windows.stride)
        top, left = two([before for before, _ in layer.windows.pads(sizes)], 0)
        return {
            "channels": channels,
            "height": height,
            "width": width,
            "B": w.batch,
            "rows": rows,
            "columns": columns,
            "kernel_h": kernel_h,
            "kernel_w": kernel_w,
            "stride_h": stride_h,
            "stride_w": stride_w,
            "top": top,
            "left": left,
        }

    def plan_a(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        """Plan the output."""
        return w.buffer("a", (*layer.output_shape(a_prev.features), w.batch), layer=layer)


@twin_for(MaxPool1d, MaxPool2d)
class MaxPoolTwin(PoolTwin):
    """The maximum of every window, and its place."""

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        a = self.plan_a(w, layer, a_prev)
        self.write_maxima(w, layer, w.columns(a_prev), a, self.plan_places(w, layer, a))
        self.zero_padding(w, layer, a)
        return a

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        self.zero_padding(w, layer, delta)
        below = w.buffer("nabla_a_below", w.of(layer, "a_prev").shape, layer=layer)
        self.write_way_back(w, layer, delta, w.of(layer, "places"), below)
        return below

    def plan_places(self, w: Writer, layer: Any, a: Buffer) -> Buffer | None:
        """Plan where it is kept which element of a window is its maximum; None if nobody asks."""
        if not w.training and w.mask is None:
            return None
        places = w.buffer("places", a.shape, "int32_t", layer=layer)
        w.keep(layer, places=places)
        return places

    def write_maxima(
        self,
        w: Writer,
        layer: Any,
        a_prev: Buffer,
        a: Buffer,
        places: Buffer | None,
        of_some: str = "",
    ) -> None:
        """Write a."""
        pool, note = self.windows(w, layer, a_prev, of_some), "a = max of the window"
        if places is None:
            line = w.scratch(a_prev.shape[-2] * w.batch)
            w.call("maxima", pool, a_prev, line, a, note=note)
        else:
            w.call("max_pool", pool, a_prev, w.mask or "NULL", a, places, note=note)

    def write_way_back(
        self,
        w: Writer,
        layer: Any,
        nabla_a: Buffer,
        places: Buffer,
        below: Buffer,
        of_some: str = "",
    ) -> None:
        """Write the gradient by a_prev into `below`."""
        pool, note = self.windows(w, layer, below, of_some), "to the maximum of each window"
        w.call("max_pool_downstream", pool, nabla_a, places, below, note=note)

    def zero_padding(self, w: Writer, layer: Any, array: Buffer) -> None:
        """Write 0 where a window is none of the sequence's own."""
        if w.mask is not None:
            with w.masked(write_output_mask(w, layer)):
                masks.write_zero_padding(w, array)


@twin_for(AvgPool1d, AvgPool2d)
class AvgPoolTwin(PoolTwin):
    """The mean of every window."""

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        pool, a = self.windows(w, layer, a_prev), self.plan_a(w, layer, a_prev)
        w.call("avg_pool", pool, w.columns(a_prev), a, note="a = mean of the window")
        return a

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        a_prev = w.of(layer, "a_prev")
        pool = self.windows(w, layer, a_prev)
        below = w.buffer("nabla_a_below", a_prev.shape, layer=layer)
        note = "as much to all of the window"
        w.call("avg_pool_downstream", pool, delta, below, note=note)
        return below


@twin_for(GlobalAvgPool)
class GlobalAvgPoolTwin(Twin):
    """The mean of every channel over its places, of sequences over their real steps."""

    header = "pooling.h"

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        channels, *places = a_prev.features
        a = w.buffer("a", (channels, w.batch), layer=layer)
        sizes = channels, math.prod(places), w.batch
        w.call("global_avg_pool", *sizes, w.columns(a_prev), a, note="a = mean over all places")
        self.of_real(w, channels, places, a)
        return a

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        a_prev = w.of(layer, "a_prev")
        channels, *places = a_prev.features
        self.of_real(w, channels, places, delta)
        below = w.buffer("nabla_a_below", a_prev.shape, layer=layer)
        sizes = channels, math.prod(places), w.batch
        w.call("global_avg_pool_downstream", *sizes, delta, below, note="as much to all places")
        return below

    def of_real(self, w: Writer, channels: int, places: list[int], array: Buffer) -> None:
        """Write what makes means over all steps those over the real ones."""
        if w.mask is not None:
            note = "over real steps alone"
            w.call("mean_of_real", channels, places[-1], w.batch, w.mask, array, note=note)
