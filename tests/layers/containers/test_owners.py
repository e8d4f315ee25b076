"""Whom the layers inside containers, and their parameters, belong to."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from backprop import Network
from backprop.graph import Graph, Input, apply
from backprop.layers import Dense, Parallel, Residual, Sequential, ShapeError
from tests.cases import assert_unchanged, snapshot
from tests.support import dense


def test_all_parameters_are_one_vector_of_the_network():
    inner = dense(3, 2, rng=1)
    layer = Sequential([Residual([dense(rng=2)]), inner])
    network = Network([dense(4, 3, rng=3), layer])
    assert list(layer.parameters) == ["0.0.w", "0.0.b", "1.w", "1.b"]
    for array in (layer.theta, inner.theta, inner.w, layer.parameters["0.0.b"]):
        assert np.shares_memory(array, network.theta)
    for array in (layer.nabla, inner.nabla_w, layer.gradients["0.0.b"]):
        assert np.shares_memory(array, network.nabla)
    network.theta[...] = 7
    assert (inner.b == 7).all()
    inner.w = np.zeros((2, 3))
    assert network.theta[-8:].tolist() == [0] * 6 + [7] * 2
    assert [name for name, _ in network.walk()] == ["0", "1", "1.0", "1.0.0", "1.1"]
    weights = [slice(0, 12), slice(15, 24), slice(27, 33)]
    assert network.root.weight_parts() == [(part, 1.0) for part in weights]


def test_a_network_seed_initialises_the_children():
    networks = [Network([Residual([dense(rng=s)]), dense(rng=s)], rng=5) for s in (1, 2)]
    np.testing.assert_array_equal(networks[0].theta, networks[1].theta)
    flat = Network([dense(), dense()], rng=5)
    np.testing.assert_array_equal(networks[0].theta, flat.theta)


def test_copies_are_independent_and_whole():
    layer = Sequential([Residual([dense(rng=1)]), dense(rng=2)])
    x, u = np.random.default_rng(1).standard_normal((2, 3, 4))
    layer.forward(x, training=True)
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(twin.backward(u), layer.backward(u))
        assert np.shares_memory(twin.children[0].children[0].w, twin.theta)
        assert not np.shares_memory(twin.theta, layer.theta)
        Network([twin])  # it belongs to nobody


def test_what_took_a_layer_last_has_it_and_the_other_says_so():
    shared = dense()
    x = np.ones((3, 2))
    container = Sequential([shared])
    for make in (lambda: Residual([shared]), lambda: Network([shared])):
        taken = make()
        assert taken.forward(x).shape == (3, 2)
        with pytest.raises(RuntimeError, match=r"Dense\(3 -> 3, tanh\) has been built into somet"):
            container.forward(x)
    network = Network([container])
    assert network.forward(x).shape == (3, 2)  # and has them back
    Sequential([*network.layers])
    with pytest.raises(RuntimeError, match=r"^network: its layer .* copies, copy.deepcopy\(lay"):
        network.forward(x)


def test_what_has_lost_its_layers_cannot_change_them():
    layers = [dense(rng=1), dense(rng=2)]
    old = Network(layers, "quadratic")
    new = Network(layers, "quadratic")
    theta = new.theta.copy()
    for change in (
        lambda: old.initialize(7),
        lambda: old.root.initialize(7),
        lambda: old.set_state(new.state()),
        lambda: old.root.set_state(new.state()),
        lambda: setattr(old, "theta", 0 * theta),
    ):
        with pytest.raises(RuntimeError, match="has been built into"):
            change()
    np.testing.assert_array_equal(new.theta, theta)


class Halved(Sequential):
    """Sends half of the gradient down."""

    def downstream(self, delta):
        return 0.5 * super().downstream(delta)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sequential([dense(rng=1)]),
        lambda: Residual([dense(rng=1)]),
        lambda: Parallel([dense(rng=1), dense(rng=2)], "sum"),
        lambda: Graph(apply(dense(rng=1), Input("x", (3,)))),
    ],
    ids=["sequential", "residual", "parallel", "graph"],
)
def test_what_is_sent_down_can_be_replaced_in_containers_too(make):
    container = make()
    network = Network([dense(rng=3), container, dense(rng=4)], "quadratic")
    x, y = np.random.default_rng(0).random((2, 3, 5))
    network.forward(x, training=True)
    network.backward(y)
    plain = network.nabla.copy()
    container.downstream = lambda delta: np.zeros((3, 5))
    network.forward(x, training=True)
    network.backward(y)
    assert not network[0].nabla.any()
    n = network[0].n_parameters
    np.testing.assert_array_equal(network.nabla[n:], plain[n:])


def test_an_overridden_downstream_of_a_container_counts():
    x, u = np.random.default_rng(0).random((2, 3, 5))
    whole, half = Sequential([dense(rng=1)]), Halved([dense(rng=1)])
    for layer in (whole, half):
        layer.forward(x, training=True)
    np.testing.assert_array_equal(half.backward(u), 0.5 * whole.backward(u))
    np.testing.assert_array_equal(half.nabla, whole.nabla)
    assert half.backward(u, input_gradient=False) is None


def test_saving_warns_of_what_it_cannot_write_down(tmp_path):
    network = Network([dense(rng=1), Residual([dense(rng=2)])], "quadratic")
    network[1].children[0].downstream = lambda delta: delta
    with pytest.warns(UserWarning, match=r"^layer 1\.0, Dense.*: the downstream assigned to"):
        network.save(tmp_path / "n.npz")


def test_a_refused_layer_stays_free():
    layer = dense()
    before = snapshot(layer)
    with pytest.raises(TypeError, match="Residual: layer 1 is no Layer but 'relu'"):
        Residual([layer, "relu"])
    with pytest.raises(TypeError, match=r"Sequential has one dtype, got .*float64"):
        Sequential([layer, Dense(3, 3)])
    with pytest.raises(ShapeError):
        Network([dense(4, 5), layer])
    assert_unchanged(layer, before)
    Network([layer])
