r"""What is printed around the layers of a `Sequential`; a `TransformerBlock` is one."""

from __future__ import annotations

from backprop.inspection.equations.base import Items, LayerSymbols
from backprop.inspection.equations.containers.base import (
    CONTAINER_EQUATIONS,
    ContainerEquations,
    chain,
    layers_inside,
    output_symbol,
)
from backprop.inspection.record import LayerTrace
from backprop.layers import Sequential


def _inner_symbols(traced: LayerTrace, symbols: LayerSymbols) -> list[LayerSymbols]:
    return chain(traced.children, symbols)


def chain_forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Return which layers the chain has, and that its output is the last one's."""
    last = output_symbol(traced.children[-1])
    return [f"A chain, {layers_inside(traced)}; ${symbols['a']}$ is ${last}$."]


def chain_backward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Say in which order the gradient passes through the layers."""
    first, last = traced.children[0].name, traced.children[-1].name
    return [f"Through layer {last}." if first == last else f"From layer {last} to layer {first}."]


CONTAINER_EQUATIONS[Sequential] = ContainerEquations(
    _inner_symbols, chain_forward, backward=chain_backward
)
