"""A graph is a layer: in chains, in other containers, and in other graphs."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from backprop.gradients.check import assert_gradients
from backprop.gradients.contract import check_layer
from backprop.graph import Graph, Input, apply, concatenate, cos, sin
from backprop.layers import (
    GRU,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Masked,
    MaxPool2d,
    Parallel,
    Residual,
    Sequential,
    ShapeError,
    TimeDistributed,
)
from backprop.network import Network
from backprop.optimizers import Adam
from backprop.training.trainer import Trainer

F8 = {"dtype": "float64"}


def gated(n: int = 4, last: str | None = None) -> Graph:
    """Return tanh(w x + b) * sigma(w x + b) + sin x, or a layer of that."""
    x = Input("x", (n,))
    h = apply(Dense(n, n, "tanh", rng=0, **F8), x) * apply(Dense(n, n, rng=1, **F8), x)
    y = (h + sin(x)).named("h")
    return Graph(y if last is None else apply(Dense(n, n, last, rng=2, **F8), y).named("last"))


def images() -> Graph:
    """Return two convolutions of an image, one above the other, and pooled."""
    x = Input("x", (1, 4, 4))
    maps = [apply(Conv2d(1, 2, 3, padding=1, activation="tanh", rng=k, **F8), x) for k in range(2)]
    return Graph(apply(MaxPool2d(2), concatenate(*maps) * 0.5))


def deep() -> Graph:
    """Return a graph in a graph in a graph, with a container and a chain between."""
    y = Input("y", (4,))
    middle = Graph(apply(Sequential([gated(), Dense(4, 4, "tanh", rng=3, **F8)]), y) + cos(y))
    x = Input("x", (4,))
    return Graph(apply(middle, apply(Residual([gated()]), x)) * x)


def two_inputs() -> Graph:
    """Return a graph in which another one of two inputs is a node."""
    u, v = Input("u", (4,)), Input("v", (4,))
    product = Graph((u * apply(Dense(4, 4, "tanh", rng=5, **F8), v)).named("product"))
    x = Input("x", (4,))
    return Graph(apply(product, x, sin(x)) + apply(product, cos(x), x))


LAYERS = {
    "graph": lambda: gated(),
    "graph, softmax": lambda: gated(last="softmax"),
    "sequential": lambda: Sequential([Dense(4, 4, "tanh", **F8), gated(), gated(last="elu")]),
    "residual": lambda: Residual([gated(), gated()]),
    "parallel": lambda: Parallel([gated(), gated(last="tanh"), Dense(4, 4, rng=6, **F8)], "concat"),
    "sum": lambda: Parallel([gated(), gated(last="tanh")], "sum"),
    "deep": deep,
    "two inputs": two_inputs,
    "normalised": lambda: Sequential([gated(), BatchNorm(4, **F8), gated(last="sigmoid")]),
}
IMAGES = {
    "images": images,
    "images, flat": lambda: Sequential([images(), Flatten(), Dense(16, 3, "softmax", **F8)]),
}
SEQUENCES = {
    "time distributed": lambda: TimeDistributed(gated()),
    "time distributed, softmax": lambda: TimeDistributed(gated(last="softmax")),
}
of_all = pytest.mark.parametrize("name", LAYERS)


@of_all
def test_the_contract_of_a_layer(name):
    held = check_layer(LAYERS[name](), (4,), elements=20)
    assert "gradients" in held
    assert ("delta" in held) == (LAYERS[name]().output_activation is not None)


@pytest.mark.parametrize("name", IMAGES)
def test_the_contract_with_images(name):
    assert "gradients" in check_layer(IMAGES[name](), (1, 4, 4), elements=12)


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_contract_with_sequences(name):
    assert "gradients" in check_layer(SEQUENCES[name](), (4, 3), elements=12)


@of_all
def test_networks(name, tmp_path):
    """A chain with it is trained, saved, loaded, copied, and predicts in batches."""
    network = Network([LAYERS[name](), Dense(4, 2, "softmax", rng=9, **F8)] if name != "parallel"
                      else [LAYERS[name](), Dense(12, 2, "softmax", rng=9, **F8)],
                      "softmax_cross_entropy", (4,))  # fmt: skip
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 40)), rng.integers(2, size=40)
    assert_gradients(network, x=x[:, :3], y=y[:3], elements=15)
    history = Trainer(network, Adam(0.02), 8, rng=0, progress=False).fit(x, y, 15)
    assert history["training_cost"][-1] < history["training_cost"][0]
    np.testing.assert_allclose(network.predict(x, 7), network.forward(x), rtol=1e-13)
    network.save(tmp_path / "network.npz")
    loaded = Network.load(tmp_path / "network.npz")
    for twin in (loaded, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        np.testing.assert_array_equal(twin.predict(x), network.predict(x))
        assert [part for part, _ in twin.walk()] == [part for part, _ in network.walk()]
    assert network.astype("float32").predict(x.astype("f4")).dtype == np.float32
    assert network.summary().count("Graph(") == str([layer.config() for layer in network.layers]
                                                   ).count("'class': 'Graph'")  # fmt: skip


def test_a_graph_is_what_its_nodes_are_in_a_chain():
    first, second = Dense(4, 5, "tanh", rng=0, **F8), Dense(5, 3, "softmax", rng=1, **F8)
    plain = Network(copy.deepcopy([first, second]), "softmax_cross_entropy")
    x = Input("x", (4,))
    nested = Network([Graph(apply(first, x)), Graph(apply(second, Input("h", (5,))))],
                     "softmax_cross_entropy")  # fmt: skip
    assert nested.canonical
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 6)), np.arange(6) % 3
    found = []
    for network in (plain, nested):
        network.forward(x, training=True)
        found.append((network.backward(y), network.nabla, network.evaluate(x, y)["cost"]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(nested[1].delta, plain[1].delta)
    np.testing.assert_array_equal(nested[1][0].delta, plain[1].delta)


def nested_network() -> Network:
    inner = gated(last="tanh")
    layers: list[Layer] = [Dense(4, 4, "tanh", rng=7, **F8), Residual([inner])]
    return Network([*layers, Dense(4, 2, "softmax", rng=8, **F8)], "softmax_cross_entropy")


def test_hooks_at_any_depth():
    """Of a node inside a graph inside a container inside a chain, at its moments."""
    network = nested_network()
    inner = network[1].children[0]
    node = inner["last"]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 5)), np.arange(5) % 2
    network.forward(x, training=True)
    network.backward(y)
    plain = network.nabla.copy()
    seen = []
    hooks = [node.add_hook(moment, lambda layer, moment=moment: seen.append((moment, layer)))
             for moment in ("forward", "delta", "backward")]  # fmt: skip
    hooks.append(inner["h"].add_hook("delta", lambda layer: seen.append(("delta", layer))))
    network.forward(x, training=True)
    network.backward(y)
    np.testing.assert_array_equal(network.nabla, plain)
    assert seen == [("forward", node), ("delta", node), ("backward", node), ("delta", inner["h"])]
    network.predict(x)
    network.evaluate(x, y)
    network.trace(x, y)
    twin = pickle.loads(pickle.dumps(network))
    twin.forward(x, training=True)
    assert len(seen) == 4  # what keeps nothing calls none, and copies have none
    for hook in hooks:
        hook.remove()
    with node.add_hook("delta", lambda layer: layer.delta.fill(0)):
        network.forward(x, training=True)
        network.backward(y)
    np.testing.assert_array_equal(inner.nabla, 0)  # all of it lies below
    assert np.abs(network[0].nabla).max() > 0  # the way past it
    np.testing.assert_array_equal(network[2].nabla, plain[-network[2].n_parameters :])


def test_a_hook_on_the_graph_changes_what_its_nodes_are_given():
    network = nested_network()
    inner = network[1].children[0]
    x, y = np.random.default_rng(0).standard_normal((4, 5)), np.arange(5) % 2
    network.forward(x, training=True)

    def double(layer):
        layer.delta = 2 * layer.delta

    network.backward(y)
    plain = inner.nabla.copy()
    with inner.add_hook("delta", double):
        network.forward(x, training=True)
        network.backward(y)
    np.testing.assert_allclose(inner.nabla, 2 * plain, rtol=1e-13)


def test_keep_takes_no_statistics_and_draws_nothing():
    x = Input("x", (4,))
    noisy = Graph(apply(Dropout(0.5, rng=0), apply(BatchNorm(4, **F8), x)) * sin(x))
    network = Network([gated(), Residual([noisy]), Dense(4, 2, rng=3, **F8)])
    network.forward(np.random.default_rng(1).standard_normal((4, 9)), training=True)
    before = pickle.dumps(network.state()), network.root.children[1].children[0][1].rng
    state = before[1].bit_generator.state
    at = np.random.default_rng(2).standard_normal((4, 3))
    np.testing.assert_array_equal(network.forward(at, keep=True), network.predict(at))
    network.backpropagate(np.ones((2, 3)))
    assert pickle.dumps(network.state()) == before[0]
    assert before[1].bit_generator.state == state
    assert_gradients(network, training=False)


def test_a_graph_with_a_recurrent_layer_takes_a_mask():
    x = Input("x", (2, 5))
    graph = Graph(apply(GRU(2, 3, rng=0, **F8), x) * 2.0)
    assert graph.takes_mask
    network = Network([Masked([graph, TimeDistributed(Dense(3, 2, rng=1, **F8))])],
                      input_shape=(3, 5))  # fmt: skip
    rng = np.random.default_rng(0)
    sequences = rng.standard_normal((3, 5, 4))
    sequences[-1] = 1
    sequences[-1, 3:, 1:] = 0
    a = network.forward(sequences)
    sequences[:2, 3:, 1:] = 7  # what stands in the padding has no effect
    np.testing.assert_array_equal(network.forward(sequences), a)
    sequences[:2, 3:, 1:] = 0
    assert_gradients(network, x=sequences, elements=20)
    with pytest.raises(ShapeError, match="graph: expected input x of shape"):
        graph.forward(np.ones((2, 4, 3)))


def test_a_frozen_graph_stays_as_it_is():
    network = nested_network()
    inner = network[1].children[0]
    inner.trainable = False
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 20)), rng.integers(2, size=20)
    before, others = inner.theta.copy(), network[0].theta.copy()
    Trainer(network, Adam(), 5, rng=0, progress=False).fit(x, y, 2)
    np.testing.assert_array_equal(inner.theta, before)
    assert not np.array_equal(network[0].theta, others)
    assert "frozen" in network.summary()
    assert not Network.from_config(network.config())[1].trainable


def test_errors_name_the_place():
    with pytest.raises(ShapeError, match=r"layer 1, Graph\(x -> h, 6 nodes\), expects shape"):
        Network([Dense(3, 5, **F8), gated()])
    x = Input("x", (3,))
    with pytest.raises(ShapeError, match=r"^node Graph\(x -> h, 6 nodes\)\(x\): expected \(4,\)"):
        apply(gated(), x)
    both = Graph(Input("a", (3,)) + Input("b", (3,)))
    with pytest.raises(TypeError, match="takes 2 inputs, got 1"):
        apply(both, x)
    with pytest.raises(TypeError, match="at least one input must be a node, got 2"):
        apply(both, x, 2.0)
