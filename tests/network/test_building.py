"""A network is built of layers that fit, or is refused before any of them is taken over."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import weakref

import numpy as np
import pytest

from backprop.costs import CrossEntropy, Quadratic, SoftmaxCrossEntropy
from backprop.gradients.check import check_gradients
from backprop.layers import (
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    ShapeError,
    Sigmoid,
    Tanh,
)
from backprop.network import Network
from backprop.optimizers import SGD
from backprop.training.trainer import Trainer
from tests.network.support import assert_gradients, data, mixed, small
from tests.support import refusal_of


def test_the_chain_is_checked_when_built():
    layers = [Dense(3, 4), Dropout(0.5), Dense(5, 2)]
    message = (
        "layer 2, Dense(5 -> 2, sigmoid), expects shape (5,), got (4,) from layer 1, Dropout(0.5)"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        Network(layers)
    message = "layer 0, Dense(3 -> 4, sigmoid), expects shape (3,), got (2, 3) from the input"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        Network(layers[:1], input_shape=(2, 3))
    Network(layers[:2])  # nothing was claimed by the networks that failed


def test_input_shape():
    assert Network([Dense(3, 2)]).input_shape == (3,)
    assert Network([Flatten(), Dense(6, 2)], input_shape=[np.int64(2), 3]).input_shape == (2, 3)
    with pytest.raises(ValueError, match=r"^layer 0, Flatten\(\), takes any shape: give input_sha"):
        Network([Flatten(), Dense(6, 2)])
    for wrong in (0, 2.0, "3", -1, True):
        error, message = refusal_of(wrong)
        with pytest.raises(error, match=f"^network: input_shape {message}"):
            Network([Sigmoid()], input_shape=(2, wrong))
    with pytest.raises(ValueError, match="input_shape must not be empty, got"):
        Network([Sigmoid()], input_shape=())
    for wrong in (784, "784"):
        with pytest.raises(TypeError, match="input_shape must be a sequence of integers, got"):
            Network([Sigmoid()], input_shape=wrong)


def test_layers_that_are_none():
    with pytest.raises(ValueError, match=r"^a network needs at least one layer$"):
        Network([])
    with pytest.raises(TypeError, match=r"^a network: layer 1 is no Layer but 'sigmoid'$"):
        Network([Dense(3, 2), "sigmoid"])
    with pytest.raises(TypeError, match=r"0 is no Layer but the class Sigmoid: give Sigmoid"):
        Network([Sigmoid], input_shape=(3,))


def test_a_layer_used_twice_stands_in_two_places():
    layer = Dense(3, 3, dtype="float64", rng=0)
    theta = layer.theta.copy()
    network = Network([layer, Tanh(), layer], "quadratic")
    assert network[0] is layer
    assert network[2] is not layer
    assert network.n_parameters == 12
    np.testing.assert_array_equal(network.theta, theta)
    assert np.shares_memory(network[2].w, layer.w)
    assert not np.shares_memory(network[2].nabla_w, layer.nabla_w)
    assert_gradients(network, *data(network, 3))
    twice = Network([layer, copy.deepcopy(layer)])
    assert twice.n_parameters == 24


def test_a_layer_in_two_networks_belongs_to_the_younger():
    layer = Dense(3, 2, rng=0)
    network = Network([layer], "quadratic")
    x, y = data(network, 4)
    values = layer.theta.copy()
    network.forward(x, training=True)
    younger = Network([Dense(4, 3), layer])
    assert np.shares_memory(layer.w, younger.theta)
    np.testing.assert_array_equal(layer.theta, values)
    message = (
        "network: its layer Dense(3 -> 2, sigmoid) has been built into another network since, and "
        "one layer has one state: build one of the two of copies, copy.deepcopy(layers)"
    )
    trainer = Trainer(copy.copy(network))
    trainer.network = network
    for use in (
        lambda: network.forward(x),
        lambda: network.forward(x, keep=True),
        lambda: network.backward(y),
        lambda: network.backpropagate(y),
        lambda: network.predict(x),
        lambda: network.evaluate(x, y),
        lambda: network.trace(x, y),
        lambda: network.save("nowhere.npz"),
        lambda: check_gradients(network, x, y),
        lambda: trainer.fit(x, y),
    ):
        with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
            use()
    before = copy.copy(network)  # a copy has layers of its own, and is whole
    np.testing.assert_array_equal(before.predict(x), layer.forward(x))
    again = Network([layer], "quadratic")
    np.testing.assert_array_equal(again.theta, values)
    again.evaluate(x, y)
    with pytest.raises(RuntimeError, match="build one of the two of copies"):
        younger.predict(np.ones((4, 2), np.float32))


def test_a_layer_of_a_network_that_is_gone():
    layer = Dense(3, 2, rng=0)
    network = Network([layer])
    values = layer.theta.copy()
    del network
    again = Network([Dense(4, 3), layer])
    assert np.shares_memory(layer.w, again.theta)
    np.testing.assert_array_equal(layer.theta, values)


def test_layers_that_stand_in_containers_are_taken_over_with_their_numbers():
    """Also back again: what a container thought they were is of no account."""
    layer = Dense(3, 3, dtype="float64", rng=0)
    residual = Residual([layer])
    inside = Sequential([residual])
    first = Network([inside, Tanh()], "quadratic")
    x, y = data(first, 2)
    second = Network([layer], "quadratic")
    for lost in (inside, residual):
        with pytest.raises(RuntimeError, match="has been built into something else since"):
            lost.forward(x)
    with pytest.raises(RuntimeError, match="has been built into another network since"):
        first.forward(x)
    second.theta += 1
    values = second.theta.copy()
    third = Network([inside, Tanh()], "quadratic")
    np.testing.assert_array_equal(third.theta, values)
    assert np.shares_memory(layer.w, third.theta)
    np.testing.assert_array_equal(residual.forward(x), x + layer.forward(x))
    assert_gradients(third, x, y)
    with pytest.raises(RuntimeError, match="has been built into another network since"):
        second.forward(x)


@pytest.mark.parametrize("nested", [False, True])
def test_the_cell_of_a_notebook_may_run_twice(nested: bool):
    shared = Dense(4, 4, "tanh", dtype="float64", rng=1)
    layers = [Dense(3, 4, "tanh", dtype="float64", rng=0), shared,
              Residual([shared]) if nested else shared,
              Dense(4, 2, dtype="float64", rng=2)]  # fmt: skip
    found = []
    for _ in range(3):
        network = Network(layers, "quadratic", rng=3)
        x, y = data(network, 20)
        before = network.evaluate(x, y)["cost"]
        Trainer(network, SGD(0.5), rng=0, progress=False).fit(x, y, epochs=3)
        assert network.evaluate(x, y)["cost"] < before
        assert network.n_parameters == 16 + 20 + 10
        found.append(network.theta.copy())
        assert_gradients(network, x, y)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize(
    ("error", "build"),
    [
        (ValueError, lambda layers: Network([*layers, Tanh()], "cross_entropy")),
        (ValueError, lambda layers: Network(layers, "no cost")),
        (ShapeError, lambda layers: Network([*layers, Dense(5, 2, dtype="float64")])),
        (ShapeError, lambda layers: Network(layers, input_shape=(4,))),
        (TypeError, lambda layers: Network([*layers, Dense(2, 2)])),
        (TypeError, lambda layers: Network([*layers, "sigmoid"])),
        (TypeError, lambda layers: Network(layers, rng="no seed")),
        (TypeError, lambda layers: Sequential([*layers, Dense(2, 2)])),
        (TypeError, lambda layers: Residual([*layers, 3])),
        (ValueError, lambda layers: Parallel(layers, "no join")),
    ],
)
def test_building_that_fails_has_taken_nothing(error, build):
    layers = [Dense(3, 4, dtype="float64", rng=0), Dense(4, 2, dtype="float64", rng=1)]
    network = Network(layers, "quadratic")
    x, y = data(network, 3)
    network.forward(x, training=True)
    theta = network.theta.copy()
    with pytest.raises(error):
        build(layers)
    network.backward(y)
    network.theta[...] += 0
    np.testing.assert_array_equal(network.theta, theta)
    assert np.shares_memory(network.theta, layers[1].w)
    assert layers[0].owner is network.root


def test_a_network_and_its_layers_are_freed_at_once():
    """No cycle of references keeps big arrays alive until the collector comes."""
    shared = Dense(3, 3, rng=0)
    decoder = Dense(3, 3).tie("w", shared, transposed=True)
    network = Network([shared, Residual([shared]), BatchNorm(3), decoder], "quadratic")
    network[1].add_hook("forward", print)
    x, y = data(network, 4)
    with network.root.add_hook("delta", lambda layer: None):
        network[1].hooks["forward hook 1"].remove()
        network.forward(x, training=True)
        network.backward(y)
    copies = [copy.deepcopy(network), pickle.loads(pickle.dumps(network)), network.astype(float)]
    dead = [weakref.ref(layer) for net in (network, *copies) for _, layer in net.walk()]
    dead += [weakref.ref(net) for net in (network, *copies)]
    gc.disable()
    try:
        del shared, decoder, network, copies
        assert all(ref() is None for ref in dead)
    finally:
        gc.enable()


def test_mixed_dtypes():
    layers = [Dense(3, 4, dtype="float32"), Tanh(), Dense(4, 2, dtype="float64")]
    message = (
        r"one dtype, got float32 in Dense\(3 -> 4, .* and float64 in Dense\(4 -> 2, sigmoid\)$"
    )
    with pytest.raises(TypeError, match=message):
        Network(layers)


def test_costs_are_checked():
    assert isinstance(Network([Dense(3, 2)], "quadratic").cost, Quadratic)
    with pytest.raises(ValueError, match=r"^Network: unknown cost 'square': choose from .*cross_"):
        Network([Dense(3, 2)], "square")
    with pytest.raises(TypeError, match=r"^Network: cost must be a Cost or its name, got 3$"):
        Network([Dense(3, 2)], 3)
    with pytest.raises(
        ValueError, match=r"takes probabilities that .* Dense\(3 -> 2, tanh\), gives any numbers: "
    ):
        Network([Dense(3, 2, "tanh")], SoftmaxCrossEntropy())


def test_the_cost_may_be_changed():
    network = small("cross_entropy")
    network.cost = Quadratic()
    assert_gradients(network, *data(network, 3))
    network = small("quadratic")
    network.cost = CrossEntropy()
    network[-1].w *= 1e4
    x, y = data(network, 3)
    network.forward(x, training=True)
    network.backward(y)
    np.testing.assert_array_equal(network[-1].delta, (network[-1].a - y) / 3)


def test_from_sizes():
    network = Network.from_sizes([784, 30, 10], rng=0)
    assert [str(layer) for layer in network.layers] == [
        "Dense(784 -> 30, sigmoid)",
        "Dense(30 -> 10, sigmoid)",
    ]
    assert isinstance(network.cost, Quadratic)
    assert network.dtype == np.float32
    assert network.n_parameters == 784 * 30 + 30 + 30 * 10 + 10
    assert (network.input_shape, network.output_shape) == ((784,), (10,))
    assert len(network) == 2
    np.testing.assert_array_equal(network.theta, Network.from_sizes((784, 30, 10), rng=0).theta)
    rng = np.random.default_rng(0)
    by_hand = Network([Dense(784, 30, rng=rng), Dense(30, 10, rng=rng)])
    np.testing.assert_array_equal(network.theta, by_hand.theta)


@pytest.mark.parametrize(
    ("cost", "activation", "output"),
    [
        ("quadratic", "sigmoid", "sigmoid"),
        ("quadratic", "tanh", "tanh"),
        ("quadratic", "relu", "identity"),
        ("mean_squared_error", "gelu", "identity"),
        ("cross_entropy", "relu", "sigmoid"),
        ("softmax_cross_entropy", "tanh", "softmax"),
        (SoftmaxCrossEntropy(0.1), ReLU(), "softmax"),
    ],
    ids=str,
)
def test_the_output_activation_goes_with_the_cost(cost, activation, output):
    network = Network.from_sizes([3, 4, 2], activation, cost)
    assert network[-1].activation.name == output
    assert network[0].activation.name in str(activation).lower()
    chosen = Network.from_sizes([3, 4, 2], activation, "quadratic", "softmax")
    assert chosen[-1].activation.name == "softmax"


@pytest.mark.parametrize("sizes", [[3, 0, 2], [3, -1], [2.0, 3], [3, 2.5], ["3", 2], [True, 2]])
def test_from_sizes_takes_positive_integers(sizes):
    wrong = next(size for size in sizes if type(size) is not int or size < 1)
    error, message = refusal_of(wrong)
    with pytest.raises(error, match=rf"^Dense: n_\w+ {message}"):
        Network.from_sizes(sizes)


@pytest.mark.parametrize("sizes", [[], [784]])
def test_from_sizes_takes_two_sizes_or_more(sizes):
    with pytest.raises(ValueError, match=r"^sizes must hold at least input and output, got "):
        Network.from_sizes(sizes)


def test_initialize():
    layers = [Dense(3, 4, rng=5), Dropout(0.5), Dense(4, 2, rng=6)]
    network = Network(layers, rng=7)
    first = network.theta.copy()
    network.initialize(8)
    assert not np.array_equal(network.theta, first)
    network.initialize(7)
    np.testing.assert_array_equal(network.theta, first)
    twin = Network([Dense(3, 4), Dropout(0.5), Dense(4, 2)], rng=np.random.default_rng(7))
    np.testing.assert_array_equal(twin.theta, first)
    x = np.ones((3, 50), np.float32)
    np.testing.assert_array_equal(network.forward(x, training=True), twin.forward(x, training=True))
    other = Network([Dense(3, 4), Dropout(0.5, rng=1), Dense(4, 2)], rng=7)  # keeps its own
    np.testing.assert_array_equal(other.theta, first)


def test_without_rng_the_layers_keep_their_parameters():
    layer = Dense(3, 2, rng=0)
    values = layer.theta.copy()
    np.testing.assert_array_equal(Network([layer]).theta, values)


def test_layers_are_layers():
    assert all(isinstance(layer, Layer) for layer in mixed().layers)
    assert isinstance(mixed().layers, tuple)
