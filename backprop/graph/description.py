"""Graphs as plain data: their nodes by name, each with its layer and what it is applied to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backprop.core.config import decode, encode
from backprop.graph.nodes import Input, Node, topological_order


def description_of(graph: Any) -> dict[str, Any]:
    """Return a JSON-able description of the nodes, without the numbers."""
    nodes: list[dict[str, Any]] = [
        {"name": name, "input": list(shape)}
        for name, shape in zip(graph.input_names, graph.shapes, strict=False)
    ]
    for name, layer, operands in zip(
        graph.names[graph.n_inputs :], graph.children, graph.operands, strict=True
    ):
        inputs = [encode(o) if isinstance(o, float) else graph.names[o] for o in operands]
        nodes.append({"name": name, "layer": layer.config(), "inputs": inputs})
    return {"class": "Graph", "nodes": nodes, "outputs": [graph.names[i] for i in graph.outputs]}


def described_ends(
    config: dict[str, Any], classes: Mapping[str, Any]
) -> tuple[list[Node], list[Any]]:
    """Return the outputs and the inputs of the graph that was described, its nodes in any order.

    Raises
    ------
    ValueError
        For a cycle, a name that occurs twice or is not there, and a node that is not used.
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
    outputs = config["outputs"]
    for output in outputs:
        if output not in entries:
            raise ValueError(f"there is no node {output}, which is to be the output")
    order: dict[str, None] = {}
    for output in outputs:
        order |= dict.fromkeys(topological_order(output, lambda name: _names_in(entries[name])))
    unused = sorted(entries.keys() - order.keys())
    if unused:
        raise ValueError(f"the output {', '.join(outputs)} does not use {', '.join(unused)}")
    nodes: dict[str, Node] = {}
    for name in order:
        entry = entries[name]
        if "input" in entry:
            nodes[name] = Input(name, entry["input"])
        else:
            inputs = [
                nodes[o] if isinstance(o, str) else float(decode(o, {})) for o in entry["inputs"]
            ]
            nodes[name] = Node(decode(entry["layer"], classes), inputs, name)
    given = [nodes[name] for name, entry in entries.items() if "input" in entry]
    return [nodes[name] for name in outputs], given


def _names_in(entry: dict[str, Any]) -> list[str]:
    return [name for name in entry.get("inputs", ()) if isinstance(name, str)]
