"""Layers made of layers, in ONNX: their children's nodes, and what joins them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from backprop.interop.onnx.registry import exports
from backprop.interop.onnx.writer import Value, Writer
from backprop.layers import Masked, Parallel, Residual, Sequential, TimeDistributed


def chain(w: Writer, layers: Sequence[Any], a: Any) -> Any:
    """Write layers one after another."""
    for index, layer in enumerate(layers):
        a = w.layer(layer, a, str(index))
    return a


@exports(Sequential)
def _sequential(w: Writer, layer: Any, a: Any) -> Any:
    return chain(w, layer.children, a)


@exports(Residual)
def _residual(w: Writer, layer: Any, a: Value) -> Value:
    through, past = w.alike(chain(w, layer.children, a), a)
    made = through.made(w.node("Add", past, through))
    return replace(made, mask=w.both(past.mask, through.mask))  # type: ignore[no-any-return]


@exports(Parallel)
def _parallel(w: Writer, layer: Any, a: Any) -> Value:
    outputs = [w.layer(one, a, str(index)) for index, one in enumerate(layer.children)]
    outputs = [*w.alike(*outputs)]
    first, shapes = outputs[0], [one.shape for one in outputs]
    mask = w.both(*(one.mask for one in outputs))
    if layer.join == "sum":
        total = first.name
        for other in outputs[1:]:
            total = w.node("Add", total, other)
        return replace(first, name=total, mask=mask)
    shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    return replace(first.made(w.node("Concat", *outputs, axis=first.first_axis), shape), mask=mask)


@exports(TimeDistributed, steps=True)
def _time_distributed(w: Writer, layer: Any, a: Value) -> Value:
    a = w.steps_first(a)
    *step, steps = a.shape
    sizes = [w.known(a, index) for index in range(len(step))]
    examples = w.node("Reshape", a, w.sizes([-1, *sizes]))  # (N T) x ...
    inner = replace(a, name=examples, shape=tuple(step), steps_first=False, mask=None)
    inner = w.features_first(w.layer(layer.layer, inner, "0"))
    shape = (*inner.shape, steps)
    batch = w.size(a, 0) if steps is None else -1
    known = [w.known(inner, index) for index in range(len(inner.shape))]
    of_steps = [batch, w.known(a, len(step)), *known]
    name = w.node("Reshape", inner, w.sizes(of_steps))
    return replace(inner, name=name, shape=shape, steps_first=True, mask=a.mask)


@exports(Masked, steps=True)
def _masked(w: Writer, layer: Any, a: Value) -> Value:
    if layer.integer_input:
        real = w.node("Not", w.node("Equal", a, -1))  # N x T, or N x ... x T
        inner = a.made(w.node("Where", real, a, 0))
        axes = list(range(1, len(a.shape)))
    else:
        a, d = w.steps_first(a), a.shape[0]
        row = w.node("Slice", a, [d - 1], [d], [a.first_axis])
        real = w.node("Greater", row, 0.5)
        inner = a.made(w.node("Slice", a, [0], [d - 1], [a.first_axis]), (d - 1, *a.shape[1:]))
        axes = list(range(2, len(a.shape) + 1))
    if axes:
        least = w.node("ReduceMin", w.node("Cast", real, to="int32"), axes=axes, keepdims=0)
        real = w.node("Cast", least, to="bool")
    made = chain(w, layer.children, replace(inner, mask=real))
    return replace(made, mask=None)  # type: ignore[no-any-return]
