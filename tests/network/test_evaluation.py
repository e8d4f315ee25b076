"""Outputs, costs and metrics over many examples, in batches and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from backprop.costs import (
    Cost,
)
from backprop.layers import (
    Dense,
    Dropout,
    ShapeError,
)
from backprop.network import Network
from tests.network.support import (
    assert_same_states,
    cost_of,
    data,
    mixed,
    one_hot,
    pairs,
    small,
    states,
)
from tests.support import refusal_of


@pytest.mark.parametrize("batch_size", [1, 3, 7, 8, 1000])
def test_predict_in_batches(batch_size: int):
    network = mixed()
    x, _ = data(network, 7)
    a = network.predict(x, batch_size)
    np.testing.assert_allclose(a, network.forward(x), rtol=1e-13, atol=1e-15)
    assert (a.shape, a.dtype) == ((3, 7), np.float64)


def test_predict_leaves_out_nothing():
    network = Network([Dense(3, 2), Dropout(0.9, rng=0)])
    x = np.ones((3, 20), np.float32)
    np.testing.assert_array_equal(network.predict(x), network[0].forward(x))


def test_predict_from_several_threads():
    network = Network.from_sizes([20, 30, 10], "gelu", dtype="float64", rng=0)
    inputs = [np.random.default_rng(seed).standard_normal((20, 50)) for seed in range(16)]
    expected = [network.predict(x, 20) for x in inputs]
    network.forward(inputs[0], training=True)
    before = states(network)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = list(pool.map(lambda x: network.predict(x, 20), inputs))
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)
    assert_same_states(network, before)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "10", None])
def test_batch_sizes(batch_size):
    network = small()
    x, y = data(network, 3)
    for call in (network.predict, lambda x, b: network.evaluate(x, y, b)):
        error, message = refusal_of(batch_size)
        with pytest.raises(error, match=f"^network: batch_size {message}"):
            call(x, batch_size)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
@pairs
def test_evaluate_reports_the_cost_of_the_whole(cost: Cost, output: str, batch_size: int):
    network = small(cost, output_activation=output)
    x, y = data(network, 5)
    found = network.evaluate(x, y, batch_size)
    assert found.keys() == {"cost"}
    assert found["cost"] == pytest.approx(cost_of(network, x, y), rel=1e-12)


def test_evaluate_reports_accuracy_where_the_targets_are_classes():
    network = small("softmax_cross_entropy")
    x, _ = data(network, 7)
    labels = network.predict(x).argmax(axis=0)
    labels[:2] = 1 - labels[:2]
    for y in (labels, one_hot(labels, 2)):
        found = network.evaluate(x, y, batch_size=3)
        assert found.keys() == {"cost", "accuracy"}
        assert found["accuracy"] == pytest.approx(5 / 7, rel=1e-14)
        assert all(type(value) is float for value in found.values())
    one = Network.from_sizes([3, 1], cost="cross_entropy", dtype="float64", rng=0)
    y = (one.predict(x) >= 0.5).astype(float)
    assert one.evaluate(x, y)["accuracy"] == 1


def test_evaluate_with_metrics_of_ones_own():
    network = small(dtype="float32")
    x, y = data(network, 7)
    metrics = {"largest": lambda a, y: np.abs(a - y).max(axis=0).mean()}
    found = network.evaluate(x, y, 3, metrics)
    assert found.keys() == {"cost", "largest"}
    assert type(found["largest"]) is float
    expected = np.abs(network.predict(x) - y).max(axis=0).mean()
    assert found["largest"] == pytest.approx(expected, rel=1e-6)


def test_evaluate_labels():
    network = small("softmax_cross_entropy")
    x, _ = data(network, 5)
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.1, got 2 at index 3$"):
        network.evaluate(x, np.array([0, 1, 0, 2, 0]))
    with pytest.raises(ShapeError, match="x holds 5 examples but y has 6 targets"):
        network.evaluate(x, np.zeros(6, int))
