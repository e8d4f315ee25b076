"""Convolutions and transposed convolutions in C."""

from __future__ import annotations

from typing import Any

from backprop.compiled.twins.activations import NeuronsTwin
from backprop.compiled.twins.base import seen_weight, twin_for
from backprop.compiled.twins.windows import Lattice
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.convolution import Conv1d, Conv2d
from backprop.layers.transposed_convolution import ConvTranspose1d, ConvTranspose2d


class WindowedTwin(NeuronsTwin):
    """What both kinds share: the shape of z, and b."""

    def plan_z(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        """Plan z."""
        return w.buffer("z", (*layer.output_shape(a_prev.features), w.batch), layer=layer)

    def write_bias_gradient(self, w: Writer, layer: Any, delta: Buffer) -> None:
        """Write BP3."""
        sizes = layer.channels_out, delta.size // layer.channels_out
        of_b = w.gradient(layer, "b")
        w.call("convolution_bias_gradient", *sizes, delta, of_b, note="BP3: dC/db = sum delta")


@twin_for(Conv1d, Conv2d)
class ConvolutionTwin(WindowedTwin):
    """z = w * a_prev + b, and BP2 to BP4, as in `layers/convolution.py`."""

    header = "convolution.h"

    def weighted_input(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        windows, z = self.windows(w, layer, a_prev), self.plan_z(w, layer, a_prev)
        parameters = w.parameter(layer, "w"), w.parameter(layer, "b")
        arrays = *parameters, windows.lay_out(w.columns(a_prev)), windows.room(), z
        w.call(
            "convolution_weighted_input",
            windows,
            windows.part("row_of_z"),
            *arrays,
            note="z = w * a + b",
        )
        return z

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        self.write_bias_gradient(w, layer, delta)
        a_prev = w.of(layer, "a_prev")
        windows = self.windows(w, layer, a_prev)
        seen, of_w = windows.lay_out(w.columns(a_prev)), w.gradient(layer, "w")
        arrays = delta, seen, windows.room(), of_w
        w.call(
            "convolution_weight_gradient",
            windows,
            windows.part("some_weights"),
            *arrays,
            note="BP4: dC/dw = delta . a",
        )

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        a_prev, weights = w.of(layer, "a_prev"), seen_weight(w, layer, "w")
        windows = self.windows(w, layer, a_prev)
        below = w.buffer("nabla_a_below", a_prev.shape, layer=layer)

        def write(room: str, to: Any) -> None:
            arrays = weights, delta, room, to
            w.call(
                "convolution_downstream",
                windows,
                windows.part("line_below"),
                *arrays,
                note="BP2: w^T delta",
            )

        windows.take_back(below, write)
        return below

    def windows(self, w: Writer, layer: Any, a_prev: Buffer, some: int = 0) -> Lattice:
        """Return the windows, which lie over a_prev: of all maps, or of some."""
        _, *sizes = a_prev.features
        counts = layer.windows.output_sizes(sizes)
        maps = some or layer.channels_out
        of_some = "_some" if some else ""
        return Lattice(w, layer, maps, layer.channels_in, counts, sizes, of_some)


@twin_for(ConvTranspose1d, ConvTranspose2d)
class TransposedTwin(WindowedTwin):
    """z = w^T a_prev + b, and BP2 to BP4, as in `layers/transposed_convolution.py`."""

    header = "transposed_convolution.h"

    def weighted_input(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        windows, z = self.windows(w, layer, a_prev), self.plan_z(w, layer, a_prev)
        weights, biases = w.parameter(layer, "w"), w.parameter(layer, "b")
        seen = w.columns(a_prev)

        def write(room: str, to: Any) -> None:
            w.call(
                "transposed_weighted_input",
                windows,
                windows.part("line_below"),
                weights,
                seen,
                room,
                to,
                note="w^T a",
            )

        windows.take_back(z, write)
        sizes = layer.channels_out, z.size // layer.channels_out
        w.call("transposed_biases", *sizes, biases, z, note="z = w^T a + b")
        return z

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        self.write_bias_gradient(w, layer, delta)
        a_prev = w.columns(w.of(layer, "a_prev"))
        windows = self.windows(w, layer, a_prev)
        arrays = a_prev, windows.lay_out(delta), windows.room(), w.gradient(layer, "w")
        w.call(
            "transposed_weight_gradient",
            windows,
            windows.part("some_weights"),
            *arrays,
            note="BP4: dC/dw = a . delta",
        )

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        a_prev, weights = w.of(layer, "a_prev"), seen_weight(w, layer, "w")
        windows = self.windows(w, layer, a_prev)
        below = w.buffer("nabla_a_below", a_prev.shape, layer=layer)
        arrays = weights, windows.lay_out(delta), windows.room(), below
        w.call(
            "transposed_downstream",
            windows,
            windows.part("row_of_z"),
            *arrays,
            note="BP2: w * delta",
        )
        return below

    def windows(self, w: Writer, layer: Any, a_prev: Buffer) -> Lattice:
        """Return the windows, which lie over z."""
        _, *counts = a_prev.features
        _, *sizes = layer.output_shape(a_prev.features)
        return Lattice(w, layer, layer.channels_in, layer.channels_out, counts, sizes)
