r"""The equations of `Parallel`: branches of one input, joined to a sum or one above the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.inspection.elements import Rows, by_example, own
from backprop.inspection.equations.base import Item, Items, LayerSymbols, downstream_equation
from backprop.inspection.equations.containers.base import (
    CONTAINER_EQUATIONS,
    ContainerEquations,
    gradient_by_way_of,
    layers_inside,
    output_gradient,
    output_symbol,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers import Parallel


def _inner_symbols(traced: LayerTrace, symbols: LayerSymbols) -> list[LayerSymbols]:
    return [
        LayerSymbols(
            child.superscript,
            a_prev=symbols.a_prev,
            nabla_a=symbols.nabla_a if traced.layer.join == "sum" else output_gradient(child),
            downstream=gradient_by_way_of(child, symbols),
            shows_input=symbols.shows_input and index == 0,
            downstream_wanted=symbols.downstream_wanted,
        )
        for index, child in enumerate(traced.children)
    ]


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    return [f"Branches, {layers_inside(traced)}, each of which is given ${symbols.a_prev}$."]


def _output(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    outputs = [output_symbol(child) for child in traced.children]
    if traced.layer.join == "concat":
        words = f"One above the other, from the top: {', '.join(f'${a}$' for a in outputs)}."
        parts = [by_example(output_symbol(child), child.a).here for child in traced.children]
        made = Rows(tuple(_ends(traced)[:-1]), tuple(parts))
        return [words, Equation(symbols["a"], traced.a, made=made)]
    numbers = _joined_by_plus([child.a for child in traced.children])
    return [Equation(symbols["a"], traced.a, _joined_by_plus(outputs), numbers)]


def _backward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    if traced.layer.join == "sum":
        return ["A sum hands its gradient to all of its terms."]
    items: list[Item] = []
    nabla_a = by_example(symbols.nabla_a, traced.nabla_a)
    pairs = itertools.pairwise(_ends(traced))
    for child, (start, end) in zip(traced.children, pairs, strict=True):
        rows = f"row {end}" if end == start + 1 else f"rows {start + 1} to {end}"
        formula = (rf"\text{{{rows} of }}{symbols.nabla_a}",)
        i, *others = own(traced.a.ndim - 1)
        made = nabla_a.at(i + start, *others)
        items.append(Equation(output_gradient(child), child.nabla_a, formula, made=made))
    return items


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    words = f"${symbols.a_prev}$ is read by every branch, so its gradients add up."
    formula = _joined_by_plus([gradient_by_way_of(child, symbols) for child in traced.children])
    gradients = [child.downstream for child in traced.children if child.downstream is not None]
    numbers = _joined_by_plus(gradients)
    return [words, downstream_equation(traced, symbols, formula, numbers)]


def _ends(traced: LayerTrace) -> list[int]:
    """Return at which row each branch begins, and at which the last one ends."""
    return [0, *itertools.accumulate(len(child.a) for child in traced.children)]


def _joined_by_plus(terms: Sequence[str] | Sequence[np.ndarray]) -> tuple[Any, ...]:
    return tuple(itertools.chain(*(("+", term) for term in terms)))[1:]


CONTAINER_EQUATIONS[Parallel] = ContainerEquations(
    _inner_symbols, _forward, _output, _backward, _downstream
)
