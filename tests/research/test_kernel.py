"""Kernels of gradients against products of the gradients and Jacobians themselves."""

from __future__ import annotations

import copy
import tracemalloc

import numpy as np
import pytest

from backprop.gradients.numeric import relative_error
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    BatchNorm,
    Conv1d,
    Conv2d,
    Embedding,
    Flatten,
    Layer,
    ReLU,
    TimeStep,
)
from backprop.network import Network
from backprop.research import ExampleGradients, factors, gradient_gram, ntk
from tests.cases import CASES, NETWORK_CASES, Case, NetworkCase, assert_unchanged, snapshot
from tests.research.per_example.one_by_one import SOFTMAX, network_of
from tests.support import dense


def jacobians(network: Network, x: np.ndarray, of: str = "a") -> np.ndarray:
    """Return df_k(x_j)/dtheta, P x K x B, by a pass back for every output of every example."""
    twin = copy.deepcopy(network)
    found = []
    for j in range(x.shape[-1]):
        twin.forward(x[..., j : j + 1], keep=True)
        root = twin.root
        like = root.a if of == "a" else root.z
        rows = []
        for k in range(like.size):
            unit = np.zeros_like(like, order="C")
            unit.flat[k] = 1
            (root.backward if of == "a" else root.backward_from)(unit)
            rows.append(twin.nabla.copy())
        found.append(np.stack(rows, axis=1))
    return np.stack(found, axis=2)


def assert_products(network: Network, x: np.ndarray, other: np.ndarray, of: str = "a") -> None:
    mine, theirs = jacobians(network, x, of), jacobians(network, other, of)
    for second, right in ((None, mine), (other, theirs)):
        expected = np.einsum("pki,plj->kilj", mine, right)
        full = ntk(network, x, second, "all", of)
        assert full.shape == expected.shape
        assert relative_error(full, expected) <= 1e-12
        mean = ntk(network, x, second, of=of)
        assert relative_error(mean, np.einsum("kikj->ij", expected) / len(expected)) <= 1e-12
        last = len(expected) - 1
        one = ntk(network, x, second, last, of)
        assert relative_error(one, expected[last, :, last]) <= 1e-12


LEARNING = [case for case in CASES if case.make(np.float64).n_parameters]


@pytest.mark.parametrize("case", LEARNING, ids=str)
def test_the_tangent_kernel_is_the_product_of_jacobians(case: Case):
    layer, x, _ = case.problem(3)
    other = case.problem(2, seed=1)[1]
    network = network_of(layer, case.input_shape)
    with np.errstate(all="raise"):
        assert_products(network, x, other)


@pytest.mark.parametrize("of", ["a", "z"])
def test_of_the_output_and_of_the_weighted_input(of):
    network = Network([dense(4, 6), dense(6, 3, "softmax", 1)], SOFTMAX)
    rng = np.random.default_rng(0)
    assert_products(network, rng.standard_normal((4, 5)), rng.standard_normal((4, 2)), of)


def convolutions() -> tuple[Network, tuple[int, ...]]:
    one = Conv1d(2, 2, 3, padding=1, activation="tanh", dtype="float64", rng=0)
    return Network([one, one, Flatten(), dense(16, 2)], "quadratic", input_shape=(2, 8)), (2, 8)


def tied() -> tuple[Network, tuple[int, ...]]:
    one = dense(4, 3)
    return Network([one, dense(3, 4, rng=1).tie("w", one, transposed=True)]), (4,)


@pytest.mark.parametrize("make", [convolutions, tied])
def test_what_places_share_adds_up(make):
    network, shape = make()
    rng = np.random.default_rng(1)
    assert_products(network, rng.standard_normal((*shape, 4)), rng.standard_normal((*shape, 3)))


def test_an_embedding_tied_to_the_output():
    embedding = Embedding(5, 3, dtype="float64", rng=0)
    end = dense(3, 5, "identity", 1).tie("w", embedding, transposed=True)
    network = Network([embedding, TimeStep(-1), end], "quadratic", input_shape=(4,))
    rng = np.random.default_rng(2)
    assert_products(network, rng.integers(0, 5, (4, 6)), rng.integers(0, 5, (4, 3)))


@pytest.mark.parametrize("block", [1, 40, 2**21])
def test_block_by_block(monkeypatch, block):
    monkeypatch.setattr(factors, "BLOCK", block)
    rng = np.random.default_rng(3)
    layers = [Conv2d(1, 3, 2, activation="tanh", dtype="float64", rng=0), Flatten()]
    few_places = [Conv2d(1, 20, 3, activation="tanh", dtype="float64", rng=0), Flatten()]
    for below, size in ((layers, (5, 4)), (few_places, (3, 4))):
        n = 36 if below is layers else 40
        network = Network([*below, dense(n, 2)], "quadratic", input_shape=(1, *size))
        assert_products(
            network, rng.standard_normal((1, *size, 5)), rng.standard_normal((1, *size, 3))
        )


