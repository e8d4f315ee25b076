"""The equations of `Parallel`."""

from __future__ import annotations

import numpy as np

from backprop import LSTM, RNN, Network, Parallel, Sequential, Tanh
from tests.inspection.equations.support import (
    check_network,
    dense,
    each_network,
    normal,
    recurrent,
    sections,
)

NETWORKS = {
    "parallel-sum": (
        lambda: [dense(2, 2), Parallel([dense(2, 3), Sequential([Tanh(), dense(2, 3)])], "sum")],
        (2,),
    ),
    "parallel-concat": (
        lambda: [dense(2, 2), Parallel([dense(2, 1), dense(2, 2)]), dense(3, 2, "relu")],
        (2,),
    ),
    "both-ways": (
        lambda: [Tanh(), Parallel([recurrent(RNN, 1, 1), recurrent(LSTM, 1, 1, reverse=True)])],
        (1, 3),
    ),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


def test_the_branches_of_parallel():
    x, y = np.array([[1.0]]), np.zeros((2, 1))
    for join in ("concat", "sum"):
        branches = [dense(1, 1, "identity"), dense(1, 2 if join == "sum" else 1, "identity")]
        if join == "sum":
            branches[0] = dense(1, 2, "identity")
        network = Network([dense(1, 1, "identity"), Parallel(branches, join)], "quadratic")
        trace = network.trace(x, y)
        text = sections(trace.to_text())
        name = f"layer 1, Parallel, {join}"
        assert (
            text[f"{name}: forward"] == "Branches, layers 1.0 and 1.1, each of which is given a¹."
        )
        assert "∂C/∂a¹ = (∂C/∂a¹)₂.₁ + (∂C/∂a¹)₂.₂\n" in text[f"{name}: downstream"]
        back = text[f"{name}: backward"]
        if join == "sum":
            assert "a² = a²·¹ + a²·²\n" in text[f"{name}: output"]
            assert back == "A sum hands its gradient to all of its terms."
            continue
        assert "One above the other, from the top: a²·¹, a²·²." in text[f"{name}: output"]
        assert "∂C/∂a²·¹ = row 1 of ∇ₐC\n" in back
        assert "∂C/∂a²·² = row 2 of ∇ₐC\n" in back
        np.testing.assert_array_equal(trace[1].children[1].nabla_a, trace.nabla_a[1:])
