"""Attention in C."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from backprop.compiled.twins.base import Twin, seen_weight, twin_for
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.attention import MultiHeadAttention

EXAMPLES_FIRST = (0, 2, 1)  # d x T x B, of which a sequence is a matrix
MATRICES = ("w_q", "w_k", "w_v")


@twin_for(MultiHeadAttention)
class AttentionTwin(Twin):
    """q, k and v by one product; scores, weights and means of every head and sequence."""

    header = "attention.h"

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        d, steps, batch = a_prev.shape
        m = steps * batch
        x = self._examples_first(w, layer, "a_prev_by_example", w.columns(a_prev))
        z = replace(w.buffer("z", (4 * d, steps, batch), layer=layer), axes=EXAMPLES_FIRST)
        o = w.buffer("o", (d, m), layer=layer)
        kept = (layer.heads, batch, steps, steps) if w.training else (steps, steps)
        weights = w.buffer("A", kept, layer=layer)
        w.keep(layer, z=z, _o=o, _attention=weights, by_example=x)
        q, k, v, by_example = self._rows(layer, z)
        b_q, b_v, b_o = (w.parameter(layer, name) for name in ("b_q", "b_v", "b_o"))
        note = "q = w_q a + b_q, k = w_k a, v = w_v a + b_v"
        w.call("attention_qkv", d, m, self._w_qkv(w, layer), b_q, b_v, x, q, note=note)
        sizes = (d // layer.heads, layer.heads, steps, batch, layer.causal, self._factor(layer))
        mask = "NULL" if w.mask is None else w.mask
        room = w.scratch(2 * steps)
        note = "S = k^T q / sqrt(d_h), A = softmax(S), o = v A"
        arrays = mask, q, k, v, weights, o, room
        w.call("attention_heads", *sizes, w.training, *arrays, note=note)
        w_o = w.parameter(layer, "w_o")
        w.call("dense_weighted_input", d, d, m, w_o, b_o, o, by_example, note="a = w_o o + b_o")
        a = w.buffer("a", a_prev.shape, layer=layer)
        w.call("steps_first", d, steps, batch, by_example, a)
        return a

    def delta_of(self, w: Writer, layer: Any, nabla_a: Buffer) -> Buffer:
        d, steps, batch = nabla_a.shape
        m = steps * batch
        delta = w.buffer("delta", (4 * d, steps, batch), layer=layer)
        delta = replace(delta, axes=EXAMPLES_FIRST)
        delta_q, delta_k, delta_v, delta_a = self._rows(layer, delta)
        w.call("examples_first", d, steps, batch, nabla_a, delta_a, note="that of a is nabla_a")
        nabla_o = w.buffer("nabla_o", (d, m), layer=layer)
        w_o = seen_weight(w, layer, "w_o")
        w.call("dense_downstream", d, d, m, w_o, delta_a, nabla_o, note="BP2: w_o^T nabla_a")
        q, k, v, _ = self._rows(layer, w.of(layer, "z"))
        sizes = (d // layer.heads, layer.heads, steps, batch, self._factor(layer))
        weights, room = w.of(layer, "_attention"), w.scratch(steps + steps * steps)
        arrays = q, k, v, weights, nabla_o, delta_q, delta_k, delta_v, room
        w.call("attention_heads_back", *sizes, *arrays, note="delta_q, delta_k and delta_v")
        return delta

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        d, m, x = layer.d, math.prod(delta.shape[1:]), w.of(layer, "by_example")
        parts = dict(zip("qkvo", self._rows(layer, delta), strict=True))
        for name in "qvo":
            into = w.gradient(layer, f"b_{name}")
            w.call("dense_bias_gradient", d, m, parts[name], into, note=f"BP3: dC/db_{name}")
        if layer.ties:
            for name in "qkv":
                into, note = w.gradient(layer, f"w_{name}"), "BP4: delta a_prev^T"
                w.call("dense_weight_gradient", d, d, m, parts[name], x, into, note=note)
        else:  # where they stand one above the other
            into, note = w.gradient(layer, "w_q"), "BP4: delta a_prev^T, of w_q, w_k and w_v"
            w.call("dense_weight_gradient", 3 * d, d, m, parts["q"], x, into, note=note)
        into, o = w.gradient(layer, "w_o"), w.of(layer, "_o")
        note = "BP4: dC/dw_o = nabla_a o^T"
        w.call("dense_weight_gradient", d, d, m, parts["o"], o, into, note=note)

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        d, (steps, batch) = layer.d, delta.shape[1:]
        m = steps * batch
        by_example = w.buffer("nabla_a_by_example", (d, m), layer=layer)
        below = w.buffer("nabla_a_below", (d, steps, batch), layer=layer)
        note = "w_q^T delta_q + w_k^T delta_k + w_v^T delta_v"
        weights, deltas = self._w_qkv(w, layer, seen_weight), self._rows(layer, delta)[0]
        w.call("dense_downstream", 3 * d, d, m, weights, deltas, by_example, note=note)
        w.call("steps_first", d, steps, batch, by_example, below)
        return below

    @staticmethod
    def _factor(layer: Any) -> float:
        return 1 / math.sqrt(layer.d // layer.heads)

    @staticmethod
    def _rows(layer: Any, array: Buffer) -> list[Buffer]:
        """Return the rows of q, k, v and a, each d x (B T), of z or delta."""
        m = math.prod(array.shape[1:])
        rows = replace(array, axes=())
        return [rows.view((layer.d, m), part * layer.d * m) for part in range(4)]

    @staticmethod
    def _examples_first(w: Writer, layer: Any, name: str, array: Buffer) -> Buffer:
        d, steps, batch = array.shape
        found = w.buffer(name, (d, steps * batch), layer=layer)
        note = "one sequence after another"
        w.call("examples_first", d, steps, batch, array, found, note=note)
        return found

    @staticmethod
    def _w_qkv(w: Writer, layer: Any, weight: Any = Writer.parameter) -> Any:
        """Return w_q, w_k and w_v one above the other: where none is tied they stand so."""
        names = [weight(w, layer, name) for name in MATRICES]
        own = [w.parameter(layer, name) for name in MATRICES]
        if names == own and not layer.ties:
            return names[0]
        key = ("w_qkv", id(layer), names == own)
        if key not in w.memo:
            n = layer.d**2
            w.memo[key] = w.buffer("w_qkv", (3 * layer.d, layer.d), layer=layer)
            for part, name in enumerate(names):
                w.call(
                    "copy", n, name, w.memo[key].view((n,), part * n), note="one above the other"
                )
        return w.memo[key]
