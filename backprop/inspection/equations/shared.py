r"""What is printed of parameters that stand in several layers, and of layers that are frozen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from backprop.inspection.equations.base import (
    Item,
    LayerSymbols,
    gradient_symbol,
    parameter_symbol,
    part_of,
    symbol,
    transposed,
)
from backprop.inspection.record import LayerTrace, SharedParameter, superscript_of
from backprop.inspection.typeset import Equation
from backprop.layers.chain import walk_order


def with_shared(traced: LayerTrace, symbols: LayerSymbols) -> LayerSymbols:
    """Return the symbols of a layer in which shared parameters are those of their own layer."""
    if not traced.shared_from and not traced.shared_with:
        return symbols
    shared = {name: parameter_symbol(traced, name) for name in traced.shared_from}
    in_parts = frozenset([*traced.shared_from, *traced.shared_with])
    return replace(symbols, shared=shared, in_parts=in_parts)


def where_shared_parameters_belong(traced: LayerTrace, symbols: LayerSymbols) -> list[Item]:
    """Return in words which parameters are those of which layer; nothing if none is shared."""
    if not traced.shared_from:
        return []
    homes = {home.layer for home in traced.shared_from.values()}
    if traced.layer.place_of is not None and len(homes) == 1:
        return [f"Layer {homes.pop()} in another place, with the same parameters."]
    return [
        f"Its {name} is ${symbols[name]}$, of layer {home.layer}."
        for name, home in traced.shared_from.items()
    ]


def with_own_parts(traced: LayerTrace) -> LayerTrace:
    """Return the trace whose gradients are what the layer itself gives, without other places."""
    own = {name: parts[0].gradient for name, parts in traced.shared_with.items()}
    return replace(traced, gradients={**traced.gradients, **own}) if own else traced


def sums_of_parts(traced: LayerTrace) -> list[Item]:
    """Return the gradients of the parameters that other layers share: sums over all places."""
    if not traced.shared_with:
        return []
    others = {part.layer for parts in traced.shared_with.values() for part in parts[1:]}
    named = " and ".join(sorted(others, key=walk_order))
    items: list[Item] = [
        f"Shared with layer{'s' * (len(others) > 1)} {named}, so the gradients add up."
    ]
    for name, parts in traced.shared_with.items():
        whole = gradient_symbol(symbol(name, traced.superscript))
        formula: list[str] = []
        numbers: list[Any] = []
        for part in parts:
            formula += ["+", _symbol_of_part(part, name, traced.superscript)]
            numbers += ["+", part.gradient.T if part.transposed else part.gradient]
        items.append(
            Equation(whole, traced.gradients[name], tuple(formula[1:]), tuple(numbers[1:]))
        )
    return items


def _symbol_of_part(part: SharedParameter, name: str, superscript: str) -> str:
    matrix = symbol(name, superscript)
    seen_as = transposed(matrix) if part.transposed else matrix
    gradient = part_of(gradient_symbol(seen_as), superscript_of(part.layer))
    return transposed(gradient) if part.transposed else gradient


def of_frozen(traced: LayerTrace, symbols: LayerSymbols, gradients: Iterable[Item]) -> list[Item]:
    """Return what is left of a frozen layer's gradients: those of parameters that others learn."""
    learnt = {symbols.gradient(name) for name in traced.shared_from}
    if traced.layer.place_of is not None:  # which is frozen in all its places
        learnt = set()
    words = "Frozen: BP3 and BP4 are left out, and the parameters stay as they are."
    left = [item for item in gradients if isinstance(item, Equation) and item.left in learnt]
    return [words, *left]
