"""A look through a layer leaves nothing behind, whatever is in it, and whatever goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.layers import BatchNorm, Dense, Dropout, Sequential
from backprop.layers.looks import without_trace
from backprop.network import Network
from tests.cases import CASES, Case, assert_unchanged, snapshot


def chain() -> Network:
    shared = Dense(4, 4, "tanh", dtype="float64", rng=0)
    layers = [shared, BatchNorm(4, dtype="float64"), Dropout(0.4, rng=1), shared]
    return Network([Sequential(layers), Dense(4, 3, dtype="float64", rng=2)], "quadratic")


def both_passes(network: Network, seed: int, upstream: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((4, 5)), rng.random((3, 5))
    network.forward(x, training=True)
    network.backward(y[:, :upstream] if upstream < 5 else y)


@pytest.mark.parametrize("seen", [False, True])
def test_everything_comes_back(seen: bool):
    network = chain()
    if seen:
        both_passes(network, 0, 5)
        network[0].children[0].add_hook("delta", lambda layer: pytest.fail("a hook was called"))
    layers = [network.root, *(layer for _, layer in network.walk())]
    before = [snapshot(layer) for layer in layers]
    nabla = network.nabla.copy()
    given: list[np.ndarray] = []
    with without_trace(network.root):
        for layer in layers:
            if not layer.children:
                layer.parameter_gradients = given.append
        both_passes(network, 1, 5)
        assert network[1].delta is not None
    assert len(given) == 4  # both places of the shared layer, and the others with parameters
    for layer, held in zip(layers, before, strict=True):
        assert_unchanged(layer, held)
    np.testing.assert_array_equal(network.nabla, nabla)
    if seen:
        assert list(network[0].children[0].hooks) == ["delta hook 1"]


def test_a_pass_back_goes_on_after_a_look():
    network, other = chain(), chain()
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((4, 5)), rng.random((3, 5))
    for one in (network, other):
        one.forward(x, training=True)
    with without_trace(network.root):
        network.forward(-x, training=True)
    network.backward(y)
    other.backward(y)
    np.testing.assert_array_equal(network.nabla, other.nabla)
    np.testing.assert_array_equal(  # and the mask that is drawn next is the same
        network.forward(x, training=True), other.forward(x, training=True)
    )


def test_everything_comes_back_after_an_error():
    network = chain()
    both_passes(network, 0, 5)
    layers = [network.root, *(layer for _, layer in network.walk())]
    before = [snapshot(layer) for layer in layers]
    with pytest.raises(Exception, match="target"), without_trace(network.root):
        both_passes(network, 1, 2)
    for layer, held in zip(layers, before, strict=True):
        assert_unchanged(layer, held)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_of_every_layer(case: Case):
    layer, x, nabla_a = case.problem(3)
    before = [(inner, snapshot(inner)) for _, inner in layer.walk()]
    with without_trace(layer):
        for _, inner in layer.walk():
            if not inner.children:
                inner.parameter_gradients = lambda delta: None
        layer.forward(x, training=True)
        layer.backward(nabla_a)
    for inner, held in before:
        assert_unchanged(inner, held)
