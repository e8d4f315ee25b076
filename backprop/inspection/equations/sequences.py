r"""The equations of tokens, positions and attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop.inspection.equations.base import (
    KINDS,
    Item,
    Items,
    Kind,
    Place,
    downstream,
    given,
    over_batch,
    transposed,
)
from backprop.inspection.equations.feedforward import unchanged
from backprop.inspection.typeset import Equation
from backprop.layers.attention import MultiHeadAttention, PositionalEncoding
from backprop.layers.embedding import Embedding

if TYPE_CHECKING:
    from backprop.inspection.record import LayerTrace


def _embedding(t: LayerTrace, p: Place) -> Items:
    words = "Token k picks column k (from 0) of $w$: the product with an x of one 1, at k."
    return [words, *given(t, p), Equation(p("a"), t.a, (p("w"), "x"))]


def _embedding_gradients(t: LayerTrace, p: Place) -> Items:
    words = f"Column k is the sum of ${p.nabla_a}$ where token k stands, 0 for tokens not met."
    return [words, Equation(p.nabla("w"), t.gradients["w"], (p.nabla_a, "x^{T}"), (), "BP4")]


def _positions(t: LayerTrace, p: Place) -> Items:
    waves = t.a - t.a_prev
    return [Equation(p("a"), t.a, (p.a_prev, "+", p("p")), (t.a_prev, "+", waves))]


def _attention(t: LayerTrace, p: Place) -> Items:
    layer, x = t.layer, p.a_prev
    heads = "" if layer.heads == 1 else f", for each of {layer.heads} heads on its own rows"
    words = (
        "Every step asks by its column of $q$; the softmax of its products with the columns of "
        f"$k$, divided by $\\sqrt{{n}}$, n = {layer.d // layer.heads} rows, is its column of $A$: "
        f"how much of every step's $v$ it gets{heads}."
    )
    later = [" A step sees no later ones."] if layer.causal else []
    A = rf"\mathrm{{softmax}}(({p('k')})^{{T}} {p('q')} / \sqrt{{n}})"
    return [
        "".join([words, *later]),
        *given(t, p),
        Equation(p("q"), layer.q, (p("w_q"), x, "+", p("b_q"))),
        Equation(p("k"), layer.k, (p("w_k"), x)),
        Equation(p("v"), layer.v, (p("w_v"), x, "+", p("b_v"))),
        Equation(p("A"), layer.attention, (A,)),
        Equation(p("o"), layer.o, (p("v"), p("A"))),
        Equation(p("a"), t.a, (p("w_o"), p("o"), "+", p("b_o"))),
    ]


def _attention_gradients(t: LayerTrace, p: Place) -> Items:
    layer, sums = t.layer, over_batch(t, "t")
    nabla_o = rf"\nabla {p('o')}"
    words = (
        f"${nabla_o}$ is ${transposed(p('w_o'))}$ ${p.nabla_a}$, and $\\nabla A$ is $v^{{T}}$ "
        f"${nabla_o}$. Column by column the softmax makes of it $\\delta_{{S}}$ = $A$ "
        r"$\odot$ ($\nabla A$ - the sum over the column of $A$ $\odot$ $\nabla A$). BP3 and BP4 "
        "are sums over steps and examples."
    )
    items: list[Item] = [
        words,
        Equation(p.nabla("b_o"), t.gradients["b_o"], (*sums, p.nabla_a), (), "BP3"),
        Equation(p.nabla("w_o"), t.gradients["w_o"], (p.nabla_a, transposed(p("o"))), (), "BP4"),
        Equation(p(r"\delta_v"), layer.delta_v, (nabla_o, transposed(p("A")))),
        Equation(p(r"\delta_q"), layer.delta_q, (p("k"), p(r"\delta_S"), "/", r"\sqrt{n}")),
        Equation(
            p(r"\delta_k"),
            layer.delta_k,
            (p("q"), transposed(p(r"\delta_S")), "/", r"\sqrt{n}"),
        ),
    ]
    for name in "qkv":
        delta = p(rf"\delta_{name}")
        w, b = f"w_{name}", f"b_{name}"
        if b in t.gradients:
            items.append(Equation(p.nabla(b), t.gradients[b], (*sums, delta), (), "BP3"))
        formula = (delta, transposed(p.a_prev))
        items.append(Equation(p.nabla(w), t.gradients[w], formula, (), "BP4"))
    return items


def _attention_downstream(t: LayerTrace, p: Place) -> Items:
    formula: list[str] = []
    for name in "qkv":
        formula += ["+", transposed(p(f"w_{name}")), p(rf"\delta_{name}")]
    return downstream(t, p, tuple(formula[1:]))


KINDS[Embedding] = Kind(_embedding, _embedding_gradients)
KINDS[PositionalEncoding] = Kind(_positions, downstream=unchanged)
KINDS[MultiHeadAttention] = Kind(_attention, _attention_gradients, _attention_downstream)
