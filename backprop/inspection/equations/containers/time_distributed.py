r"""The equations of `TimeDistributed`: the steps of all examples as columns of one batch."""

from __future__ import annotations

from dataclasses import replace

from backprop.inspection.equations.base import (
    Items,
    LayerSymbols,
    downstream_equation,
    input_equation,
)
from backprop.inspection.equations.containers.base import (
    CONTAINER_EQUATIONS,
    ContainerEquations,
    chain,
    nothing,
    output_gradient,
    output_symbol,
    with_inner_input,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers import TimeDistributed


def _inner_symbols(traced: LayerTrace, symbols: LayerSymbols) -> list[LayerSymbols]:
    nabla_a = output_gradient(traced.children[0])
    return chain(traced.children, replace(with_inner_input(symbols), nabla_a=nabla_a))


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    child, (steps, batch) = traced.children[0], traced.a_prev.shape[-2:]
    inner = with_inner_input(symbols).a_prev
    words = (
        f"Layer {child.name} takes every step by itself: its input ${inner}$ has "
        f"{steps} steps of {batch} example{'s' * (batch > 1)} as columns, step by step, and the "
        f"columns of ${output_symbol(child)}$ are the steps of ${symbols['a']}$ again."
    )
    columns = (rf"\mathrm{{columns}}({symbols.a_prev})",)
    return [words, *input_equation(traced, symbols), Equation(inner, child.a_prev, columns)]


def _backward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    if symbols.bp1 is not None:
        return ["The targets have their steps as columns, too."]
    child = traced.children[0]
    columns = (rf"\mathrm{{columns}}({symbols.nabla_a})",)
    return [Equation(output_gradient(child), child.nabla_a, columns)]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    steps = (rf"\mathrm{{steps}}({with_inner_input(symbols).downstream})",)
    return [downstream_equation(traced, symbols, steps)]


CONTAINER_EQUATIONS[TimeDistributed] = ContainerEquations(
    _inner_symbols, _forward, nothing, _backward, _downstream
)
