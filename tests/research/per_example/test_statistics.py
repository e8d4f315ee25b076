"""Statistics of the gradients of single examples: signal, noise, second moment."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop.layers import Dense
from backprop.network import Network
from backprop.research import ExampleGradients
from tests.research.per_example.one_by_one import SOFTMAX, data, gradients_one_by_one
from tests.support import dense


def test_signal_to_noise():
    network = Network([dense(4, 3, "softmax")], SOFTMAX)
    x, y = data()
    x[0] = 0
    network[0].trainable = True
    found = ExampleGradients(network, x, y)
    g = gradients_one_by_one(network, x, y)
    signal, noise = g.mean(axis=1) ** 2, g.var(axis=1)
    expected = np.divide(signal, noise, out=np.zeros_like(signal), where=noise > 0)
    np.testing.assert_allclose(found.signal_to_noise(), expected, rtol=1e-9, atol=1e-12)
    assert (expected == 0).any()
    alike = ExampleGradients(network, x[:, :1].repeat(4, axis=1), y[:1].repeat(4))
    assert alike.noise_scale() <= 1e-12


def test_the_noise_scale_is_that_of_its_estimates():
    network = Network([dense(4, 5), dense(5, 3, "softmax")], SOFTMAX)
    x, y = data(batch=40)
    g = gradients_one_by_one(network, x, y)
    mean, trace = g.mean(axis=1), g.var(axis=1, ddof=1).sum()
    signal = mean @ mean - trace / 40  # |grad C|^2 is too large by the noise in it
    found = ExampleGradients(network, x, y).noise_scale()
    assert found == pytest.approx(trace / signal, rel=1e-9)


def test_the_noise_scale_hides_nothing_where_the_minibatch_sees_no_signal():
    network = Network([Dense(1, 1, "identity", "zeros", "zeros", dtype="float64")], "quadratic")
    found = ExampleGradients(network, np.ones((1, 2)), np.array([[1.0, -1.0]]))
    assert found.noise_scale() == math.inf


def test_the_second_moment_is_not_the_square_of_the_mean():
    """Where gradients are noise, the latter is smaller by about B."""
    network = Network.from_sizes([20, 10], "sigmoid", "cross_entropy", dtype="float64", rng=0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 200)), 1.0 * (rng.random((10, 200)) < 0.5)
    found = ExampleGradients(network, x, y)
    ratio = found.second_moment().sum() / (found.mean() ** 2).sum()
    assert 50 < ratio < 200


def test_float32_stays_float32():
    network = Network.from_sizes([4, 5, 3], "relu", "softmax_cross_entropy", rng=0)
    x, y = data()
    found = ExampleGradients(network, x.astype(np.float32), y)
    for array in (found.gradients(), found.mean(), found.norms(), found.second_moment()):
        assert array.dtype == np.float32
    exact = ExampleGradients(network.astype("float64"), x.astype(np.float32).astype(float), y)
    np.testing.assert_allclose(found.norms(), exact.norms(), rtol=1e-5)
