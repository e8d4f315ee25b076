"""Weights of the steps of sequences: what is padded weighs nothing."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import SGD, Network
from backprop.layers import LSTM, Dense, Masked, TimeDistributed
from tests.training.weighted import AbsoluteError, K, OneNumberAnExample, trainer_of


def sequences(steps: int, fill: float):
    """Return sequences of 5, 3 and 2 steps, padded to `steps` with `fill`, and their weights."""
    made = np.random.default_rng(0)
    x, y, w = np.full((2, steps, 3), fill), np.full((K, steps, 3), fill), np.zeros((steps, 3))
    for j, length in enumerate((5, 3, 2)):
        x[:, :length, j] = made.standard_normal((2, length))
        y[:, :length, j] = made.random((K, length))
        w[:length, j] = 1
    return x, y, w


def steps_network(cost, output):
    layers = [LSTM(2, 4, dtype="float64", rng=0),
              TimeDistributed(Dense(4, K, output, dtype="float64", rng=1))]  # fmt: skip
    return Network(layers, cost, input_shape=(2, None))


STEP_COSTS = [("quadratic", "identity"), ("squared_error", "sigmoid"), ("cross_entropy", "sigmoid"),
              ("mean_squared_error", "tanh"), (AbsoluteError(), "identity")]  # fmt: skip


@pytest.mark.parametrize(("cost", "output"), STEP_COSTS, ids=str)
def test_padding_of_weight_0_is_left_out_however_far_a_batch_is_padded(cost, output):
    found = []
    for steps, fill in ((5, 0.0), (9, 0.25), (14, 0.75)):
        network = steps_network(cost, output)
        x, y, w = sequences(steps, fill)
        network.forward(x, training=True)
        network.backward(y, sample_weight=w)
        nabla = network.nabla.copy()
        assert (network[-1].delta[:, w == 0] == 0).all()
        value = network.evaluate(x, y, metrics={}, sample_weight=w)["cost"]
        history = trainer_of(network, SGD(0.0)).fit(x, y, sample_weight=w)
        assert history["training_cost"][0] == pytest.approx(value, rel=1e-12)
        found.append((value, nabla))
    for value, nabla in found[1:]:
        assert value == pytest.approx(found[0][0], rel=1e-12)
        np.testing.assert_allclose(nabla, found[0][1], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("cost", "output"), STEP_COSTS, ids=str)
def test_a_padded_batch_costs_what_its_sequences_cost_alone(cost, output):
    network = steps_network(cost, output)
    x, y, w = sequences(9, 0.5)
    lengths = (5, 3, 2)
    alone = [
        network.evaluate(x[:, :n, j : j + 1], y[:, :n, j : j + 1], metrics={})["cost"]
        for j, n in enumerate(lengths)
    ]
    # a mean over outputs is one over all real steps, a sum the mean of what the sequences cost
    weights = lengths if cost == "mean_squared_error" else (1, 1, 1)
    expected = np.average(alone, weights=weights)
    found = network.evaluate(x, y, metrics={}, sample_weight=w)["cost"]
    assert found == pytest.approx(expected, rel=1e-12)


def test_labels_of_minus_1_and_weights_of_0_leave_out_the_same():
    x, _, w = sequences(9, 0.5)
    labels = np.random.default_rng(1).integers(0, K, w.shape)
    by_label, by_weight = (steps_network("softmax_cross_entropy", "softmax") for _ in "12")
    a = trainer_of(by_label).fit(x, np.where(w > 0, labels, -1), epochs=2)
    b = trainer_of(by_weight).fit(x, labels, epochs=2, sample_weight=w)
    np.testing.assert_allclose(a["training_cost"], b["training_cost"], rtol=1e-12)
    np.testing.assert_allclose(by_label.theta, by_weight.theta, rtol=1e-11)
    c = trainer_of(steps_network("softmax_cross_entropy", "softmax")).fit(
        x, np.where(w > 0, labels, -1), epochs=2, sample_weight=np.ones_like(w)
    )
    np.testing.assert_allclose(a["training_cost"], c["training_cost"], rtol=1e-12)


def test_classes_of_steps_are_weighted_and_padding_counts_in_no_class():
    x, _, w = sequences(9, 0.5)
    labels = np.where(w > 0, np.random.default_rng(1).integers(0, K, w.shape), -1)
    counts = np.bincount(labels[labels >= 0], minlength=K)
    of_steps = np.where(labels >= 0, (10 / (K * counts))[labels], 0.0)
    balanced, by_hand = (steps_network("softmax_cross_entropy", "softmax") for _ in "12")
    trainer_of(balanced).fit(x, labels, class_weight="balanced")
    trainer_of(by_hand).fit(x, labels, sample_weight=of_steps)
    np.testing.assert_allclose(balanced.theta, by_hand.theta, rtol=1e-12)


def test_a_weight_of_each_sequence_is_one_of_all_its_steps():
    x, y, _ = sequences(9, 0.5)
    one, other = (steps_network("quadratic", "identity") for _ in "12")
    for network, weight in ((one, np.array([1.0, 2, 4])), (other, np.ones((9, 1)) * [1, 2, 4])):
        network.forward(x, training=True)
        network.backward(y, sample_weight=weight)
    np.testing.assert_allclose(one.nabla, other.nabla, rtol=1e-12)


def test_below_masked_the_same_weights_leave_the_padding_out():
    x, y, w = sequences(9, 0.5)
    layers = [LSTM(2, 4, dtype="float64", rng=0),
              TimeDistributed(Dense(4, K, "identity", dtype="float64", rng=1))]  # fmt: skip
    masked = Network([Masked(layers)], "quadratic", input_shape=(3, None))
    plain = steps_network("quadratic", "identity")
    x_masked = np.concatenate([x, w[None]])
    found = masked.evaluate(x_masked, y, metrics={}, sample_weight=w)["cost"]
    expected = plain.evaluate(x, y, metrics={}, sample_weight=w)["cost"]
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_cost_that_adds_up_the_steps_itself_refuses_weights_of_steps():
    x, y, w = sequences(9, 0.5)
    network = steps_network(OneNumberAnExample(), "identity")
    for call in (
        lambda: network.evaluate(x, y, metrics={}, sample_weight=w),
        lambda: trainer_of(network).fit(x, y, sample_weight=w),
    ):
        with pytest.raises(ValueError, match=r"cost_of_each returns one number an example, .* let"):
            call()
    assert network.evaluate(x, y, metrics={}, sample_weight=w.max(axis=0))["cost"] > 0
