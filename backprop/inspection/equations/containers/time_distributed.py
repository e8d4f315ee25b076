r"""The equations of `TimeDistributed`: the steps of all examples as columns of one batch."""

from __future__ import annotations

from dataclasses import replace

from backprop.inspection.elements import by_example
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
    made = by_example(symbols.a_prev, traced.a_prev).here
    inner_input = Equation(inner, child.a_prev, columns, made=made)
    return [words, *input_equation(traced, symbols), inner_input]


def _backward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    if symbols.bp1 is not None:
        return ["The targets have their steps as columns, too."]
    child = traced.children[0]
    columns = (rf"\mathrm{{columns}}({symbols.nabla_a})",)
    made = by_example(symbols.nabla_a, traced.nabla_a).here
    return [Equation(output_gradient(child), child.nabla_a, columns, made=made)]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    inner, child = with_inner_input(symbols).downstream, traced.children[0]
    assert child.downstream is not None
    made = by_example(inner, child.downstream).here
    return [downstream_equation(traced, symbols, (rf"\mathrm{{steps}}({inner})",), made=made)]


CONTAINER_EQUATIONS[TimeDistributed] = ContainerEquations(
    _inner_symbols, _forward, nothing, _backward, _downstream
)
