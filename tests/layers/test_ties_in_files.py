"""What is shared in copies, pickles, saved networks and checkpoints."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

from backprop.gradients.check import check_gradients
from backprop.network import Network
from backprop.regularizers import L2
from backprop.training import checkpoint
from tests.layers.shared import (
    assert_shared,
    data,
    dense,
    end,
    sharing,
    step,
    tied_densely,
    trainer_of,
    twice_in_a_chain,
)
from tests.training.support import assert_resumes


def saved(network: Network, path) -> Network:
    network.save(path / "network.npz")
    return Network.load(path / "network.npz")


@sharing
def test_copies_share_as_the_network_does(make, tmp_path):
    network = make()
    x, y = data(network)
    for _ in range(2):
        step(network, x, y)
        network.theta -= 0.1 * network.nabla
    state = network.state()
    twins = {
        "deepcopy": copy.deepcopy(network),
        "copy": copy.copy(network),
        "pickle": pickle.loads(pickle.dumps(network)),
        "load": saved(network, tmp_path),
        "astype": network.astype("float64"),
        "twice": saved(copy.deepcopy(saved(network, tmp_path)), tmp_path),
        "rebuilt": Network(copy.deepcopy(network.root), network.cost, network.input_shape),
    }
    expected = copy.deepcopy(network)
    expected.forward(x, keep=True)
    nabla_x = expected.backward(y)
    for name, twin in twins.items():
        assert_shared(twin)
        assert twin.n_parameters == network.n_parameters, name
        assert twin.summary() == network.summary(), name
        assert twin.config() == network.config(), name
        assert twin.state().keys() == state.keys()
        for key, array in twin.state().items():
            np.testing.assert_array_equal(array, state[key], strict=True)
        np.testing.assert_array_equal(step(twin, x, y, training=False), nabla_x, strict=True)
        np.testing.assert_array_equal(twin.nabla, expected.nabla, strict=True)
        step(twin, x, y)  # which would move statistics, if they came apart, in one place only
        assert_shared(twin)
        assert not np.shares_memory(twin.theta, network.theta)
    for key, array in network.state().items():
        np.testing.assert_array_equal(array, state[key], strict=True)


@sharing
def test_another_dtype(make):
    network = make().astype("float32")
    assert_shared(network)
    x, y = data(network)
    x, y = x.astype("float32"), y.astype("float32")
    step(network, x, y)
    for name, array in network.state().items():  # a variance is a square, and larger than float32
        assert array.dtype == ("float64" if name.endswith("running_variance") else "float32")
    again = network.astype("float64")
    assert_shared(again)
    step(again, x.astype(float), y.astype(float))
    network.forward(x, keep=True)
    network.backward(y)
    again.forward(x.astype(float), keep=True)


@sharing
def test_what_is_shared_is_drawn_once(make):
    network = make()
    network.initialize(7)
    theta = network.theta.copy()
    twin = make()
    twin.theta[...] = 0
    twin.initialize(np.random.default_rng(7))
    np.testing.assert_array_equal(twin.theta, theta)
    assert_shared(network)
    masks = [layer.rng for _, layer in network.walk() if layer.place_of and layer.rng is not None]
    homes = [layer.place_of.rng for _, layer in network.walk() if layer.place_of and layer.rng]
    assert all(one is other for one, other in zip(masks, homes, strict=True))


def test_places_draw_nothing():
    a, b = dense(), dense(seed=1)
    shared = Network([a, b, a, end()], "quadratic", rng=5)
    apart = Network([dense(), dense(), end()], "quadratic", rng=5)
    np.testing.assert_array_equal(shared.theta, apart.theta)


@sharing
def test_a_checkpoint_goes_on_to_the_bit(make, tmp_path):
    def trainer():
        return trainer_of(make(), regularizer=L2(0.01))

    whole, _, second = assert_resumes(trainer, *data(make(), 12), tmp_path / "c.npz")
    for key, array in second.network.state().items():
        np.testing.assert_array_equal(array, whole.network.state()[key], strict=True)
    assert_shared(second.network)


def test_a_checkpoint_of_a_network_that_shares_otherwise_is_refused(tmp_path):
    shared = twice_in_a_chain()
    trainer = trainer_of(shared)
    trainer.fit(*data(shared), 1)
    checkpoint.save(trainer, tmp_path / "c.npz")
    apart = Network([dense(), dense(seed=1), dense(seed=2), end()], "quadratic")
    with pytest.raises(ValueError, match=r"another network: it has \{'places': \{'2': '0'\}\} the"):
        checkpoint.restore(trainer_of(apart), tmp_path / "c.npz")


def test_the_summary_says_what_is_shared():
    lines = twice_in_a_chain().summary().splitlines()
    assert re.search(r"^0 +Dense\(4 -> 4, tanh\) +4 x B +20 +w nielsen, b normal$", lines[3])
    assert re.search(r"^2 +Dense.* \(in another place: Dense\(4 -> 4, tanh\)\) .* 0$", lines[5])
    assert lines[-1].startswith("55 parameters, float64")
    lines = tied_densely().summary().splitlines()
    assert re.search(r"^2 .*\(w is that of Dense\(5 -> 4, tanh\)\) +5 x B +5 +b normal$", lines[5])


def test_a_tie_to_what_is_elsewhere_follows_it_and_cannot_be_saved(tmp_path):
    encoder = dense(5, 4)
    decoder = dense(4, 5).tie("w", encoder, transposed=True)
    network = Network([decoder], "quadratic")  # decodes alone, and learns its b alone
    assert network.n_parameters == 5
    both = Network([encoder, end()], "quadratic")  # to which the numbers have moved
    both.theta[...] = np.linspace(-0.5, 0.5, both.n_parameters)
    np.testing.assert_array_equal(decoder.w, encoder.w.T)
    assert np.shares_memory(decoder.w, both.theta)
    x = np.ones((4, 2))
    np.testing.assert_array_equal(network.predict(x), np.tanh(encoder.w.T @ x + decoder.b))
    with pytest.raises(
        ValueError, match=r"layer 0, .*: its w is tied to Dense\(5 -> 4.*no part of"
    ):
        network.save(tmp_path / "network.npz")
    assert check_gradients(network, x, np.zeros((5, 2))).passed
    twin = copy.deepcopy(network)
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))
    both.theta += 1
    assert not np.array_equal(twin.predict(x), network.predict(x))  # a copy is a copy


def test_a_place_of_what_is_elsewhere_cannot_be_saved(tmp_path):
    network = Network(twice_in_a_chain().layers[1:], "quadratic")
    assert "in another place" in network.summary()
    match = r"layer 1, Dense\(4 -> 4, tanh\): it is another place of a layer that is no part"
    with pytest.raises(ValueError, match=match):
        network.save(tmp_path / "network.npz")


def test_places_may_be_built_into_other_networks():
    network = twice_in_a_chain()
    home, place = network[0], network[2]
    for layers in ([home, place, end()], [place, home, place, end()]):
        again = Network(layers, "quadratic")
        assert again.n_parameters == 20 + 15
        assert_shared(again)
        assert check_gradients(again, *data(again, 2)).passed


def test_a_layer_shared_by_two_networks():
    """By a place of its own: what one network learns the other uses, each with its own state."""
    judge = dense(4, 3, "sigmoid")
    one = Network([judge], "quadratic")
    other = Network([dense(seed=1), judge.placed_again()], "quadratic")
    x, y = data(one)
    before = other.predict(x)
    trainer_of(one).fit(x, y, 2)
    np.testing.assert_array_equal(other[1].w, judge.w)
    assert not np.array_equal(other.predict(x), before)
    theta = one.theta.copy()
    trainer_of(other).fit(x, y, 2)
    np.testing.assert_array_equal(one.theta, theta)  # which is no part of the other's theta


def test_layers_that_are_tied_may_be_built_into_other_networks():
    encoder = dense(5, 4)
    decoder = dense(4, 5).tie("w", encoder, transposed=True)
    for _ in range(2):  # a cell that runs twice
        network = Network([encoder, decoder], "quadratic", rng=3)
        x, y = data(network)
        assert_shared(network)
        assert network.n_parameters == 20 + 4 + 5
        trainer_of(network).fit(x, y, 2)
        assert check_gradients(network, x, y).passed
    network = Network([decoder, encoder], "quadratic")
    assert_shared(network)
    assert check_gradients(network, *data(network)).passed
