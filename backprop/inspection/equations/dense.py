r"""The equations of `Dense`: BP2, BP3 and BP4 as the book has them."""

from __future__ import annotations

from backprop.inspection.equations.base import (
    EQUATIONS,
    Items,
    LayerEquations,
    LayerSymbols,
    downstream_equation,
    output_of_weighted_input,
    sum_over_examples,
    transposed,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers.dense import Dense


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    assert traced.z is not None
    formula = (symbols["w"], symbols.a_prev, "+", symbols["b"])
    numbers = (traced.parameters["w"], traced.a_prev, "+", traced.parameters["b"])
    z = Equation(symbols["z"], traced.z, formula, numbers)
    return [z, output_of_weighted_input(traced, symbols)]


def _gradients(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    assert traced.delta is not None
    nabla_b, nabla_w = traced.gradients["b"], traced.gradients["w"]
    bp3 = (*sum_over_examples(traced), symbols[r"\delta"])
    bp4 = (symbols[r"\delta"], transposed(symbols.a_prev))
    return [
        Equation(symbols.gradient("b"), nabla_b, bp3, (), "BP3"),
        Equation(symbols.gradient("w"), nabla_w, bp4, (traced.delta, traced.a_prev.T), "BP4"),
    ]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    assert traced.delta is not None
    formula = (transposed(symbols["w"]), symbols[r"\delta"])
    numbers = (traced.parameters["w"].T, traced.delta)
    return [downstream_equation(traced, symbols, formula, numbers)]


EQUATIONS[Dense] = LayerEquations(_forward, _gradients, _downstream, sends_w_transposed_delta=True)
