"""The table of a network's layers: what each puts out, and how many numbers it learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from backprop.core.config import name_of
from backprop.core.shapes import Shape, is_several
from backprop.core.tables import columns
from backprop.graph.graph import Graph, nodes_in
from backprop.graph.nodes import expression_of
from backprop.initializers import Initializer
from backprop.inspection.graph_trace import operand_text
from backprop.layers.base import Layer
from backprop.layers.containers.base import Container
from backprop.network import Network


def summary(network: Network) -> str:
    """Return what `Network.summary` does."""
    root = network.root
    if isinstance(root, Graph):
        table = columns(
            [("node", "", "output shape", "parameters", "initializers"), *_node_rows(root)],
            rule=True,
        )
        lines = table
    else:
        rows: list[tuple[str, ...]] = [("", "layer", "output shape", "parameters", "initializers")]
        rows.append(("", "input", _shape_with_batch(network.input_shape), "", ""))
        shape = network.input_shape
        for index, layer in enumerate(network.layers):
            after = layer.output_shape(shape)
            rows += _layer_rows(str(index), layer, shape, after)
            shape = after
        lines = columns(rows, align="<<<><", rule=True)
        lines.append(lines[1])
    size = network.theta.nbytes / 2**20
    end = f"{network.n_parameters:,} parameters, {network.dtype}, {size:.2f} MiB"
    return "\n".join([*lines, f"{end}; cost {network.cost!r}"])


def _layer_rows(
    name: str, layer: Layer, input_shape: Shape, shape: Shape
) -> Iterator[tuple[str, ...]]:
    """Yield name, layer, output shape and parameters of the layer, then of those inside it."""
    indent = "  " * name.count(".")
    text = layer.title if isinstance(layer, Container) else repr(layer)
    of_layer = _shape_with_batch(shape), f"{layer.n_parameters:,}", _initializers(layer)
    yield name, indent + text + _notes(layer), *of_layer
    if isinstance(layer, Container):
        shapes = layer.inner_shapes(input_shape)
        for index, (child, of_child) in enumerate(zip(layer.children, shapes, strict=True)):
            yield from _layer_rows(f"{name}.{index}", child, *of_child)


def _node_rows(graph: Graph) -> list[tuple[str, ...]]:
    batch = ["B"] * graph.n_inputs  # or 1, for what does not depend on an input
    rows: list[tuple[str, ...]] = [
        (name, "input", _shape_with_batch(shape), "", "")
        for name, shape in zip(graph.input_names, graph.shapes, strict=False)
    ]
    n = graph.n_inputs
    for name, layer, operands, shape in zip(
        graph.names[n:], graph.children, graph.operands, graph.shapes[n:], strict=True
    ):
        batch.append(max((batch[i] for i in nodes_in(operands)), default="1"))
        text = expression_of(layer, [operand_text(graph.names, o) for o in operands])
        of_node = f"{layer.n_parameters:,}", _initializers(layer)
        rows.append((name, text + _notes(layer), _shape_with_batch(shape, batch[-1]), *of_node))
    return rows


def _notes(layer: Layer) -> str:
    """Say what is unusual about how a layer learns, and what it shares."""
    notes = []
    if layer.place_of is not None:
        notes.append(f"in another place: {layer.place_of}")
    elif layer.ties:
        notes += [f"{name} is that of {tie.layer}" for name, tie in layer.ties.items()]
    if not layer.children and not layer.trainable:
        notes.append("frozen")
    learning: dict[str, Any] = {} if layer.children else layer.learning
    notes += [f"{k} {learning[k]:g}" for k in ("eta_factor", "decay_factor") if k in learning]
    return f" ({', '.join(notes)})" if notes else ""


def _initializers(layer: Layer) -> str:
    """Return how a layer draws its own parameters: "w he_normal, b zeros"."""
    if isinstance(layer, Container) or not layer.parameters:
        return ""
    found = {
        attribute.removesuffix("init").rstrip("_"): value
        for attribute, value in vars(layer).items()
        if isinstance(value, Initializer)
    }
    drawn = [(name, value) for name, value in found.items() if name not in layer.ties]
    return ", ".join(f"{name} {_name_of(value)}".strip() for name, value in drawn)


def _name_of(initializer: Initializer) -> str:
    """Return the name of an initializer with its defaults, else how it is made."""
    made = repr(initializer)
    return name_of(type(initializer)) if made.endswith("()") else made


def _shape_with_batch(shape: Sequence[Any], batch: str = "B") -> str:
    if is_several(shape):
        return " and ".join(map(_shape_with_batch, shape))
    return " x ".join("any" if n is None else str(n) for n in (*shape, batch))
