"""Graphs in ONNX, which are graphs there too, and their operations."""

from __future__ import annotations

from typing import Any

from backprop.graph import (
    Add,
    Concatenate,
    Cos,
    Divide,
    Exp,
    Graph,
    Log,
    MatMul,
    Multiply,
    Power,
    Sin,
    Slice,
    Sqrt,
    Subtract,
    Sum,
    Variable,
)
from backprop.interop.onnx.registry import exports
from backprop.interop.onnx.writer import Value, Writer

_OPERATORS: dict[type, str] = {
    Add: "Add",
    Subtract: "Sub",
    Multiply: "Mul",
    Divide: "Div",
    Power: "Pow",
    Exp: "Exp",
    Log: "Log",
    Sqrt: "Sqrt",
    Sin: "Sin",
    Cos: "Cos",
}


@exports(Graph)
def _graph(w: Writer, layer: Any, a: Any) -> Any:
    values: list[Any] = list(a) if layer.n_inputs > 1 else [a]
    for index, (child, operands) in enumerate(zip(layer.children, layer.operands, strict=True)):
        given = tuple(one if isinstance(one, float) else values[one] for one in operands)
        values.append(w.layer(child, given[0] if len(given) == 1 else given, str(index)))
    outputs = [values[index] for index in layer.outputs]
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


@exports(*_OPERATORS)
def _elementwise(w: Writer, layer: Any, a: Any) -> Value:
    kind = next(kind for kind in _OPERATORS if isinstance(layer, kind))
    inputs = w.alike(*layer.operands(a))
    first = next(one for one in inputs if isinstance(one, Value))
    return first.made(w.node(_OPERATORS[kind], *inputs))  # type: ignore[no-any-return]


@exports(Variable)
def _variable(w: Writer, layer: Any, a: Any) -> Value:
    return Value(w.parameter(layer.w[None], "w"), layer.shape)


@exports(MatMul, steps=False)
def _product(w: Writer, layer: Any, a: Any) -> Value:
    left, right = map(w.features_first, a)
    shape = layer.output_shape((left.shape, right.shape))
    if len(right.shape) == 1:
        column = w.node("MatMul", left, w.node("Unsqueeze", right, [2]))
        return left.made(w.node("Squeeze", column, [2]), shape)
    return left.made(w.node("MatMul", left, right), shape)


@exports(Sum)
def _total(w: Writer, layer: Any, a: Value) -> Value:
    rows = w.node("Flatten", a, axis=1)
    return a.made(w.node("ReduceSum", rows, [1], keepdims=1), (1,))


@exports(Slice)
def _part(w: Writer, layer: Any, a: Value) -> Value:
    shape = layer.output_shape(a.shape)
    return a.made(w.node("Slice", a, [layer.start], [layer.stop], [a.first_axis]), shape)


@exports(Concatenate)
def _concatenated(w: Writer, layer: Any, a: Any) -> Value:
    shape = layer.output_shape(tuple(one.shape for one in a))
    values = w.alike(*a)
    of_batch = next((one for one in values if not one.constant), values[0])
    parts = []
    for one in values:
        if one.constant and not of_batch.constant:  # the same for every example
            ones = [1] * len(one.shape)
            one = one.made(w.node("Expand", one, w.sizes([w.size(of_batch, 0), *ones])))
        parts.append(one)
    return of_batch.made(w.node("Concat", *parts, axis=of_batch.first_axis), shape)  # type: ignore[no-any-return]
