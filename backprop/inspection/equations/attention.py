r"""The equations of `MultiHeadAttention`: queries, keys, values, and the softmax between them."""

from __future__ import annotations

from backprop.inspection.equations.base import (
    EQUATIONS,
    Item,
    Items,
    LayerEquations,
    LayerSymbols,
    downstream_equation,
    input_and_parameters,
    no_delta,
    sum_over_examples,
    transposed,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers import MultiHeadAttention


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    layer, x = traced.layer, symbols.a_prev
    heads = "" if layer.heads == 1 else f", for each of {layer.heads} heads on its own rows"
    causal = " A step sees no later ones." if layer.causal else ""
    words = (
        "Every step asks by its column of $q$; the softmax of its products with the columns of "
        f"$k$, divided by $\\sqrt{{n}}$, n = {layer.d // layer.heads} rows, is its column of $A$: "
        f"how much of every step's $v$ it gets{heads}.{causal}"
    )
    scores = f"{transposed(symbols['k'])} {symbols['q']} / \\sqrt{{n}}"
    return [
        words,
        *input_and_parameters(traced, symbols),
        Equation(symbols["q"], layer.q, (symbols["w_q"], x, "+", symbols["b_q"])),
        Equation(symbols["k"], layer.k, (symbols["w_k"], x)),
        Equation(symbols["v"], layer.v, (symbols["w_v"], x, "+", symbols["b_v"])),
        Equation(symbols["A"], layer.attention, (rf"\mathrm{{softmax}}({scores})",)),
        Equation(symbols["o"], layer.o, (symbols["v"], symbols["A"])),
        Equation(symbols["a"], traced.a, (symbols["w_o"], symbols["o"], "+", symbols["b_o"])),
    ]


def _gradients(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    layer, sums = traced.layer, sum_over_examples(traced, "t")
    nabla_a, nabla_o = symbols.nabla_a, rf"\nabla {symbols['o']}"
    delta_s = symbols[r"\delta_S"]
    words = (
        f"${nabla_o}$ is ${transposed(symbols['w_o'])}$ ${nabla_a}$, and $\\nabla A$ is $v^{{T}}$ "
        f"${nabla_o}$. Column by column the softmax makes of it $\\delta_{{S}}$ = $A$ "
        r"$\odot$ ($\nabla A$ - the sum over the column of $A$ $\odot$ $\nabla A$). BP3 and BP4 "
        "are sums over steps and examples."
    )
    of_v = (nabla_o, transposed(symbols["A"]))
    of_q = (symbols["k"], delta_s, "/", r"\sqrt{n}")
    of_k = (symbols["q"], transposed(delta_s), "/", r"\sqrt{n}")
    items: list[Item] = [
        words,
        _of_parameter("BP3", "b_o", traced, symbols, (*sums, nabla_a)),
        _of_parameter("BP4", "w_o", traced, symbols, (nabla_a, transposed(symbols["o"]))),
        Equation(symbols[r"\delta_v"], layer.delta_v, of_v),
        Equation(symbols[r"\delta_q"], layer.delta_q, of_q),
        Equation(symbols[r"\delta_k"], layer.delta_k, of_k),
    ]
    for name in "qkv":
        delta = symbols[rf"\delta_{name}"]
        if f"b_{name}" in traced.gradients:
            bp3 = (*sums, delta)
            items.append(_of_parameter("BP3", f"b_{name}", traced, symbols, bp3))
        bp4 = (delta, transposed(symbols.a_prev))
        items.append(_of_parameter("BP4", f"w_{name}", traced, symbols, bp4))
    return items


def _of_parameter(
    tag: str, name: str, traced: LayerTrace, symbols: LayerSymbols, formula: tuple[str, ...]
) -> Equation:
    """Return BP3 or BP4 of one parameter."""
    return Equation(symbols.gradient(name), traced.gradients[name], formula, (), tag)


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    formula: list[str] = []
    for name in "qkv":
        formula += ["+", transposed(symbols[f"w_{name}"]), symbols[rf"\delta_{name}"]]
    return [downstream_equation(traced, symbols, tuple(formula[1:]))]


EQUATIONS[MultiHeadAttention] = LayerEquations(
    _forward,
    _gradients,
    _downstream,
    delta=no_delta,  # those of q, k and v are in the gradients
)
