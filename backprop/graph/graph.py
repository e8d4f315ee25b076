"""The graph: layers and elementary operations joined in any way that has no cycle, as one layer.

Where a value fans out, v -> w -> (x, y) -> z, the upstream gradients of all its consumers meet:
dz/dw = dy/dw dz/dy + dx/dw dz/dx. Every node's backward runs once, after those of all its
consumers, so a value that many paths cross is differentiated once and not once a path.

Source: Goodfellow, Bengio and Courville, *Deep Learning*, section 6.5; Nielsen, *Neural Networks
and Deep Learning*, chapter 2, for the layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_array, kind_of
from backprop.core.randomness import generator
from backprop.core.shapes import ShapeError, as_tuple, one_for_each, shape_text, with_batch
from backprop.graph.description import described_ends, description_of
from backprop.graph.masks import flow_of_steps, masks_of_nodes
from backprop.graph.nodes import Input, Node, names_of, nodes_in, one_or_all, topological_order
from backprop.graph.operations import Operation
from backprop.layers.base import Layer, Seed
from backprop.layers.checks import check_input
from backprop.layers.containers.base import Container
from backprop.layers.masks import is_sequence, only_real
from backprop.layers.mode import INFERENCE, Mode


class Graph(Container):
    """Layers and operations on a directed acyclic graph, as one layer.

    Forward goes through the nodes in topological order, backward through the same order reversed.
    A graph of one input and one output can stand wherever a layer can; ``Network(Graph(y), cost)``
    trains it. With several inputs it takes a tuple of arrays, with several outputs it returns one,
    and `backward` is given and returns such tuples.

    Parameters
    ----------
    outputs : Node, or sequence of Node
        Everything they depend on is the graph.
    inputs : Input, or sequence of Input, optional
        The inputs in the order in which their arrays are given; in the order in which the outputs
        depend on them unless told.
    rng : numpy.random.Generator, int or None
        If given, the parameters of all layers are drawn afresh from it, in order.

    Attributes
    ----------
    names : tuple of str
        Of all nodes in topological order, the inputs first; a node without a name is called by
        its layer and a number, such as add_1.
    layers, children : tuple of Layer
        Those of all nodes but the inputs, in that order. ``graph["a"]`` is the layer of a. A layer
        that is applied twice stands in two places, which share its parameters.
    shapes : tuple of tuple of int
        Of the nodes' values, without the batch.
    operands : tuple of tuples
        What each node but the inputs is computed from: the numbers of nodes, and constants as
        floats.
    n_inputs : int

    Raises
    ------
    ValueError
        If there is no input, a name occurs twice, `inputs` are not those of the outputs, or one of
        several outputs depends on no input.
    TypeError
        If the layers' dtypes differ.
    """

    hands_mask_on = True

    def __init__(
        self,
        outputs: Node | Sequence[Node],
        inputs: Input | Sequence[Input] | None = None,
        rng: Seed = None,
    ) -> None:
        rng = None if rng is None else generator("Graph", rng)
        ends = [outputs] if isinstance(outputs, Node) else outputs
        ends = list(ends) if isinstance(ends, Iterable) else []
        if not ends or not all(isinstance(node, Node) for node in ends):
            raise TypeError(f"the output of a graph is a node, got {outputs!r}")
        order = _order_of(ends)
        found = [node for node in order if node.layer is None]
        if not found:
            raise ValueError("a graph has at least one input, got none")
        inputs = [inputs] if isinstance(inputs, Input) else inputs
        if inputs is not None:
            _check_inputs(inputs, found)
        order = [*(found if inputs is None else inputs), *(n for n in order if n.layer is not None)]
        self.names = names_of(order)
        self.shapes = tuple(node.shape for node in order)
        self.n_inputs = len(found)
        number = {node: i for i, node in enumerate(order)}
        self.operands: tuple[tuple[int | float, ...], ...] = tuple(
            tuple(o if isinstance(o, float) else number[o] for o in node.inputs)
            for node in order[self.n_inputs :]
        )
        self.outputs = tuple(number[node] for node in ends)
        if len(set(self.outputs)) < len(ends) or min(self.outputs) < self.n_inputs:
            raise ValueError("every output of a graph is another node, and none is an input")
        self._check_outputs_depend()
        layers = [node.layer for node in order[self.n_inputs :] if node.layer is not None]
        self.adopt_children(layers)
        if rng is not None:
            self.initialize(rng)

    def _check_outputs_depend(self) -> None:
        """Raise unless every output has a value for each example, as what an input reaches has."""
        reached = [True] * self.n_inputs
        for operands in self.operands:
            reached.append(any(reached[i] for i in nodes_in(operands)))
        for i in self.outputs:
            if not reached[i]:
                raise ValueError(f"the output {self.names[i]} depends on no input")

    def flatten_parameters(self) -> None:
        super().flatten_parameters()
        self.integer_input = False
        learns = [False] * self.n_inputs  # does the value depend on a parameter?
        for layer, operands in zip(self.children, self.operands, strict=True):
            learns.append(
                any(inner._sizes for _, inner in layer.walk())
                or any(learns[i] for i in nodes_in(operands))
            )
        self._learns = learns
        has_steps, reason = flow_of_steps(self.children, self.operands, self._inputs_with_steps)
        self.keeps_steps = not reason and has_steps[self.outputs[0]]

    # -- the two passes ----------------------------------------------------------------------

    def output(self, a_prev: Any, mode: Mode) -> Any:
        values = self.values(a_prev, mode)
        if mode.keep:
            self.z = self._z_of([layer.z for layer in self.output_layers], values)
        return one_or_all([values[i] for i in self.outputs])

    def values(self, x: Any, mode: Mode) -> list[np.ndarray]:
        """Return the values of all nodes."""
        values = list(x) if self.n_inputs > 1 else [x]
        modes = [mode] * len(self.children)
        if mode.mask is not None:
            modes = self.modes(values, mode)
        for layer, operands, of_node in zip(self.children, self.operands, modes, strict=True):
            values.append(layer.run(_fetch(values, operands), of_node))
        return values

    def modes(self, inputs: list[Any], mode: Any) -> list[Mode]:
        """Return the mode of every node but the inputs, each with the mask of its own input.

        An operation needs none: it treats every step by itself.
        """
        of_inputs = [mode.mask if is_sequence(x, mode.mask) else None for x in inputs]
        given, _ = masks_of_nodes(self.children, self.operands, of_inputs)
        return [
            mode.masked(None if isinstance(layer, Operation) else mask)
            for layer, mask in zip(self.children, given, strict=True)
        ]

    def why_unmasked(self) -> str:
        return flow_of_steps(self.children, self.operands, self._inputs_with_steps)[1]

    def output_mask(self, mask: Any) -> Any:
        of_inputs = [mask if has_steps else None for has_steps in self._inputs_with_steps]
        return masks_of_nodes(self.children, self.operands, of_inputs)[1][self.outputs[0]]

    @property
    def _inputs_with_steps(self) -> list[bool]:
        return [len(shape) > 1 for shape in self.shapes[: self.n_inputs]]

    def z_and_a(self, a_prev: Any, mode: Mode) -> tuple[Any, Any]:
        values = list(a_prev) if self.n_inputs > 1 else [a_prev]
        zs: dict[int, Any] = {}
        modes = [mode] * len(self.children)
        if mode.mask is not None:
            modes = self.modes(values, mode)
        for layer, operands, of_node in zip(self.children, self.operands, modes, strict=True):
            at, given = len(values), _fetch(values, operands)
            if at in self.outputs:
                if of_node.mask is not None:
                    given = only_real(layer, given, of_node.mask)
                zs[at], a = layer.z_and_a(given, of_node)
            else:
                a = layer.run(given, of_node)
            values.append(a)
        a = one_or_all([values[i] for i in self.outputs])
        return self._z_of([zs[i] for i in self.outputs], values), a

    def _z_of(self, zs: list[Any], values: list[np.ndarray]) -> Any:
        """Return z of the output; of several, with a where there is no activation."""
        of_output = [
            z if layer.output_activation is not None else None
            for z, layer in zip(zs, self.output_layers, strict=True)
        ]
        if len(of_output) == 1:
            return of_output[0]
        pairs = zip(of_output, self.outputs, strict=True)
        return tuple(values[i] if z is None else z for z, i in pairs)

    def delta_of(self, nabla_a: Any) -> Any:
        upstream = nabla_a if len(self.outputs) > 1 else (nabla_a,)
        return one_or_all(
            [
                layer.below_sigma(nabla) if layer.output_activation is not None else nabla
                for layer, nabla in zip(self.output_layers, upstream, strict=True)
            ]
        )

    def descend_inside(self, delta: Any, input_gradient: bool) -> Any:
        deltas = delta if len(self.outputs) > 1 else (delta,)
        starts = dict(zip(self.outputs, deltas, strict=True))
        upstream: list[Any] = [None] * len(self.names)
        for i in reversed(range(self.n_inputs, len(self.names))):
            nabla_a, start = upstream[i], starts.get(i)
            if nabla_a is None and start is None:  # nothing below it is asked for
                continue
            layer, operands = self.children[i - self.n_inputs], self.operands[i - self.n_inputs]
            asked = [j for j in nodes_in(operands) if input_gradient or self._learns[j]]
            if start is not None and layer.output_activation is not None:
                if nabla_a is not None:  # an output that other nodes use as well
                    start = start + layer.below_sigma(nabla_a)
                found = layer.go_back_from(start, bool(asked))
            else:
                found = layer.go_back(_sum(nabla_a, start), bool(asked))
            if not asked:
                continue
            for j, gradient in zip(operands, as_tuple(found), strict=True):
                if isinstance(j, int) and j in asked:  # a constant is not
                    upstream[j] = _sum(upstream[j], gradient)  # where paths meet, they add up
        return one_or_all(upstream[: self.n_inputs]) if input_gradient else None

    @property
    def output_activation(self) -> Any:
        return one_or_all([layer.output_activation for layer in self.output_layers])

    def gives(self, taken: Any, input_shape: Any) -> Any:
        known = list(one_for_each(taken, self.n_inputs))
        shapes = self.inner_shapes(input_shape)
        for layer, operands, (shape, _) in zip(self.children, self.operands, shapes, strict=True):
            known.append(layer.known_outputs(_fetch(known, operands), shape))
        return one_or_all([known[i] for i in self.outputs])

    def tangents(self, x: Any, direction: Any) -> dict[str, np.ndarray]:
        """Return the derivative of every node in a direction of x: forward accumulation.

        One forward pass carries the tangents along with the values, as imaginary parts: the
        complex step, exact to rounding where every node is analytic. It costs one pass for each
        direction and gives the derivatives of all nodes; backward costs one pass for each output
        and gives the derivatives by all nodes.

        Parameters
        ----------
        x, direction : ndarray of float64, input shape x B, or tuple of them
            One array for each input.

        Raises
        ------
        TypeError, ShapeError, ValueError
            If they are not, or the graph is not float64.
        """
        self.check_input(x)
        xs = x if self.n_inputs > 1 else (x,)
        directions = direction if self.n_inputs > 1 else (direction,)
        if not isinstance(directions, tuple) or len(directions) != self.n_inputs:
            raise TypeError(f"graph: tangents: expected a tuple of {self.n_inputs} directions")
        for at, along in zip(xs, directions, strict=True):
            for what, array in (("input", at), ("direction", along)):
                check_array("graph: tangents", what, array, np.dtype(np.float64))
            if along.shape != at.shape:
                raise ShapeError(
                    f"graph: the direction must have x's shape {at.shape}, got {along.shape}"
                )
        step = 1e-20
        moved = [at + 1j * step * along for at, along in zip(xs, directions, strict=True)]
        values = self.values(one_or_all(moved), INFERENCE)
        return {name: v.imag / step for name, v in zip(self.names, values, strict=True)}

    # -- shapes and checks -------------------------------------------------------------------

    @property
    def input_shape(self) -> Any:
        """The shape of the input for one example; of several inputs a tuple of shapes."""
        return one_or_all(list(self.shapes[: self.n_inputs]))

    def output_shape(self, input_shape: Any) -> Any:
        if input_shape != self.input_shape:
            raise self.shape_error(self.input_shape, input_shape)
        return one_or_all([self.shapes[i] for i in self.outputs])

    def inner_shapes(self, input_shape: Any) -> list[tuple[Any, Any]]:
        self.output_shape(input_shape)
        return [
            (
                one_or_all([None if isinstance(o, float) else self.shapes[o] for o in operands]),
                shape,
            )
            for operands, shape in zip(self.operands, self.shapes[self.n_inputs :], strict=True)
        ]

    def shape_rule(self, input_shape: Any) -> str:
        return ""

    def check_input(self, a_prev: Any) -> None:
        arrays = a_prev if self.n_inputs > 1 else (a_prev,)
        if not isinstance(arrays, tuple) or len(arrays) != self.n_inputs:
            raise TypeError(
                f"graph: expected a tuple of {self.n_inputs} arrays, got {kind_of(a_prev)}"
            )
        for name, shape, x in zip(self.names, self.shapes, arrays, strict=False):
            check_input("graph", x, self.dtype or getattr(arrays[0], "dtype", None))
            if x.shape[:-1] != shape or x.size == 0:
                expected = with_batch(shape_text(shape))
                raise ShapeError(
                    f"graph: expected input {name} of shape {expected}, got {x.shape}; "
                    "the batch is the last axis"
                )
            if x.shape[-1] != arrays[0].shape[-1]:
                raise ShapeError(
                    f"graph: all inputs hold as many examples, got {arrays[0].shape[-1]} of "
                    f"{self.names[0]} and {x.shape[-1]} of {name}"
                )

    # -- description -------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The children."""
        return self.children

    @property
    def output_layers(self) -> list[Layer]:
        """The layers of the outputs."""
        return [self.children[i - self.n_inputs] for i in self.outputs]

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in the order in which their arrays are given."""
        return self.names[: self.n_inputs]

    def __getitem__(self, key: str | int) -> Layer:
        if not isinstance(key, str):
            return self.children[key]
        if key not in self.names[self.n_inputs :]:
            raise KeyError(f"the graph has no node {key!r} with a layer")
        return self.children[self.names.index(key) - self.n_inputs]

    def __len__(self) -> int:
        return len(self.children)

    def __repr__(self) -> str:
        ends = ", ".join(self.names[i] for i in self.outputs)
        name, inputs = type(self).__name__, ", ".join(self.input_names)
        return f"{name}({inputs} -> {ends}, {len(self.names)} nodes)"

    @property
    def title(self) -> str:
        return repr(self)

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description of the nodes, without the numbers."""
        return description_of(self)

    @classmethod
    def from_description(cls, config: dict[str, Any], classes: Mapping[str, Any]) -> Graph:
        """Make a graph from `config`, its parameters freshly drawn; its nodes in any order.

        `classes` are those of your own, by name.

        Raises
        ------
        ValueError
            For a cycle, a name that occurs twice or is not there, a node that is not used, and
            what `Graph` refuses.
        """
        return cls(*described_ends(config, classes))


def _check_inputs(given: Any, found: list[Node]) -> None:
    """Raise unless the inputs that were given are those that the outputs depend on."""
    nodes = given if isinstance(given, (list, tuple)) else [given]
    if len(nodes) != len(found) or set(map(id, nodes)) != set(map(id, found)):
        wanted, got = (" and ".join(str(node) for node in some) for some in (found, nodes))
        raise ValueError(f"the inputs of the graph are {wanted}, got {got}")


def _order_of(outputs: list[Node]) -> list[Node]:
    """Return all nodes that the outputs depend on, and them, every one after its inputs."""
    order: dict[Node, None] = {}
    for output in outputs:
        order |= dict.fromkeys(topological_order(output, _inputs_of))
    return list(order)


def _inputs_of(node: Node) -> list[Node]:
    return [other for other in node.inputs if isinstance(other, Node)]


def _fetch(values: list[Any], operands: Sequence[int | float]) -> Any:
    return one_or_all([o if isinstance(o, float) else values[o] for o in operands])


def _sum(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b
