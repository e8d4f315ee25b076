"""Each rule learns; and its gradients are what its text says, where that can be said."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import SGD, Adam, Dense, Network
from backprop.datasets import make_digits
from experiments.without_the_chain import (
    forward_forward,
    hebbian,
    predictive_coding,
    target_propagation,
)


@pytest.fixture(scope="module")
def digits():
    """Give 1000 + 200 digits, as columns, and their labels."""
    images, labels = make_digits(1200, 3)
    x = (images.reshape(1200, -1).T / 255).astype("float32")
    return x[:, :1000], labels[:1000].astype(int), x[:, 1000:], labels[1000:]


def layers_of(sizes, last, dtype="float32"):
    network = Network.from_sizes(
        sizes, "tanh", "quadratic", last, b_init="zeros", dtype=dtype, rng=0
    )
    return network.layers


def learn(layers, step, digits, epochs):
    """Make a step of Adam for every minibatch of 50."""
    x, labels, _, _ = digits
    optimizers = [Adam(0.003) for _ in layers]
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        for which in rng.permutation(1000).reshape(-1, 50):
            step(np.ascontiguousarray(x[:, which]), labels[which])
            for layer, optimizer in zip(layers, optimizers, strict=True):
                optimizer.step(layer.theta, layer.nabla)


def right(layers, digits):
    a = digits[2]
    for layer in layers:
        a = layer.forward(a)
    return (a.argmax(axis=0) == digits[3]).mean()


def one_of_ten(labels):
    return np.eye(10, dtype="float32")[:, labels]


def test_target_propagation_learns(digits):
    layers = layers_of([784, 50, 50, 10], "softmax")
    inverse = Dense(50, 50, "tanh", b_init="zeros", rng=1)
    rng = np.random.default_rng(0)

    def step(x, labels):
        target_propagation.gradients(layers, [inverse], x, one_of_ten(labels), rng)

    before = right(layers, digits)
    learn([*layers, inverse], step, digits, 5)
    assert before < 0.3
    assert right(layers, digits) > 0.75


def test_target_propagation_by_hand():
    layers = layers_of([5, 4, 3, 2], "softmax", "float64")
    inverse = Dense(3, 4, "tanh", dtype="float64", rng=1)
    rng = np.random.default_rng(0)
    x, y = rng.random((5, 6)), np.eye(2)[:, [0, 1, 1, 0, 1, 0]]
    target_propagation.gradients(layers, [inverse], x, y, rng, step=0.3, noise=0.0)
    (w1, w2, w3), (b1, b2, b3) = zip(*((n.w, n.b) for n in layers), strict=True)
    a1 = np.tanh(w1 @ x + b1)
    a2 = np.tanh(w2 @ a1 + b2)
    e = np.exp(w3 @ a2 + b3)
    delta = e / e.sum(axis=0) - y
    t2 = a2 - 0.3 * w3.T @ delta
    g = [np.tanh(inverse.w @ t + inverse.b) for t in (t2, a2)]
    t1 = a1 + g[0] - g[1]
    np.testing.assert_allclose(layers[2].nabla_w, delta @ a2.T / 6, rtol=1e-10)
    np.testing.assert_allclose(
        layers[1].nabla_w, ((a2 - t2) * (1 - a2**2)) @ a1.T / 6, rtol=1e-8, atol=1e-15
    )
    np.testing.assert_allclose(
        layers[0].nabla_w, ((a1 - t1) * (1 - a1**2)) @ x.T / 6, rtol=1e-8, atol=1e-15
    )
    np.testing.assert_allclose(
        inverse.nabla_w, ((g[1] - a1) * (1 - g[1] ** 2)) @ a2.T / 6, rtol=1e-10
    )


def test_predictive_coding_learns_and_settles(digits):
    layers = layers_of([784, 50, 50, 10], "identity")
    energies = []

    def step(x, labels):
        energies.append(predictive_coding.gradients(layers, x, one_of_ten(labels)))

    learn(layers, step, digits, 7)
    assert right(layers, digits) > 0.65
    for found in (energies[0], energies[-1]):
        assert found == sorted(found, reverse=True)  # F falls while the values settle
    assert energies[-1][0] < 0.5 * energies[0][0]


def test_predictive_coding_near_the_output_is_backpropagation():
    """Where the values hardly have to move, the errors are BP's deltas (Whittington, Bogacz)."""
    layers = layers_of([5, 4, 3, 2], "identity", "float64")
    network = Network.from_sizes([5, 4, 3, 2], "tanh", "quadratic", "identity",
                                 b_init="zeros", dtype="float64", rng=0)  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.random((5, 6))
    y = network.forward(x, training=True) + 1e-4 * rng.standard_normal((2, 6))
    network.backward(y)
    predictive_coding.gradients(layers, x, y, steps=300, rate=0.2)
    # The error of a layer is spread over the layers: to first order a factor for each.
    for layer, other in zip(layers, network.layers, strict=True):
        cosine = (layer.nabla_w * other.nabla_w).sum()
        cosine /= np.linalg.norm(layer.nabla_w) * np.linalg.norm(other.nabla_w)
        assert cosine > 0.9


