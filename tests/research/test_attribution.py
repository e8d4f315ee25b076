"""Attribution by gradients: against Captum, central differences, and what each must add up to."""

from __future__ import annotations

import copy
import importlib.util

import numpy as np
import pytest

from backprop.gradients import central_difference
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    LSTM,
    RNN,
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    ReLU,
    ShapeError,
    TimeStep,
)
from backprop.network import Network
from backprop.research import (
    gradient,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    lrp,
    saliency,
)
from tests.cases import CASES, NETWORK_CASES, assert_unchanged, snapshot
from tests.research.peers import NETWORKS, TARGETS, compute, stored

STORED = stored()


@pytest.fixture(scope="module")
def live():
    for name in ("torch", "captum", "zennit"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    return compute()


def peer(name: str) -> tuple[Network, np.ndarray]:
    network = copy.deepcopy(NETWORKS[name])
    network.theta = STORED[f"{name} theta"]
    return network, STORED[f"{name} x"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("method", "tolerance"),
    [
        (saliency, 1e-12),
        (gradient_times_input, 1e-12),
        (guided_backpropagation, 1e-12),
        (integrated_gradients, None),
    ],
)
def test_as_captum_has_it(name, method, tolerance):
    key = f"{name} {method.__name__}"
    if key not in STORED:
        pytest.skip("Captum's is not of this network")
    network, x = peer(name)
    # Captum's integral of a function with corners comes no nearer, by 5,000 steps.
    near = tolerance or (1e-9 if name == "tanh" else 5e-4)
    further = {"tolerance": 1e-9} if method is integrated_gradients else {}
    found = method(network, x, TARGETS, **further)
    assert found.shape == x.shape
    np.testing.assert_allclose(found, STORED[key], rtol=near, atol=near)
    assert abs(STORED[key]).max() > 0.05


def test_what_is_stored_is_what_the_peers_compute(live):
    assert live.keys() == STORED.keys()
    for name, array in live.items():
        np.testing.assert_allclose(STORED[name], array, rtol=1e-9, atol=1e-10, err_msg=name)


# -- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
@pytest.mark.parametrize("of", ["z", "a"])
def test_the_gradient_is_each_examples_own(case, of):
    network, x, _ = case.problem(3)
    if isinstance(network.output_shape[0], tuple):
        with pytest.raises(TypeError, match="attribution is of one output, and the network has 2"):
            gradient(network, x)
        return
    target = np.array([1, 0, 1])
    found = gradient(network, x, target, of)

    def score(x):
        a = network.forward(x, keep=True)
        outputs = network.root.z if of == "z" and network.root.z is not None else a
        return outputs[target, np.arange(3)].sum()

    np.testing.assert_allclose(found, central_difference(score, x.copy()), atol=2e-8)
    assert abs(found).max() > 1e-6


@pytest.mark.parametrize("case", [c for c in CASES if c.make("float64").output_shape], ids=str)
def test_every_layer_is_gone_through_or_refused(case):
    layer, x, nabla_a = case.problem(2)
    network = Network(layer, input_shape=case.input_shape)
    network = network if layer.dtype else network.astype("float64")
    if layer.integer_input:
        with pytest.raises(TypeError, match="takes integers: attribute the layers above its first"):
            gradient(network, x)
        return
    found = gradient(network, x, nabla_a, of="a")
    layer.forward(x, keep=True)
    np.testing.assert_allclose(found, layer.backward(nabla_a), rtol=1e-12, atol=1e-14)


def test_targets():
    network, x = peer("tanh")
    best = network.predict(x).argmax(axis=0)
    np.testing.assert_array_equal(gradient(network, x), gradient(network, x, best))
    np.testing.assert_array_equal(gradient(network, x, 2), gradient(network, x, np.full(5, 2)))
    weights = np.zeros((3, 5))
    weights[0], weights[1] = 1, -1
    expected = gradient(network, x, 0) - gradient(network, x, 1)
    np.testing.assert_allclose(gradient(network, x, weights), expected, atol=1e-14)
    np.testing.assert_array_equal(saliency(network, x, 0), abs(gradient(network, x, 0)))
    np.testing.assert_array_equal(gradient_times_input(network, x, 1), x * gradient(network, x, 1))


def test_the_batch_does_not_matter():
    network, x = peer("convolutional")
    for method in (gradient, integrated_gradients, guided_backpropagation, lrp):
        whole = method(network, x, TARGETS)
        for i in range(5):
            one = method(network, x[..., i : i + 1], TARGETS[i : i + 1])
            np.testing.assert_allclose(one, whole[..., i : i + 1], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "method", [gradient, saliency, guided_backpropagation, integrated_gradients, lrp]
)
def test_looking_changes_nothing(method):
    layers = [Dense(4, 5, "identity"), BatchNorm(5), ReLU(), Dropout(0.5), Dense(5, 3, "softmax")]
    network = Network(layers, "softmax_cross_entropy", rng=0)
    rng = np.random.default_rng(0)
    x = rng.random((4, 6)).astype("float32")
    network.forward(x, training=True)
    network.backward(np.arange(6) % 3)
    calls: list[object] = []
    network[0].add_hook("forward", calls.append)
    before = [snapshot(layer) for _, layer in network.root.walk()]
    first = method(network, x)
    np.testing.assert_array_equal(first, method(network, x))
    assert first.dtype == np.float64
    assert not calls
    for (_, layer), state in zip(network.root.walk(), before, strict=True):
        assert_unchanged(layer, state)


# -- guided backpropagation --------------------------------------------------------------------


def test_guided_backpropagation_by_hand():
    network, x = peer("relu")
    first, second, last = network.layers
    a1 = np.maximum(first.w @ x + first.b, 0)
    a2 = np.maximum(second.w @ a1 + second.b, 0)
    sent = last.w[TARGETS].T
    sent = second.w.T @ (np.maximum(sent, 0) * (a2 > 0))
    sent = first.w.T @ (np.maximum(sent, 0) * (a1 > 0))
    np.testing.assert_allclose(guided_backpropagation(network, x, TARGETS), sent, atol=1e-13)
    assert not np.allclose(sent, gradient(network, x, TARGETS))


def test_what_is_not_guided_is_refused():
    with pytest.raises(ValueError, match="has no ReLU to guide through"):
        guided_backpropagation(*peer("tanh"))
    network = Network([RNN(2, 3, "relu", rng=0), TimeStep()], input_shape=(2, 4))
    with pytest.raises(ValueError, match=r"layer 0, RNN\(.*\), has its ReLU in a loop over time"):
        guided_backpropagation(network, np.ones((2, 4, 1), "float32"))


# -- integrated gradients ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("of", ["z", "a"])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-8])
def test_integrated_gradients_add_up_to_the_difference(name, of, tolerance):
    network, x = peer(name)
    rng = np.random.default_rng(7)
    for baseline in (0.0, rng.standard_normal((*x.shape[:-1], 1)), rng.random(x.shape)):
        found = integrated_gradients(network, x, TARGETS, of, baseline, tolerance)
        scores = []
        for at in (x, np.broadcast_to(baseline, x.shape).astype(float)):
            a = network.forward(at, keep=True)
            scores.append((network.root.z if of == "z" else a)[TARGETS, np.arange(5)])
        sums = found.reshape(-1, 5).sum(axis=0)
        np.testing.assert_allclose(sums, scores[0] - scores[1], rtol=0, atol=0.91 * tolerance)
        assert abs(scores[0] - scores[1]).max() > 10 * tolerance


@pytest.mark.parametrize("sizes", [[20, 50, 40, 5], [20, 300, 5]])
def test_they_do_so_in_large_networks_in_float32(sizes):
    network = Network.from_sizes(sizes, "relu", "softmax_cross_entropy", b_init="normal", rng=0)
    rng = np.random.default_rng(1)
    x = (3 * rng.standard_normal((20, 4))).astype("float32")
    found = integrated_gradients(network, x, 1)
    scores = []
    for at in (x, 0 * x):
        network.forward(at, keep=True)
        scores.append(network.root.z[1].astype(float))
    np.testing.assert_allclose(found.sum(axis=0), scores[0] - scores[1], atol=1e-4)


def test_each_input_is_integrated_rightly():
    """Not only the sum: against a fine midpoint rule, feature by feature."""
    network, x = peer("relu")
    times = (np.arange(4000) + 0.5) / 4000
    many = np.repeat(x[:, 2], 4000).reshape(6, 4000) * times
    expected = x[:, 2] * gradient(network, many, 1).mean(axis=1)
    found = integrated_gradients(network, x[:, 2:3], 1, tolerance=1e-9)
    np.testing.assert_allclose(found[:, 0], expected, atol=2e-3 * abs(expected).max())


def test_an_input_without_influence_gets_nothing():
    network, x = peer("tanh")
    network[0].w[:, 2] = 0
    found = integrated_gradients(network, x, TARGETS)
    assert not found[2].any()
    same = integrated_gradients(network, x, TARGETS, baseline=x)
    assert not same.any()


def test_a_recurrent_network_and_a_graph_of_two_inputs():
    layers = [LSTM(3, 4, rng=0), TimeStep(), Dense(4, 2, "softmax", rng=1)]
    network = Network(layers, "softmax_cross_entropy", (3, 5)).astype("float64")
    x = np.random.default_rng(0).standard_normal((3, 5, 2))
    found = integrated_gradients(network, x, 1, of="a")
    difference = network.predict(x)[1] - network.predict(0 * x)[1]
    np.testing.assert_allclose(found.reshape(-1, 2).sum(axis=0), difference, atol=1e-4)

    u, v = Input("u", (3,)), Input("v", (2,))
    out = apply(Dense(3, 2, "tanh", rng=0), u) * apply(Dense(2, 2, "tanh", rng=1), v)
    graph = Network(Graph(out, [u, v])).astype("float64")
    pair = (x[:, 0], x[:2, 1])
    parts = integrated_gradients(graph, pair, 0)
    total = sum(part.sum(axis=0) for part in parts)
    zeros = (0 * pair[0], 0 * pair[1])
    difference = graph.predict(pair)[0] - graph.predict(zeros)[0]
    np.testing.assert_allclose(total, difference, atol=1e-4)
    assert [part.shape for part in parts] == [(3, 2), (2, 2)]
    assert all(part.any() for part in gradient_times_input(graph, pair, 1))


def test_a_jump_is_told():
    class Sign(Activation):
        def sigma(self, z):
            return np.sign(z)

        def prime(self, z, a):
            return np.zeros_like(z)

    network = Network([Sign()], input_shape=(2,)).astype("float64")
    with pytest.raises(RuntimeError, match="does the score jump on the way from the baseline"):
        integrated_gradients(network, np.ones((2, 1)), 0, of="a", baseline=-1.0)


# -- mistakes ----------------------------------------------------------------------------------


def test_mistakes():
    network, x = peer("relu")
    with pytest.raises(ValueError, match=r'of must be "z", below the last sigma, or "a", got "?'):
        gradient(network, x, of="y")
    with pytest.raises(ValueError, match="classes are 0 to 2, got 3"):
        gradient(network, x, 3)
    with pytest.raises(TypeError, match="target must be a class, an array of 5 classes"):
        gradient(network, x, np.array([0, 1]))
    with pytest.raises(ShapeError, match=r"expected the outputs' shape \(3, 5\), got \(3, 4\)"):
        gradient(network, x, np.ones((3, 4)))
    with pytest.raises(ShapeError, match=r"the baseline must be a number, or of shape \(6, 5\)"):
        integrated_gradients(network, x, baseline=np.zeros(6))
    with pytest.raises(ValueError, match="tolerance must be in"):
        integrated_gradients(network, x, tolerance=0)
    with pytest.raises(TypeError, match="attribution: expected a Network, got Dense"):
        gradient(network[0], x)  # type: ignore[arg-type]
    with pytest.raises(ShapeError):
        gradient(network, x.T)
    tokens = Network([Embedding(5, 3, rng=0), TimeStep()], input_shape=(4,))
    with pytest.raises(TypeError, match="attribute the layers above its first"):
        integrated_gradients(tokens, np.zeros((4, 1), int))
    images = Network(copy.deepcopy(list(peer("convolutional")[0].layers[:3])), None, (2, 8, 8))
    with pytest.raises(ShapeError, match="so that there are no classes: give an array"):
        gradient(images, peer("convolutional")[1])
