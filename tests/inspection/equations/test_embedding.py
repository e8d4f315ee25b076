"""The equations of `Embedding`."""

from __future__ import annotations

import numpy as np

from backprop import Embedding, Network, TimeStep
from tests.inspection.equations.support import dense, lines_of, sections


def test_tokens_come_first():
    layers = [Embedding(3, 2, dtype="float64", rng=1), TimeStep(0), dense(2, 2, "softmax")]
    network = Network(layers, "softmax_cross_entropy", (2,))
    network[0].w[...] = [[1, 2, 3], [4, 5, 6]]
    trace = network.trace(np.array([[2], [0]]), np.array([1]))
    assert trace.nabla_x is None
    assert trace[0].downstream is None
    np.testing.assert_array_equal(trace[0].delta, trace[0].nabla_a)
    text = sections(trace.to_text())
    assert lines_of(text["layer 0, Embedding(3 -> 2): forward"])[1:] == [
        "a⁰ = ⎡2⎤",
        "⎣0⎦",
        "w¹ = ⎡1 2 3⎤",
        "⎣4 5 6⎦",
        "a¹ = w¹ x",
        "= ⎡3 1⎤",
        "⎣6 4⎦",
    ]
    nabla_w = trace[0].nabla_w
    np.testing.assert_array_equal(nabla_w[:, :2], 0)
    np.testing.assert_array_equal(nabla_w[:, 2], trace[0].nabla_a[:, 0, 0])
    assert "δ¹" not in str(trace)  # it is ∂C/∂a¹
    assert "BP4  ∂C/∂w¹ = ∂C/∂a¹ xᵀ" in text["layer 0, Embedding(3 -> 2): backward"]
