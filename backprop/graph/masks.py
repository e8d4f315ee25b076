"""Masks of padded sequences on a graph: where steps go, and which of them are real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.graph.nodes import nodes_in
from backprop.graph.operations import Operation
from backprop.layers.base import Layer

Operands = Sequence[tuple[int | float, ...]]


def masks_of_nodes(
    layers: Sequence[Layer], operands: Operands, of_inputs: list[Any]
) -> tuple[list[Any], list[Any]]:
    """Return the mask that every node but the inputs is given, and those of all values.

    None where there are no steps. Where several meet, a step is real if it is so in all.
    """
    given, masks = [], list(of_inputs)
    for layer, of_node in zip(layers, operands, strict=True):
        found = [masks[i] for i in nodes_in(of_node) if masks[i] is not None]
        mask = np.logical_and.reduce(found) if found else None
        given.append(mask)
        masks.append(None if mask is None else layer.output_mask(mask))
    return given, masks


def flow_of_steps(
    layers: Sequence[Layer], operands: Operands, of_inputs: list[bool]
) -> tuple[list[bool], str]:
    """Return which values have steps, and why some node cannot be given a mask; "" if all can."""
    has = list(of_inputs)
    for layer, of_node in zip(layers, operands, strict=True):
        given = [isinstance(i, int) and has[i] for i in of_node]
        if any(given):
            if isinstance(layer, Operation):
                reason = layer.why_steps_meet(given)
            else:
                reason = layer.why_unmasked()
            if reason:
                return has, reason
        has.append(any(given) and layer.keeps_steps)
    return has, ""
