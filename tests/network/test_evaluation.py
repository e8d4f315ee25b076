"""Outputs, costs and metrics over many examples, in batches and threads."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from backprop.costs import Cost
from backprop.layers import Dense, Dropout, Flatten, ShapeError
from backprop.metrics import Metric
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
    metrics = [Metric(lambda a, y: np.abs(a - y).max(axis=0).mean(), False, "largest")]
    found = network.evaluate(x, y, 3, metrics)
    assert found.keys() == {"cost", "largest"}
    assert type(found["largest"]) is float
    expected = np.abs(network.predict(x) - y).max(axis=0).mean()
    assert found["largest"] == pytest.approx(expected, rel=1e-6)


def test_evaluate_labels():
    network = small("softmax_cross_entropy")
    x, _ = data(network, 5)
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.1, got 2 at index 3: the last "):
        network.evaluate(x, np.array([0, 1, 0, 2, 0]))
    with pytest.raises(ShapeError, match="x holds 5 examples but y has 6 targets"):
        network.evaluate(x, np.zeros(6, int))


# -- metrics over all examples, weights ---------------------------------------------------------


def classifier(n: int = 2500) -> tuple[Network, np.ndarray, np.ndarray]:
    """Return a softmax network, and more examples than a batch holds, sorted by class."""
    network = Network.from_sizes([3, 2], cost="softmax_cross_entropy", dtype="float64", rng=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, n))
    labels = np.sort((rng.random(n) < 0.1).astype(int))
    return network, x + labels, labels


@pytest.mark.parametrize("batch_size", [1000, 100, 2499, 10_000])
def test_metrics_above_1000_examples_are_those_of_all_examples_at_once(batch_size):
    metrics = pytest.importorskip("sklearn.metrics")
    network, x, y = classifier()
    names = ["accuracy", "f1", "roc_auc", "average_precision", "log_loss"]
    found = network.evaluate(x, y, batch_size, names)
    a = network.predict(x)
    predicted = a.argmax(axis=0)
    assert found["accuracy"] == metrics.accuracy_score(y, predicted)
    assert found["f1"] == pytest.approx(metrics.f1_score(y, predicted), rel=1e-12)
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, a[1]), rel=1e-12)
    average = metrics.average_precision_score(y, a[1])
    assert found["average_precision"] == pytest.approx(average, rel=1e-12)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(y, a.T), rel=1e-12)
    assert found["cost"] == pytest.approx(found["log_loss"], rel=1e-9)


def test_rmse_above_1000_examples_is_the_root_of_the_mean_of_all():
    network = Network([Dense(2, 1, "identity", dtype="float64", rng=0)], "quadratic")
    x = np.random.default_rng(0).standard_normal((2, 3000))
    y = np.concatenate([np.zeros((1, 1500)), 9 + np.zeros((1, 1500))], axis=1)
    found = network.evaluate(x, y, metrics=["rmse", "r2"])
    error = network.predict(x) - y
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-12)
    spread = ((y - y.mean()) ** 2).sum()
    assert found["r2"] == pytest.approx(1 - (error**2).sum() / spread, rel=1e-12)


def test_example_weights_count_in_cost_and_metrics():
    metrics = pytest.importorskip("sklearn.metrics")
    network, x, y = classifier()
    w = np.random.default_rng(1).uniform(0, 3, len(y))
    w[::7] = 0
    names = ["accuracy", "f1", "roc_auc", "top_1_accuracy"]
    found = network.evaluate(x, y, metrics=names, sample_weight=w)
    a = network.predict(x)
    expected = metrics.log_loss(y, a.T, sample_weight=w)
    assert found["cost"] == pytest.approx(expected, rel=1e-9)
    predicted = a.argmax(axis=0)
    accuracy = metrics.accuracy_score(y, predicted, sample_weight=w)
    assert found["accuracy"] == found["top_1_accuracy"] == pytest.approx(accuracy, rel=1e-12)
    f1 = metrics.f1_score(y, predicted, sample_weight=w)
    assert found["f1"] == pytest.approx(f1, rel=1e-12)
    auc = metrics.roc_auc_score(y, a[1], sample_weight=w)
    assert found["roc_auc"] == pytest.approx(auc, rel=1e-12)


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (np.ones(4), ValueError, r"sample_weight must have the shape \(5,\), a weight for each"),
        (np.ones((1, 5)), ValueError, r"sample_weight must have the shape \(5,\)"),
        (-np.ones(5), ValueError, "sample_weight must not be negative, got -1.0"),
        (np.zeros(5), ValueError, "sample_weight is 0 for all examples"),
        (np.array([1, 2, np.nan, 1, 1]), ValueError, r"sample_weight\[2\] is nan"),
        ([1, 1, 1, 1, 1], TypeError, "sample_weight must be a numpy array, got list"),
        (np.array(["a"] * 5), TypeError, "sample_weight must be real, got <U1"),
    ],
)
def test_weights_that_are_none_are_refused(weight, error, message):
    network = small()
    x, y = data(network, 5)
    with pytest.raises(error, match=rf"^Quadratic\(\): (the )?{message}"):
        network.evaluate(x, y, sample_weight=weight)


def test_a_metric_that_cannot_weight_is_refused_where_there_are_weights():
    network = small()
    x, y = data(network, 5)
    plain = Metric(lambda a, y: 1.0, True, "plain")
    assert network.evaluate(x, y, metrics=[plain])["plain"] == 1
    with pytest.raises(ValueError, match=r"the metric 'plain' cannot weight .* sample_weight=None"):
        network.evaluate(x, y, metrics=[plain], sample_weight=np.ones(5))


def test_metrics_of_outputs_that_hold_nan_are_nan():
    network = small("softmax_cross_entropy")
    x, _ = data(network, 2000)
    network[-1].w[:] = np.nan
    with np.errstate(all="ignore"):
        found = network.evaluate(x, np.zeros(2000, int), metrics=["accuracy", "log_loss", "f1"])
    assert all(np.isnan(value) for value in found.values())


def test_metrics_keep_outputs_and_not_activations():
    layers = [Dense(4, 3000, rng=0), Dense(3000, 2, "softmax", rng=1)]
    network = Network(layers, "softmax_cross_entropy")
    x, y = np.zeros((4, 20_000), np.float32), np.zeros(20_000, int)
    network.evaluate(x[:, :200], y[:200], 100)
    tracemalloc.start()
    network.evaluate(x, y, 100, ["accuracy", "log_loss"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # the hidden activations of all examples are 240 MB


@pytest.mark.parametrize("n", [5, 2000])
def test_no_metric_can_change_what_the_next_one_and_the_training_look_at(n: int):
    network = small()
    x, y = data(network, n)
    y_before, right = y.copy(), network.evaluate(x, y, metrics=["mse"])["mse"]

    def spoils_outputs(a, y):
        a[:] = 0

    def spoils_targets(a, y):
        y *= 2

    for spoils in (spoils_outputs, spoils_targets):
        with pytest.raises(ValueError, match="read-only"):
            network.evaluate(x, y, metrics=[Metric(spoils, True), "mse"])
    assert y.flags.writeable
    np.testing.assert_array_equal(y, y_before)
    assert network.evaluate(x, y, metrics=["mse"])["mse"] == right


def test_what_predict_returns_is_the_caller_s_own():
    x = np.ones((3, 2, 4), np.float32)
    a = Network([Flatten()], input_shape=(3, 2)).predict(x)
    a[...] = 5
    assert (x == 1).all()
