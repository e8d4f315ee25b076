"""Weights that do not fit are refused before anything changes."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.metrics import Metric
from tests.training.weighted import LABELS, WEIGHT, K, N, X, network_of, rng, trainer_of

BAD = [
    ({"sample_weight": np.ones(N - 1)}, ValueError, r"sample_weight must have the shape .*\(40,\)"),
    ({"sample_weight": np.ones((1, N))}, ValueError, "sample_weight must have the shape"),
    ({"sample_weight": -WEIGHT}, ValueError, "sample_weight must not be negative"),
    ({"sample_weight": np.full(N, np.nan)}, ValueError, "must be finite"),
    ({"sample_weight": np.zeros(N)}, ValueError, "is 0 for all|must not all be 0"),
    ({"sample_weight": "balanced"}, TypeError, "sample_weight must be"),
    ({"sample_weight": np.array(["a"] * N)}, TypeError, "sample_weight must be"),
    ({"class_weight": "equal"}, TypeError, 'must be "balanced", or a dict of label to weight'),
    ({"class_weight": [1, 2, 3]}, TypeError, r"give dict\(enumerate\(class_weight\)\)$"),
    ({"class_weight": {3: 1}}, ValueError, r"names the class 3, and the classes are .* 0\.\.2"),
    ({"class_weight": {"a": 1}}, ValueError, "names the class 'a'"),
    ({"class_weight": {-1: 1}}, ValueError, "names the class -1"),
    ({"class_weight": {0: -1}}, ValueError, r"class_weight\[0\] must be in \[0, inf\)"),
    ({"class_weight": {0: np.nan}}, ValueError, r"class_weight\[0\] must be"),
    ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, "^fit: class_weight, .* adds up to 0"),
    ({"sample_weight": np.full(N, 1e307)}, ValueError, "adds up to infinity: .* give"),
    ({"class_weight": {0: 1e300}, "sample_weight": np.full(N, 1e300)}, ValueError, "up to inf"),
    ({"class_weight": {0: "1"}}, TypeError, r"class_weight\[0\] must be a number"),
    ({"validation": (X, LABELS, -WEIGHT)}, ValueError, "^fit: validation: .* negative"),
    ({"validation": (X, LABELS, 0 * WEIGHT)}, ValueError, "^fit: validation: .* is 0 for all"),
    ({"validation": (X, LABELS, WEIGHT, WEIGHT)}, TypeError, "validation must be"),
    ({"validation": (X, LABELS, WEIGHT[1:])}, ValueError, "sample_weight must have the shape"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "error", "match"), BAD, ids=[m for _, _, m in BAD])
def test_bad_weights_are_refused_before_anything_changes(given, error, match):
    network = network_of()
    trainer, before = trainer_of(network), network.theta.copy()
    state = trainer.rng.bit_generator.state
    with pytest.raises(error, match=match):
        trainer.fit(X, LABELS, **given)
    np.testing.assert_array_equal(network.theta, before)
    assert trainer.rng.bit_generator.state == state
    assert (trainer.epoch, trainer.step, len(trainer.history)) == (0, 0, 0)


def test_weights_of_classes_need_classes():
    y = rng.random((K, N))
    with pytest.raises(ValueError, match=r"class_weight is for targets that are classes .* give"):
        trainer_of(network_of("quadratic", "sigmoid")).fit(X, y, class_weight="balanced")


def test_a_class_that_only_the_validation_data_have_has_no_balanced_weight():
    few = LABELS < 2
    with pytest.raises(ValueError, match="no weight for label 2, which only the validation data"):
        trainer_of(network_of()).fit(
            X[:, few], LABELS[few], class_weight="balanced", validation=(X, LABELS)
        )
    trainer_of(network_of()).fit(
        X[:, few], LABELS[few], class_weight={0: 1, 1: 2}, validation=(X, LABELS)
    )


def test_monitored_examples_that_weigh_nothing_are_refused_before_training():
    trainer = trainer_of(network_of(), monitor_training=3)  # whose weights are 0
    with pytest.raises(ValueError, match=r"^fit: of the first 3, monitor_training: .* is 0"):
        trainer.fit(X, LABELS, sample_weight=WEIGHT)
    assert trainer.epoch == 0


def test_a_metric_that_takes_no_weights_is_refused_before_training():
    worst = Metric(lambda a, y: float(np.abs(a).max()), greater_is_better=False, name="worst")
    trainer = trainer_of(network_of(), metrics=[worst])
    with pytest.raises(ValueError, match="'worst' cannot weight the examples: leave it out, or"):
        trainer.fit(X, LABELS, sample_weight=WEIGHT)
    assert trainer.epoch == 0
