"""Batch normalisation in training and in inference, and its running statistics."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from backprop.layers import BatchNorm, Dense, ReLU, ShapeError
from backprop.network import Network
from tests.layers.normalized import drawn


@pytest.mark.parametrize("shape", [(3, 400), (3, 4, 5, 20), (3, 10, 40)])
def test_the_running_statistics_become_those_of_the_data(shape):
    rng = np.random.default_rng(5)
    mean, std = np.array([[-3.0], [0.0], [20.0]]), np.array([[0.5], [1.0], [4.0]])
    layer = BatchNorm(3, momentum=0.05, dtype="float64")
    column = (3, *(1 for _ in shape[1:]))
    for _ in range(300):
        x = mean.reshape(column) + std.reshape(column) * rng.standard_normal(shape)
        layer.forward(x, training=True)
    # Averaged over about 2 / 0.05 batches of 400: the error is 1 / sqrt(16000) of std, or less.
    np.testing.assert_allclose((layer.running_mean - mean) / std, 0, atol=5 / math.sqrt(16000))
    np.testing.assert_allclose(layer.running_variance / std**2, 1, atol=5 * math.sqrt(2 / 16000))
    a = layer.forward(mean.reshape(column) + np.zeros(shape))
    np.testing.assert_allclose(a, 0, atol=0.05)  # and inference goes by them


def test_the_update_is_the_documented_one():
    layer = BatchNorm(2, momentum=0.25, dtype="float64")
    rng = np.random.default_rng(6)
    mean, variance = np.zeros(2), np.ones(2)
    for _ in range(3):
        x = rng.standard_normal((2, 3, 4))
        layer.forward(x, training=True)
        mean = 0.75 * mean + 0.25 * x.mean(axis=(1, 2))
        variance = 0.75 * variance + 0.25 * x.var(axis=(1, 2), ddof=1)
    np.testing.assert_allclose(layer.running_mean[:, 0], mean, rtol=1e-13)
    np.testing.assert_allclose(layer.running_variance[:, 0], variance, rtol=1e-13)
    layer.initialize()
    np.testing.assert_array_equal(layer.running_mean, np.zeros((2, 1)))
    np.testing.assert_array_equal(layer.running_variance, np.ones((2, 1)))


def test_inference_goes_by_the_running_statistics_and_leaves_them():
    layer = drawn(BatchNorm(3, epsilon=0.1, dtype="float64"))
    x = np.random.default_rng(7).normal(2, 3, (3, 6))
    before = layer.forward(x)
    np.testing.assert_allclose(before, layer.g * x / math.sqrt(1.1) + layer.b, rtol=1e-14)
    training = layer.forward(x, training=True)
    running = layer.state()
    assert list(running)[1:] == ["running_mean", "running_variance"]
    inference = layer.forward(x)
    assert np.abs(inference - training).max() > 0.1
    deviation = np.sqrt(layer.running_variance + 0.1)
    expected = layer.g * (x - layer.running_mean) / deviation + layer.b
    np.testing.assert_allclose(inference, expected, rtol=1e-13)
    for name, array in layer.state().items():
        np.testing.assert_array_equal(array, running[name])
    for j in range(6):  # example by example, which training is not
        alone = layer.forward(x[:, j : j + 1])
        np.testing.assert_allclose(alone, inference[:, j : j + 1], rtol=1e-14)


def test_a_single_number_is_its_own_mean():
    layer = drawn(BatchNorm(3))
    x = np.array([[1e3], [-2], [0.1]], np.float32)
    np.testing.assert_array_equal(layer.forward(x, training=True), layer.b)
    np.testing.assert_array_equal(layer.backward(x), np.zeros((3, 1)))
    np.testing.assert_array_equal(layer.nabla_g, np.zeros((3, 1)))
    np.testing.assert_array_equal(layer.nabla_b, x)
    np.testing.assert_array_equal(layer.running_variance, np.ones((3, 1)))
    np.testing.assert_allclose(layer.running_mean, 0.1 * x, rtol=1e-6)


def test_the_complex_step_leaves_the_running_statistics_real():
    layer = BatchNorm(2, dtype="float64")
    x = np.array([[1, 3], [5, 5]]) + 1e-20j
    layer.forward(x, training=True)
    for array in layer.state().values():
        assert array.dtype == np.float64
    np.testing.assert_allclose(layer.running_mean, [[0.2], [0.5]])


def test_a_network_with_batch_norm_saved_and_loaded_predicts_the_same_bits(tmp_path):
    rng = np.random.default_rng(8)
    layers = [Dense(5, 4, "identity", rng=rng), BatchNorm(4), ReLU(), Dense(4, 2, rng=rng)]
    network = Network(layers, "quadratic")
    x, y = rng.random((5, 30)).astype(np.float32), rng.random((2, 30)).astype(np.float32)
    costs = []
    for _ in range(60):
        network.forward(x, training=True)
        network.backward(y)
        network.theta -= 0.5 * network.nabla
        costs.append(network.evaluate(x, y)["cost"])
    assert costs[-1] < 0.9 * costs[0]
    network.save(tmp_path / "net")
    loaded = Network.load(tmp_path / "net")
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x), strict=True)
    assert not np.array_equal(loaded.layers[1].running_mean, np.zeros((4, 1)))


def test_training_goes_around_the_bias_below():
    rng = np.random.default_rng(9)
    layers = [Dense(3, 4, "identity", dtype="float64", rng=rng), BatchNorm(4, dtype="float64")]
    network = Network(layers, None)
    x = rng.standard_normal((3, 6))
    a = network.forward(x, training=True)
    network.backpropagate(rng.standard_normal(a.shape))
    np.testing.assert_allclose(layers[0].nabla_b, 0, atol=1e-13)
    layers[0].b += 5
    np.testing.assert_allclose(network.forward(x, training=True), a, rtol=1e-9)


def test_running_statistics_are_taken_over_whole_or_not_at_all():
    layer = BatchNorm(2)
    wrong = {"running_mean": np.ones((2, 1)), "running_variance": np.ones((3, 1))}
    with pytest.raises(ShapeError, match=r"running_variance has shape \(2, 1\), got \(3, 1\)"):
        layer.set_state({"theta": layer.theta, **wrong})
    assert (layer.running_mean == 0).all()
    with pytest.raises(ValueError, match="do not both have mean, running_mean, running_variance"):
        layer.set_state({"theta": layer.theta, "mean": np.ones((2, 1))})


def test_a_copy_in_another_dtype_has_seen_no_forward_pass():
    layer = BatchNorm(2)
    layer.forward(np.random.default_rng(0).standard_normal((2, 5)).astype("f4"), training=True)
    twin = layer.astype("float64")
    assert twin.x_hat is twin.deviation is twin.a is None
    assert twin.running_mean.dtype == np.float64
    np.testing.assert_array_equal(twin.running_mean, layer.running_mean)


def test_the_running_variance_survives_copies_and_files(tmp_path):
    network = Network([BatchNorm(2)], "quadratic", input_shape=(2,))
    x = np.array([[1e20, -1e20], [1, 3]], np.float32)
    network.forward(x, training=True)
    expected = [[0.9 + 0.1 * 2 * float(np.float32(1e20)) ** 2], [0.9 + 0.1 * 2]]
    network.save(tmp_path / "net.npz")
    loaded = Network.load(tmp_path / "net.npz")
    for one in (
        network,
        network.astype("float64").astype("float32"),
        copy.deepcopy(network),
        loaded,
    ):
        np.testing.assert_allclose(one[0].running_variance, expected, rtol=1e-6)
        np.testing.assert_array_equal(one.predict(x), network.predict(x))
