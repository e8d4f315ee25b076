"""Gradient descent and momentum."""

import numpy as np
import pytest

from backprop.optimizers import (
    SGD,
    Momentum,
    Nesterov,
)
from tests.optimizers.support import problem


def test_sgd_serves_vectors_of_any_dtype_in_turn():
    optimizer = SGD(0.1)
    optimizer.step(np.zeros(3, np.float32), np.ones(3, np.float32))
    theta = np.zeros(3)
    optimizer.step(theta, np.ones(3))
    np.testing.assert_array_equal(theta, -0.1)


def test_nesterov_is_sutskevers_rule_at_the_look_ahead_point():
    eta, mu = 0.05, 0.8
    hessian = np.array([1.0, 4.0, 9.0])
    phi, v = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    theta, optimizer = phi.copy(), Nesterov(eta, mu)
    for _ in range(20):
        v = mu * v - eta * hessian * (phi + mu * v)
        phi = phi + v
        optimizer.step(theta, hessian * theta)
        np.testing.assert_allclose(theta, phi + mu * v, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("cls", [Momentum, Nesterov])
def test_momentum_in_the_form_of_torch(cls):
    eta, mu = 0.05, 0.8
    theta, gradients = problem(7)
    expected, u, optimizer = theta.copy(), np.zeros(7), cls(eta, mu)
    for nabla in gradients:
        u = mu * u + nabla
        expected = expected - eta * (nabla + mu * u if cls is Nesterov else u)
        optimizer.step(theta, nabla)
        np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-12)
