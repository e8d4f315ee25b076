"""A run through a graph as a table: upstream x local = downstream, node by node."""

from __future__ import annotations

import copy
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop.core.shapes import as_tuple
from backprop.core.tables import columns
from backprop.graph.elementwise import Elementwise
from backprop.graph.graph import Graph
from backprop.graph.nodes import expression_of, number_text
from backprop.graph.operations import Operation
from backprop.inspection.cost_trace import CostTrace, trace_costs
from backprop.inspection.record import LayerTrace
from backprop.inspection.watched_run import WatchedRun
from backprop.layers.base import Layer

if TYPE_CHECKING:
    from backprop.network import Network


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
    layer : LayerTrace or None
        Of a node that is a layer of one input and one output all that it computed, z and gradients
        of parameters too, and the layers inside it. Its number is that of ``network[2]``.
    operation : Operation or None
        Of a node that is none; a copy, which keeps its inputs.
    """

    name: str
    expression: str
    inputs: tuple[str, ...]
    value: np.ndarray
    upstream: np.ndarray | None
    local: tuple[Any, ...] = ()
    downstream: tuple[Any, ...] = ()
    labels: tuple[str, ...] = ()
    layer: LayerTrace | None = None
    operation: Operation | None = None


@dataclass(frozen=True)
class GraphTrace:
    """The rows of a run, the input first, and its costs; prints as a table, in a notebook too.

    ``trace["c"].upstream`` is an array; ``str(trace)`` and `to_markdown` show arrays of up to
    4 numbers, and of larger ones shape and norm. With targets `costs` has the cost of every output:
    ``trace.costs[0].value`` is C.
    """

    rows: tuple[Row, ...]
    costs: tuple[CostTrace, ...] = ()

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"the trace has no node {name!r}")

    def __str__(self) -> str:
        return self.to_text(sys.stdout)

    def to_text(self, stream: Any = None) -> str:
        """Return what `print` shows, with all characters that names hold and a stream can write."""
        lines: list[tuple[str, ...]] = []
        for row in self._cells():  # a line for each entry of the cell that has most
            lines += itertools.zip_longest(*row, fillvalue="")
        return "\n".join(columns(lines, rule=True, stream=stream))

    def to_markdown(self) -> str:
        """Return the trace as a Markdown table."""
        rows = [["<br>".join(cell).replace("|", r"\|") for cell in row] for row in self._cells()]
        rows.insert(1, ["---"] * len(rows[0]))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"

    _repr_markdown_ = to_markdown

    def to_html(self, path: str | os.PathLike[str], title: str | None = None) -> Path:
        """Write the run as a page for a browser, one file that needs no other, and no server.

        The page goes from node to node, and back: upstream x local = downstream, for every number
        that is pointed at; see docs/explore.md.

        Parameters
        ----------
        path : str or path
            Ends in .html. What is there is replaced, whole or not at all.
        title : str, optional
            What stands above the page.

        Returns
        -------
        Path
            `path`.

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be, or the numbers are complex.
        OSError
            If the file cannot be written.
        """
        from backprop.inspection.explorer import write_graph_trace

        return write_graph_trace(self, path, title)

    def _cells(self) -> list[list[list[str]]]:
        """Return the cells of every row, each a list of lines."""
        head = ("node", "", "value", "upstream", "local", "downstream")
        cells = [[[title] for title in head]]
        for row in self.rows:
            local = _labelled(row.labels, row.local)
            if not row.local and row.inputs:
                local = ["Jacobian"]
            down = _labelled([f"to {name}" for name in row.inputs], row.downstream)
            up = [] if row.upstream is None else [number_text(row.upstream)]
            cells.append([[row.name], [row.expression], [number_text(row.value)], up, local, down])
        return cells


def trace_graph(network: Network, x: Any, y: Any = None) -> GraphTrace:
    """Run both passes, and return every node's value, upstream, local, downstream gradient.

    All is done on a copy: theta, nabla and what the layers keep stay as they are.

    Parameters
    ----------
    network : Network
        Whose root is a `Graph`.
    x : ndarray, input shape x B
    y : ndarray, optional
        Targets: the gradients are then those of the cost. Without, they are those of the
        output itself (summed, if it is more than one number).

    Raises
    ------
    TypeError, ShapeError, ValueError, RuntimeError
        As `Network.forward` and `Network.backward`.
    """
    if y is not None:
        network.check_data(x, y)
    network.check_exact("trace")
    twin = copy.deepcopy(network)
    x, y = copy.deepcopy((x, y))
    graph = twin.root
    assert isinstance(graph, Graph)
    run = WatchedRun(twin)
    a = twin.forward(x, training=True)
    traced_costs: tuple[CostTrace, ...] = ()
    if y is None:
        starts = tuple(np.ones_like(one) for one in as_tuple(a))
        found = graph.go_back(starts if isinstance(a, tuple) else starts[0], True)
    else:
        traced_costs = trace_costs(twin, y, tuple(graph.names[i] for i in graph.outputs))
        found = twin.go_back(*twin.bp1(y))
    run.leave_frozen_gradients_out()
    rows = [
        Row(name, "input", (), value, gradient)
        for name, value, gradient in zip(
            graph.input_names, as_tuple(x), as_tuple(found), strict=True
        )
    ]
    arriving = _arriving(graph, run, traced_costs)
    rows += [_row(graph, run, number, arriving) for number in range(len(graph.children))]
    return GraphTrace(tuple(rows), traced_costs)


def _arriving(graph: Graph, run: WatchedRun, costs: Sequence[CostTrace]) -> dict[str, Any]:
    """Return what is sent down to each node, added up, by its name."""
    found = {cost.name: cost.nabla_a for cost in costs}  # where the way back begins below
    for layer, operands in zip(graph.children, graph.operands, strict=True):  # the activation
        for operand, sent in zip(
            operands, _several(run.watches[id(layer)].downstream), strict=False
        ):
            if isinstance(operand, int) and sent is not None:
                name = graph.names[operand]
                found[name] = found[name] + sent if name in found else sent
    return found


def _row(graph: Graph, run: WatchedRun, number: int, arriving: Mapping[str, Any]) -> Row:
    """Return what is known of a layer of the graph, or of an operation."""
    name, layer = graph.names[len(graph.input_names) + number], graph.children[number]
    watch = run.watches[id(layer)]
    inputs = tuple(operand_text(graph.names, o) for o in graph.operands[number])
    labels, local = _local(layer, inputs)
    if watch.nabla_a is None and layer.z is not None and layer.output_activation is not None:
        labels, local = ("delta",), (layer.delta,)  # entered below its activation
    upstream = arriving.get(name) if watch.nabla_a is None else watch.nabla_a
    traced = None
    if upstream is not None and _is_of_one_array_each(layer):
        traced = run.record(str(number), layer, upstream)
    numbers = (layer.a, watch.nabla_a, local, _several(watch.downstream), labels)
    operation = layer if isinstance(layer, Operation) else None
    return Row(name, expression_of(layer, inputs), inputs, *numbers, traced, operation)


def _several(sent: Any) -> tuple[Any, ...]:
    """Return what a node sends down as a tuple, of as many as it has inputs; () of none."""
    return () if sent is None else as_tuple(sent)


def _is_of_one_array_each(layer: Layer) -> bool:
    """Say whether a layer, and each inside it, is no operation and took and gave one array."""
    layers = [layer, *(inside for _, inside in layer.walk())]
    return not any(
        isinstance(one, Operation) or isinstance(one.a_prev, tuple) or isinstance(one.a, tuple)
        for one in layers
    )


def _local(layer: Layer, inputs: Sequence[str]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return the local gradients that the last training forward implies, and their labels."""
    if isinstance(layer, Operation):
        if not isinstance(layer, Elementwise):
            return (), ()
        arguments = layer.operands(layer.a_prev)
        slopes = layer.local(layer.a, *arguments)
        local = tuple(
            None if isinstance(u, float) else np.broadcast_to(slope, layer.a.shape)
            for u, slope in zip(arguments, slopes, strict=True)
        )
        return tuple(f"d/d{name}" for name in inputs), local
    sigma = layer.output_activation
    if sigma is None or not sigma.elementwise:  # softmax has a Jacobian
        return (), ()
    return ("sigma'(z)",), (sigma.prime(layer.z, layer.a),)


def operand_text(names: Sequence[str], operand: int | float) -> str:
    """Write what a node was computed from: the name of a node, or a constant."""
    return number_text(operand) if isinstance(operand, float) else names[operand]


def _labelled(labels: Sequence[str], values: Sequence[Any]) -> list[str]:
    pairs = zip(labels, values, strict=False)
    return [f"{label} {number_text(value)}" for label, value in pairs if value is not None]
