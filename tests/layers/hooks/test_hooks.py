"""Hooks: four moments of every layer's pass, at any depth."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from backprop.gradients.check import check_gradients
from backprop.graph import Graph, Input, apply, concatenate
from backprop.layers import Dense, Dropout, Embedding, ShapeError, TimeStep
from backprop.network import Network
from backprop.optimizers import SGD
from backprop.training.trainer import Trainer
from tests.layers.hooks.networks import MOMENTS, assigned, data, in_place, run
from tests.support import dense

# -- when they are called ----------------------------------------------------------------------


def test_forward_hooks_run_in_order_after_their_layer(network):
    seen = []
    for layer in network.layers:
        layer.add_hook("forward", lambda layer: seen.append((layer, layer.a)))
    x, _ = data(network)
    network.forward(x, training=True)
    assert [layer for layer, _ in seen] == list(network.layers)
    for layer, a in seen:
        assert a is layer.a


def test_a_forward_hook_runs_before_the_layer_above(network):
    above = []
    network[0].add_hook("forward", lambda layer: above.append(network[1].a is None))
    network.forward(data(network)[0], training=True)
    assert above == [True]


def test_backward_hooks_run_in_order_after_their_layer(network):
    seen = []
    for layer in network.layers:
        layer.add_hook("backward", lambda layer: seen.append((layer, layer.delta, layer.nabla_w)))
    network.nabla[...] = np.nan
    run(network)
    assert [layer for layer, _, _ in seen] == list(network.layers[::-1])
    for layer, delta, nabla_w in seen:
        assert delta is layer.delta
        np.testing.assert_array_equal(nabla_w, layer.nabla_w)
        np.testing.assert_array_equal(nabla_w, delta @ layer.a_prev.T)


def test_a_backward_hook_runs_before_the_layer_below(network):
    below = []
    network[1].add_hook("backward", lambda layer: below.append(network[0].delta is None))
    network[2].add_hook("backward", lambda layer: below.append(network[1].delta is None))
    run(network)
    assert below == [True, True]


def test_a_delta_hook_runs_before_the_gradients_of_its_layer(network):
    seen = []
    for layer in network.layers:
        layer.add_hook("delta", lambda layer: seen.append((layer, layer.nabla_w.copy())))
    network.nabla[...] = np.nan
    run(network)
    assert [layer for layer, _ in seen] == list(network.layers[::-1])
    assert all(np.isnan(nabla_w).all() for _, nabla_w in seen)


def test_the_moments_of_one_layer_in_their_order(network):
    seen: list[str] = []
    for moment in ("backward", "delta", "forward", "delta"):
        network[1].add_hook(moment, lambda layer, moment=moment: seen.append(moment))
    run(network)
    assert seen == ["forward", "delta", "delta", "backward"]


def test_backpropagate_calls_them_too(network):
    seen = []
    for moment in MOMENTS:
        network[-1].add_hook(moment, lambda layer, moment=moment: seen.append(moment))
    x, y = data(network)
    network.forward(x, training=True)
    network.backpropagate(y)
    assert seen == ["forward", "delta", "backward"]


def test_passes_that_keep_nothing_call_none(network):
    seen = []
    for index, layer in enumerate(network.layers):
        for moment in MOMENTS:
            layer.add_hook(moment, lambda layer, i=index, m=moment: seen.append((m[0], i)))
    x, y = data(network)
    network.forward(x)
    network.predict(x)
    network.evaluate(x, y)
    network.trace(x, y)
    check_gradients(network, x, y)
    assert seen == []
    run(network)
    once = [("f", 0), ("f", 1), ("f", 2), ("d", 2), ("b", 2), ("d", 1), ("b", 1), ("d", 0)]
    assert seen == [*once, ("b", 0)]
    seen.clear()
    network.forward(x, keep=True)
    network.backward(y)
    assert seen == [*once, ("b", 0)]


def test_the_trainer_calls_them(network):
    seen = []
    for moment in MOMENTS:
        network[0].add_hook(moment, lambda layer, moment=moment: seen.append(moment))
    Trainer(network, SGD(0.1), batch_size=2, rng=0, progress=False).fit(*data(network, 6))
    assert seen == ["forward", "delta", "backward"] * 3


def test_what_a_hook_changes_in_place_counts(network):
    def freeze(layer):
        layer.nabla[...] = 0

    run(network)
    before = network.nabla.copy()
    with network[1].add_hook("backward", freeze):
        run(network)
    size = network[0].n_parameters
    frozen = slice(size, size + network[1].n_parameters)
    assert before[frozen].any()
    before[frozen] = 0
    np.testing.assert_array_equal(network.nabla, before)


def test_a_forward_hook_changes_what_the_layer_above_is_given(network):
    x, y = data(network)

    def silence(layer):
        layer.a[0] = 0

    with network[0].add_hook("forward", silence):
        a = network.forward(x, training=True)
        network.backward(y)
    assert not network[1].a_prev[0].any()
    assert not network[1].nabla_w[:, 0].any()
    assert not np.array_equal(a, network.forward(x))


def test_hooks_change_nothing_by_themselves(network):
    plain = copy.deepcopy(network)
    for moment in MOMENTS:
        network[1].add_hook(moment, lambda layer: None)
        network.root.add_hook(moment, lambda layer: None)
    np.testing.assert_array_equal(run(network), run(plain), strict=True)
    np.testing.assert_array_equal(network.nabla, plain.nabla, strict=True)


# -- whose they are ----------------------------------------------------------------------------


def test_layers_without_parameters_have_hooks():
    network = Network([Dense(3, 2, rng=0), Dropout(0.5, rng=0)])
    masks = []
    network[1].add_hook("forward", lambda layer: masks.append(layer.mask))
    network.forward(np.ones((3, 4), np.float32), training=True)
    assert masks[0] is network[1].mask


def test_copies_and_files_have_none(network, tmp_path):
    for _, layer in network.root.walk():
        layer.add_hook("forward", lambda layer: None)  # which no pickle could hold
    network.save(tmp_path / "network.npz")
    twins = [copy.deepcopy(network), copy.copy(network), pickle.loads(pickle.dumps(network))]
    twins += [network.astype("float32"), Network.load(tmp_path / "network.npz")]
    for twin in twins:
        for _, layer in twin.root.walk():
            assert layer.hooks == {}
            assert layer._hooks is None
            layer.add_hook("forward", print)
    one = copy.copy(network[0])
    assert one.hooks == {}
    assert all(len(layer.hooks) == 1 for _, layer in network.root.walk())


def test_a_second_place_has_hooks_of_its_own():
    layer = dense(3, 3)
    seen = []
    layer.add_hook("forward", seen.append)
    network = Network([layer, dense(3, 3, rng=1), layer], "quadratic")
    run(network)
    assert seen == [network[0]]
    network[2].add_hook("forward", seen.append)
    run(network)
    assert seen == [network[0], network[0], network[2]]


def test_hooks_stay_when_a_layer_is_built_into_another_network(network):
    seen = []
    network[1].add_hook("forward", seen.append)
    other = Network(network.layers, "quadratic")
    run(other)
    assert seen == [other[1]]


def test_a_hook_keeps_no_network_alive(network):
    hook = network[0].add_hook("forward", print)
    dead = weakref.ref(network)
    twin = copy.deepcopy(network)
    gc.disable()
    try:
        twin_dead = weakref.ref(twin)
        other = twin[0].add_hook("forward", print)  # which is held, and with it the one layer
        del twin
        assert twin_dead() is None
        assert other.layer.owner is None
    finally:
        gc.enable()
    assert dead() is network
    hook.remove()


@pytest.mark.parametrize("moment", MOMENTS)
def test_without_hooks_a_layer_is_as_it_was(network, moment):
    assert network[0]._hooks is None
    network[0].add_hook(moment, print).remove()
    assert network[0]._hooks is None


def test_tokens_have_hooks_too():
    embedding = Embedding(5, 4, dtype="float64", rng=0)
    network = Network([embedding, TimeStep(-1), dense(4, 2, "sigmoid")], "cross_entropy", (3,))
    x, y = np.array([[0, 1], [2, 3], [4, 0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    for zero in (in_place, assigned):
        with embedding.add_hook("delta", zero):
            network.forward(x, training=True)
            assert network.backward(y) is None
        assert not embedding.nabla.any()
        assert network[2].nabla.any()


def test_hooks_of_a_graph_s_nodes_run_in_its_order():
    x = Input("x", (2,))
    u = apply(dense(2, 3), x).named("u")
    v = apply(dense(2, 3, rng=1), x).named("v")
    network = Network(Graph(apply(dense(6, 2, "sigmoid", 2), concatenate(u, v))), "cross_entropy")
    seen = []
    for index, layer in enumerate(network.layers):
        for moment in MOMENTS:
            layer.add_hook(moment, lambda layer, i=index, m=moment: seen.append(f"{m[0]}{i}"))
    run(network)
    assert seen == ["f0", "f1", "f2", "f3", "d3", "b3", "d2", "b2", "d1", "b1", "d0", "b0"]


def test_what_a_forward_hook_assigns_is_the_output():
    network = Network.from_sizes([3, 4, 2], dtype="float64", rng=0)
    network[0].add_hook("forward", lambda layer: setattr(layer, "a", 0 * layer.a))
    x = np.ones((3, 5))
    a = network.forward(x, keep=True)
    np.testing.assert_array_equal(a, network[1].forward(np.zeros((4, 5))))
    assert not network[0].a.any()
    network[1].add_hook("forward", lambda layer: setattr(layer, "a", layer.a[:1]))
    with pytest.raises(ShapeError, match=r"a hook must leave a of shape \(2, 5\)"):
        network.forward(x, keep=True)
    assert network.root.a is None
