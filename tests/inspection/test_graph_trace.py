"""The trace of a graph whose nodes are layers of other kinds."""

from __future__ import annotations

import numpy as np

from backprop import (
    LSTM,
    RNN,
    Flatten,
    MultiHeadAttention,
    Parallel,
    Residual,
    Sequential,
    TimeDistributed,
)
from backprop.graph import Graph, Input, apply
from backprop.layers import MaxPool2d
from tests.inspection.equations.support import conv, dense, normal, recurrent


def test_a_graph_traces_containers_and_convolutions_as_nodes():
    x = Input("x", shape=(1, 4, 4))
    c = apply(conv(1, 2, 3, padding=1, activation="tanh"), x)
    inside = [MaxPool2d(2), Flatten(), dense(8, 3, "tanh")]
    h = apply(Sequential(inside), c)
    out = apply(Sequential([dense(3, 2, "softmax")]), h + apply(Residual([dense(3, 3)]), h))
    graph = Graph(out, "softmax_cross_entropy")
    x, y = normal(1, 4, 4, 2), np.array([0, 1])
    for trace in (graph.trace(x, y), graph.trace(x)):
        for name in graph.names:
            assert name in str(trace)
            assert name in trace.to_markdown()
    trace = graph.trace(x, y)
    graph.forward(x, training=True)
    np.testing.assert_array_equal(trace["x"].upstream, graph.backward(y))
    row = trace["conv2d_1"]
    assert row.labels == ("sigma'(z)",)
    np.testing.assert_array_equal(row.local[0], 1 - row.value**2)
    assert "delta [[" in str(trace)


def test_a_graph_traces_sequences():
    x = Input("x", shape=(2, 3))
    a = apply(Parallel([recurrent(RNN, 2, 1), recurrent(LSTM, 2, 1, reverse=True)]), x)
    a = apply(MultiHeadAttention(2, 1, dtype="float64", rng=1), a)
    out = apply(TimeDistributed(dense(2, 2, "softmax")), a)
    graph = Graph(out, "softmax_cross_entropy")
    trace = graph.trace(normal(2, 3, 2), np.array([[0, 1], [1, 1], [0, 0]]))
    assert trace["x"].upstream.shape == (2, 3, 2)
    assert "Jacobian" in str(trace)
