"""The graph: the same layers, and elementary operations, joined in any way that has no cycle.

Write the function down; what you get are nodes, and `Graph` makes a model of the last one:

>>> import numpy as np
>>> from backprop.graph.graph import Graph, Input, cos, exp, sqrt
>>> x = Input("x", shape=(1,))
>>> a = (x**2).named("a")
>>> c = (a + exp(a)).named("c")
>>> graph = Graph(sqrt(c) + cos(c)).astype("float64")
>>> print(graph.trace(np.array([[0.5]])))

A layer is applied to a node by `apply`: ``h = apply(Dense(784, 30), x)``. A `Variable` is a node
whose numbers are learnt: ``w = apply(Variable((30, 784))).named("w")``, ``w @ x``.

Where a value fans out, v -> w -> (x, y) -> z, the upstream gradients of all its consumers meet:
dz/dw = dy/dw dz/dy + dx/dw dz/dx. Every node's backward runs once, after those of all its
consumers, so a value that many paths cross is differentiated once and not once a path.

Source: Goodfellow, Bengio and Courville, *Deep Learning*, section 6.5; Nielsen, *Neural Networks
and Deep Learning*, chapter 2, for the layers.
"""

from __future__ import annotations

import copy
import itertools
import numbers
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_integer, check_number
from backprop.core.config import from_config
from backprop.core.shapes import Shape, ShapeError, shape_text, with_batch
from backprop.costs import Cost
from backprop.graph.operations import (
    Add,
    Cos,
    Divide,
    Elementwise,
    Exp,
    Log,
    MatMul,
    Multiply,
    Operation,
    Power,
    Sin,
    Slice,
    Sqrt,
    Subtract,
    Sum,
    Variable,
)
from backprop.layers.activations import Activation
from backprop.layers.base import Layer, Seed, check_free, check_input
from backprop.model import Model

# -- writing a graph down ----------------------------------------------------------------------


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
        n_inputs = layer.n_inputs if isinstance(layer, Operation) else 1
        if len(self.inputs) != n_inputs:
            got = len(self.inputs)
            raise TypeError(f"node {self}: {layer} takes {n_inputs} inputs, got {got}")
        for position, value in enumerate(self.inputs):
            if isinstance(value, float):
                self._check_constant(position, value)
        self.shape = self._find_shape()

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
        operands = [_number(o) if isinstance(o, float) else o._short() for o in self.inputs]
        text = _expression(self.layer, operands)
        return text if self.name is None else f"{self.name} = {text}"

    def _short(self) -> str:
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

    def _find_shape(self) -> Shape:
        assert self.layer is not None
        shapes = [node.shape if isinstance(node, Node) else None for node in self.inputs]
        try:
            return self.layer.output_shape(_one_or_all(shapes))
        except ShapeError as error:
            got = [f"{n._short()} {n.shape}" for n in self.inputs if isinstance(n, Node)]
            text = f"expected {error.expected}, got {' and '.join(got)}"
            if not error.expected:
                text = str(error).removeprefix(f"{self.layer}: ")
            raise ShapeError(f"node {self}: {text}{self._way()}", error.expected) from None

    def _way(self) -> str:
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
    """The input of a graph, one array. Several are stacked in it: see `Slice`.

    Parameters
    ----------
    name : str
    shape : sequence of int
        Of one example, without the batch.
    """

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        self.layer, self.inputs = None, ()
        self.named(name)
        if not isinstance(shape, Sequence) or not shape:
            raise ValueError(f"input {name}: shape must be a tuple of sizes, got {shape!r}")
        self.shape = tuple(check_integer(f"input {name}: shape", n) for n in shape)


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


# -- the graph -----------------------------------------------------------------------------------


