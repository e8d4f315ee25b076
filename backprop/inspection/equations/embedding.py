r"""The equations of `Embedding`: the product of w with an x of one 1, where the token is."""

from __future__ import annotations

from backprop.inspection.elements import EXAMPLE, Index, Sum, by_example, of_all, own
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
    tokens = by_example(symbols.a_prev, traced.a_prev)
    i, *place = own(traced.a.ndim - 1)
    made = of_all(symbols["w"], traced.parameters["w"])[i, tokens.place_at(*place)]
    a = Equation(symbols["a"], traced.a, (symbols["w"], "x"), made=made)
    return [words, *input_and_parameters(traced, symbols), a]


def _gradients(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    words = (
        f"Column k is the sum of ${symbols.nabla_a}$ where token k stands, 0 for tokens not met."
    )
    formula = (symbols.nabla_a, "x^{T}")
    tokens = by_example(symbols.a_prev, traced.a_prev)
    x = Index(EXAMPLE, traced.a.shape[-1])
    place = [Index(name, n) for name, n in zip("tsr", traced.a_prev.shape[:-1], strict=False)]
    i, k = own(2)
    nabla_a = by_example(symbols.nabla_a, traced.nabla_a).at(i, *place)
    made = Sum(nabla_a, x, *place, where=(tokens.place_at(*place), k))
    nabla_w = Equation(symbols.gradient("w"), traced.gradients["w"], formula, (), "BP4", made)
    return [words, nabla_w]


EQUATIONS[Embedding] = LayerEquations(_forward, _gradients, delta=no_delta)  # it is dC/da
