"""Weights of classes and of examples: in BP1, in the cost and the metrics that are reported."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop import L2, SGD, Adam, Callback, Network
from backprop.datasets import one_hot
from backprop.gradients.numeric import central_difference, relative_error
from backprop.graph import Graph, Input, apply
from backprop.layers import Conv2d, Dense
from backprop.training import checkpoint
from tests.training.support import StopAfter
from tests.training.weighted import (
    LABELS,
    WEIGHT,
    AbsoluteError,
    K,
    N,
    X,
    every_cost,
    network_of,
    rng,
    trainer_of,
    weighted_cost,
)

# -- the gradient ----------------------------------------------------------------------------------


@every_cost
def test_a_step_on_all_examples_is_one_down_the_weighted_mean(cost, output, y):
    network = network_of(cost, output)
    twin = copy.deepcopy(network)

    def value(theta):
        twin.theta = theta
        return weighted_cost(twin, X, y, WEIGHT)

    exact = central_difference(value, network.theta.copy())
    before = network.theta.copy()
    network.forward(X, training=True)
    network.backward(y, sample_weight=WEIGHT)
    assert relative_error(exact, network.nabla, floor=0.01) <= 1e-6
    trainer_of(network).fit(X, y, sample_weight=WEIGHT)
    assert relative_error(exact, (before - network.theta) / 0.1, floor=0.01) <= 1e-6


@every_cost
def test_the_minibatches_of_an_epoch_add_up_to_the_gradient_of_the_weighted_mean(cost, output, y):
    class Gradients(Callback):
        wants_steps = True

        def on_fit_start(self, trainer):
            self.total = np.zeros_like(trainer.network.nabla)

        def on_step_end(self, trainer):
            size = trainer.network[0].a_prev.shape[-1]
            self.total += size / N * trainer.network.nabla

    network, gradients = network_of(cost, output), Gradients()
    trainer_of(network, SGD(0.0), batch_size=7, callbacks=[gradients]).fit(
        X, y, sample_weight=WEIGHT
    )
    network.forward(X, training=True)
    network.backward(y, sample_weight=WEIGHT)
    np.testing.assert_allclose(gradients.total, network.nabla, rtol=1e-10, atol=1e-15)


@every_cost
def test_a_weight_of_0_is_an_example_left_out_and_of_2_one_that_stands_twice(cost, output, y):
    w = np.array([0.0, 1.0, 2.0] + [1.0] * (N - 3))
    times = w.astype(int)
    weighted, repeated = network_of(cost, output), network_of(cost, output)
    h_weighted = trainer_of(weighted).fit(X, y, sample_weight=w, epochs=3)
    x2, y2 = np.repeat(X, times, axis=-1), np.repeat(y, times, axis=-1)
    h_repeated = trainer_of(repeated).fit(x2, y2, epochs=3)
    np.testing.assert_allclose(weighted.theta, repeated.theta, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(h_weighted["training_cost"], h_repeated["training_cost"], rtol=1e-12)


@every_cost
@pytest.mark.parametrize("factor", [1.0, 1e-3, 5.0])
def test_weights_that_are_all_alike_are_as_good_as_none(cost, output, y, factor):
    one, other = network_of(cost, output), network_of(cost, output)
    a = trainer_of(one, Adam(0.01), batch_size=9).fit(
        X, y, epochs=2, sample_weight=np.full(N, factor)
    )
    b = trainer_of(other, Adam(0.01), batch_size=9).fit(X, y, epochs=2)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(a["training_cost"], b["training_cost"], rtol=1e-12)


def test_a_cost_of_the_users_own_takes_weights_too():
    network, y = network_of(AbsoluteError(), "identity"), rng.standard_normal((K, N))
    expected = weighted_cost(network, X, y, WEIGHT)
    assert network.evaluate(X, y, metrics={}, sample_weight=WEIGHT)["cost"] == pytest.approx(
        expected, rel=1e-12
    )
    history = trainer_of(network, SGD(0.0)).fit(X, y, sample_weight=WEIGHT)
    assert history["training_cost"][0] == pytest.approx(expected, rel=1e-12)
    value = AbsoluteError().value(network.predict(X), y, sample_weight=WEIGHT)
    assert value == pytest.approx(expected, rel=1e-12)


def test_images_take_a_weight_an_example_or_one_a_place():
    network = Network([Conv2d(1, 2, 2, activation="tanh", dtype="float64", rng=0)], "quadratic",
                      input_shape=(1, 3, 3))  # fmt: skip
    x, y = rng.standard_normal((1, 3, 3, 5)), rng.standard_normal((2, 2, 2, 5))
    for w, expected in [
        (np.array([1.0, 0, 2, 1, 1]), None),
        (np.broadcast_to(np.array([1.0, 0, 2, 1, 1]), (2, 2, 5)).copy(), None),
    ]:
        expected = weighted_cost(network, x, y, [1, 0, 2, 1, 1])
        found = network.evaluate(x, y, metrics={}, sample_weight=w)["cost"]
        assert found == pytest.approx(expected, rel=1e-12)


def test_single_precision_stays_single():
    network = network_of(dtype="float32")
    x = X.astype("f4")
    network.forward(x, training=True)
    network.backward(LABELS, sample_weight=WEIGHT)
    assert network[-1].delta.dtype == np.float32
    trainer_of(network, batch_size=7).fit(x, LABELS, class_weight="balanced")
    assert network[-1].delta.dtype == network.theta.dtype == np.float32


def test_penalties_are_as_without_weights():
    network = network_of()
    history = trainer_of(network, SGD(0.0), regularizer=L2(0.1)).fit(
        X, LABELS, sample_weight=100 * WEIGHT
    )
    omega = 0.1 * sum((layer.w**2).sum() for layer in network.layers)
    assert history["penalty"][0] == pytest.approx(omega, rel=1e-12)
    network.forward(X, training=True)
    network.backward(LABELS, sample_weight=WEIGHT)
    nabla, before = network[0].nabla_w + 0.2 * network[0].w, network[0].w.copy()
    trainer_of(network, SGD(0.5), regularizer=L2(0.1)).fit(X, LABELS, sample_weight=100 * WEIGHT)
    np.testing.assert_allclose(network[0].w, before - 0.5 * nabla, rtol=1e-10)


# -- as scikit-learn has them ----------------------------------------------------------------------


def test_the_reported_costs_and_metrics_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    network = network_of()
    trainer = trainer_of(network, SGD(0.3), batch_size=8, metrics=["accuracy", "f1_macro"])
    w_validation = rng.uniform(0, 1, N)
    history = trainer.fit(
        X, LABELS, epochs=2, sample_weight=WEIGHT, validation=(X, LABELS, w_validation)
    )
    a = network.predict(X).T
    for data, w in (("training", WEIGHT), ("validation", w_validation)):
        loss = metrics.log_loss(LABELS, a, sample_weight=w, labels=range(K))
        accuracy = metrics.accuracy_score(LABELS, a.argmax(axis=1), sample_weight=w)
        f1 = metrics.f1_score(LABELS, a.argmax(axis=1), sample_weight=w, average="macro")
        assert history[f"{data}_cost"][-1] == pytest.approx(loss, rel=1e-9)
        assert history[f"{data}_accuracy"][-1] == pytest.approx(accuracy, rel=1e-12)
        assert history[f"{data}_f1_macro"][-1] == pytest.approx(f1, rel=1e-12)
        found = network.evaluate(X, LABELS, metrics=["accuracy"], sample_weight=w)
        assert found["cost"] == pytest.approx(loss, rel=1e-9)
        assert found["accuracy"] == pytest.approx(accuracy, rel=1e-12)


def test_the_two_sided_and_the_mean_squared_cost_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    y = 1.0 * (LABELS > 0)[None]
    network = Network([Dense(4, 1, dtype="float64", rng=0)], "cross_entropy")
    a = network.predict(X)
    found = network.evaluate(X, y, sample_weight=WEIGHT)
    assert found["cost"] == pytest.approx(metrics.log_loss(y[0], a[0], sample_weight=WEIGHT))
    network.cost = "mean_squared_error"
    found = network.evaluate(X, y, sample_weight=WEIGHT, metrics={})
    expected = metrics.mean_squared_error(y[0], a[0], sample_weight=WEIGHT)
    assert found["cost"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 2.5, 2: 7}, {1: 4.0}, {}])
def test_class_weights_are_those_of_scikit_learn(class_weight):
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    w = sklearn.compute_sample_weight(class_weight, LABELS)
    by_class, by_example = network_of(), network_of()
    a = trainer_of(by_class, batch_size=8).fit(
        X, LABELS, epochs=2, class_weight=class_weight, validation=(X[:, 5:], LABELS[5:])
    )
    b = trainer_of(by_example, batch_size=8).fit(
        X, LABELS, epochs=2, sample_weight=w, validation=(X[:, 5:], LABELS[5:], w[5:])
    )
    np.testing.assert_allclose(by_class.theta, by_example.theta, rtol=1e-12)
    for column in ("training_cost", "validation_cost"):
        np.testing.assert_allclose(a[column], b[column], rtol=1e-12)


def test_balanced_weights_by_hand():
    x, labels = np.zeros((4, 6)), np.array([0, 0, 0, 0, 2, 2])
    y = np.eye(K)[:, labels]
    network = network_of("squared_error", "identity")
    # N / (K N_k) of the two classes that occur: 6 / (2 4) = 3/4 and 6 / (2 2) = 3/2, sum 6
    c = [network.evaluate(x[:, :1], y[:, [j]], metrics={})["cost"] for j in (0, 4)]
    history = trainer_of(network, SGD(0.0), batch_size=6).fit(x, y, class_weight="balanced")
    assert history["training_cost"][0] == pytest.approx((4 * 0.75 * c[0] + 2 * 1.5 * c[1]) / 6)


def test_labels_one_hot_columns_and_a_row_of_0_and_1_weigh_alike():
    theta = []
    for y in (LABELS, one_hot(LABELS, K, "float64")):
        network = network_of()
        trainer_of(network).fit(X, y, class_weight="balanced")
        theta.append(network.theta)
    np.testing.assert_allclose(*theta, rtol=1e-12)
    row = 1.0 * (LABELS > 0)[None]
    one, other = (Network([Dense(4, 1, dtype="float64", rng=0)], "cross_entropy") for _ in "12")
    trainer_of(one).fit(X, row, class_weight={0: 1, 1: 3})
    trainer_of(other).fit(X, row, sample_weight=np.where(row[0] == 1, 3, 1))
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-12)


def test_weights_of_classes_and_of_examples_multiply():
    both, product = network_of(), network_of()
    trainer_of(both).fit(X, LABELS, class_weight={0: 1, 1: 2, 2: 5}, sample_weight=WEIGHT)
    w = np.array([1, 2, 5])[LABELS] * WEIGHT
    trainer_of(product).fit(X, LABELS, sample_weight=w)
    np.testing.assert_allclose(both.theta, product.theta, rtol=1e-12)


# -- several outputs -------------------------------------------------------------------------------


def heads():
    x = Input("x", (4,))
    ends = [apply(Dense(4, n, name, dtype="float64", rng=n), x)
            for n, name in ((K, "softmax"), (1, "sigmoid"), (2, "identity"))]  # fmt: skip
    return Network(Graph(ends), ["softmax_cross_entropy", "cross_entropy", "quadratic"])


Y = (LABELS, 1.0 * (LABELS > 0)[None], rng.standard_normal((2, N)))


def test_several_outputs_take_one_weight_for_all_or_one_for_each():
    network = heads()
    single = [network.root.children[k] for k in range(3)]
    costs = network.cost.costs
    a = [layer.forward(X) for layer in single]
    each = (WEIGHT, None, WEIGHT[::-1].copy())
    for given, of_each in ((WEIGHT, (WEIGHT,) * 3), (each, each)):
        parts = [
            cost.value(a_k, y_k, sample_weight=w)
            for cost, a_k, y_k, w in zip(costs, a, Y, of_each, strict=True)
        ]
        found = network.evaluate(X, Y, metrics={}, sample_weight=given)["cost"]
        assert found == pytest.approx(sum(parts), rel=1e-12)
        network.forward(X, training=True)
        network.backward(Y, sample_weight=given)
        before, nabla = network.theta.copy(), network.nabla.copy()
        history = trainer_of(network).fit(X, Y, sample_weight=given)
        np.testing.assert_allclose(before - network.theta, 0.1 * nabla, rtol=1e-9, atol=1e-15)
        assert len(history) == 1
        network.theta = before


def test_several_outputs_take_class_weights_for_each():
    one, other = heads(), heads()
    tables = ({0: 1, 1: 2, 2: 3}, "balanced", None)
    trainer_of(one).fit(X, Y, class_weight=tables)
    row = Y[1][0].astype(int)
    balanced = (N / (2 * np.bincount(row)))[row]
    trainer_of(other).fit(X, Y, sample_weight=(np.array([1, 2, 3])[LABELS], balanced, None))
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-12)


# -- going on from a checkpoint --------------------------------------------------------------------


@pytest.mark.parametrize("weights", [{"class_weight": "balanced"}, {"sample_weight": WEIGHT}],
                         ids=["class", "sample"])  # fmt: skip
@pytest.mark.parametrize("step", [None, 2], ids=["after an epoch", "within one"])
def test_a_weighted_training_goes_on_bit_for_bit(weights, step, tmp_path):
    def fresh(**options):
        return trainer_of(network_of(), Adam(0.01), batch_size=7, **options)

    straight = fresh()
    straight.fit(X, LABELS, epochs=3, **weights)
    first = fresh(callbacks=[] if step is None else [StopAfter(step)])
    first.fit(X, LABELS, epochs=1 if step is None else 2, **weights)
    assert first.step == (step or 0)
    checkpoint.save(first, tmp_path / "run.npz")
    resumed = fresh()
    checkpoint.restore(resumed, tmp_path / "run.npz")
    theta = resumed.network.theta.copy()
    for other in ({}, {"class_weight": {0: 2.0}}, {"sample_weight": WEIGHT[::-1].copy()}):
        with pytest.raises(ValueError, match="had other weights, or none: give the same"):
            resumed.fit(X, LABELS, epochs=2, **other)
    np.testing.assert_array_equal(resumed.network.theta, theta)
    resumed.fit(X, LABELS, epochs=2, **weights)
    np.testing.assert_array_equal(resumed.network.theta, straight.network.theta)
    assert resumed.history["training_cost"] == straight.history["training_cost"]


def test_a_training_without_weights_does_not_go_on_with_some(tmp_path):
    first = trainer_of(network_of())
    first.fit(X, LABELS)
    checkpoint.save(first, tmp_path / "run.npz")
    resumed = trainer_of(network_of())
    checkpoint.restore(resumed, tmp_path / "run.npz")
    with pytest.raises(ValueError, match="had other weights, or none: give the same"):
        resumed.fit(X, LABELS, class_weight="balanced")
    resumed.fit(X, LABELS)
    resumed.fit(X, LABELS, class_weight="balanced")  # a fit of its own, as with other data
    assert resumed.epoch == 3