class Graph(Model):
    """Layers and operations on a directed acyclic graph, and the cost C of the output.

    Everything a `Network` does, a graph does, with the same two passes: forward goes through the
    nodes in topological order, backward through the same order reversed.

    Parameters
    ----------
    output : Node
        The last value; everything it depends on is the graph, from one `Input`.
    cost : Cost or str, optional
        Needed by `backward` and `evaluate`; `backpropagate` does without.
    rng : numpy.random.Generator, int or None
        If given, the parameters of all layers are drawn afresh from it, in order.

    Attributes
    ----------
    names : tuple of str
        Of all nodes in topological order, the input first; a node without a name is called by
        its layer and a number, such as add_1.
    layers : tuple of Layer
        Those of all nodes but the input, in that order. ``graph["a"]`` is the layer of a.
    shapes : tuple of tuple of int
        Of the nodes' values, without the batch.
    theta, nabla, dtype, input_shape, output_shape
        As in `Network`. Without parameters dtype is float32: ``graph.astype("float64")``.

    Raises
    ------
    ValueError
        If there is not exactly one input, a name occurs twice, or a layer does, or it belongs to
        another graph.
    TypeError
        If the layers' dtypes differ.
    """

    format = "backprop graph 1"

    def __init__(self, output: Node, cost: Cost | str | None = None, rng: Seed = None) -> None:
        if not isinstance(output, Node):
            raise TypeError(f"the output of a graph is a node, got {output!r}")
        order = topological_order(
            output, lambda node: [i for i in node.inputs if isinstance(i, Node)]
        )
        inputs = [node for node in order if node.layer is None]
        if len(inputs) != 1:
            got = " and ".join(node.name for node in inputs) or "none"
            raise ValueError(
                f"a graph has one input, got {got}: stack them in one, take it apart by u[0:2]"
            )
        order = [*inputs, *(node for node in order if node.layer is not None)]
        self.names = _names(order)
        self.shapes = tuple(node.shape for node in order)
        self.input_shape = self.shapes[0]
        self.layers = tuple(node.layer for node in order[1:])
        check_free(self.layers)
        index = {node: i for i, node in enumerate(order)}
        # An int is the index of a node, a float is a constant.
        self._operands: tuple[tuple[int | float, ...], ...] = tuple(
            tuple(o if isinstance(o, float) else index[o] for o in node.inputs)
            for node in order[1:]
        )
        learns = [False]  # does the value depend on a parameter?
        for layer, operands in zip(self.layers, self._operands, strict=True):
            learns.append(bool(layer.n_parameters) or any(learns[i] for i in _nodes(operands)))
        self._learns = learns
        self._build(self.layers, cost, self.layers[-1])
        if rng is not None:
            self.initialize(rng)

    # -- the two passes ----------------------------------------------------------------------

    def _values(
        self, x: np.ndarray, layers: Iterable[Layer], training: bool = False
    ) -> list[np.ndarray]:
        """Return the values of the input and of the first nodes, those of `layers`."""
        values = [x]
        for layer, operands in zip(layers, self._operands, strict=False):
            values.append(layer._forward(_fetch(values, operands), training))
        return values

    def _forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        if not training:
            return self._values(x, self.layers)[-1]
        self._ready = False  # a pass that fails half-way leaves nothing to go back from
        values = self._values(x, self._hooked("forward", self.layers), training=True)
        self._ready = True
        return values[-1]

    def _forward_below(self, x: np.ndarray) -> Any:
        return _fetch(self._values(x, self.layers[:-1]), self._operands[-1])

    def _backpropagate(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        return self._go_back(nabla_a, False, input_gradient)[0][0]

    def _backward_from(self, start: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        return self._go_back(start, self._canonical, input_gradient)[0][0]

    def _go_back(
        self, start: np.ndarray, below_sigma: bool, input_gradient: bool
    ) -> tuple[list[Any], list[tuple[Any, ...]]]:
        """Return the upstream gradient of every node, and what each sent downstream.

        `start` is dC/da of the output or, if `below_sigma`, the delta of the last layer.
        """
        upstream: list[Any] = [None] * len(self.names)
        downstream: list[tuple[Any, ...]] = [()] * len(self.names)
        upstream[-1] = start
        for i in reversed(range(1, len(self.names))):
            if upstream[i] is None:  # nothing below it is asked for
                continue
            layer, operands = self.layers[i - 1], self._operands[i - 1]
            asked = [j for j in _nodes(operands) if input_gradient or self._learns[j]]
            at_delta = below_sigma and i == len(self.layers)
            backward = layer._backward_delta if at_delta else layer._backward
            found: Any = backward(upstream[i], bool(asked))
            if self._hooks:
                self._call_hooks("backward", layer)
            if not asked:
                continue
            downstream[i] = found if isinstance(found, tuple) else (found,)
            for j, gradient in zip(operands, downstream[i], strict=True):
                if isinstance(j, int) and j in asked:  # a constant is not
                    before = upstream[j]  # where paths meet, their gradients add up
                    upstream[j] = gradient if before is None else before + gradient
        return upstream, downstream

    # -- inspection --------------------------------------------------------------------------

    def trace(self, x: np.ndarray, y: np.ndarray | None = None) -> GraphTrace:
        """Run both passes, and return every node's value, upstream, local, downstream gradient.

        All is done on a copy: theta, nabla and what the layers keep stay as they are.

        Parameters
        ----------
        x : ndarray, input shape x B
        y : ndarray, optional
            Targets: the gradients are then those of the cost. Without, they are those of the
            output itself (summed, if it is more than one number).

        Raises
        ------
        TypeError, ShapeError, ValueError, RuntimeError
            As `forward` and `backward`.
        """
        if y is not None:
            self.check_data(x, y)
        graph = copy.deepcopy(self)
        a = graph.forward(x, training=True)
        if y is None:
            start, below_sigma = np.ones_like(a), False
        else:
            start, below_sigma = graph._bp1(y), graph._canonical
        upstream, downstream = graph._go_back(start, below_sigma, input_gradient=True)
        rows = [Row(self.names[0], "input", (), x, upstream[0])]
        for i, (layer, operands) in enumerate(zip(graph.layers, self._operands, strict=True), 1):
            inputs = tuple(_operand_name(self.names, o) for o in operands)
            labels, local = _local(layer, inputs)
            up = upstream[i]
            if below_sigma and i == len(self.layers):
                up, labels, local = None, ("delta",), (start,)
            expression = _expression(layer, inputs)
            rows.append(
                Row(self.names[i], expression, inputs, layer.a, up, local, downstream[i], labels)
            )
        return GraphTrace(tuple(rows))

    def tangents(self, x: np.ndarray, direction: np.ndarray) -> dict[str, np.ndarray]:
        """Return the derivative of every node in a direction of x: forward accumulation.

        One forward pass carries the tangents along with the values, as imaginary parts: the
        complex step, exact to rounding where every node is analytic. It costs one pass for each
        direction and gives the derivatives of all nodes; backward costs one pass for each output
        and gives the derivatives by all nodes.

        Parameters
        ----------
        x, direction : ndarray of float64, input shape x B

        Raises
        ------
        TypeError, ShapeError, ValueError
            If they are not, or the graph is not float64.
        """
        self._check_x(x)
        for what, array in (("input", x), ("direction", direction)):
            check_array("graph: tangents", what, array, np.dtype(np.float64))
        if direction.shape != x.shape:
            raise ShapeError(
                f"graph: the direction must have x's shape {x.shape}, got {direction.shape}"
            )
        step = 1e-20
        values = self._values(x + 1j * step * direction, self.layers)
        return {name: v.imag / step for name, v in zip(self.names, values, strict=True)}

    # -- description -------------------------------------------------------------------------

    def __getitem__(self, key: str | int) -> Layer:
        return self._layer_at(key)[1]

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        ends = f"{self.names[0]} -> {self.names[-1]}"
        return f"Graph({ends}, {len(self.names)} nodes, {self.cost!r})"

    @property
    def output_shape(self) -> Shape:
        """The shape of the output for one example, without the batch."""
        return self.shapes[-1]

    def astype(self, dtype: Any) -> Graph:
        """Return a copy of the graph in another dtype."""
        nodes: list[Node] = [Input(self.names[0], self.input_shape)]
        for name, layer, operands in zip(self.names[1:], self.layers, self._operands, strict=True):
            inputs = [o if isinstance(o, float) else nodes[o] for o in operands]
            nodes.append(Node(layer.astype(dtype), inputs, name))
        twin = Graph(nodes[-1], self.cost)
        twin.dtype = np.dtype(dtype)  # which no layer tells if none has parameters
        twin._gather()
        return twin

    def summary(self) -> str:
        """Return a table: every node with the shape of its value and its parameters."""
        batch = ["B"]  # or 1, for what does not depend on the input
        rows = [(self.names[0], "input", _column_text(self.input_shape, "B"), "")]
        for name, layer, operands, shape in zip(
            self.names[1:], self.layers, self._operands, self.shapes[1:], strict=True
        ):
            batch.append(max((batch[i] for i in _nodes(operands)), default="1"))
            text = _expression(layer, [_operand_name(self.names, o) for o in operands])
            rows.append((name, text, _column_text(shape, batch[-1]), f"{layer.n_parameters:,}"))
        table = _table([("node", "", "output shape", "parameters"), *rows])
        size = self._theta.nbytes / 2**20
        end = f"{self.n_parameters:,} parameters, {self.dtype}, {size:.2f} MiB; cost {self.cost!r}"
        return f"{table}\n{end}"

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description of nodes and cost, without the numbers."""
        nodes: list[dict[str, Any]] = [{"name": self.names[0], "input": list(self.input_shape)}]
        for name, layer, operands in zip(self.names[1:], self.layers, self._operands, strict=True):
            inputs = [o if isinstance(o, float) else self.names[o] for o in operands]
            nodes.append({"name": name, "layer": layer.config(), "inputs": inputs})
        return {
            "nodes": nodes,
            "output": self.names[-1],
            "cost": None if self.cost is None else self.cost.config(),
            "dtype": self.dtype.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Graph:
        """Make a graph from `config`, its parameters freshly drawn; its nodes in any order.

        Raises
        ------
        ValueError
            For a cycle, a name that occurs twice or is not there, a node that is not used, and
            what `Graph` refuses.
        """
        entries: dict[str, dict[str, Any]] = {}
        for entry in config["nodes"]:
            if entry["name"] in entries:
                raise ValueError(f"two nodes are called {entry['name']}")
            entries[entry["name"]] = entry
        for name, entry in entries.items():
            for other in _names_in(entry):
                if other not in entries:
                    raise ValueError(f"node {name}: there is no node {other}")
        output = config["output"]
        if output not in entries:
            raise ValueError(f"there is no node {output}, which is to be the output")
        order = topological_order(output, lambda name: _names_in(entries[name]))
        unused = sorted(entries.keys() - set(order))
        if unused:
            raise ValueError(f"the output {output} does not use {', '.join(unused)}")
        nodes: dict[str, Node] = {}
        for name in order:
            entry = entries[name]
            if "input" in entry:
                nodes[name] = Input(name, entry["input"])
            else:
                inputs = [nodes[o] if isinstance(o, str) else o for o in entry["inputs"]]
                nodes[name] = Node(from_config(entry["layer"]), inputs, name)
        cost = None if config["cost"] is None else from_config(config["cost"])
        graph = cls(nodes[output], cost)
        return graph if graph.dtype == config["dtype"] else graph.astype(config["dtype"])

    # -- checks ------------------------------------------------------------------------------

    def _check_x(self, x: np.ndarray) -> None:
        check_input("graph", x, self.dtype)
        if x.shape[:-1] != self.input_shape or x.size == 0:
            expected = with_batch(shape_text(self.input_shape))
            raise ShapeError(
                f"graph: expected input {self.names[0]} of shape {expected}, got {x.shape}; "
                "the batch is the last axis"
            )

    def _layer_at(self, index: Any) -> tuple[Any, Layer]:
        if not isinstance(index, str):
            return super()._layer_at(index)
        if index not in self.names[1:]:
            raise KeyError(f"the graph has no node {index!r} with a layer")
        return index, self.layers[self.names.index(index) - 1]


def _names(order: list[Node]) -> tuple[str, ...]:
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


def _names_in(entry: dict[str, Any]) -> list[str]:
    return [name for name in entry.get("inputs", ()) if isinstance(name, str)]


def _nodes(operands: Iterable[int | float]) -> list[int]:
    return [o for o in operands if isinstance(o, int)]


def _fetch(values: list[np.ndarray], operands: Sequence[int | float]) -> Any:
    return _one_or_all([o if isinstance(o, float) else values[o] for o in operands])


def _one_or_all(items: list[Any]) -> Any:
    """Return the only item, or all in a tuple: what a layer, or an operation, takes."""
    return items[0] if len(items) == 1 else tuple(items)


# -- the trace -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What one node did in a run: upstream x local = downstream.

    Attributes
    ----------
    name, expression : str
        For instance c and ``a + b``.
    inputs : tuple of str
        The nodes, and the constants, that it was computed from.
    value, upstream : ndarray
        Of one shape. None as the upstream of an output layer that the backward pass entered
        below its activation, at the delta of a canonical cost: that stands in `local`.
    local : tuple of ndarray
        Of an elementwise operation the derivative by each input (None by a constant), of a layer
        with an elementwise activation sigma'(z), else empty: `jacobian` gives the rest.
    downstream : tuple of ndarray
        The gradient by each input (None by a constant).
    labels : tuple of str
        What is in `local`: ``("d/da", "d/db")``.
    """

    name: str
    expression: str
    inputs: tuple[str, ...]
    value: np.ndarray
    upstream: np.ndarray | None
    local: tuple[Any, ...] = ()
    downstream: tuple[Any, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class GraphTrace:
    """The rows of a run, the input first; prints as a table, in a notebook too.

    ``trace["c"].upstream`` is an array; ``str(trace)`` and `to_markdown` show arrays of up to
    `LIMIT` numbers, and of larger ones shape and norm.
    """

    rows: tuple[Row, ...]

    LIMIT = 4

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"the trace has no node {name!r}")

    def __str__(self) -> str:
        lines: list[tuple[str, ...]] = []
        for row in self._cells():  # a line for each entry of the cell that has most
            lines += itertools.zip_longest(*row, fillvalue="")
        return _table(lines)

    def to_text(self) -> str:
        """Return what `print` shows."""
        return str(self)

    def to_markdown(self) -> str:
        """Return the trace as a Markdown table."""
        rows = [["<br>".join(cell).replace("|", r"\|") for cell in row] for row in self._cells()]
        rows.insert(1, ["---"] * len(rows[0]))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"

    _repr_markdown_ = to_markdown

    def _cells(self) -> list[list[list[str]]]:
        """Return the cells of every row, each a list of lines."""
        head = ("node", "", "value", "upstream", "local", "downstream")
        cells = [[[title] for title in head]]
        for row in self.rows:
            local = _labelled(row.labels, row.local)
            if not row.local and row.inputs:
                local = ["Jacobian"]
            down = _labelled([f"to {name}" for name in row.inputs], row.downstream)
            up = [] if row.upstream is None else [_number(row.upstream)]
            cells.append([[row.name], [row.expression], [_number(row.value)], up, local, down])
        return cells


def _local(layer: Layer, inputs: Sequence[str]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return the local gradients that the last training forward implies, and their labels."""
    if isinstance(layer, Operation):
        if not isinstance(layer, Elementwise):
            return (), ()
        arguments = layer._operands(layer.a_prev)
        slopes = layer.local(layer.a, *arguments)
        local = tuple(
            None if isinstance(u, float) else np.broadcast_to(slope, layer.a.shape)
            for u, slope in zip(arguments, slopes, strict=True)
        )
        return tuple(f"d/d{name}" for name in inputs), local
    sigma = layer.output_activation
    if sigma is None:
        return (), ()
    try:
        return ("sigma'(z)",), (sigma.prime(layer.z, layer.a),)
    except TypeError:  # softmax has a Jacobian
        return (), ()


def _expression(layer: Layer, operands: Sequence[str]) -> str:
    if isinstance(layer, Variable):
        return str(layer)
    if isinstance(layer, Operation):
        return layer.expression(*operands)
    name = layer.name if isinstance(layer, Activation) else str(layer)
    return f"{name}({', '.join(operands)})"


def _operand_name(names: Sequence[str], operand: int | float) -> str:
    return _number(operand) if isinstance(operand, float) else names[operand]


def _labelled(labels: Sequence[str], values: Sequence[Any]) -> list[str]:
    pairs = zip(labels, values, strict=False)
    return [f"{label} {_number(value)}" for label, value in pairs if value is not None]


def _number(value: Any) -> str:
    """Write a number, or an array in one line: its numbers if they are few."""
    array = np.asarray(value)
    if array.size == 1:
        return f"{array.item():.6g}"
    if array.size > GraphTrace.LIMIT:
        return f"{' x '.join(map(str, array.shape))}, norm {np.linalg.norm(array):.4g}"
    text = np.array2string(array, separator=", ", precision=4, suppress_small=False)
    return " ".join(text.split()).replace("[ ", "[")


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows of cells in columns, the first row over a rule."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([head, "-" * (sum(widths) + 2 * len(widths) - 2), *lines])


def _column_text(shape: Shape, batch: str) -> str:
    return " x ".join(map(str, (*shape, batch)))
