"""Metrics of targets that are numbers: the values of scikit-learn, by hand and live."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop.datasets import one_hot
from backprop.metrics import (
    mean_absolute_error,
    mean_squared_error,
    r2,
    root_mean_squared_error,
)

A = np.array([[2.5, 0.0, 2.0, 8.0], [0.0, 1.0, 1.0, 3.0]])
Y = np.array([[3.0, -0.5, 2.0, 7.0], [0.0, 1.0, 2.0, 1.0]])
METRICS = [mean_squared_error, root_mean_squared_error, mean_absolute_error, r2]


def test_by_hand():
    a, y = A[:1], Y[:1]  # the example of scikit-learn's documentation
    assert mean_squared_error(a, y) == pytest.approx(0.375, rel=1e-14)
    assert root_mean_squared_error(a, y) == pytest.approx(0.6123724356957945, rel=1e-14)
    assert mean_absolute_error(a, y) == pytest.approx(0.5, rel=1e-14)
    assert r2(a, y) == pytest.approx(0.9486081370449679, rel=1e-14)
    assert mean_squared_error(a, y, np.array([0.0, 1.0, 0.0, 3.0])) == (0.25 + 3) / 4


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_of_several_outputs_as_scikit_learn_has_it(metric, weighted):
    theirs = pytest.importorskip("sklearn.metrics")
    name = {"r2": "r2_score"}.get(metric.name, metric.name)
    rng = np.random.default_rng(0)
    for shape in ((1, 40), (3, 40), (3, 5, 40)):
        a, y = rng.standard_normal(shape), rng.standard_normal(shape)
        w = rng.uniform(0, 2, 40) if weighted else None
        each = None if w is None else np.broadcast_to(w, shape[1:]).ravel()
        rows = [one.reshape(shape[0], -1).T for one in (y, a)]
        expected = getattr(theirs, name)(*rows, sample_weight=each)
        assert metric(a, y, w) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_a_step_of_weight_0_does_not_count(metric):
    rng = np.random.default_rng(0)
    a, y = rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 4, 6))
    w = (rng.random((4, 6)) < 0.5).astype(np.float32)
    expected = metric(a[:, w > 0], y[:, w > 0])
    assert metric(a, y, w) == pytest.approx(expected, rel=1e-14)
    a[:, w == 0] = 1e9
    assert metric(a, y, w) == pytest.approx(expected, rel=1e-14)


def test_r2_where_y_never_changes_and_of_one_example():
    ones = np.ones((1, 3))
    assert r2(ones, ones) == 1
    assert r2(2 * ones, ones) == 0
    assert math.isnan(r2(ones[:, :1], ones[:, :1]))


def test_integers_and_small_types_do_not_overflow():
    a, y = np.array([[200, 0]], np.uint8), np.array([[0, 200]], np.uint8)
    assert mean_squared_error(a, y) == 40_000
    assert mean_absolute_error(a, y) == 200


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_errors(metric):
    for y, message in ((Y[:1], r"y must have the shape \(2, 4\) of a"), (A * np.nan, "hold NaN")):
        with pytest.raises(ValueError, match=f"^{metric.name}: .*{message}"):
            metric(A, y)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_labels_are_answered_with_their_columns(metric):
    labels = np.array([0, 1, 1, 0])
    with pytest.raises(ValueError, match=f"^{metric.name}: .*of labels give one_hot") as error:
        metric(A, labels)
    y = eval(str(error.value).rpartition("give ")[2], {"one_hot": one_hot, "y": labels})
    assert metric(A, y) == metric(A, np.eye(2)[:, labels])
