"""Convolutions and transposed convolutions in C."""

from __future__ import annotations

import math
from typing import Any

from backprop.compiled.twins.activations import NeuronsTwin
from backprop.compiled.twins.base import twin_for
from backprop.compiled.twins.windows import WindowsOf
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.convolution import Conv1d, Conv2d
from backprop.layers.transposed_convolution import ConvTranspose1d, ConvTranspose2d


class WindowedTwin(NeuronsTwin):
    """What both kinds share: b."""

    def write_bias_gradient(self, w: Writer, layer: Any, delta: Buffer) -> None:
        maps = layer.channels_out
        of_b = w.gradient(layer, "b")
        note = "BP3: dC/db = sum delta"
        w.call("convolution_bias_gradient", maps, delta.size // maps, delta, of_b, note=note)


@twin_for(Conv1d, Conv2d)
class ConvolutionTwin(WindowedTwin):
    """z = w * a_prev + b, and BP2 to BP4, as in `layers/convolution.py`."""

    header = "convolution.h"

    def weighted_input(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        windows = self.windows(w, layer, a_prev)
        z = w.buffer("z", (*layer.output_shape(a_prev.features), w.batch), layer=layer)
        weights, biases = w.parameter(layer, "w"), w.parameter(layer, "b")
        seen = windows.lay_out(w.columns(a_prev), layer)
        room = w.scratch(windows.room)
        note = "z = w * a_prev + b"
        w.call("convolution_weighted_input", windows, weights, biases, seen, room, z, note=note)
        return z

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        a_prev = w.of(layer, "a_prev")
        windows = self.windows(w, layer, a_prev)
        self.write_bias_gradient(w, layer, delta)
        seen = windows.lay_out(w.columns(a_prev), layer)
        room = w.scratch(windows.room)
        of_w = w.gradient(layer, "w")
        note = "BP4: dC/dw = delta . a_prev"
        w.call("convolution_weight_gradient", windows, delta, seen, room, of_w, note=note)

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        a_prev = w.of(layer, "a_prev")
        windows = self.windows(w, layer, a_prev)
        weights = w.parameter(layer, "w")
        below = w.buffer("nabla_a_below", a_prev.shape, layer=layer)

        def write(room: str, where: Any) -> None:
            note = "BP2: w^T delta"
            w.call("convolution_downstream", windows, weights, delta, room, where, note=note)

        windows.take_back(write, below)
        return below

    def windows(self, w: Writer, layer: Any, a_prev: Buffer) -> WindowsOf:
        sizes = a_prev.features[1:]
        windows = layer.windows
        channels = layer.channels_out, layer.channels_in
        return WindowsOf(
            w, layer, *channels, sizes, windows.pads(sizes), windows.output_sizes(sizes)
        )


@twin_for(ConvTranspose1d, ConvTranspose2d)
class TransposedTwin(WindowedTwin):
    """The windows lie over z, and see it through w: as in `layers/transposed_convolution.py`."""

    header = "transposed_convolution.h"

    def weighted_input(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        windows = self.windows(w, layer, a_prev)
        z = w.buffer("z", (*layer.output_shape(a_prev.features), w.batch), layer=layer)
        weights, biases = w.parameter(layer, "w"), w.parameter(layer, "b")
        seen = w.columns(a_prev)

        def write(room: str, where: Any) -> None:
            note = "z = w^T a_prev + b"
            w.call("transposed_weighted_input", windows, weights, seen, room, where, note=note)

        windows.take_back(write, z)
        maps = layer.channels_out
        w.call("transposed_biases", maps, z.size // maps, biases, z)
        return z

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        a_prev = w.columns(w.of(layer, "a_prev"))
        windows = self.windows(w, layer, a_prev)
        self.write_bias_gradient(w, layer, delta)
        seen = windows.lay_out(delta, layer)
        room = w.scratch(windows.room)
        of_w = w.gradient(layer, "w")
        note = "BP4: dC/dw = a_prev . delta"
        w.call("transposed_weight_gradient", windows, a_prev, seen, room, of_w, note=note)

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        a_prev = w.of(layer, "a_prev")
        windows = self.windows(w, layer, a_prev)
        weights = w.parameter(layer, "w")
        below = w.buffer("nabla_a_below", a_prev.shape, layer=layer)
        seen = windows.lay_out(delta, layer)
        room = w.scratch(windows.room)
        note = "BP2: w * delta"
        w.call("transposed_downstream", windows, weights, seen, room, below, note=note)
        return below

    def windows(self, w: Writer, layer: Any, a_prev: Buffer) -> WindowsOf:
        counts = a_prev.features[1:]
        sizes = layer.output_shape(a_prev.features)[1:]
        padding = layer.windows.pads(sizes)
        return WindowsOf(
            w, layer, layer.channels_in, layer.channels_out, sizes, padding, counts
        )
