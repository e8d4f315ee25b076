"""The equations of `Masked`."""

from __future__ import annotations

import numpy as np

from backprop import RNN, Embedding, Network, Tanh, TimeDistributed, TimeStep
from backprop.layers import BatchNorm, GlobalAvgPool, GroupNorm, Masked, Parallel
from tests.inspection.equations.support import (
    check_network,
    check_numbers,
    dense,
    each_network,
    normal,
    recurrent,
)

NETWORKS = {
    "masked": (lambda: [Masked([Tanh(), recurrent(RNN, 1, 2)]), TimeStep(), dense(2, 1)], (2, 3)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    x = normal(*shape, batch)
    x[-1] = 1
    x[-1, 1:, 0] = 0
    check_network(make(), x)


def test_steps_without_a_label_cost_nothing():
    layers = [Masked([Embedding(3, 2, dtype="float64", rng=1), recurrent(RNN, 2, 2)])]
    layers.append(TimeDistributed(dense(2, 2, "softmax")))
    network = Network(layers, "softmax_cross_entropy", (2,))
    x, y = np.array([[2, 1], [0, -1]]), np.array([[1, 0], [0, -1]])
    trace = network.trace(x, y)
    text = trace.to_text()
    assert "Where the token is -1 a step is padding; the chain is given token 0 there." in text
    assert "Steps whose label is -1 cost nothing." in text
    assert "BP1  δ²·¹ = (a²·¹ − y) / B\n" in text
    np.testing.assert_array_equal(trace[1].children[0].delta[:, 3], 0)
    np.testing.assert_array_equal(trace[0].children[0].a_prev, [[2, 1], [0, 0]])
    assert trace.nabla_x is None
    check_numbers(trace)


def test_layers_say_that_they_are_over_real_steps():
    f8 = {"dtype": "float64"}
    layers = [BatchNorm(2, **f8), GroupNorm(1, 2, **f8), Parallel([GlobalAvgPool(), TimeStep(-2)])]
    x = normal(3, 4, 2)
    x[-1] = [[1, 1], [1, 1], [1, 0], [0, 0]]
    network = Network([Masked(layers)], "quadratic", (3, 4))
    trace = network.trace(x, normal(4, 2))
    check_numbers(trace)
    text = " ".join(trace.to_text().split())
    assert "over all places and examples of a feature, its real steps only; " in text
    assert "of a group at all places of an example, its real steps only; " in text
    assert "The mean of every channel over the real ones of its 4 places." in text
    assert "t is, of every sequence, the real step 2 from its end." in text
    mean = trace[0].children[2].children[0].a
    np.testing.assert_allclose(mean[:, 1], trace[0].children[1].a[:, :2, 1].mean(axis=1))
