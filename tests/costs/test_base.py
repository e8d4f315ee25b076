"""Every cost: the value against its definition, and BP1 against the value."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from backprop import costs
from backprop.core.config import from_config
from backprop.costs import (
    Cost,
    CrossEntropy,
    MeanSquaredError,
    Quadratic,
    SoftmaxCrossEntropy,
    SquaredError,
)
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.layers import Identity, ShapeError, Sigmoid, Softmax, Tanh
from tests.costs.support import (
    KINDS,
    SQUARED,
    dtypes,
    every_kind,
    one_hot,
    per_example,
    problem,
    refused,
    shapes,
)


def test_every_cost_is_tested():
    public = {c for c in vars(costs).values() if isinstance(c, type) and issubclass(c, Cost)}
    public -= {Cost, costs.WeightedCosts}  # the latter is made of several: see test_several
    assert public == {type(cost) for _, cost, _ in KINDS}


@every_kind
@shapes
def test_value_is_the_mean_over_the_batch_of_the_definition(cost: Cost, draw, shape):
    z, a, y = problem(cost, draw, shape)
    expected = per_example(cost, a, y)
    np.testing.assert_allclose(cost.per_example(a, y), expected, rtol=1e-13, atol=1e-15)
    mean = pytest.approx(sum(expected) / len(expected), rel=1e-13, abs=1e-15)
    assert cost.value(a, y) == mean
    assert cost.value_from_z(z, y) == mean
    assert type(cost.value(a, y)) is type(cost.value_from_z(z, y)) is float


@every_kind
@shapes
def test_nabla_a_is_the_gradient_of_value(cost: Cost, draw, shape):
    _, a, y = problem(cost, draw, shape)
    nabla_a = cost.nabla_a(a, y)
    # Away from 0 and 1, where the logarithm bends too much for a finite step.
    inside = np.clip(a, 0.1, 0.9)
    numeric = central_difference(lambda a: cost.value(a, y), inside)
    assert relative_error(numeric, cost.nabla_a(inside, y)) <= 1e-7
    exact = complex_step(lambda a: cost.value(a, y), a.astype(complex))
    assert relative_error(exact, nabla_a) <= 1e-12


@every_kind
@shapes
def test_delta_is_the_gradient_of_value_from_z(cost: Cost, draw, shape):
    z, a, y = problem(cost, draw, shape)
    delta = cost.delta(a, y)
    scale = max(1.0, float(np.abs(delta).max()))  # with one softmax output, delta is 0
    numeric = central_difference(lambda z: cost.value_from_z(z, y), z)
    np.testing.assert_allclose(numeric, delta, rtol=1e-7, atol=1e-9 * scale)
    exact = complex_step(lambda z: cost.value_from_z(z, y), z.astype(complex))
    np.testing.assert_allclose(exact, delta, rtol=1e-12, atol=1e-15)


@every_kind
@shapes
def test_delta_is_nabla_a_through_the_canonical_activation(cost: Cost, draw, shape):
    z, _, y = problem(cost, draw, shape)
    layer = cost.canonical()
    a = layer.forward(z, training=True)
    np.testing.assert_allclose(
        layer.backward(cost.nabla_a(a, y)), cost.delta(a, y), rtol=1e-12, atol=1e-14
    )


def test_the_equations_of_the_book():
    # Chapter 3: dC/dz is (a - y)/B for cross-entropy, and a factor sigma'(z) less for the square.
    z, y = np.array([[2.0, -1.0]]), np.array([[0.0, 1.0]])
    a = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(CrossEntropy().delta(a, y), (a - y) / 2, rtol=1e-15)
    np.testing.assert_allclose(Quadratic().nabla_a(a, y), (a - y) / 2, rtol=1e-15)
    np.testing.assert_allclose(
        CrossEntropy().nabla_a(a, y), (a - y) / (a * (1 - a)) / 2, rtol=1e-15
    )


@every_kind
@dtypes
def test_dtypes_are_kept_and_arguments_only_read(cost: Cost, draw, dtype):
    z, a, y = problem(cost, draw, (4, 3), dtype)
    before = [array.copy() for array in (z, a, y)]
    for array in (z, a, y):
        array.flags.writeable = False
    found = cost.nabla_a(a, y), cost.delta(a, y)
    for array in found:
        assert (array.shape, array.dtype) == (a.shape, dtype)
        assert array.flags.writeable
    assert cost.per_example(a, y).dtype == dtype
    assert isinstance(cost.value(a, y), float)
    assert isinstance(cost.value_from_z(z, y), float)
    for array, kept in zip((z, a, y), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_the_mean_is_added_up_in_double_precision():
    c = np.full(100_001, 0.1, np.float32)
    assert costs.mean(c) == pytest.approx(float(c[0]), rel=1e-12)


@every_kind
def test_examples_are_independent(cost: Cost, draw):
    _, a, y = problem(cost, draw, (3, 4))
    for j in range(4):
        one = a[:, j : j + 1], y[..., j : j + 1]
        assert cost.value(*one) == pytest.approx(cost.per_example(a, y)[j], rel=1e-14)
        np.testing.assert_allclose(cost.delta(*one) / 4, cost.delta(a, y)[:, j : j + 1], rtol=1e-14)


@every_kind
@dtypes
def test_saturated_outputs(cost: Cost, draw, dtype):
    for scale in (50, 1e4):
        z = np.array([[-1, 1, 1, -1], [1, -1, 1, -1], [-1, -1, 0, 0]], dtype) * dtype(scale)
        y = draw(np.random.default_rng(0), z.shape)
        y = y if y.dtype.kind in "iu" else y.astype(dtype)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            a = cost.canonical().forward(z)
            value, delta = cost.value_from_z(z, y), cost.delta(a, y)
        assert math.isfinite(value)
        assert value >= 0
        assert np.isfinite(delta).all()
        assert delta.dtype == dtype


@pytest.mark.parametrize("cost", [*SQUARED, CrossEntropy()], ids=str)
def test_targets_are_never_broadcast(cost: Cost):
    a = np.full((2, 3), 0.5)
    for shape in [(2, 1), (1, 3), (3, 2), (1, 1), (3,), (2,), (), (1, 2, 3), (2, 0)]:
        message = re.escape(f"y must have the output's shape (2, 3), got {shape}")
        refused(cost, a, np.full(shape, 0.5), ShapeError, message)


@pytest.mark.parametrize("cost", [*SQUARED, CrossEntropy()], ids=str)
def test_labels_where_columns_are_needed(cost: Cost):
    message = r"got labels of shape \(3,\), int64: give one_hot\(y, 2, np.float64\)$"
    refused(cost, np.full((2, 3), 0.5), np.zeros(3, int), TypeError, message)


@every_kind
def test_other_things_than_arrays_of_the_dtype(cost: Cost, draw):
    _, a, y = problem(cost, draw, (2, 3))
    wrong = [y.tolist(), None, y.astype(object), y.astype("U8"), y > 0, np.ma.masked_array(y)]
    wrong += [one_hot(np.zeros(3, int), 2).view(np.matrix), y.astype(complex)]
    wrong += [one_hot(np.zeros(3, int), 2).astype(np.float32)]
    for targets in wrong:
        refused(cost, a, targets, TypeError, "target y must be ")
    for outputs in (a.tolist(), a.astype(int), a.astype(np.float16), a.view(np.matrix), None):
        refused(cost, outputs, y, TypeError, "output must be ")


@every_kind
def test_outputs_need_a_batch(cost: Cost, draw):
    a = np.full((2, 3), 0.5)
    for wrong in (a[0], a[:, :0], a[:0], np.array(0.5)):
        match = re.escape(f"the output must be n x B and not empty, got {wrong.shape}")
        refused(cost, wrong, wrong, ShapeError, match)


def test_canonical_pairs():
    class Steeper(Sigmoid):
        """Another function than its base class."""

    for cost, kind in [
        (Quadratic(), Identity),
        (SquaredError(), Identity),
        (MeanSquaredError(), Identity),
        (CrossEntropy(), Sigmoid),
        (SoftmaxCrossEntropy(), Softmax),
    ]:
        assert cost.canonical is kind
        assert cost.is_canonical(kind())
        for other in (Tanh(), Steeper(), None):
            assert not cost.is_canonical(other)


def test_a_cost_without_a_canonical_activation():
    class Absolute(Cost):
        def cost_of_each(self, a, y):
            return costs.sum_features(np.abs(a - y))

        def gradient(self, a, y):
            return np.sign(a - y) / a.shape[-1]

    a, y = np.array([[1.0, -2.0], [0.5, 4.0]]), np.zeros((2, 2))
    cost = Absolute()
    assert cost.value(a, y) == 3.75
    numeric = central_difference(lambda a: cost.value(a, y), a)
    assert relative_error(numeric, cost.nabla_a(a, y)) <= 1e-7
    assert not cost.is_canonical(Identity())
    for method in (cost.delta, cost.value_from_z):
        with pytest.raises(TypeError, match=r"^Absolute\(\) has no canonical activation$"):
            method(a, y)


@every_kind
def test_descriptions(cost: Cost, draw):
    twin = from_config(json.loads(json.dumps(cost.config())))
    assert type(twin) is type(cost)
    assert twin.config() == cost.config()
    assert repr(twin) == repr(cost)


def test_repr():
    assert repr(Quadratic()) == "Quadratic()"
    assert repr(SoftmaxCrossEntropy()) == "SoftmaxCrossEntropy()"
    assert repr(SoftmaxCrossEntropy(0.1)) == "SoftmaxCrossEntropy(label_smoothing=0.1)"
