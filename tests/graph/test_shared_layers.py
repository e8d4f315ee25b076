"""One layer in several places of a graph, and parameters that are another layer's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from backprop.gradients.check import assert_gradients
from backprop.gradients.contract import check_layer
from backprop.gradients.numeric import central_difference, relative_error
from backprop.graph import Graph, Input, Node, Variable, apply, sin
from backprop.layers import (
    LSTM,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    Residual,
    Sequential,
)
from backprop.network import Network
from backprop.optimizers import SGD, Adam
from backprop.regularizers import L2
from backprop.training.trainer import Trainer
from tests.training.support import assert_resumes

F8 = {"dtype": "float64"}


def siamese(cost=None) -> Network:
    """Return one chain of layers applied to two inputs, and the difference of the outputs."""
    u, v = Input("u", (3,)), Input("v", (3,))
    tower = Sequential([Dense(3, 4, "tanh", rng=0, **F8), Dense(4, 2, "tanh", rng=1, **F8)])
    return Network(Graph(apply(tower, u).named("left") - apply(tower, v).named("right")), cost)


def three_times(cost=None) -> Network:
    """Return one layer applied to its own output, and that added up."""
    x = Input("x", (3,))
    layer = Dense(3, 3, "tanh", rng=0, **F8)
    one = apply(layer, x).named("one")
    two = apply(layer, one).named("two")
    return Network(Graph(one + apply(layer, sin(two)).named("three")), cost)


def variable(cost=None) -> Network:
    """Return one Variable, as a node of which much is made and in a second node."""
    x = Input("x", (3,))
    w = Variable((3, 3), rng=0, **F8)
    first = apply(w).named("w")
    return Network(Graph(first @ (first @ x) * 0.1 + apply(w) @ sin(x)), cost)


def nested(cost=None) -> Network:
    """Return a layer that stands in a graph, in a chain in it, and in a graph in it."""
    layer = Dense(3, 3, "tanh", rng=0, **F8)
    y = Input("y", (3,))
    inner = Graph(apply(layer, sin(y)) * y)
    x = Input("x", (3,))
    both = apply(layer, x) + apply(Residual([layer, Dense(3, 3, "tanh", rng=1, **F8)]), x)
    return Network(Graph(apply(inner, both) + apply(inner, x)), cost)


def statistics(cost=None) -> Network:
    """Return a batch normalisation and a convolution in two places each."""
    image = Input("image", (2, 4, 4))
    norm, conv = BatchNorm(2, **F8), Conv2d(2, 2, 3, padding=1, activation="tanh", rng=0, **F8)
    h = apply(norm, apply(conv, image))
    return Network(Graph(apply(Flatten(), apply(norm, apply(conv, h)))), cost)


def tied(cost=None) -> Network:
    """Return an autoencoder whose decoders are the encoders transposed, in three branches."""
    x = Input("x", (1, 4, 4))
    encoder = Conv2d(1, 2, 3, activation="tanh", rng=0, **F8)
    decoder = ConvTranspose2d(2, 1, 3, activation="sigmoid", rng=1, **F8).tie("w", encoder)
    code = apply(encoder, x).named("code")
    dense = Dense(8, 3, "tanh", rng=2, **F8)
    back = Dense(3, 8, "tanh", rng=3, **F8).tie("w", dense, transposed=True)
    flat = apply(Flatten(), code)
    again = apply(Sequential([dense, back]), flat) + apply(Dense(8, 8, rng=4, **F8), flat)
    both = apply(Flatten(), apply(decoder, code))
    return Network(Graph([both, again]), cost if cost is None else [cost, cost])


SHARED = [siamese, three_times, variable, nested, statistics, tied]
of_all = pytest.mark.parametrize("make", SHARED)


def data(network: Network, batch: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    draw = lambda shape: rng.standard_normal((*shape, batch))  # noqa: E731
    several = isinstance(network.input_shape[0], tuple)
    x = tuple(map(draw, network.input_shape)) if several else draw(network.input_shape)
    several = isinstance(network.output_shape[0], tuple)
    return x, tuple(map(draw, network.output_shape)) if several else draw(network.output_shape)


def distinct(network: Network) -> list:
    """Return the layers that have parameters, or a state, of their own."""
    return [layer for _, layer in network.walk() if layer.place_of is None]


# -- gradients -------------------------------------------------------------------------------------


@of_all
@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_check(make, training):
    assert_gradients(make(), training=training)
    assert_gradients(make("quadratic"), training=training, regularizer=L2(0.1))


@pytest.mark.parametrize("make", [three_times, variable, nested, statistics])
def test_the_contract_of_a_layer(make):
    assert "gradients" in check_layer(make().root, elements=8)


@of_all
def test_the_gradients_of_all_places_add_up(make):
    """Against central differences, right after the first backward without dC/dx, as in training."""
    network = make("quadratic")
    x, y = data(network, 4)
    network.forward(x, training=True)
    network.backward(y, input_gradient=False)
    nabla = network.nabla.copy()

    def cost(_):
        twin = copy.deepcopy(network)  # running statistics move
        twin.forward(x, training=True)
        return twin.cost_per_example(y).mean()

    assert relative_error(central_difference(cost, network.theta), nabla) <= 1e-7
    network.backward(y)  # a second time nothing is added
    np.testing.assert_allclose(network.nabla, nabla, rtol=1e-13, atol=1e-16)


def test_the_places_of_a_layer_are_its_unrolled_copies():
    network = three_times()
    x, _ = data(network, 4)
    network.forward(x, training=True)
    upstream = np.random.default_rng(1).standard_normal((3, 4))
    downstream = network.backpropagate(upstream)
    at = Input("x", (3,))
    one, two, three = (copy.deepcopy(network["one"]) for _ in range(3))
    first = apply(one, at)
    apart = Network(Graph(first + apply(three, sin(apply(two, first)))))
    apart.forward(x, training=True)
    np.testing.assert_allclose(apart.backpropagate(upstream), downstream, rtol=1e-13)
    total = one.nabla + two.nabla + three.nabla
    np.testing.assert_allclose(network.nabla, total, rtol=1e-13)
    for name, layer in (("one", one), ("two", two), ("three", three)):  # state is kept by place
        for what in ("a_prev", "z", "a", "delta"):
            found = getattr(network[name], what)
            np.testing.assert_allclose(found, getattr(layer, what), rtol=1e-13, atol=1e-16)


@of_all
def test_parameters_are_counted_once(make):
    network = make()
    sizes = [layer.theta.size for layer in distinct(network) if not layer.children]
    assert network.n_parameters == network.theta.size == sum(sizes)
    network.theta[...] = np.arange(network.n_parameters) / 100
    for _, layer in network.walk():
        if layer.place_of is not None:
            for name in layer.place_of._sizes:
                mine, there = getattr(layer, name), getattr(layer.place_of, name)
                assert np.shares_memory(mine, there)
                np.testing.assert_array_equal(mine, there)


def test_a_hook_on_one_place_is_called_for_that_place():
    network = three_times("quadratic")
    x, y = data(network, 4)
    seen = []
    network["two"].add_hook("delta", lambda layer: seen.append(layer))
    network["three"].add_hook("delta", lambda layer: layer.delta.fill(0))
    network.forward(x, training=True)
    network.backward(y)
    assert seen == [network["two"]]
    np.testing.assert_array_equal(network["two"].delta, 0)  # it has its gradient from three alone
    assert np.abs(network["one"].delta).max() > 0


def test_a_backward_hook_on_the_graph_sees_the_sum():
    network = siamese("quadratic")
    x, y = data(network, 4)
    seen = []
    network.root.add_hook("backward", lambda graph: seen.append(graph.nabla.copy()))
    network.forward(x, training=True)
    network.backward(y)
    np.testing.assert_array_equal(seen, [network.nabla])


@pytest.mark.parametrize("place", ["one", "two", "three"])
def test_what_is_frozen_in_one_place_is_frozen_in_all(place):
    network = three_times("quadratic")
    x, y = data(network, 4)
    network.forward(x, training=True)
    network.backward(y)
    whole = network.nabla.copy()
    network[place].trainable = False
    assert [network[name].trainable for name in ("one", "two", "three")] == [False] * 3
    before = network.theta.copy()
    Trainer(network, Adam(), 2, rng=0, progress=False).fit(x, y, 2)
    np.testing.assert_array_equal(network.theta, before)
    network["one"].add_hook("backward", lambda layer: None)  # now somebody looks: all places count
    network.forward(x, training=True)
    network.backward(y)
    np.testing.assert_allclose(network.nabla, whole, rtol=1e-13)


def test_running_statistics_are_one_for_all_places():
    network = statistics()
    first, second = (layer for layer in network.layers if isinstance(layer, BatchNorm))
    x, _ = data(network, 6)
    for twin in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network)),
                 network.astype("float64"), Network.from_config(network.config())):  # fmt: skip
        first, second = (layer for layer in twin.layers if isinstance(layer, BatchNorm))
        assert second.place_of is first
        assert first.running_mean is second.running_mean
        before = first.running_mean.copy()
        twin.forward(x, training=True)
        assert not np.array_equal(second.running_mean, before)
        np.testing.assert_array_equal(first.running_mean, second.running_mean)


# -- files, copies, training -----------------------------------------------------------------------


@of_all
def test_save_load_and_copies(make, tmp_path):
    network = make("quadratic")
    x, y = data(network, 5)
    network.forward(x, training=True)
    network.theta += 0.01
    network.save(tmp_path / "network.npz")
    loaded = Network.load(tmp_path / "network.npz")
    assert loaded.config() == network.config()
    assert loaded.n_parameters == network.n_parameters
    network.forward(x, training=True)
    network.backward(y)
    nabla = network.nabla.copy()
    for twin in (loaded, copy.deepcopy(network), copy.copy(network),
                 pickle.loads(pickle.dumps(network)), network.astype("float64"),
                 pickle.loads(pickle.dumps(copy.deepcopy(loaded)))):  # fmt: skip
        twin.forward(x, training=True)
        twin.backward(y)
        np.testing.assert_array_equal(twin.nabla, nabla)
        assert len(distinct(twin)) == len(distinct(network))
        before = twin.evaluate(x, y)
        twin.theta *= 1.5
        assert twin.evaluate(x, y) != before
    np.testing.assert_array_equal(network.nabla, nabla)
    single = network.astype("float32")
    assert single.n_parameters == network.n_parameters
    assert {layer.dtype for _, layer in single.walk()} <= {np.dtype("float32"), None}
    x32 = tuple(one.astype("f4") for one in x) if isinstance(x, tuple) else x.astype("f4")
    single.forward(x32, training=True)


@of_all
def test_initialisation_is_that_of_the_layers_by_themselves(make):
    network, other = make(), make()
    network.initialize(7)
    assert not np.array_equal(network.theta, other.theta)
    other.initialize(7)
    np.testing.assert_array_equal(network.theta, other.theta)


@of_all
def test_training_and_resuming(make, tmp_path):
    def trainer():
        return Trainer(make("quadratic"), Adam(0.01), 5, L2(0.01), rng=3, progress=False)

    x, y = data(trainer().network, 20)
    y = tuple(0.1 * one for one in y) if isinstance(y, tuple) else 0.1 * y
    whole, _, _ = assert_resumes(trainer, x, y, tmp_path / "checkpoint.npz", 8, 3)
    costs = whole.history["training_cost"]
    if make is not statistics:  # whose running statistics are those of neither place
        assert costs[-1] < costs[0]


def test_a_dropout_in_two_places_draws_two_masks_of_one_generator():
    x = Input("x", (50,))
    drop = Dropout(0.5, rng=0)
    network = Network(Graph([apply(drop, x).named("one"), apply(drop, x * 1.0).named("two")]))
    one, two = network.forward(np.ones((50, 4), np.float32), training=True)
    assert not np.array_equal(one, two)
    rng = Dropout(0.5, rng=0)
    for expected in (one, two):
        np.testing.assert_array_equal(rng.forward(np.ones((50, 4), np.float32), True), expected)
    twin = copy.deepcopy(network)
    assert twin["one"].rng is twin["two"].rng


def test_a_recurrent_layer_keeps_the_state_of_each_place():
    x = Input("x", (2, 5))
    layer = LSTM(2, 2, rng=0, **F8)
    network = Network(Graph(apply(layer, x).named("one") + apply(layer, apply(layer, x)) * 2))
    assert network.n_parameters == layer.n_parameters
    assert_gradients(network)


def test_the_summary_says_what_is_shared():
    lines = three_times().summary().split("\n")
    (line,) = (line for line in lines if line.startswith("two"))
    assert " ".join(line.split()) == (
        "two Dense(3 -> 3, tanh)(one) (in another place: Dense(3 -> 3, tanh)) 3 x B 0"
    )
    assert lines[-1].startswith("12 parameters")


# -- what goes wrong ---------------------------------------------------------------------------


def test_copies_of_layers_that_are_tied_to_each_other():
    one, other = Dense(3, 3, rng=0, **F8), Dense(3, 3, rng=1, **F8)
    one.tie("w", other)
    other.tie("b", one)
    x = Input("x", (3,))
    network = Network(Graph(apply(one, x) * apply(other, x)), "quadratic")
    assert_gradients(network)
    for pair in (copy.deepcopy([one, other]), pickle.loads(pickle.dumps([other, one]))):
        first, second = sorted(pair, key=lambda layer: "w" not in layer.ties)
        assert first.ties["w"].layer is second
        assert np.shares_memory(first.w, second.w)
        assert np.shares_memory(first.b, second.b)
        np.testing.assert_array_equal(first.w, one.w)
    alone = copy.deepcopy(other)
    np.testing.assert_array_equal(alone.b, one.b)
    np.testing.assert_array_equal(alone.forward(np.ones((3, 1))), other.forward(np.ones((3, 1))))


def test_one_place_alone_in_another_dtype():
    network = three_times()
    for layer in (network["two"], copy.deepcopy(network["three"])):
        single = layer.astype("float32")
        assert single.dtype == single.w.dtype == single.nabla_w.dtype == np.float32
        assert single.forward(np.ones((3, 1), np.float32)).dtype == np.float32
        np.testing.assert_allclose(single.w, network["one"].w, rtol=1e-6)
    assert network["two"].w.dtype == network["one"].w.dtype == np.float64
    assert_gradients(network["two"])


def test_a_layer_tied_outside_the_network_cannot_be_saved(tmp_path):
    other = Dense(3, 3, rng=0)
    network = Network(Graph(apply(Dense(3, 3).tie("w", other), Input("x", (3,)))))
    with pytest.raises(ValueError, match=r"its w is tied to .*, which is no part of the network"):
        network.save(tmp_path / "network.npz")


def test_a_step_moves_what_is_shared_once():
    network = three_times("quadratic")
    x, y = data(network, 4)
    before = network.theta.copy()
    network.forward(x, training=True)
    network.backward(y)
    Trainer(network, SGD(0.5), 4, shuffle=False, progress=False).fit(x, y)
    np.testing.assert_allclose(network.theta, before - 0.5 * network.nabla, rtol=1e-12)


def test_the_same_node_and_the_same_layer_are_two_things():
    """A node used twice is one value; a layer applied twice is two, with one set of numbers."""
    x = Input("x", (3,))
    layer = Dense(3, 3, rng=0, **F8)
    node: Node = apply(layer, x)
    once = Network(Graph(node + node))
    assert len(once) == 2
    twice = Network(Graph(apply(layer, x) + apply(layer, x)))
    assert len(twice) == 3
    at, upstream = np.ones((3, 2)), np.ones((3, 2))
    found = []
    for network in (copy.deepcopy(twice), Network(Graph(node + node))):
        network.forward(at, training=True)
        network.backpropagate(upstream)
        found.append(network.nabla)
    np.testing.assert_allclose(*found, rtol=1e-14)
