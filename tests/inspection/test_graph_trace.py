"""The trace of a graph: a row a node, whatever layers its nodes are."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from backprop import (
    LSTM,
    RNN,
    Flatten,
    MultiHeadAttention,
    Network,
    Parallel,
    Residual,
    Sequential,
    TimeDistributed,
)
from backprop.core.terminal import in_ascii
from backprop.graph import Graph, Input, apply, exp
from backprop.layers import MaxPool2d, Softmax
from tests.graph.examples import ONE, composite, data, residual
from tests.inspection.equations.support import conv, dense, normal, recurrent


def test_the_trace_stays_as_it_was():
    x = Input("x", shape=(3,))
    network = Network(Graph(apply(dense(3, 2), exp(x))), "quadratic")
    data_, y = normal(3, 2), normal(2, 2)
    trace = network.trace(data_, y)
    before = data_.copy(), y.copy()
    data_[...] = y[...] = 0
    np.testing.assert_array_equal(trace["x"].value, before[0])
    np.testing.assert_array_equal(trace.costs[0].y, before[1])


def test_a_graph_traces_containers_and_convolutions_as_nodes():
    x = Input("x", shape=(1, 4, 4))
    c = apply(conv(1, 2, 3, padding=1, activation="tanh"), x)
    inside = [MaxPool2d(2), Flatten(), dense(8, 3, "tanh")]
    h = apply(Sequential(inside), c)
    out = apply(Sequential([dense(3, 2, "softmax")]), h + apply(Residual([dense(3, 3)]), h))
    network = Network(Graph(out), "softmax_cross_entropy")
    x, y = normal(1, 4, 4, 2), np.array([0, 1])
    for trace in (network.trace(x, y), network.trace(x)):
        for name in network.root.names:
            assert name in str(trace)
            assert name in trace.to_markdown()
    trace = network.trace(x, y)
    network.forward(x, training=True)
    np.testing.assert_array_equal(trace["x"].upstream, network.backward(y))
    row = trace["conv2d_1"]
    assert row.labels == ("sigma'(z)",)
    np.testing.assert_array_equal(row.local[0], 1 - row.value**2)
    assert "delta [[" in str(trace)


def test_a_graph_traces_sequences():
    x = Input("x", shape=(2, 3))
    a = apply(Parallel([recurrent(RNN, 2, 1), recurrent(LSTM, 2, 1, reverse=True)]), x)
    a = apply(MultiHeadAttention(2, 1, dtype="float64", rng=1), a)
    out = apply(TimeDistributed(dense(2, 2, "softmax")), a)
    network = Network(Graph(out), "softmax_cross_entropy")
    trace = network.trace(normal(2, 3, 2), np.array([[0, 1], [1, 1], [0, 0]]))
    assert trace["x"].upstream.shape == (2, 3, 2)
    assert "Jacobian" in str(trace)


def test_a_graph_of_several_inputs_and_outputs_is_traced():
    x, y = Input("x", (2,)), Input("y", (3,))
    h = apply(dense(2, 3, "tanh"), x).named("h")
    p = apply(dense(3, 2, "softmax"), h + y).named("p")
    network = Network(Graph([h, p]), ["quadratic", "softmax_cross_entropy"])
    inputs, targets = (normal(2, 4), normal(3, 4)), (normal(3, 4), np.array([0, 1, 1, 0]))
    trace = network.trace(inputs, targets)
    assert [row.name for row in trace.rows] == ["x", "y", "h", "add_1", "p"]
    network.forward(inputs, training=True)
    downstream = network.backward(targets)
    for row, array, gradient in zip(trace.rows, inputs, downstream, strict=False):
        np.testing.assert_array_equal(row.value, array)
        np.testing.assert_array_equal(row.upstream, gradient)
    # The pass enters both outputs below their activations, and h has its part of p's as well.
    assert trace["h"].labels == trace["p"].labels == ("delta",)
    np.testing.assert_array_equal(trace["h"].local[0], network["h"].delta)
    plain = network.trace(inputs)
    h, p = (row.value for row in (plain["h"], plain["p"]))
    network.forward(inputs, training=True)
    found = network.backpropagate((np.ones_like(h), np.ones_like(p)))
    np.testing.assert_array_equal(plain["x"].upstream, found[0])
    for text in (str(trace), trace.to_markdown(), str(plain)):
        assert all(name in text for name in network.root.names)


def test_the_trace_as_text():
    trace = composite().trace(np.array([[0.5]]))
    assert "c     a + b    1.53403    -0.595629  d/da 1          to a -0.595629\n" in str(trace)
    assert "| a | x ** 2 | 0.25 | -1.36043 | d/dx 1 | to x -1.36043 |\n" in trace.to_markdown()
    assert len(trace.to_markdown().splitlines()) == 9
    with pytest.raises(KeyError, match="the trace has no node 'q'"):
        trace["q"]
    with pytest.raises(RuntimeError, match="has no cost"):
        composite().trace(ONE, ONE)


def test_the_trace_of_layers():
    network = residual()
    x, y = data(network, 3)
    trace = network.trace(x, y)
    first, last = trace.rows[1], trace.rows[-1]
    assert (first.labels, last.labels) == (("sigma'(z)",), ("delta",))
    assert last.upstream is None  # canonical: entered below the softmax
    assert network.layers[0].a is None  # it was a copy
    network.forward(x, training=True)
    np.testing.assert_array_equal(network.backward(y), trace["x"].upstream)
    np.testing.assert_array_equal(first.local[0], 1 - network.layers[0].a ** 2)
    np.testing.assert_array_equal(last.local[0], network.layers[-1].delta)
    assert trace["sum"].upstream.shape == trace["sum"].value.shape == (4, 3)
    assert "4 x 3, norm" in str(trace)
    softmax = Network(Graph(apply(Softmax(), exp(Input("x", (3,)))).sum()))
    assert [row.local == () for row in softmax.trace(np.ones((3, 1), np.float32)).rows] == [
        True, False, True, True]  # fmt: skip
    assert "Jacobian" in str(softmax.trace(np.ones((3, 1), np.float32)))


def test_the_trace_leaves_constants_out():
    x = Input("x", (1,))
    row = Network(Graph((2 / x).named("y"))).trace(np.full((1, 1), 4, np.float32))["y"]
    assert row.inputs == ("2", "x")
    assert row.local[0] is row.downstream[0] is None
    assert row.local[1].item() == -0.125
    assert row.local[1].dtype == np.float32


def test_the_trace_of_greek_names_is_aligned_where_it_is_printed_in_ascii(monkeypatch):
    x = Input("ξ", (1,))
    network = Network(Graph((exp(x) * x).named("δ₁"))).astype("float64")
    trace = network.trace(np.array([[0.5]]))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    head, rule, *lines = str(trace).splitlines()
    assert set(rule) == {"-"}
    for title in ("value", "upstream", "local", "downstream"):
        at = head.index(title)  # where a cell begins two spaces are before it
        assert all(line[at - 2 : at].strip() == "" for line in lines), (title, lines)
    assert lines[0].split()[0] == in_ascii("ξ")


def test_the_norm_of_numbers_whose_squares_float32_has_not():
    x = Input("x", shape=(9,))
    network = Network(Graph((x * 1e-30).named("y")))
    text = str(network.trace(np.ones((9, 1), np.float32)))
    assert "9 x 1, norm 3e-30" in text
