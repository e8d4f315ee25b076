"""Cross-entropies: saturated outputs, labels, probabilities, and steps that cost nothing."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from backprop.costs import (
    Cost,
    CrossEntropy,
    SoftmaxCrossEntropy,
)
from backprop.datasets import one_hot
from backprop.gradients.check import check_gradients
from backprop.layers import ShapeError, Sigmoid, Softmax
from tests.costs.support import (
    dtypes,
    refused,
)


@dtypes
def test_values_of_saturated_outputs(dtype):
    z, y = np.array([[1e4], [-1e4]], dtype), np.array([[0.0], [1.0]], dtype)
    assert CrossEntropy().value_from_z(z, y) == 2e4
    assert CrossEntropy().value_from_z(z, 1 - y) == 0
    assert SoftmaxCrossEntropy().value_from_z(z, y) == 2e4
    assert SoftmaxCrossEntropy().value_from_z(z, np.array([0])) == 0
    np.testing.assert_array_equal(SoftmaxCrossEntropy().delta(Softmax().forward(z), y), [[1], [-1]])
    np.testing.assert_allclose(CrossEntropy().delta(Sigmoid().forward(z), y), [[1], [-1]])


@dtypes
def test_cross_entropy_of_a_right_and_sure_neuron_keeps_its_digits(dtype):
    z = np.array([[30.0, 60.0, -80.0]], dtype)
    y = np.array([[1.0, 1.0, 0.0]], dtype)
    expected = sum(math.log1p(math.exp(-z)) for z in (30, 60, 80)) / 3
    eps = float(np.finfo(dtype).eps)
    assert CrossEntropy().value_from_z(z, y) == pytest.approx(expected, rel=4 * eps, abs=0)


def test_a_sure_and_wrong_output_costs_infinitely_much():
    a, y = np.array([[0.0], [1.0]]), np.array([[1.0], [0.0]])
    for cost in (CrossEntropy(), SoftmaxCrossEntropy()):
        assert cost.value(a, y) == math.inf
        assert cost.value(a, 1 - y) == 0
        assert cost.nabla_a(a, y)[0, 0] == -math.inf
    np.testing.assert_array_equal(CrossEntropy().nabla_a(a, 1 - y), [[1], [-1]])
    np.testing.assert_array_equal(SoftmaxCrossEntropy().nabla_a(a, 1 - y), [[0], [-1]])


def test_softmax_targets_are_never_broadcast():
    a = np.full((2, 3), 0.5)
    for shape in [(2, 1), (1, 3), (3, 2), (3,), ()]:
        match = re.escape(f"y must have the output's shape (2, 3), got {shape}")
        refused(SoftmaxCrossEntropy(), a, np.full(shape, 0.5), ShapeError, match)
    wrong = r"the target y must be float64, got int64: give y.astype\(np.float64\)$"
    refused(SoftmaxCrossEntropy(), a, np.zeros((2, 3), np.int64), TypeError, wrong)
    for shape in [(2,), (1,), (), (1, 3), (0,)]:
        match = r"expected labels of shape \(3,\) or targets of shape \(2, 3\), got int64 of shape"
        refused(SoftmaxCrossEntropy(), a, np.zeros(shape, np.int64), ShapeError, match)


@pytest.mark.parametrize(("label", "dtype"), [(-1, np.int64), (3, np.uint8), (7, np.int32)])
def test_labels_out_of_range(label, dtype):
    y = np.array([0, 2, label, 9], dtype)
    message = rf"labels must be in 0\.\.2, got {label} at index 2"
    refused(SoftmaxCrossEntropy(), np.full((3, 4), 1 / 3), y, ValueError, message)


@pytest.mark.parametrize("cost", [CrossEntropy(), SoftmaxCrossEntropy()], ids=str)
def test_targets_outside_0_to_1(cost: Cost):
    a = np.full((2, 3), 0.5)
    for wrong in (-0.1, 1.5, math.nan):
        y = np.full((2, 3), 0.5)
        y[1, 2] = wrong
        refused(cost, a, y, ValueError, r"targets must be in \[0, 1\], got ")


def test_probabilities_must_add_to_1():
    a = np.full((2, 3), 0.5)
    y = np.array([[0.5, 0.5, 0.3], [0.5, 0.5, 0.6]])
    message = r"targets of an example must add to 1, got 0\.8999"
    refused(SoftmaxCrossEntropy(), a, y, ValueError, message)
    y[0, 2] = 0.3995  # delta = (a - y) / B would already be off
    refused(SoftmaxCrossEntropy(), a, y, ValueError, r"must add to 1, got 0\.9995")
    rounded = (np.full((1000, 2), 1 / 1000)).astype(np.float32)
    assert SoftmaxCrossEntropy().value(rounded, rounded) == pytest.approx(math.log(1000), rel=1e-4)


@pytest.mark.parametrize("cost", [CrossEntropy(), SoftmaxCrossEntropy()], ids=str)
def test_outputs_outside_0_to_1_have_no_value(cost: Cost):
    y = np.array([[1.0, 0.0], [0.0, 1.0]])
    for wrong in (-0.1, 1.5, math.nan):
        a = np.array([[0.5, 0.5], [0.5, wrong]])
        for method in (cost.value, cost.per_example):
            with pytest.raises(ValueError, match=r"outputs must be in \[0, 1\], got .*come from S"):
                method(a, y)


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, math.nan])
def test_label_smoothing_must_be_below_1(value):
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\), got "):
        SoftmaxCrossEntropy(value)
    with pytest.raises(TypeError, match=r"label_smoothing must be a number, got '0\.1'"):
        SoftmaxCrossEntropy("0.1")


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_steps_that_fill_up_a_sequence_cost_nothing(smoothing: float):
    """A sequence with padding costs what it does alone, and delta is 0 at the padding."""
    rng = np.random.default_rng(0)
    cost, z = SoftmaxCrossEntropy(smoothing), rng.standard_normal((4, 5, 2))
    a = Softmax().sigma(z)
    y = rng.integers(0, 4, (5, 2))
    y[3:, 1] = -1
    alone = [slice(0, 5), slice(0, 3)]
    for values in (cost.per_example(a, y), cost.of_each(z, a, Softmax(), y)):
        for j, real in enumerate(alone):
            expected = cost.per_example(a[:, real, j : j + 1], y[real, j : j + 1])
            np.testing.assert_allclose(values[j], expected[0], rtol=1e-13)
    for gradient in (cost.delta(a, y), cost.nabla_a(a, y)):
        assert (gradient[:, 3:, 1] == 0).all()
        assert (gradient[:, :3, 1] != 0).any(axis=0).all()
    expected = cost.delta(a[:, :3, 1:], y[:3, 1:]) / 2
    np.testing.assert_allclose(cost.delta(a, y)[:, :3, 1:], expected, rtol=1e-13)
    report = check_gradients(cost, z, y)
    assert report.passed, str(report)


def test_padding_is_for_sequences_alone():
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.1, got -1 at index 1"):
        SoftmaxCrossEntropy().value(np.eye(2), np.array([0, -1]))
    with pytest.raises(ValueError, match="got -2 at index 0"):
        SoftmaxCrossEntropy().value(np.full((2, 1, 1), 0.5), np.array([[-2]]))


@dtypes
def test_a_logit_of_minus_infinity_costs_nothing_where_the_target_is_0(dtype):
    z = np.array([[-np.inf, 0.0], [0.0, 1.0], [1.0, -np.inf]], dtype)
    y = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]], dtype)
    expected = [math.log1p(math.e), math.log1p(math.e)]
    with np.errstate(all="raise"):
        for targets in (y, y.argmax(axis=0)):
            found = SoftmaxCrossEntropy().of_each(z, None, Softmax(), targets)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        a = Softmax().sigma(z)
        assert SoftmaxCrossEntropy().value(a, y) == pytest.approx(expected[0], rel=1e-6)
        assert SoftmaxCrossEntropy().value_from_z(z, y) == pytest.approx(expected[0], rel=1e-6)
        delta = SoftmaxCrossEntropy().delta(a, y)
    np.testing.assert_allclose(delta, (a - y) / 2, rtol=1e-6)
    assert SoftmaxCrossEntropy().value_from_z(z, y[[1, 0, 2]]) == np.inf
    both = np.array([[-np.inf, np.inf]], dtype)
    assert CrossEntropy().value_from_z(both, np.array([[0.0, 1.0]], dtype)) == 0
    assert CrossEntropy().value_from_z(both, np.array([[1.0, 0.0]], dtype)) == np.inf


def test_targets_of_two_numbers_are_answered_with_those_of_0_and_1():
    a, y = np.array([[0.2, 0.9, 0.6]]), np.array([[-1.0, 1.0, -1.0]])
    with pytest.raises(ValueError, match=r"got -1 to 1: give \(y == 1\.0\)\.astype") as error:
        CrossEntropy().value(a, y)
    y = eval(str(error.value).rpartition("give ")[2], {"np": np, "y": y})
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, [[0, 1, 0]])
    for wrong in ([[-1.0, 0.0, 1.0]], [[0.0, 2.0, np.nan]]):  # nobody knows which is which
        with pytest.raises(ValueError, match=r"targets must be in \[0, 1\], got"):
            CrossEntropy().value(a, np.array(wrong))


@pytest.mark.parametrize("dtype", [int, float])
def test_more_targets_than_outputs_are_answered_with_how_many_units_there_must_be(dtype):
    words = r"got .*\(2, 3\): for 2 targets an example the last layer needs as many units$"
    with pytest.raises(ShapeError, match=words):
        CrossEntropy().value(np.full((1, 3), 0.5), np.eye(2, 3, dtype=dtype))
    with pytest.raises(ShapeError, match=r"for 1 target an example the last layer needs 1 unit$"):
        CrossEntropy().value(np.full((2, 3), 0.5), np.full((1, 3), 0.5))


@pytest.mark.parametrize("cost", [CrossEntropy(), SoftmaxCrossEntropy()], ids=repr)
@pytest.mark.parametrize("dtype", [int, float])
@pytest.mark.parametrize("kinds", [(-1, 1), (-1, 0), (-5, -2)])
def test_labels_below_0_are_answered_with_what_trains(cost, dtype, kinds):
    y = np.array(kinds, dtype)[[1, 0, 0]]
    a = np.array([[0.2, 0.9, 0.6], [0.8, 0.1, 0.4]])
    with pytest.raises((TypeError, ValueError), match="give ") as error:
        cost.value(a, y)
    known = {"np": np, "y": y, "one_hot": one_hot}
    y = eval(str(error.value).rpartition("give ")[2], known)
    expected = cost.value(a, np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    assert cost.value(a, y) == pytest.approx(expected, rel=1e-14)


def test_examples_without_a_label_are_to_be_left_out():
    with pytest.raises(ValueError, match=r"leave .* without a label out, x\[\.\.\., y >= 0\]"):
        SoftmaxCrossEntropy().value(np.full((2, 3), 0.5), np.array([0, -1, 1]))


@pytest.mark.parametrize("y", [[0.0, 2.0, 1.0], ["a", "b", "c"]])
def test_labels_of_too_many_classes_say_how_many_units_there_must_be(y):
    for cost in (CrossEntropy(), SoftmaxCrossEntropy()):
        with pytest.raises((TypeError, ShapeError), match="for 3 classes the last layer needs as"):
            cost.value(np.full((2, 3), 0.5), np.array(y))


def test_a_list_is_always_answered_with_its_array():
    for cost in (CrossEntropy(), SoftmaxCrossEntropy()):
        with pytest.raises(TypeError, match=r"got list: give np\.asarray\(y\)$"):
            cost.value(np.full((2, 3), 0.5), [0, 2, 1])


def test_labels_in_floats_are_told_their_dtype_and_how_to_give_them():
    words = r"must be integer labels, got float64 of shape \(3,\): give y\.astype\(int\)$"
    with pytest.raises(TypeError, match=words):
        SoftmaxCrossEntropy().value(np.full((2, 3), 0.5), np.array([0.0, 1.0, 1.0]))
