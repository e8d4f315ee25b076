"""Attention, positions, and the block of transformers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.gradients.check import check_gradients
from backprop.layers import Layer, MultiHeadAttention, PositionalEncoding, TransformerBlock
from tests.cases.base import Case
from tests.cases.containers import chain

CASES = [
    Case(
        "attention",
        lambda dtype: MultiHeadAttention(4, 2, b_init="normal", dtype=dtype, rng=1),
        (4, 3),
    ),
    Case(
        "attention-causal",
        lambda dtype: MultiHeadAttention(3, 1, causal=True, dtype=dtype, rng=2),
        (3, 4),
    ),
    Case("positions", lambda dtype: PositionalEncoding(), (5, 3)),
    Case(
        "transformer",
        lambda dtype: TransformerBlock(4, 2, 3, True, b_init="normal", dtype=dtype, rng=3),
        (4, 3),
    ),
]


def attention(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
    """Return what PyTorch's scaled dot-product attention makes of the layer's q, k and v."""
    d, steps, batch = x.shape

    def joined(w: Any, y: Any) -> Any:
        return torch.einsum("jk,ktb->jtb", w, y)

    def heads(rows: Any) -> Any:
        return rows.reshape(layer.heads, -1, steps, batch).permute(3, 0, 2, 1)

    q = heads(joined(p["w_q"], x) + p["b_q"][:, None])
    k = heads(joined(p["w_k"], x))
    v = heads(joined(p["w_v"], x) + p["b_v"][:, None])
    o = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=layer.causal)
    return joined(p["w_o"], o.permute(1, 3, 2, 0).reshape(d, steps, batch)) + p["b_o"][:, None]


def positions(d: int, steps: int) -> list[list[float]]:
    """Return the waves of `PositionalEncoding`, one number at a time."""
    p = [[0.0] * steps for _ in range(d)]
    for j in range(d):
        for t in range(steps):
            angle = t / 10000 ** (2 * (j // 2) / d)
            p[j][t] = math.cos(angle) if j % 2 else math.sin(angle)
    return p


def _positions(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
    return x + torch.tensor(positions(*x.shape[:2]), dtype=x.dtype)[:, :, None]


PEERS: dict[type, Callable[..., Any]] = {
    MultiHeadAttention: attention,
    PositionalEncoding: _positions,
    TransformerBlock: chain,
}
DRAWN: dict[type, tuple[str, Callable[..., Any]]] = {}


def assert_gradients_with_mask(
    layer: Layer, x: np.ndarray, nabla_a: np.ndarray, mask: np.ndarray
) -> None:
    """Check `backward` after a forward pass with a mask, by the input and all parameters."""
    layers = {kind: layer.astype(kind) for kind in (np.dtype(float), np.dtype(complex))}

    def by_input(x: np.ndarray) -> Any:
        return (nabla_a * layer.forward(x, training=True, mask=mask)).sum()

    def by_theta(theta: np.ndarray) -> Any:
        twin = layers[theta.dtype]
        twin.theta[...] = theta
        return (nabla_a * twin.forward(x.astype(theta.dtype), training=True, mask=mask)).sum()

    layer.forward(x, training=True, mask=mask)
    downstream = layer.backward(nabla_a)
    pairs = [(by_input, x, downstream), (by_theta, layer.theta, layer.nabla.copy())]
    for f, point, gradient in pairs if layer.n_parameters else pairs[:1]:
        report = check_gradients(f, point, gradient=gradient, exact_tolerance=1e-12)
        assert report.passed, str(report)
        assert report.exact_error is not None, str(report)
