"""What is built from one seed draws the same masks and the same noise every time."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import backprop as bp
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    ChannelDropout,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Layer,
    Masked,
    Parallel,
    Reshape,
    Residual,
    Sequential,
    TimeDistributed,
    TransformerBlock,
)


class OwnNoise(Layer):
    """A layer of one's own that draws, and writes no initialize."""

    def __init__(self):
        self.rng = np.random.default_rng()

    def output(self, a_prev, mode):
        return a_prev + self.rng.random(a_prev.shape, np.float32) if mode.training else a_prev * 1

    def downstream(self, delta):
        return delta.copy()


def in_a_list(seed=None):
    return [Dense(4, 4, rng=seed), Dropout(0.5), GaussianNoise(0.1), Dense(4, 2, rng=seed)]


def nested(seed=None):
    inner = Residual([Dense(4, 4, rng=seed), Dropout(0.5), Sequential([ChannelDropout(0.5)])])
    branches = Parallel([Dense(4, 3, rng=seed), Sequential([GaussianNoise(1.0), Dropout(0.2)])])
    return [inner, branches, Dense(7, 2, rng=seed)]


def graph(seed=None):
    x = Input("x", (4,))
    a = apply(Dropout(0.5), apply(Dense(4, 4, rng=seed), x))
    return Graph(apply(Dense(4, 2, rng=seed), apply(Sequential([Dropout(0.4)]), a)))


def sequences(seed=None):
    return [
        Masked([bp.LSTM(3, 4, rng=seed), Dropout(0.5)]),
        TimeDistributed(Sequential([Dense(4, 3, rng=seed), Dropout(0.5)])),
        ChannelDropout(0.5), bp.TimeStep(-1), Dense(3, 2, rng=seed),
    ]  # fmt: skip


def transformer(seed=None):
    block = TransformerBlock(4, 2, 5, dropout=0.5, rng=seed)
    return [Dense(4, 4, rng=seed), Reshape((4, 1)), block, Flatten(), Dense(4, 2, rng=seed)]


BUILDERS = {"list": in_a_list, "nested": nested, "graph": graph, "transformer": transformer}
of_all = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


def outputs(layer, n=3, x=None):
    x = np.linspace(-1, 1, 4 * 50, dtype=np.float32).reshape(4, 50) if x is None else x
    return np.stack([layer.forward(x, training=True) for _ in range(n)])


@of_all
def test_a_network_of_one_seed_draws_the_same(build):
    one, same, other = (bp.Network(build(), "quadratic", rng=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(outputs(one), outputs(same))
    assert (outputs(one) != outputs(other)).any()
    one.initialize(7)
    same.initialize(7)
    np.testing.assert_array_equal(outputs(one), outputs(same))


@of_all
@pytest.mark.parametrize("train", [False, True])
def test_layers_that_are_seeded_one_by_one_make_a_network_that_is(build, train):
    found = []
    for seed in (5, 5, 6):
        network = bp.Network(build(seed), "quadratic")
        if train:
            x = np.random.default_rng(0).standard_normal((4, 20)).astype(np.float32)
            bp.Trainer(network, bp.SGD(), 5, rng=0, progress=False).fit(x, x[:2], 2)
        found.append(outputs(network))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_a_container_alone_draws_the_same_too():
    one, same = (Sequential(nested(5)) for _ in range(2))
    np.testing.assert_array_equal(outputs(one), outputs(same))
    x = np.ones((4, 6, 10), np.float32)
    one, same = (Sequential(sequences(3)) for _ in range(2))
    np.testing.assert_array_equal(outputs(one, x=x), outputs(same, x=x))


@pytest.mark.parametrize("seed", [None, 5])
def test_no_two_layers_draw_from_one_stream(seed):
    blocks = [Residual([Dense(4, 4, rng=1), Dropout(0.5), Dropout(0.5)]) for _ in range(2)]
    network = bp.Network([*blocks, Sequential([Dropout(0.5)]), Sequential([Dropout(0.5)])],
                         input_shape=(4,), rng=seed)  # fmt: skip
    outputs(network, 1)
    masks = [layer.mask for _, layer in network.walk() if isinstance(layer, Dropout)]
    assert len(masks) == 6
    for i, mask in enumerate(masks):
        assert all((mask != other).any() for other in masks[:i])


@pytest.mark.parametrize("own", [7, "generator"])
def test_a_layer_keeps_an_rng_of_its_own(own):
    def make():
        return Dropout(0.5, rng=np.random.default_rng(7) if own == "generator" else own)

    x = np.ones((4, 50), np.float32)
    alone = make().forward(x, training=True)
    for seed in (None, 0, 1):
        layers = [make(), Sequential([make(), Dense(4, 2, rng=0)])]
        network = bp.Network(layers, input_shape=(4,), rng=seed)
        network.forward(x, training=True)
        np.testing.assert_array_equal(network[0].a, alone)
        np.testing.assert_array_equal(network[1].children[0].mask, network[0].mask)


def test_unseeded_layers_still_differ_from_network_to_network():
    first, second = (outputs(bp.Network(in_a_list(), "quadratic")) for _ in range(2))
    assert (first != second).any()
    first, second = (outputs(bp.Network([Dropout(0.5)], input_shape=(4,))) for _ in range(2))
    assert (first != second).any()


def test_the_seed_reaches_layers_of_ones_own():
    one, same, other = (
        bp.Network([Dense(4, 4), Sequential([OwnNoise()]), OwnNoise()], rng=seed)
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(outputs(one), outputs(same))
    assert (outputs(one) != outputs(other)).any()
    assert one[2].rng is not one[1].children[0].rng


@of_all
def test_a_loaded_network_draws_the_same_every_time(build, tmp_path):
    network = bp.Network(build(), "quadratic")
    network.save(tmp_path / "model.npz")
    one, same = (bp.Network.load(tmp_path / "model.npz") for _ in range(2))
    np.testing.assert_array_equal(outputs(one), outputs(same))


def test_a_copy_goes_on_where_the_network_is():
    network = bp.Network(nested(5), "quadratic")
    outputs(network)
    twin, wide = copy.deepcopy(network), network.astype("float64")
    after = outputs(network)
    np.testing.assert_array_equal(outputs(twin), after)
    x = np.linspace(-1, 1, 4 * 50).reshape(4, 50)
    np.testing.assert_array_equal(np.sign(outputs(wide, x=x)), np.sign(after))
