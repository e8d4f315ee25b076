"""Patching and ablation: what the layer above is given, and the gradients through it."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.gradients import central_difference
from backprop.layers import LSTM, Dense, Identity, Neurons, Softmax, TimeStep
from backprop.network import Network
from backprop.research import Ablate, Patch, activations
from tests.cases import CASES
from tests.research.test_intervention import both_passes, data, network


def test_a_patch_is_what_the_layer_above_is_given():
    net = network()
    x, _ = data()
    clean = activations(net, x)
    other = x[:, ::-1].copy()
    a = activations(net, other)
    with Patch(clean["1"], [0, 2]).on(net[1]):
        found = net.forward(other, keep=True)
    mixed = a["1"].copy()
    mixed[[0, 2]] = clean["1"][[0, 2]]
    z = net[2].w @ mixed + net[2].b
    np.testing.assert_allclose(found, np.exp(z) / np.exp(z).sum(axis=0), rtol=1e-12)
    with Patch(clean["0"]).on(net[0]):  # all of a layer: the clean output
        found = net.forward(other, keep=True)
    np.testing.assert_array_equal(found, net.predict(x))
    np.testing.assert_array_equal(clean["2"], net.predict(x))


def test_ablations():
    net = network()
    x, _ = data()
    a = activations(net, x)["0"]
    mean = a.mean(axis=1, keepdims=True)
    for ablate, expected in (
        (Ablate(), np.zeros_like(a)),
        (Ablate(3), np.where(np.arange(6)[:, None] == 3, 0, a)),
        (Ablate([1], to=0.5), np.where(np.arange(6)[:, None] == 1, 0.5, a)),
        (Ablate(slice(2, 4), to=mean), np.where(abs(np.arange(6) - 2.5)[:, None] < 1, mean, a)),
        (Patch(lambda layer: -layer.a), -a),
    ):
        with ablate.on(net[0]):
            net.forward(x, keep=True)
            np.testing.assert_array_equal(net[1].a_prev, expected)
    np.testing.assert_array_equal(net.forward(x, keep=True), network().predict(x))


REAL = [
    case
    for case in CASES
    if not case.make("float64").integer_input
    and not (
        isinstance(case.make("float64"), Neurons)
        and not case.make("float64").activation.elementwise
    )
]


@pytest.mark.parametrize("case", REAL, ids=str)
def test_the_gradient_is_that_of_the_patched_layer(case):
    layer, x, nabla_a = case.problem(2)
    a = layer.forward(x, keep=True)
    value = np.random.default_rng(3).standard_normal(a.shape)
    neurons = np.arange(len(a)) % 2 == 0
    with Patch(value, neurons).on(layer):
        layer.forward(x, keep=True)
        found = layer.backward(nabla_a)
        by_parameters = layer.nabla.copy()
    assert found is not None
    nabla_a = nabla_a.copy()
    nabla_a[neurons] = 0
    layer.forward(x, keep=True)
    np.testing.assert_array_equal(found, layer.backward(nabla_a))
    np.testing.assert_array_equal(by_parameters, layer.nabla)


@pytest.mark.parametrize("recurrent", [False, True])
def test_gradients_through_a_patch_by_central_differences(recurrent):
    if recurrent:
        layers = [LSTM(3, 4, dtype="float64", rng=0), TimeStep(), Dense(4, 2, "identity", rng=1)]
        layers[2] = layers[2].astype("float64")
        net, x = Network(layers, "quadratic", (3, 5)), np.random.default_rng(0).random((3, 5, 2))
    else:
        net, x = Network.from_sizes([4, 5, 5, 2], "tanh", dtype="float64", rng=0), None
        x = np.random.default_rng(0).random((4, 3))
    y = np.zeros((2, x.shape[-1]))
    with Ablate([0, 2], to=0.3).on(net[0]):

        def cost(x):
            a = net.forward(x, keep=True)
            return (a**2).sum() / 2 / x.shape[-1]

        net.forward(x, keep=True)
        found = net.backward(y)
        np.testing.assert_allclose(found, central_difference(cost, x.copy()), atol=1e-9)
    net.forward(x, keep=True)
    assert not np.allclose(net.backward(y), found)


def test_a_pass_below_the_patched_activation_is_refused():
    x, _ = data()
    canonical = Network.from_sizes([5, 4, 2], cost="cross_entropy", dtype="float64", rng=0)
    with Ablate(0).on(canonical[-1]):
        canonical.forward(x, keep=True)
        with pytest.raises(RuntimeError, match=r"enters below it, at z, .* the layer below"):
            canonical.backward(np.zeros((2, 7)))
        canonical.backpropagate(np.ones((2, 7)))  # from dC/da
        assert not canonical[-1].delta[0].any()
        assert canonical[-1].delta[1].all()


def test_a_softmax_is_refused_before_anything_is_hung_up():
    net = network()
    with pytest.raises(TypeError, match=r"ends in softmax, .* put it on the layer below"):
        Ablate(0).on(net[0], net[2])
    with pytest.raises(TypeError, match="ends in softmax"):
        Patch(0).on(Softmax())
    assert not net[0].hooks
    Ablate(0).on(Identity()).remove()


def test_recording_leaves_the_network_as_it_is():
    net = both_passes(network())
    before = [layer.a for layer in net.layers]
    calls = []
    net[0].add_hook("forward", lambda layer: calls.append(1))
    activations(net, data(3)[0])
    assert not calls
    assert all(layer.a is a for layer, a in zip(net.layers, before, strict=True))
