"""The equations of attention."""

from __future__ import annotations

from backprop import Flatten, MultiHeadAttention, Tanh
from tests.inspection.equations.support import check_network, dense, each_network, normal, trace_of

NETWORKS = {
    "attention": (
        lambda: [MultiHeadAttention(2, 2, dtype="float64", rng=1), Flatten(), dense(6, 2)],
        (2, 3),
    ),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


def test_attention_has_its_main_lines():
    layer = MultiHeadAttention(2, 1, causal=True, dtype="float64", rng=1)
    trace = trace_of([Tanh(), layer], normal(2, 3, 1))
    text = trace.to_text()
    for line in (
        "q² = w_q² a¹ + b_q²",
        "A² = softmax((k²)ᵀ q²/√n)",
        "o² = v² A²",
        "a² = wₒ² o² + bₒ²",
        "BP4  ∂C/∂wₒ² = ∇ₐC (o²)ᵀ",
        "δᵥ² = ∇o² (A²)ᵀ",
        "BP4  ∂C/∂wₖ² = δₖ² (a¹)ᵀ",
        "∂C/∂a¹ = (w_q²)ᵀ δ_q² + (wₖ²)ᵀ δₖ² + (wᵥ²)ᵀ δᵥ²",
        "A step sees no later ones.",
    ):
        assert line in text
    assert "δ² =" not in text  # that of q, k, v and a, one above the other
