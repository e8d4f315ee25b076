r"""The equations of `Residual`: the output of a chain and its input, added up."""

from __future__ import annotations

from dataclasses import replace

from backprop.inspection.equations.base import Items, LayerSymbols, downstream_equation
from backprop.inspection.equations.containers.base import (
    CONTAINER_EQUATIONS,
    ContainerEquations,
    chain,
    gradient_by_way_of,
    layers_inside,
    output_symbol,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers import Residual


def _inner_symbols(traced: LayerTrace, symbols: LayerSymbols) -> list[LayerSymbols]:
    # What the chain sends down is only a part, and what it is given is dC/da of the sum.
    part = gradient_by_way_of(traced.children[0], symbols)
    return chain(traced.children, replace(symbols, downstream=part, is_output=False))


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    return [f"A chain, {layers_inside(traced)}, and a way past it."]


def _output(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    last = traced.children[-1]
    formula = (symbols.a_prev, "+", output_symbol(last))
    return [Equation(symbols["a"], traced.a, formula, (traced.a_prev, "+", last.a))]


def _backward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    last = output_symbol(traced.children[-1])
    return [f"A sum hands its gradient to both terms: to ${last}$, and past the chain."]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    first = traced.children[0]
    assert first.downstream is not None
    words = f"${symbols.a_prev}$ is read twice, so its gradients add up."
    formula = (symbols.nabla_a, "+", gradient_by_way_of(first, symbols))
    numbers = (traced.nabla_a, "+", first.downstream)
    return [words, downstream_equation(traced, symbols, formula, numbers)]


CONTAINER_EQUATIONS[Residual] = ContainerEquations(
    _inner_symbols, _forward, _output, _backward, _downstream
)
