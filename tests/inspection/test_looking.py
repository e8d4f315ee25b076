"""Looking changes nothing: no running statistic, no mask, no generator, nothing that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from backprop import BatchNorm, Dropout, Network, plots
from backprop.gradients.check import check_gradients
from backprop.gradients.jacobian import jacobian
from backprop.graph import Graph, Input, apply
from tests.cases import CASES, NETWORK_CASES, assert_unchanged, snapshot
from tests.support import dense


@contextmanager
def unchanged(network: Network) -> Iterator[None]:
    """Check that within this the network, and every layer in it, stays as it was to the bit."""
    state, before = network.state(), [snapshot(layer) for _, layer in network.root.walk()]
    yield
    after = network.state()
    assert after.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name, strict=True)
    for (_, layer), kept in zip(network.root.walk(), before, strict=True):
        assert_unchanged(layer, kept)


def trained(case) -> tuple[Network, np.ndarray, np.ndarray]:
    """Return a network of the layer after passes of training, an input, and targets."""
    layer, x, _ = case.problem(3)
    network = Network([layer], "quadratic", x.shape[:-1]).astype("float64")
    y = np.random.default_rng(0).random((*network.root.output_shape(x.shape[:-1]), 3))
    for _ in range(2):
        network.forward(x, training=True)
        network.backward(y)
    return network, x, y


@pytest.mark.parametrize("case", CASES, ids=str)
def test_looking_at_a_layer_changes_nothing(case):
    network, x, y = trained(case)
    truncated = any(getattr(layer, "truncate", None) for _, layer in network.walk())
    with unchanged(network):
        network.trace(x, y).to_text()
        repr(network)
        network.summary()
        network.evaluate(x, y)
        network.predict(x)
        if not truncated:
            for training in (True, False):
                check_gradients(network, x, y, training=training, elements=2)
                check_gradients(network[0], x, training=training, elements=2)
        if not network.root.integer_input:
            jacobian(network, x[..., 0])
            jacobian(network[0], x[..., 0])


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_looking_at_a_network_changes_nothing(case):
    network, x, y = case.problem(3)
    network.forward(x, training=True)
    network.backward(y)
    with unchanged(network):
        str(network.trace(x, y))
        check_gradients(network, x, y, elements=2)
        check_gradients(network, x, y, elements=2, training=False)


def test_a_diagram_changes_nothing():
    network = Network([dense(3, 4), Dropout(0.5, rng=1), dense(4, 2)], "quadratic")
    network.forward(np.ones((3, 2)), training=True)
    network.backward(np.zeros((2, 2)))
    x, y = np.ones((3, 1)), np.zeros((2, 1))
    with unchanged(network):
        trace = network.trace(x, y)
        before = trace.to_text()
        plots.network_diagram(trace)
        assert trace.to_text() == before


def test_a_trace_with_hooks_and_frozen_layers_leaves_both():
    shared = dense(2, 2)
    network = Network([shared, dense(2, 2, rng=1), shared], "quadratic")
    network[1].trainable = False
    called = []
    network[0].add_hook("delta", called.append)
    network.forward(np.ones((2, 2)), training=True)
    network.backward(np.zeros((2, 2)))
    assert len(called) == 1
    with unchanged(network):
        network.trace(np.ones((2, 1)), np.zeros((2, 1)))
        check_gradients(network, np.ones((2, 1)), np.zeros((2, 1)))
    assert len(called) == 1
    assert list(network[0].hooks) == ["delta hook 1"]
    np.testing.assert_array_equal(network[1].nabla, 0)


def test_looking_at_a_graph_changes_nothing():
    x = Input("x", (3,))
    h = apply(Dropout(0.3, rng=2), apply(BatchNorm(3, dtype="float64"), x))
    network = Network(Graph(apply(dense(3, 2), h) + apply(dense(3, 2, rng=1), x)), "quadratic")
    network.forward(np.ones((3, 4)), training=True)
    network.backward(np.zeros((2, 4)))
    x, y = np.random.default_rng(0).random((3, 4)), np.zeros((2, 4))
    with unchanged(network):
        str(network.trace(x, y))
        str(network.trace(x))
        check_gradients(network, x, y)
        jacobian(network, x[:, 0])
        network.root.tangents(x, np.ones((3, 4)))
