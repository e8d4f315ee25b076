"""Gradients of single examples, one after the other, and networks to take them of."""

from __future__ import annotations

import copy

import numpy as np

from backprop.core.shapes import each_array
from backprop.gradients.numeric import relative_error
from backprop.layers import Layer
from backprop.network import Network
from backprop.research import ExampleGradients

SOFTMAX = "softmax_cross_entropy"


def network_of(layer: Layer, shape: tuple[int, ...]) -> Network:
    network = Network(layer, input_shape=shape)
    return network if network.dtype == np.float64 else network.astype(np.float64)


def loop(network: Network, nabla_a: np.ndarray) -> np.ndarray:
    """Return the gradient of each example, P x B, after a pass up: a pass back for each alone."""
    found = []
    for j in range(nabla_a.shape[-1]):
        only = np.zeros_like(nabla_a)
        only[..., j] = nabla_a[..., j]
        network.backpropagate(only, input_gradient=False)
        found.append(network.nabla.copy())
    return np.stack(found, axis=1)


def assert_right(found: ExampleGradients, expected: np.ndarray) -> None:
    """Compare every quantity with what the gradients themselves, P x B, give."""
    n = expected.shape[1]
    v = np.random.default_rng(3).standard_normal(len(expected))
    squares = (expected**2).sum(axis=0)
    for what, right in (
        (found.gradients(), expected),
        (found.mean(), expected.mean(axis=1)),
        (found.weighted_sum(np.full(n, 0.7)), 0.7 * expected.sum(axis=1)),
        (found.second_moment(), (expected**2).mean(axis=1)),
    ):
        assert what.shape == right.shape
        assert relative_error(what, right) <= 1e-12
    assert relative_error(found.products(v), v @ expected) <= 1e-10
    assert relative_error(found.norms(), np.sqrt(squares)) <= 1e-10
    by_parameter = found.squared_norms_by_parameter()
    assert list(by_parameter) == [part.name for part in found.parts]
    for part in found.parts:
        right = (expected[part.where] ** 2).sum(axis=0)
        assert relative_error(by_parameter[part.name], right) <= 1e-10
    scale = (expected**2).mean(axis=1).max(initial=1e-300)
    assert abs(found.variance() - expected.var(axis=1)).max(initial=0) <= 1e-12 * scale
    bound = float(np.median(np.sqrt(squares))) or 1.0
    ghost, explicit = found.clipped(bound), found.clipped_explicitly(bound)
    assert relative_error(ghost, explicit) <= 1e-12
    shortened = expected * np.minimum(1, bound / np.sqrt(np.where(squares > 0, squares, bound**2)))
    assert relative_error(explicit, shortened.mean(axis=1)) <= 1e-12


def padded(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    x = rng.standard_normal(shape)
    x[-1] = np.arange(shape[1])[:, None] < rng.integers(1, shape[1] + 1, shape[2])
    return x


def gradients_one_by_one(network: Network, x, y, **weights) -> np.ndarray:
    """Return grad C_x of each example, P x B, from a minibatch of that example alone."""
    twin, found = copy.deepcopy(network), []
    for j in range(x.shape[-1]):
        one = slice(j, j + 1)
        twin.forward(x[..., one], keep=True)
        twin.backward(each_array(lambda array, one=one: array[..., one], y))
        found.append(twin.nabla.copy())
    return np.stack(found, axis=1)


def data(n: int = 4, classes: int = 3, batch: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((n, batch)), rng.integers(0, classes, batch)
