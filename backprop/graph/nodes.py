"""Writing a function down: nodes, made by operators and by `apply`, of which `Graph` makes a layer.

>>> import numpy as np
>>> from backprop import Network
>>> from backprop.graph import Graph, Input, cos, exp, sqrt
>>> x = Input("x", shape=(1,))
>>> a = (x**2).named("a")
>>> c = (a + exp(a)).named("c")
>>> network = Network(Graph(sqrt(c) + cos(c)))
>>> print(network.trace(np.array([[0.5]])))

A layer is applied to a node by `apply`: ``h = apply(Dense(784, 30), x)``. A `Variable` is a node
whose numbers are learnt: ``w = apply(Variable((30, 784))).named("w")``, ``w @ x``.
"""

from __future__ import annotations

import itertools
import numbers
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_integer, check_number, check_sequence
from backprop.core.extremes import norm
from backprop.core.shapes import Shape, ShapeError, is_several
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
from backprop.graph.operations import Concatenate, MatMul, Operation, Slice, Sum, Variable
from backprop.layers.activations import Activation
from backprop.layers.base import Layer

LIMIT = 4  # an array of more numbers is shown by its shape and norm


class Node:
    """A layer or an operation, and what it is applied to. Made by `apply` and the operators.

    ``+ - * / ** @`` stand for the operations of that name, between nodes of one shape or a node
    and a number; ``u[0:2]`` is `Slice`, ``u.sum()`` is `Sum`.

    Attributes
    ----------
    layer : Layer or None
        None for an `Input`.
    inputs : tuple of Node and float
    shape : tuple of int
        For one example, without the batch.
    name : str or None
    """

    __array_ufunc__ = None  # array * node is an error, not an array of nodes

    def __init__(self, layer: Layer, inputs: Sequence[Any], name: str | None = None) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"expected a layer or an operation, got {layer!r}")
        if layer.integer_input:
            raise TypeError(f"node {layer}: a graph takes no integers, use a Network")
        self.layer: Layer | None = layer
        self.inputs = tuple(_operand(value) for value in inputs)
        self.name = name
        n_inputs = getattr(layer, "n_inputs", 1)
        if len(self.inputs) != n_inputs:
            got = len(self.inputs)
            raise TypeError(f"node {self}: {layer} takes {n_inputs} inputs, got {got}")
        for position, value in enumerate(self.inputs):
            if isinstance(value, float):
                self._check_constant(position, value)
        self.shape = self.find_shape()
        if is_several(self.shape):
            raise TypeError(
                f"node {self}: a node has one output, and {layer} has {len(self.shape)}: "
                "concatenate them inside it, and take them apart with slices"
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}, {' x '.join(map(str, self.shape))}>"

    def named(self, name: str) -> Node:
        """Give the node its name, and return it."""
        if not isinstance(name, str) or not name:
            raise TypeError(f"the name of a node is a string, got {name!r}")
        self.name = name
        return self

    def sum(self) -> Node:
        """Return the sum over all features of each example, of shape (1,)."""
        return apply(Sum(), self)

    def __add__(self, other: Any) -> Node:
        return apply(Add(), self, other)

    def __radd__(self, other: Any) -> Node:
        return apply(Add(), other, self)

    def __sub__(self, other: Any) -> Node:
        return apply(Subtract(), self, other)

    def __rsub__(self, other: Any) -> Node:
        return apply(Subtract(), other, self)

    def __mul__(self, other: Any) -> Node:
        return apply(Multiply(), self, other)

    def __rmul__(self, other: Any) -> Node:
        return apply(Multiply(), other, self)

    def __truediv__(self, other: Any) -> Node:
        return apply(Divide(), self, other)

    def __rtruediv__(self, other: Any) -> Node:
        return apply(Divide(), other, self)

    def __pow__(self, other: Any) -> Node:
        return apply(Power(), self, other)

    def __rpow__(self, other: Any) -> Node:
        return apply(Power(), other, self)

    def __matmul__(self, other: Any) -> Node:
        return apply(MatMul(), self, other)

    def __rmatmul__(self, other: Any) -> Node:
        return apply(MatMul(), other, self)

    def __neg__(self) -> Node:
        return apply(Multiply(), -1.0, self)

    def __getitem__(self, index: slice) -> Node:
        if not isinstance(index, slice) or index.step not in (None, 1):
            raise TypeError(f"node {self}: a slice of the first axis is u[start:stop], got {index}")
        return apply(Slice(*index.indices(self.shape[0])[:2]), self)

    def __str__(self) -> str:
        if self.layer is None:
            return str(self.name)
        operands = [number_text(o) if isinstance(o, float) else o.short_name() for o in self.inputs]
        text = expression_of(self.layer, operands)
        return text if self.name is None else f"{self.name} = {text}"

    def short_name(self) -> str:
        """Return the name, or what stands for it one level down."""
        return self.name or f"({type(self.layer).__name__.lower()})"

    def _check_constant(self, position: int, value: float) -> None:
        if not isinstance(self.layer, Operation) or not any(
            isinstance(other, Node) for other in self.inputs
        ):
            raise TypeError(f"node {self}: at least one input must be a node, got {value:g}")
        try:
            self.layer.check_constant(position, value)
        except ValueError as error:
            raise ValueError(f"node {self}: {error}") from None

    def find_shape(self) -> Shape:
        """Return the shape of the value, or raise a ShapeError that names the nodes."""
        assert self.layer is not None
        shapes = [node.shape if isinstance(node, Node) else None for node in self.inputs]
        try:
            return self.layer.output_shape(one_or_all(shapes))
        except ShapeError as error:
            got = [f"{n.short_name()} {n.shape}" for n in self.inputs if isinstance(n, Node)]
            text = f"expected {error.expected}, got {' and '.join(got)}"
            if not error.expected:
                text = str(error).removeprefix(f"{self.layer}: ")
            raise ShapeError(
                f"node {self}: {text}{self.how_shapes_came()}", error.expected
            ) from None

    def how_shapes_came(self) -> str:
        """Return the rules by which the shapes of the nodes below came about, a line a node."""
        below = topological_order(
            self, lambda node: [i for i in node.inputs if isinstance(i, Node)]
        )
        lines = []
        for node in below[:-1]:
            if node.layer is not None and len(node.inputs) == 1:
                rule = node.layer.shape_rule(node.inputs[0].shape)
                lines += [f"\n  {node}: {node.shape}, {rule}"] if rule else []
        return "".join(lines)


