r"""The equations of the layers that draw something at random: dropout and noise."""

from __future__ import annotations

from backprop.inspection.equations.base import (
    EQUATIONS,
    Items,
    LayerEquations,
    LayerSymbols,
    downstream_equation,
    downstream_unchanged,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers.dropout import Dropout, GaussianNoise


def _masked(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    formula = (symbols["mask"], r"\odot", symbols.a_prev)
    numbers = (traced.layer.mask, r"\odot", traced.a_prev)
    return [Equation(symbols["a"], traced.a, formula, numbers)]


def _masked_downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    formula = (symbols["mask"], r"\odot", symbols.nabla_a)
    numbers = (traced.layer.mask, r"\odot", traced.nabla_a)
    return [downstream_equation(traced, symbols, formula, numbers)]


def _noisy(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    formula = (symbols.a_prev, "+", symbols["noise"])
    numbers = (traced.a_prev, "+", traced.layer.noise)
    return [Equation(symbols["a"], traced.a, formula, numbers)]


EQUATIONS[Dropout] = LayerEquations(_masked, downstream=_masked_downstream)
EQUATIONS[GaussianNoise] = LayerEquations(_noisy, downstream=downstream_unchanged)
