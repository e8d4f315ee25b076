r"""The equations of `MultiHeadAttention`: queries, keys, values, and the softmax between them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backprop.inspection.elements import (
    EXAMPLE,
    Array,
    Call,
    If,
    Index,
    Number,
    Sum,
    Term,
    by_example,
    of_all,
    own,
    product,
)
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
    padding = ["No step sees one that is padding."] * (layer.real_steps is not None)
    scores = f"{transposed(symbols['k'])} {symbols['q']} / \\sqrt{{n}}"
    softmax = (rf"\mathrm{{softmax}}({scores})",)
    output = (symbols["w_o"], symbols["o"], "+", symbols["b_o"])
    made = _Numbers(traced, symbols)
    return [
        words,
        *padding,
        *input_and_parameters(traced, symbols),
        Equation(symbols["q"], layer.q, (symbols["w_q"], x, "+", symbols["b_q"]), made=made.q()),
        Equation(symbols["k"], layer.k, (symbols["w_k"], x), made=made.k()),
        Equation(symbols["v"], layer.v, (symbols["w_v"], x, "+", symbols["b_v"]), made=made.v()),
        Equation(symbols["A"], layer.attention, softmax, made=made.A()),
        Equation(symbols["o"], layer.o, (symbols["v"], symbols["A"]), made=made.o()),
        Equation(symbols["a"], traced.a, output, made=made.a()),
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
    made = _Numbers(traced, symbols)
    of_v = (nabla_o, transposed(symbols["A"]))
    of_q = (symbols["k"], delta_s, "/", r"\sqrt{n}")
    of_k = (symbols["q"], transposed(delta_s), "/", r"\sqrt{n}")
    items: list[Item] = [
        words,
        _of_parameter("BP3", "b_o", traced, symbols, (*sums, nabla_a), made.bias(made.nabla_a)),
        _of_parameter(
            "BP4",
            "w_o",
            traced,
            symbols,
            (nabla_a, transposed(symbols["o"])),
            made.weight(made.nabla_a, made.o_),
        ),
        Equation(symbols[r"\delta_v"], layer.delta_v, of_v, made=made.delta_v()),
        Equation(symbols[r"\delta_q"], layer.delta_q, of_q, made=made.delta_q()),
        Equation(symbols[r"\delta_k"], layer.delta_k, of_k, made=made.delta_k()),
    ]
    for name in "qkv":
        delta = symbols[rf"\delta_{name}"]
        of_delta = by_example(delta, getattr(layer, f"delta_{name}"))
        if f"b_{name}" in traced.gradients:
            bp3 = (*sums, delta)
            items.append(
                _of_parameter("BP3", f"b_{name}", traced, symbols, bp3, made.bias(of_delta))
            )
        bp4 = (delta, transposed(symbols.a_prev))
        items.append(
            _of_parameter("BP4", f"w_{name}", traced, symbols, bp4, made.weight(of_delta, made.x))
        )
    return items


def _of_parameter(
    tag: str,
    name: str,
    traced: LayerTrace,
    symbols: LayerSymbols,
    formula: tuple[str, ...],
    made: Term,
) -> Equation:
    """Return BP3 or BP4 of one parameter."""
    return Equation(symbols.gradient(name), traced.gradients[name], formula, (), tag, made)


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    formula: list[str] = []
    for name in "qkv":
        formula += ["+", transposed(symbols[f"w_{name}"]), symbols[rf"\delta_{name}"]]
    made = _Numbers(traced, symbols).downstream()
    return [downstream_equation(traced, symbols, tuple(formula[1:]), made=made)]


class _Numbers:
    """How single numbers of an attention are made."""

    def __init__(self, traced: LayerTrace, symbols: LayerSymbols) -> None:
        layer = self.layer = traced.layer
        self.x = by_example(symbols.a_prev, traced.a_prev)
        self.nabla_a = by_example(symbols.nabla_a, traced.nabla_a)
        self.q_ = by_example(symbols["q"], layer.q)
        self.k_ = by_example(symbols["k"], layer.k)
        self.v_ = by_example(symbols["v"], layer.v)
        self.o_ = by_example(symbols["o"], layer.o)
        self.A_ = by_example(symbols["A"], layer.attention)
        self.parameters = {
            name: of_all(symbols[name], array) for name, array in traced.parameters.items()
        }
        self.deltas = [
            (name, by_example(symbols[rf"\delta_{name}"], getattr(layer, f"delta_{name}")))
            for name in "qkv"
        ]
        self.size = layer.d // layer.heads  # rows of a head
        self.steps, self.batch = traced.a.shape[-2:]
        self.symbols = symbols

    # -- forward -------------------------------------------------------------------------

    def q(self) -> Term:
        return self._affine("w_q", self.x, "b_q")

    def k(self) -> Term:
        return self._affine("w_k", self.x)

    def v(self) -> Term:
        return self._affine("w_v", self.x, "b_v")

    def a(self) -> Term:
        return self._affine("w_o", self.o_, "b_o")

    def _affine(self, w: str, x: Array, b: str = "") -> Term:
        made: Term = product(self.parameters[w], x)
        return made + self.parameters[b].here if b else made

    def A(self) -> Term:
        h, s, t = own(3)
        seen, sees_some = self._seen()

        def weight(step: Any) -> Term:
            k = Index("k", self.size)
            row = h * self.size + k
            score = Sum(self.k_[row, step] * self.q_[row, t], k) / math.sqrt(self.size)
            made: Term = Call("exp", score)
            return made if seen is None else seen[step, t] * made

        j = Index("s", self.steps)
        share = weight(s) / Sum(weight(j), j)
        return share if sees_some is None else If(sees_some.place_at(t), share, Number(0.0))

    def _seen(self) -> tuple[Array | None, Array | None]:
        """Return which step s is seen by which t, and which t see any; None where all do."""
        earlier = np.tri(self.steps).T
        if self.layer.real_steps is None:
            return (of_all(r"\text{seen}", earlier) if self.layer.causal else None), None
        real = self.layer.real_steps[:, np.newaxis].astype(float)
        all_of = earlier if self.layer.causal else np.ones_like(earlier)
        seen = real * all_of[..., np.newaxis]  # s x t x B
        return by_example(r"\text{seen}", seen), by_example(r"\text{sees}", seen.any(axis=0))

    def o(self) -> Term:
        (i, t), s = own(2), Index("s", self.steps)
        return Sum(self.v_[i, s] * self.A_[i // self.size, s, t], s)

    # -- backward ------------------------------------------------------------------------

    def bias(self, delta: Array) -> Term:
        x, t = Index(EXAMPLE, self.batch), Index("t", self.steps)
        return Sum(delta[own(1)[0], t], x, t)

    def weight(self, delta: Array, inputs: Array) -> Term:
        (i, k), x, t = own(2), Index(EXAMPLE, self.batch), Index("t", self.steps)
        return Sum(delta[i, t] * inputs[k, t], x, t)

    def delta_v(self) -> Term:
        (i, s), t = own(2), Index("t", self.steps)
        return Sum(self._nabla_o()[i, t] * self.A_[i // self.size, s, t], t)

    def delta_q(self) -> Term:
        (i, t), s = own(2), Index("s", self.steps)
        made = Sum(self.k_[i, s] * self._delta_S()[i // self.size, s, t], s)
        return made / math.sqrt(self.size)

    def delta_k(self) -> Term:
        (i, s), t = own(2), Index("t", self.steps)
        made = Sum(self.q_[i, t] * self._delta_S()[i // self.size, s, t], t)
        return made / math.sqrt(self.size)

    def downstream(self) -> Term:
        (i, t), found = own(2), []
        for name, delta in self.deltas:
            j = Index("j", self.layer.d)
            found.append(Sum(self.parameters[f"w_{name}"][j, i] * delta[j, t], j))
        return found[0] + found[1] + found[2]

    def _nabla_o(self) -> Array:
        w_o = self.parameters["w_o"].values
        nabla_o = np.einsum("ji,jtb->itb", w_o, self.nabla_a.values)
        return by_example(rf"\nabla {self.symbols['o']}", nabla_o)

    def _delta_S(self) -> Array:
        heads, A = self.layer.heads, self.A_.values
        v, nabla_o = (
            one.values.reshape(heads, self.size, self.steps, self.batch)
            for one in (self.v_, self._nabla_o())
        )
        nabla_A = np.einsum("hisb,hitb->hstb", v, nabla_o)
        delta_S = A * (nabla_A - (A * nabla_A).sum(axis=1, keepdims=True))
        return by_example(self.symbols[r"\delta_S"], delta_S)


EQUATIONS[MultiHeadAttention] = LayerEquations(
    _forward,
    _gradients,
    _downstream,
    delta=no_delta,  # those of q, k and v are in the gradients
)
