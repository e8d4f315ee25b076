r"""The equations of an activation that is a layer of its own: z = a_prev."""

from __future__ import annotations

from backprop.inspection.elements import by_example
from backprop.inspection.equations.base import (
    EQUATIONS,
    Items,
    LayerEquations,
    LayerSymbols,
    downstream_equation,
    output_of_weighted_input,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers.activations import Activation


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    made = by_example(symbols.a_prev, traced.a_prev).here
    z = Equation(symbols["z"], traced.a_prev, (symbols.a_prev,), made=made)
    return [z, output_of_weighted_input(traced, symbols)]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    assert traced.delta is not None
    delta = symbols[r"\delta"]
    made = by_example(delta, traced.delta).here
    return [downstream_equation(traced, symbols, (delta,), made=made)]


EQUATIONS[Activation] = LayerEquations(_forward, downstream=_downstream)
