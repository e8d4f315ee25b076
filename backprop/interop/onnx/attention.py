"""Attention and positions in ONNX, steps first: N x T x d."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backprop.interop.onnx import masks
from backprop.interop.onnx.registry import exports
from backprop.interop.onnx.writer import Value, Writer
from backprop.layers import MultiHeadAttention, PositionalEncoding
from backprop.layers.positions import positions


@exports(MultiHeadAttention, steps=True)
def _attention(w: Writer, layer: Any, a: Value) -> Value:
    a = w.steps_first(a)
    heads, d_h = layer.heads, layer.d // layer.heads

    def product(x: Any, name: str) -> str:  # w x + b of every step
        z = w.node("MatMul", x, w.parameter(getattr(layer, f"w_{name}").T, f"w_{name}"))
        b = getattr(layer, f"b_{name}", None)  # there is no b_k
        return z if b is None else w.node("Add", z, w.parameter(b[:, 0], f"b_{name}"))

    def of_heads(name: str, perm: list[int]) -> str:  # N x T x heads x d_h, in another order
        split = w.node("Reshape", product(a, name), [0, 0, heads, d_h])
        return w.node("Transpose", split, perm=perm)

    q, v = (of_heads(name, [0, 2, 1, 3]) for name in ("q", "v"))
    k = of_heads("k", [0, 2, 3, 1])
    scores = w.node("Mul", w.node("MatMul", q, k), 1 / math.sqrt(d_h))  # N x heads x T x T: t, s
    forbidden = _forbidden(w, layer, a)
    if forbidden is not None:
        lowest = float(np.finfo(w.dtype).min)
        scores = w.node("Where", forbidden, lowest, scores)
    weights = w.node("Softmax", scores, axis=3)
    if a.mask is not None:  # where nothing is left for a query, all weights are 0
        weights = w.node("Where", forbidden, 0.0, weights)
    o = w.node("Transpose", w.node("MatMul", weights, v), perm=[0, 2, 1, 3])
    return a.made(product(w.node("Reshape", o, [0, 0, layer.d]), "o"))


def _forbidden(w: Writer, layer: Any, a: Value) -> str | None:
    """Return where a query t must not see a key s, as it meets N x heads x T x T."""
    found = []
    if layer.causal:  # s > t
        steps = a.shape[-1]
        if steps is None:
            t = w.node("Range", 0, w.node("Squeeze", w.size(a, 1), [0]), 1)
            found.append(w.node("Less", w.node("Unsqueeze", t, [1]), w.node("Unsqueeze", t, [0])))
        else:
            found.append(w.constant(np.tri(steps, k=-1, dtype=bool).T, "later"))
    if a.mask is not None:
        found.append(w.node("Unsqueeze", w.node("Not", a.mask), [1, 2]))
    return None if not found else found[0] if len(found) == 1 else w.node("Or", *found)


@exports(PositionalEncoding, steps=True)
def _positional_encoding(w: Writer, layer: Any, a: Value) -> Value:
    a = w.steps_first(a)
    d, steps = a.shape
    if steps is not None and a.mask is None:
        p = positions(d, steps, w.dtype.str[1:])[..., 0].T
        return a.made(w.node("Add", a, w.constant(p, "positions")))
    if a.mask is None:
        t = w.node("Range", 0, w.node("Squeeze", w.size(a, 1), [0]), 1)  # T
    else:
        before = w.node("Sub", masks.numbers(w, a.mask), 1)
        t = w.node("Max", before, 0)  # N x T: the real steps alone count
    # As in NumPy in float64, for the angles are large; a cosine is a sine a quarter of a turn on.
    rows = np.arange(d)
    rate, phase = 10000.0 ** -(2 * (rows // 2) / d), rows % 2 * math.pi / 2
    t = w.node("Cast", w.node("Unsqueeze", t, [-1]), to="float64")
    angle = w.node("Add", w.node("Mul", t, w.exact(rate)), w.exact(phase))
    p = w.node("Cast", w.node("Sin", angle), to=w.dtype.name)
    return a.made(w.node("Add", a, p))
