"""What a metric is: a function that knows its name, its direction, and whether it takes weights."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.metrics import Metric, accuracy

A, Y = np.zeros((1, 3)), np.zeros((1, 3))


def worst(a, y):
    """The largest error."""
    return np.abs(a - y).max()


def test_a_metric_is_its_function_with_a_name_and_a_direction():
    metric = Metric(worst, greater_is_better=False)
    assert (metric.name, metric.greater_is_better, metric.takes_weights) == ("worst", False, False)
    assert metric.__doc__ == "The largest error."
    assert type(metric(A, Y + 2)) is float
    assert metric(A, Y + 2) == 2
    assert repr(metric) == "Metric('worst', greater_is_better=False)"
    assert Metric(worst, False, "maximum").name == "maximum"
    assert Metric(lambda a, y: 0, True).name is None


def test_a_metric_says_whether_it_is_read_in_percent():
    assert not Metric(worst, False, "accuracy").in_percent
    assert Metric(worst, False, in_percent=True).in_percent
    assert accuracy.in_percent
    assert accuracy.of_output(1).in_percent


def test_weights_reach_a_function_that_takes_them():
    def mean(a, y, sample_weight=None):
        return np.average(a[0], weights=sample_weight)

    metric = Metric(mean, True)
    a = np.array([[1.0, 2.0, 3.0]])
    assert metric(a, Y) == 2
    assert metric(a, Y, np.array([0.0, 0.0, 1.0])) == 3
    assert Metric(lambda a, y, **options: len(options), True)(a, Y, np.ones(3)) == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Metric(worst), TypeError, "greater_is_better"),
        (lambda: Metric(worst, None), TypeError, "^Metric: greater_is_better must be True or Fa"),
        (lambda: Metric(worst, "max"), TypeError, "greater_is_better must be True or False, got"),
        (lambda: Metric(worst, True, "w", 1), TypeError, "in_percent must be True or False, got 1"),
        (lambda: Metric("mse", False), TypeError, "^Metric: function must be a function of"),
        (lambda: Metric(worst, False)(A, Y, np.ones(3)), ValueError, "'worst' cannot weight the e"),
        (lambda: Metric(worst, False).check(A, Y, np.ones(3)), ValueError, "'worst' cannot weigh"),
        (lambda: Metric(lambda a, y: a, True, "m")(A, Y), TypeError, "'m' must return a number, g"),
        (lambda: Metric(lambda a, y: "x", True, "m")(A, Y), TypeError, "must return a number, got"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_of_one_of_several_outputs():
    metric = accuracy.of_output(1)
    assert (metric.name, metric.greater_is_better) == ("accuracy_1", True)
    a = (None, np.eye(3)[:, [0, 1, 1]])
    labels = (None, np.array([0, 1, 2]))
    assert metric(a, labels) == 2 / 3
    assert metric(a, labels, np.array([0.0, 0.0, 1.0])) == 0