def test_frozen_layers_add_nothing():
    network = Network([dense(4, 6), dense(6, 3)], "quadratic")
    x = np.random.default_rng(4).standard_normal((4, 5))
    network[0].trainable = False
    full = ntk(network, x)
    a = network[0].forward(x)
    z = network[1].forward(a)
    primes = ((1 - z**2)[:, :, None] * (1 - z**2)[:, None, :]).mean(axis=0)
    np.testing.assert_allclose(full, primes * (a.T @ a + 1), rtol=1e-12)


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_the_gram_matrix_is_the_product_of_gradients(case: NetworkCase):
    network, x, y = case.problem(4)
    _, other, targets = case.problem(3, seed=1)
    first, second = ExampleGradients(network, x, y), ExampleGradients(network, other, targets)
    mine, theirs = first.gradients(), second.gradients()
    assert relative_error(gradient_gram(first), mine.T @ mine) <= 1e-12
    assert relative_error(gradient_gram(first, second), mine.T @ theirs) <= 1e-12
    assert relative_error(np.diag(gradient_gram(first)), first.norms() ** 2) <= 1e-12


def test_the_gram_matrix_tells_how_a_step_along_one_example_moves_the_others():
    network, x, y = NETWORK_CASES[1].problem(6)
    gram = gradient_gram(ExampleGradients(network, x, y))
    g = ExampleGradients(network, x, y).gradients()
    eta = 1e-6
    network.forward(x, keep=True)
    before = network.cost_per_example(y)
    network.theta -= eta * g[:, 2]
    network.forward(x, keep=True)
    np.testing.assert_allclose((before - network.cost_per_example(y)) / eta, gram[2], rtol=1e-3)


def test_a_step_moves_the_outputs_by_the_kernel():
    network = Network([dense(4, 8), dense(8, 2, "identity", 1)], "quadratic")
    rng = np.random.default_rng(5)
    x, y, other = (rng.standard_normal(shape) for shape in ((4, 5), (2, 5), (4, 3)))
    kernel = ntk(network, other, x, "all")
    before, eta = network.forward(other), 1e-6
    a = network.forward(x, keep=True)
    network.backward(y)
    network.theta -= eta * network.nabla
    moved = (network.forward(other) - before) / eta
    expected = -np.einsum("kilj,lj->ki", kernel, a - y) / 5
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-6)


def test_a_network_stays_as_it_is():
    network = Network([dense(4, 4), dense(4, 3, "softmax")], SOFTMAX)
    x = np.random.default_rng(6).standard_normal((4, 5))
    network.forward(x, training=True)
    network.backward(np.zeros(5, int))
    nabla, before = network.nabla.copy(), [snapshot(layer) for layer in network.layers]
    ntk(network, -x, x, "all")
    for layer, held in zip(network.layers, before, strict=True):
        assert_unchanged(layer, held)
    np.testing.assert_array_equal(network.nabla, nabla)


@pytest.mark.parametrize("outputs", ["mean", "all"])
def test_a_thousand_examples_take_less_than_500_megabytes(outputs):
    network = Network.from_sizes([784, 800, 800, 10], "relu", "quadratic", rng=0)
    x = np.random.default_rng(7).standard_normal((784, 1000 if outputs == "mean" else 100))
    tracemalloc.start()
    try:
        kernel = ntk(network, x.astype(np.float32), outputs=outputs)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert kernel.dtype == np.float32
    # That of all pairs of outputs of a thousand examples is 400 MB by itself.
    assert most < (500e6 if outputs == "mean" else 4e6 + 20e6)


def test_what_is_refused():
    network = Network([dense(4, 3)], "quadratic")
    x = np.ones((4, 2))
    with pytest.raises(ValueError, match="of is 'a' or 'z'"):
        ntk(network, x, of="b")
    with pytest.raises(ValueError, match="outputs is 'mean', 'all' or a number"):
        ntk(network, x, outputs="trace")
    with pytest.raises(ValueError, match=r"outputs 0 \.\.\. 2, got 3"):
        ntk(network, x, outputs=3)
    layer: Layer = Flatten()
    with pytest.raises(ValueError, match="no z"):
        ntk(Network([dense(4, 3), layer], "quadratic"), x, of="z")
    with pytest.raises(ValueError, match="no parameter that learns"):
        ntk(Network([ReLU()], "quadratic", input_shape=(4,)).astype("float64"), x)
    ends = [apply(dense(4, 2), Input("x", (4,))), apply(dense(4, 2), Input("y", (4,)))]
    with pytest.raises(TypeError, match="2 output arrays"):
        ntk(Network(Graph(ends), ["quadratic"] * 2), (x, x))
    other = Network([dense(4, 2)], "quadratic")
    with pytest.raises(ValueError, match="not of one network"):
        gradient_gram(
            ExampleGradients(network, x, np.ones((3, 2))),
            ExampleGradients(other, x, np.ones((2, 2))),
        )
    norm = Network([BatchNorm(4, dtype="float64")], "quadratic", input_shape=(4,))
    assert ntk(norm, x).shape == (2, 2)  # of the network that predicts
