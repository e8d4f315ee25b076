"""The fully connected layer in C."""

from __future__ import annotations

from typing import Any

from backprop.compiled.twins.activations import NeuronsTwin
from backprop.compiled.twins.base import seen_weight, twin_for
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.dense import Dense


@twin_for(Dense)
class DenseTwin(NeuronsTwin):
    """z = w a_prev + b, and BP2 to BP4, as in `layers/dense.py`."""

    header = "dense.h"

    def weighted_input(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        z = w.buffer("z", (layer.n_out, w.batch), layer=layer)
        as_rows = a_prev.rows or w.batch == 1  # the column of one example is a row
        function = "dense_weighted_input" + "_of_rows" * as_rows
        weights, biases = w.parameter(layer, "w"), w.parameter(layer, "b")
        w.call(function, *self._sizes(w, layer), weights, biases, a_prev, z, note="z = w a + b")
        return z

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        a_prev = w.of(layer, "a_prev")
        of_b, of_w = w.gradient(layer, "b"), w.gradient(layer, "w")
        w.call(
            "dense_bias_gradient", layer.n_out, w.batch, delta, of_b, note="BP3: dC/db = sum delta"
        )
        function = "dense_weight_gradient" + "_of_rows" * a_prev.rows
        sizes = self._sizes(w, layer)
        w.call(function, *sizes, delta, a_prev, of_w, note="BP4: dC/dw = delta a^T")

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        below = w.buffer("nabla_a_below", (layer.n_in, w.batch), layer=layer)
        weights = seen_weight(w, layer, "w")
        sizes = self._sizes(w, layer)
        w.call("dense_downstream", *sizes, weights, delta, below, note="BP2: w^T delta")
        return below

    @staticmethod
    def _sizes(w: Writer, layer: Any) -> tuple[int, int, int]:
        return layer.n_out, layer.n_in, w.batch
