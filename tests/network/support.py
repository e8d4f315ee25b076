"""Networks, data, and what is compared in the tests of networks."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.costs import (
    CrossEntropy,
    MeanSquaredError,
    Quadratic,
    SoftmaxCrossEntropy,
    SquaredError,
)
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.layers import Dense, Flatten, Reshape, Sigmoid, Softmax
from backprop.network import Network
from tests.cases import assert_unchanged, snapshot


def one_hot(labels, n: int, dtype=np.float64) -> np.ndarray:
    return np.eye(n, dtype=dtype)[labels].T


def small(cost="quadratic", activation="sigmoid", dtype="float64", **kwargs) -> Network:
    return Network.from_sizes([3, 4, 2], activation, cost, dtype=dtype, rng=0, **kwargs)


def mixed(dtype="float64") -> Network:
    """Return a network of layers of several kinds, some without parameters."""
    layers = [
        Flatten(),
        Dense(6, 5, "tanh", dtype=dtype, rng=1),
        Reshape((5, 1)),
        Sigmoid(),
        Flatten(),
        Dense(5, 3, "identity", "nielsen", "normal", dtype=dtype, rng=2),
        Softmax(),
    ]
    return Network(layers, SoftmaxCrossEntropy(), input_shape=(2, 3))


def data(network: Network, batch: int, seed: int = 0):
    """Return an input, and targets that are probabilities."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*network.input_shape, batch)).astype(network.dtype)
    y = rng.random((*network.output_shape, batch))
    return x, (y / y.sum(axis=0)).astype(network.dtype)


def cost_of(network: Network, x, y):
    """Return C from the output alone, by the cost's own `value`."""
    return network.cost.value(network.forward(x), y)


def assert_gradients(network: Network, x, y) -> None:
    """Check nabla and dC/dx by both methods, against the cost of the output."""
    network.forward(x, training=True)
    nabla_x = network.backward(y)
    # The rounding error of C, some 1e-16, over the step of 6e-6 is in every element: hence floor.
    numeric = central_difference(lambda _: cost_of(network, x, y), network.theta)
    assert relative_error(numeric, network.nabla, floor=0.01) <= 1e-7
    numeric = central_difference(lambda x: cost_of(network, x, y), x)
    assert relative_error(numeric, nabla_x, floor=0.01) <= 1e-7
    twin, z = network.astype(complex), x.astype(complex)
    exact = complex_step(lambda _: cost_of(twin, z, y), twin.theta)
    assert relative_error(exact, network.nabla) <= 1e-12
    assert relative_error(complex_step(lambda z: cost_of(network, z, y), z), nabla_x) <= 1e-12


def states(network: Network) -> list[dict]:
    return [snapshot(layer) for layer in network.layers]


def assert_same_states(network: Network, before: list[dict]) -> None:
    for layer, state in zip(network.layers, before, strict=True):
        assert_unchanged(layer, state)


PAIRS = [
    (Quadratic(), "identity"),
    (Quadratic(), "sigmoid"),
    (Quadratic(), "softmax"),
    (SquaredError(), "tanh"),
    (SquaredError(), "identity"),
    (MeanSquaredError(), "gelu"),
    (MeanSquaredError(), "identity"),
    (CrossEntropy(), "sigmoid"),
    (SoftmaxCrossEntropy(), "softmax"),
    (SoftmaxCrossEntropy(0.2), "softmax"),
]
pairs = pytest.mark.parametrize(("cost", "output"), PAIRS, ids=[f"{c}-{a}" for c, a in PAIRS])
