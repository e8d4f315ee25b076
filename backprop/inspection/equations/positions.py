r"""The equations of `PositionalEncoding`, which adds waves p to its input."""

from __future__ import annotations

from backprop.inspection.equations.base import (
    EQUATIONS,
    Items,
    LayerEquations,
    LayerSymbols,
    downstream_unchanged,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers import PositionalEncoding


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    waves = traced.a - traced.a_prev
    formula = (symbols.a_prev, "+", symbols["p"])
    return [Equation(symbols["a"], traced.a, formula, (traced.a_prev, "+", waves))]


EQUATIONS[PositionalEncoding] = LayerEquations(_forward, downstream=downstream_unchanged)
