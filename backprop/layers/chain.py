"""Shapes along a chain of layers, and how they came about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backprop.core.shapes import Shape, ShapeError, shape_text
from backprop.layers.base import Layer


def chain_shapes(
    layers: Sequence[Layer], input_shape: Shape, below: str = "the input"
) -> list[Shape]:
    """Return the shape of every layer's output in a chain that begins with `input_shape`.

    Raises
    ------
    ShapeError
        If a layer cannot take the output of the layer below; it names both, and if a rule
        computed one of the shapes below it shows them all, each with its rule.
    """
    shapes: list[Shape] = []
    shape = input_shape
    for index, layer in enumerate(layers):
        if index and layer.integer_input:
            raise TypeError(
                f"layer {index}, {layer}, takes integers, which no layer below it gives: it can "
                "only be the first"
            )
        try:
            found = layer.output_shape(shape)
        except ShapeError as error:
            source = _below(layers, index, below)
            what = f"layer {index}, {layer}"
            text = str(error).removeprefix(f"{layer}: ")
            if error.expected:
                what += f", expects shape {error.expected}, got {shape_text(shape)} from {source}"
            else:
                what += f", cannot take {shape_text(shape)} from {source}: {text}"
            way = how_shapes_came(layers[:index], input_shape, shapes)
            raise ShapeError(what + way, error.expected if index == 0 else "") from None
        except TypeError:
            if None not in shape or any(part.integer_input for _, part in layer.walk()):
                raise
            raise ShapeError(
                f"layer {index}, {layer}, needs fixed lengths, got {shape_text(shape)} from "
                f"{_below(layers, index, below)}: give the input_shape in numbers"
            ) from None
        shape = found
        shapes.append(shape)
    return shapes


def _below(layers: Sequence[Layer], index: int, first: str) -> str:
    """Say what a layer gets its input from; `first` for the first."""
    return f"layer {index - 1}, {layers[index - 1]}" if index else first


def chain_gives(layers: Sequence[Layer], taken: Any, input_shapes: Sequence[Any]) -> Any:
    """Return what is known of a chain's outputs, from the shapes of every layer's input."""
    for layer, shape in zip(layers, input_shapes, strict=False):
        taken = layer.known_outputs(taken, shape)
    return taken


def how_shapes_came(layers: Sequence[Layer], input_shape: Shape, shapes: list[Shape]) -> str:
    """Return how the shapes came about, a line a layer, if a rule computed one of them."""
    befores = [input_shape, *shapes]
    rules = [layer.shape_rule(before) for layer, before in zip(layers, befores, strict=False)]
    if not any(rules):
        return ""
    lines = [f"\n  input {shape_text(input_shape)}"]
    for index, (layer, shape, rule) in enumerate(zip(layers, shapes, rules, strict=True)):
        lines.append(f"  layer {index}, {layer}: {shape_text(shape)}{', ' if rule else ''}{rule}")
    return "\n".join(lines)


def walk_order(name: str) -> list[int]:
    """Return what sorts "0", "2.0", "2.0.1", "2.1" and "10" as `Layer.walk` yields them."""
    return [int(number) for number in name.split(".")]
