r"""The equations of `Embedding`: the product of w with an x of one 1, where the token is."""

from __future__ import annotations

from backprop.inspection.equations.base import (
    EQUATIONS,
    Items,
    LayerEquations,
    LayerSymbols,
    input_and_parameters,
    no_delta,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers.embedding import Embedding


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    words = "Token k picks column k (from 0) of $w$: the product with an x of one 1, at k."
    a = Equation(symbols["a"], traced.a, (symbols["w"], "x"))
    return [words, *input_and_parameters(traced, symbols), a]


def _gradients(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    words = (
        f"Column k is the sum of ${symbols.nabla_a}$ where token k stands, 0 for tokens not met."
    )
    formula = (symbols.nabla_a, "x^{T}")
    return [words, Equation(symbols.gradient("w"), traced.gradients["w"], formula, (), "BP4")]


EQUATIONS[Embedding] = LayerEquations(_forward, _gradients, delta=no_delta)  # it is dC/da
