"""Dense against the same equations written out with loops over neurons and examples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop.layers import Dense, Sigmoid

SIGMA = {
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": math.tanh,
    "relu": lambda z: max(z, 0.0),
    "identity": lambda z: z,
}
SIGMA_PRIME = {
    "sigmoid": lambda z: math.exp(-z) / (1 + math.exp(-z)) ** 2,
    "tanh": lambda z: 1 / math.cosh(z) ** 2,
    "relu": lambda z: float(z > 0),
    "identity": lambda z: 1.0,
}


def twin(name, w, b, x, nabla_a):
    """Return z, a, delta, dC/dw, dC/db and dC/dx, one scalar at a time."""
    (n_out, n_in), batch = w.shape, x.shape[1]
    z, a, delta = np.zeros((3, n_out, batch))
    nabla_w, nabla_b, downstream = np.zeros((n_out, n_in)), np.zeros((n_out, 1)), np.zeros(x.shape)
    for i in range(batch):
        for j in range(n_out):
            z[j, i] = b[j, 0] + sum(w[j, k] * x[k, i] for k in range(n_in))
            a[j, i] = SIGMA[name](z[j, i])
            delta[j, i] = nabla_a[j, i] * SIGMA_PRIME[name](z[j, i])
            nabla_b[j, 0] += delta[j, i]
            for k in range(n_in):
                nabla_w[j, k] += delta[j, i] * x[k, i]
                downstream[k, i] += w[j, k] * delta[j, i]
    return z, a, delta, nabla_w, nabla_b, downstream


@pytest.mark.parametrize("name", SIGMA)
@pytest.mark.parametrize(("n_in", "n_out", "batch"), [(1, 1, 1), (3, 2, 1), (2, 3, 4), (4, 5, 3)])
def test_against_loops(name: str, n_in: int, n_out: int, batch: int):
    rng = np.random.default_rng(n_in)
    layer = Dense(n_in, n_out, name, dtype="float64", rng=rng)
    x, nabla_a = rng.standard_normal((n_in, batch)), rng.standard_normal((n_out, batch))
    layer.forward(x, training=True)
    downstream = layer.backward(nabla_a)
    found = layer.z, layer.a, layer.delta, layer.nabla_w, layer.nabla_b, downstream
    for array, expected in zip(found, twin(name, layer.w, layer.b, x, nabla_a), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-12, atol=1e-14)


def test_float32_is_float64_rounded():
    rng = np.random.default_rng(0)
    single, double = Dense(50, 20, rng=1), Dense(50, 20, dtype="float64", rng=1)
    np.testing.assert_array_equal(single.theta, double.theta.astype(np.float32), strict=True)
    x, nabla_a = rng.standard_normal((50, 8)), rng.standard_normal((20, 8))
    double.forward(x, training=True)
    single.forward(x.astype(np.float32), training=True)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(single.a, double.a, **close)
    np.testing.assert_allclose(
        single.backward(nabla_a.astype(np.float32)), double.backward(nabla_a), **close
    )
    np.testing.assert_allclose(single.nabla, double.nabla, **close)


def test_parameters_come_from_the_seed():
    one, same, other = Dense(3, 4, rng=7), Dense(3, 4, rng=7), Dense(3, 4, rng=8)
    np.testing.assert_array_equal(one.theta, same.theta)
    assert not np.array_equal(one.theta, other.theta)
    other.initialize(7)
    np.testing.assert_array_equal(one.theta, other.theta)
    rng = np.random.default_rng(7)
    first, second = Dense(3, 4, rng=rng), Dense(3, 4, rng=rng)
    np.testing.assert_array_equal(one.theta, first.theta)
    assert not np.array_equal(first.theta, second.theta)


def test_the_default_is_the_book():
    layer = Dense(400, 300, rng=0)
    assert isinstance(layer.activation, Sigmoid)
    assert layer.dtype == np.float32
    assert layer.w.std() == pytest.approx(1 / 20, rel=0.02)
    assert layer.b.std() == pytest.approx(1, rel=0.15)


def test_initializers_by_name_and_object():
    from backprop.initializers import Constant

    layer = Dense(3, 2, w_init=Constant(0.5), b_init="zeros", rng=0)
    np.testing.assert_array_equal(layer.theta, [0.5] * 6 + [0, 0])
    with pytest.raises(ValueError, match="unknown initializer 'nielson'"):
        Dense(3, 2, w_init="nielson")


def test_construction_leaves_the_global_random_state_alone():
    np.random.seed(5)  # noqa: NPY002 - the state that must stay as it is
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    Dense(3, 2)
    Dense(3, 2, rng=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
