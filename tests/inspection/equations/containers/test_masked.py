"""The equations of `Masked`."""

from __future__ import annotations

import numpy as np

from backprop import RNN, Embedding, Network, Tanh, TimeDistributed, TimeStep
from backprop.layers import Masked
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
