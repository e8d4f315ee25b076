r"""How one number of an operation of a graph is made, and how one of the gradients it sends down.

What the operations compute is in `backprop.graph.operations` and `backprop.graph.elementwise`; here
it stands once more, index by index, as `backprop.inspection.elements` says such formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.graph.elementwise import (
    Add,
    Cos,
    Divide,
    Exp,
    Log,
    Multiply,
    Power,
    Sin,
    Sqrt,
    Subtract,
)
from backprop.graph.operations import Concatenate, MatMul, Operation, Slice, Sum
from backprop.inspection import elements
from backprop.inspection.elements import (
    EXAMPLE,
    Array,
    Call,
    Element,
    Index,
    Number,
    Rows,
    Term,
    as_term,
    own,
)

CALLS = {Exp: "exp", Log: "ln", Sqrt: "sqrt", Sin: "sin", Cos: "cos"}
ARITHMETIC: dict[type, Callable[[Any, Any], Term]] = {
    Add: lambda u, v: u + v,
    Subtract: lambda u, v: u - v,
    Multiply: lambda u, v: u * v,
    Divide: lambda u, v: u / v,
    Power: lambda u, v: elements.Operation("^", u, v),
}


@dataclass(frozen=True)
class Node:
    """An operation with the arrays of its node.

    Attributes
    ----------
    operation : Operation
    inputs : sequence of Array and float
    value, upstream : Array
    """

    operation: Operation
    inputs: Sequence[Any]
    value: Array
    upstream: Array


def value_of(node: Node) -> Term | None:
    """Return how a number of the value is made; None of an operation that is not known."""
    operation, inputs = node.operation, node.inputs
    kind = type(operation)
    if kind in ARITHMETIC:
        return ARITHMETIC[kind](*map(_here, inputs))
    if kind in CALLS:
        return Call(CALLS[kind], inputs[0].here)
    places = own(_axes(node.value))
    if isinstance(operation, MatMul):
        w, v = inputs
        k = Index("k", w.values.shape[1])
        return elements.Sum(_at(w, places[0], k) * _at(v, k, *places[1:]), k)
    if isinstance(operation, Sum):
        (u,) = inputs
        return elements.Sum(_at(u, *(over := _indices(u))), *over)
    if isinstance(operation, Slice):
        return _at(inputs[0], places[0] + operation.start, *places[1:])
    if isinstance(operation, Concatenate):
        return Rows(_starts(inputs), tuple(_at(u, *places) for u in inputs))
    return None


def downstream_of(node: Node, position: int, local: Array | None) -> Term | None:
    """Return how a number of the gradient by one input is made; None if that is not known.

    Parameters
    ----------
    node : Node
    position : int
        Of the input.
    local : Array or None
        The derivative by it, of an elementwise operation.
    """
    u, upstream, batch = node.inputs[position], node.upstream, node.upstream.values.shape[-1]
    made = _of_one_example(node, position, local)
    if made is None or u.by_example or not upstream.by_example:
        return made
    if isinstance(made, elements.Total):  # BP4: the sum is over the examples, too
        return elements.Sum(made.inside, Index(EXAMPLE, batch), *made.indices)
    return elements.Sum(made, Index(EXAMPLE, batch))


def _of_one_example(node: Node, position: int, local: Array | None) -> Term | None:
    operation, inputs, upstream = node.operation, node.inputs, node.upstream
    u = inputs[position]
    if local is not None:
        return upstream.here * local.here
    i, *rest = own(_axes(u))
    if isinstance(operation, MatMul):
        w, v = inputs
        if position == 1:
            j = Index("j", w.values.shape[0])
            return elements.Sum(_at(w, j, i) * _at(upstream, j, *rest), j)
        others = [Index("j", size) for size in v.values.shape[1 : _axes(v)]]
        product = _at(upstream, i, *others) * _at(v, rest[0], *others)
        return elements.Sum(product, *others) if others else product
    if isinstance(operation, Sum):
        return _at(upstream, 0)
    if isinstance(operation, Slice):
        return _only_rows(operation.start, operation.stop, len(u.values), _at(upstream, i, *rest))
    if isinstance(operation, Concatenate):
        return _at(upstream, i + _starts(inputs)[position], *rest)
    return None


def _here(operand: Any) -> Term:
    return operand.here if isinstance(operand, Array) else as_term(operand)


def _axes(array: Array) -> int:
    """Return how many axes an array has before the batch, which one that is of all has, too."""
    return array.values.ndim - 1


def _at(array: Array, *places: Any) -> Element:
    """Return the number at a place; what is the same for all examples has a batch of 1."""
    return array.at(*places, *([] if array.by_example else [0]))


def _indices(array: Array) -> list[Index]:
    """Return an index for every axis but the batch."""
    return [Index(name, size) for name, size in zip("jkmnp", array.values.shape[:-1], strict=False)]


def _starts(inputs: Sequence[Array]) -> tuple[int, ...]:
    """Return at which row of a concatenation every input begins."""
    return tuple(np.cumsum([0, *(len(u.values) for u in inputs[:-1])]).tolist())


def _only_rows(start: int, stop: int, n: int, inside: Term) -> Rows:
    """Return a term that holds in some rows, counted from 0 there, and is 0 in the others."""
    zero = Number(0.0)
    pieces = [(0, zero)] * (start > 0) + [(start, inside)] + [(stop, zero)] * (stop < n)
    starts, terms = zip(*pieces, strict=True)
    return Rows(starts, terms)