class Input(Node):
    """An input of a graph, one array.

    Parameters
    ----------
    name : str
    shape : sequence of int
        Of one example, without the batch; all of it, as every shape in a graph follows from it.
    """

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        self.layer, self.inputs = None, ()
        self.named(name)
        sizes = check_sequence(f"input {name}", "shape", shape)
        if not sizes:
            raise ValueError(f"input {name}: shape must not be empty, got {shape!r}")
        if None in sizes:
            raise TypeError(
                f"input {name}: shape must hold a number for every axis, got {tuple(sizes)}: the "
                "shapes in a graph are known when it is built. Pad the sequences to one length; "
                "layers in a list take any, Network([...], input_shape=(d, None))"
            )
        self.shape = tuple(check_integer(f"input {name}: every size in shape", n) for n in sizes)


def apply(layer: Layer, *inputs: Node | float) -> Node:
    """Return the node `layer` of `inputs`.

    Raises
    ------
    TypeError
        If there are not as many inputs as the layer takes, or one is neither node nor number.
    ShapeError
        If the layer cannot take inputs of their shapes; the message names them.
    ValueError
        For a number that cannot stand there, such as a divisor 0.
    """
    return Node(layer, inputs)


def exp(u: Node) -> Node:
    """Return the node exp(u)."""
    return apply(Exp(), u)


def log(u: Node) -> Node:
    """Return the node log(u), the natural logarithm."""
    return apply(Log(), u)


def sqrt(u: Node) -> Node:
    """Return the node sqrt(u)."""
    return apply(Sqrt(), u)


def sin(u: Node) -> Node:
    """Return the node sin(u)."""
    return apply(Sin(), u)


def cos(u: Node) -> Node:
    """Return the node cos(u)."""
    return apply(Cos(), u)


def concatenate(*inputs: Node) -> Node:
    """Return the node of all inputs one after another on the first axis."""
    return apply(Concatenate(len(inputs)), *inputs)


def _operand(value: Any) -> Node | float:
    if isinstance(value, Node):
        return value
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        return check_number("a constant", value)
    raise TypeError(
        f"an operand is a node or a number, got {type(value).__name__}: make arrays a Variable"
    )


def topological_order(output: Any, inputs_of: Callable[[Any], Iterable[Any]]) -> list[Any]:
    """Return `output` and all that it depends on, every one after its inputs.

    Depth first, the inputs from left to right; without recursion, so that a chain may be as long
    as memory allows.

    Raises
    ------
    ValueError
        If something depends on itself; the message shows the cycle.
    """
    order: list[Any] = []
    done: set[Any] = set()
    path, on_path = [(output, iter(inputs_of(output)))], {output}  # from the output down
    while path:
        node, inputs = path[-1]
        below = next((i for i in inputs if i not in done), None)
        if below is None:
            path.pop()
            on_path.remove(node)
            done.add(node)
            order.append(node)
        elif below in on_path:
            nodes = [n for n, _ in path]
            cycle = [below, *reversed(nodes[nodes.index(below) :])]
            raise ValueError(f"the graph has a cycle: {' -> '.join(map(str, cycle))}")
        else:
            path.append((below, iter(inputs_of(below))))
            on_path.add(below)
    return order


def names_of(order: list[Node]) -> tuple[str, ...]:
    """Return the names of the nodes, made up for those that have none."""
    given = Counter(node.name for node in order if node.name is not None)
    twice = [name for name, count in given.items() if count > 1]
    if twice:
        raise ValueError(f"two nodes are called {twice[0]}")
    counters: dict[str, Iterable[int]] = {}
    names = []
    for node in order:
        if node.name is not None:
            names.append(node.name)
            continue
        kind = type(node.layer).__name__.lower()
        count = counters.setdefault(kind, itertools.count(1))
        names.append(next(name for n in count if (name := f"{kind}_{n}") not in given))
    return tuple(names)


def nodes_in(operands: Iterable[int | float]) -> list[int]:
    """Return the operands that are nodes, and not constants."""
    return [o for o in operands if isinstance(o, int)]


def one_or_all(items: list[Any]) -> Any:
    """Return the only item, or all in a tuple: what a layer, or an operation, takes."""
    return items[0] if len(items) == 1 else tuple(items)


def expression_of(layer: Layer, operands: Sequence[str]) -> str:
    """Return what a node computes, as one writes it."""
    if isinstance(layer, Variable):
        return str(layer)
    if isinstance(layer, Operation):
        return layer.expression(*operands)
    name = layer.name if isinstance(layer, Activation) else str(layer)
    return f"{name}({', '.join(operands)})"


def number_text(value: Any) -> str:
    """Write a number, or an array in one line: its numbers if they are few."""
    array = np.asarray(value)
    if array.size == 1:
        return f"{array.item():.6g}"
    if array.size > LIMIT:
        return f"{' x '.join(map(str, array.shape))}, norm {norm(array):.4g}"
    text = np.array2string(array, separator=", ", precision=4, suppress_small=False)
    return " ".join(text.split()).replace("[ ", "[")