def test_sangers_rule_finds_the_principal_components():
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((10, 10)))[0]
    x = directions @ (rng.standard_normal((10, 2000)) * (2.0 ** -np.arange(10.0))[:, None])
    layer = Dense(10, 3, "identity", b_init="zeros", dtype="float64", rng=1)
    oja = Dense(10, 1, "identity", b_init="zeros", dtype="float64", rng=1)
    for _ in range(80):
        for start in range(0, 2000, 50):
            hebbian.gradients(layer, x[:, start : start + 50])
            hebbian.gradients(oja, x[:, start : start + 50], "oja")
            for one in (layer, oja):
                SGD(0.1).step(one.theta, one.nabla)
    true = hebbian.components(x, 3)
    np.testing.assert_allclose(abs((layer.w * true).sum(axis=1)), 1, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(layer.w, axis=1), 1, atol=0.05)
    np.testing.assert_allclose(abs(oja.w @ true[0]), 1, atol=0.02)
    assert not layer.b.any()


def test_hebbs_rule_alone_grows_without_end():
    x = np.random.default_rng(0).standard_normal((4, 100))
    layer = Dense(4, 1, "identity", b_init="zeros", dtype="float64", rng=0)
    norms = []
    for _ in range(50):
        hebbian.gradients(layer, x, "hebb")
        SGD(0.1).step(layer.theta, layer.nabla)
        norms.append(np.linalg.norm(layer.w))
    assert norms == sorted(norms)
    assert norms[-1] > 10 * norms[0]


def test_forward_forward_learns(digits):
    x, labels, x_test, labels_test = digits
    layers = [Dense(784, 100, "relu", rng=0), Dense(100, 100, "relu", rng=1)]
    rng = np.random.default_rng(0)

    def step(x, labels):
        others = (labels + rng.integers(1, 10, labels.shape)) % 10
        real = forward_forward.with_labels(x, labels)
        forward_forward.gradients(layers, real, forward_forward.with_labels(x, others))

    learn(layers, step, digits, 15)
    assert (forward_forward.predict(layers, x_test) == labels_test).mean() > 0.65
    real = forward_forward.goodness(layers, forward_forward.with_labels(x, labels))
    false = forward_forward.goodness(layers, forward_forward.with_labels(x, (labels + 1) % 10))
    assert (real > false).mean() > 0.9


def test_forward_forward_gradients_are_those_of_each_layers_own_cost():
    rng = np.random.default_rng(0)
    real, false = rng.random((6, 4)), rng.random((6, 4))
    layers = [Dense(6, 5, "relu", dtype="float64", rng=0), Dense(5, 4, "tanh", rng=1)]
    layers[1] = layers[1].astype("float64")
    forward_forward.gradients(layers, real, false)
    a = np.concatenate([real, false], axis=1)
    for layer in layers:
        given = forward_forward.unit(a)

        def cost(w, layer=layer, given=given):
            a = layer.activation.sigma(w @ given + layer.b)
            s = np.repeat([1, -1], 4)
            return np.log1p(np.exp(-s * ((a**2).mean(axis=0) - 2.0))).mean()

        numeric = np.zeros_like(layer.w)
        for index in np.ndindex(layer.w.shape):
            sides = []
            for h in (1e-6, -1e-6):
                w = layer.w.copy()
                w[index] += h
                sides.append(cost(w))
            numeric[index] = (sides[0] - sides[1]) / 2e-6
        np.testing.assert_allclose(layer.nabla_w, numeric, atol=1e-8)
        a = layer.forward(given)
