r"""The equations of `Masked`: a chain, and in words which steps are real."""

from __future__ import annotations

from backprop.inspection.elements import If, Number, Rows, by_example, own
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
    with_inner_input,
)
from backprop.inspection.equations.containers.sequential import chain_backward, chain_forward
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers import Masked


def _inner_symbols(traced: LayerTrace, symbols: LayerSymbols) -> list[LayerSymbols]:
    return chain(traced.children, with_inner_input(symbols))


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    if traced.layer.integer_input:
        words = "Where the token is -1 a step is padding; the chain is given token 0 there."
        is_real = traced.a_prev != -1
    else:
        words = (
            "The last row tells which steps are real; the chain is given the rows above, and 0 "
            "where a step is padding."
        )
        is_real = traced.a_prev[-1] > 0.5
    inner, given = with_inner_input(symbols).a_prev, traced.children[0].a_prev
    step = own(given.ndim - 1)[-1]
    of_input = by_example(symbols.a_prev, traced.a_prev).at(*own(given.ndim - 1))
    made = If(by_example("real", is_real).place_at(step), of_input, Number(0.0))
    given_to_chain = Equation(inner, given, made=made)
    starts = [*input_equation(traced, symbols), given_to_chain]
    return [*chain_forward(traced, symbols), words, *starts]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    words = f"${with_inner_input(symbols).downstream}$, and 0 for the last row."
    inner = traced.children[0].downstream
    assert inner is not None
    part = by_example(with_inner_input(symbols).downstream, inner).here
    made = Rows((0, len(inner)), (part, Number(0.0)))
    return [words, downstream_equation(traced, symbols, made=made)]


CONTAINER_EQUATIONS[Masked] = ContainerEquations(
    _inner_symbols, _forward, nothing, chain_backward, _downstream
)
