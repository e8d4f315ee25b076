"""Keeping state is one thing, behaving as in training another; and looking changes nothing."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from backprop.core.shapes import as_tuple
from backprop.gradients.check import check_gradients
from backprop.graph import Graph, Input, apply, concatenate
from backprop.layers import (
    LSTM,
    BatchNorm,
    Dense,
    Dropout,
    GaussianNoise,
    Layer,
    Masked,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    TimeDistributed,
    TransformerBlock,
)
from backprop.network import Network
from tests.cases import CASES, NETWORK_CASES, Case, NetworkCase, assert_unchanged, snapshot


def unlike_new(layer: Layer, x: np.ndarray, nabla_a: np.ndarray) -> None:
    """Let the layer have been trained: running statistics moved, states carried, masks drawn."""
    layer.forward(x, training=True)
    layer.backward(nabla_a)
    layer.theta[...] += 0.01
    layer.forward(0.5 * x if x.dtype.kind == "f" else x, training=True)


def remembered(layer: Layer) -> dict[str, object]:
    """Return what training moves: running statistics, carried states, generators."""
    found: dict[str, object] = dict(layer.state())
    for name, inner in layer.walk():
        if inner.rng is not None:
            found[f"{name} rng"] = repr(inner.rng.bit_generator.state)
    return found


def assert_same(found: dict[str, object], before: dict[str, object]) -> None:
    assert found.keys() == before.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 3])
def test_keeping_gives_what_inference_gives_to_the_bit(case: Case, dtype, batch):
    layer, x, nabla_a = case.problem(batch, dtype)
    unlike_new(layer, x, nabla_a)
    before, expected = remembered(layer), layer.forward(x)
    found = layer.forward(x, keep=True)
    np.testing.assert_array_equal(found, expected, strict=True)
    assert_same(remembered(layer), before)
    np.testing.assert_array_equal(layer.a_prev, x)  # copies: nobody else can change them
    np.testing.assert_array_equal(layer.a, found)
    np.testing.assert_array_equal(layer.forward(x), expected, strict=True)
    layer.backward(nabla_a)
    assert_same(remembered(layer), before)


@every_case
def test_the_way_back_through_inference_is_exact(case: Case):
    layer, x, nabla_a = case.problem(3)
    unlike_new(layer, x, nabla_a)
    report = check_gradients(layer, x, nabla_a=nabla_a, training=False, exact_tolerance=1e-12)
    assert report.passed, str(report)


@every_case
def test_inference_keeps_nothing(case: Case):
    layer, x, nabla_a = case.problem(3)
    unlike_new(layer, x, nabla_a)
    before = [(inner, snapshot(inner)) for _, inner in layer.walk()]
    layer.forward(x[..., :1] if x.dtype.kind == "i" else 3 * x[..., :1])
    for inner, state in before:
        assert_unchanged(inner, state)
    fresh = case.make(np.float64)
    fresh.forward(x)
    with pytest.raises(
        RuntimeError, match=r"needs a forward\(\.\.\., training=True\) or forward\("
    ):
        fresh.backward(nabla_a)


@every_case
def test_both_modes_after_one_another_do_not_mix(case: Case):
    """A backward pass goes back through the last pass that kept state, whatever came before."""
    layer, x, nabla_a = case.problem(3)
    unlike_new(layer, x, nabla_a)
    twin = copy.deepcopy(layer)
    twin.forward(x, keep=True)
    expected_x, expected = twin.backward(nabla_a), twin.nabla.copy()
    layer.forward(x, training=True)
    layer.backward(nabla_a)
    layer.set_state(twin.state())
    layer.forward(x, keep=True)
    found = layer.backward(nabla_a)
    if expected_x is not None:
        np.testing.assert_array_equal(found, expected_x, strict=True)
    np.testing.assert_array_equal(layer.nabla, expected, strict=True)


@every_case
def test_inference_from_several_threads(case: Case):
    layer, x, nabla_a = case.problem(4)
    unlike_new(layer, x, nabla_a)
    inputs = [np.roll(x, k, axis=-1) for k in range(4)]
    expected = [layer.forward(one) for one in inputs]
    before = [(inner, snapshot(inner)) for _, inner in layer.walk()]
    with ThreadPoolExecutor(4) as pool:
        for found, one in zip(pool.map(layer.forward, inputs * 4), expected * 4, strict=True):
            np.testing.assert_array_equal(found, one, strict=True)
    for inner, state in before:
        assert_unchanged(inner, state)


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_networks(case: NetworkCase):
    network, x, y = case.problem(4)
    network.forward(x, training=True)
    network.backward(y)
    before, expected = remembered(network.root), network.forward(x)
    for found in (network.forward(x, keep=True), network.root.a):
        for a, other in zip(as_tuple(found), as_tuple(expected), strict=True):
            np.testing.assert_array_equal(a, other, strict=True)
    cost = network.evaluate(x, y)["cost"]
    assert network.cost_per_example(y).mean() == pytest.approx(cost, rel=1e-12)
    network.backward(y)
    assert_same(remembered(network.root), before)
    assert check_gradients(network, x, y, training=False).passed
    assert_same(remembered(network.root), before)


def noisy() -> list[Layer]:
    """Return layers that behave otherwise in training, each at another depth."""
    kind = {"dtype": "float64"}

    def block(seed: int) -> list[Layer]:
        dense = Dense(4, 4, "tanh", rng=seed, **kind)
        return [dense, BatchNorm(4, **kind), Dropout(0.4, rng=seed)]

    x = Input("x", (4,))
    u = apply(Sequential(block(1)), x)
    graph = Graph(concatenate(apply(GaussianNoise(0.3, rng=2), u), x * 0.5))
    branches = Parallel([Sequential(block(3)), Residual(block(4))], "sum")
    return [*block(0), Residual(block(5)), branches, graph, Dense(8, 2, rng=6, **kind)]


def test_a_network_of_everything_that_is_otherwise_in_training():
    network = Network(noisy(), "quadratic")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 6)), rng.random((2, 6))
    for _ in range(3):
        network.forward(x, training=True)
        network.backward(y)
    before = remembered(network.root)
    expected = network.predict(x)
    np.testing.assert_array_equal(network.forward(x, keep=True), expected, strict=True)
    saliency = network.backward(y)
    assert all(layer.mask is None for _, layer in network.walk() if isinstance(layer, Dropout))
    alone = []
    for j in range(6):
        network.forward(x[:, j : j + 1], keep=True)
        alone.append(network.backward(y[:, j : j + 1]))
    np.testing.assert_allclose(np.hstack(alone) / 6, saliency, rtol=1e-12)  # no batch in it
    for training in (True, False):
        report = check_gradients(network, x, y, training=training)
        assert report.passed, str(report)
    network.trace(x, y)
    network.evaluate(x, y)
    assert_same(remembered(network.root), before)


def test_a_mask_goes_with_either_mode():
    kind = {"dtype": "float64"}
    chain = [LSTM(2, 3, rng=0, **kind), TimeDistributed(Dense(3, 3, "tanh", rng=1, **kind)),
             TransformerBlock(3, 1, 4, dropout=0.3, rng=2, **kind)]  # fmt: skip
    masked, rng = Masked(chain), np.random.default_rng(0)
    x = rng.standard_normal((3, 5, 4))
    x[-1] = np.arange(5)[:, None] < [5, 3, 1, 4]
    for keywords in ({}, {"keep": True}):
        a = masked.forward(x, **keywords)
        for j, steps in enumerate((5, 3, 1, 4)):
            alone = Sequential(copy.deepcopy(masked.children)).forward(x[:2, :steps, j : j + 1])
            np.testing.assert_allclose(a[:, :steps, j], alone[..., 0], rtol=1e-12)
    assert check_gradients(masked, x, training=False).passed


def test_a_graph_of_several_inputs_and_outputs_keeps_too():
    kind = {"dtype": "float64"}
    x, u = Input("x", (3,)), Input("u", (2,))
    h = apply(Dense(5, 4, "tanh", rng=0, **kind), concatenate(x, u))
    heads = [apply(Dropout(0.5, rng=1), apply(ReLU(), h)), apply(Dense(4, 2, rng=2, **kind), h)]
    graph, rng = Graph(heads), np.random.default_rng(0)
    arrays = rng.standard_normal((3, 6)), rng.standard_normal((2, 6))
    expected, found = graph.forward(arrays), graph.forward(arrays, keep=True)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    nabla = tuple(rng.standard_normal(a.shape) for a in found)
    downstream = graph.backward(nabla)
    step = 1e-6
    for k, (array, gradient) in enumerate(zip(arrays, downstream, strict=True)):
        direction = rng.standard_normal(array.shape)
        sums = []
        for sign in (1, -1):
            moved = list(arrays)
            moved[k] = array + sign * step * direction
            sums.append(sum((n * a).sum() for n, a in zip(nabla, graph.forward(tuple(moved)),
                                                          strict=True)))  # fmt: skip
        numeric = (sums[0] - sums[1]) / (2 * step)
        assert numeric == pytest.approx((gradient * direction).sum(), rel=1e-7)


def test_training_says_more_than_keep():
    layer = Dropout(0.5, rng=0)
    x = np.ones((3, 50))
    a = layer.forward(x, training=True, keep=True)
    assert layer.mask is not None
    assert not np.array_equal(a, x)
