"""Costs: the value against its definition, and BP1 against the value, for every reduction."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from backprop import costs
from backprop.core.config import by_name, from_config
from backprop.costs import (
    Cost,
    CrossEntropy,
    MeanSquaredError,
    Quadratic,
    SoftmaxCrossEntropy,
    SquaredError,
)
from backprop.gradients.check import check_gradients
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.layers import Identity, ReLU, ShapeError, Sigmoid, Softmax, Softplus, Tanh

SQUARED = [Quadratic(), SquaredError(), MeanSquaredError()]


def one_hot(labels: np.ndarray, n: int) -> np.ndarray:
    return np.moveaxis(np.eye(n)[labels], -1, 0)


def labels(rng, shape):
    return rng.integers(0, shape[0], shape[1:])


def probabilities(rng, shape):
    y = rng.random(shape)
    return y / y.sum(axis=0)


# What is tested for every cost: (name, cost, how targets for outputs of a shape are drawn).
KINDS = [
    ("quadratic", Quadratic(), lambda rng, shape: rng.standard_normal(shape)),
    ("squared", SquaredError(), lambda rng, shape: rng.standard_normal(shape)),
    ("mean-squared", MeanSquaredError(), lambda rng, shape: rng.standard_normal(shape)),
    ("cross-entropy", CrossEntropy(), lambda rng, shape: rng.random(shape)),
    ("cross-entropy-0-1", CrossEntropy(), lambda rng, shape: 1.0 * (rng.random(shape) < 0.5)),
    ("softmax-labels", SoftmaxCrossEntropy(), labels),
    ("softmax-uint8", SoftmaxCrossEntropy(), lambda *args: labels(*args).astype(np.uint8)),
    ("softmax-one-hot", SoftmaxCrossEntropy(), lambda r, s: one_hot(labels(r, s), s[0])),
    ("softmax-probabilities", SoftmaxCrossEntropy(), probabilities),
    ("smoothed-labels", SoftmaxCrossEntropy(0.1), labels),
    ("smoothed-probabilities", SoftmaxCrossEntropy(0.3), probabilities),
]
every_kind = pytest.mark.parametrize(
    ("cost", "draw"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS]
)
shapes = pytest.mark.parametrize(
    "shape", [(1, 1), (2, 1), (5, 1), (1, 3), (2, 3), (5, 3), (3, 2, 4)], ids=str
)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def problem(cost: Cost, draw, shape, dtype=np.float64):
    """Return z, a = canonical(z) and targets."""
    rng = np.random.default_rng(sum(shape))
    z = (2 * rng.standard_normal(shape)).astype(dtype)
    y = draw(rng, shape)
    return z, cost.canonical().forward(z), y if y.dtype.kind in "iu" else y.astype(dtype)


def per_example(cost: Cost, a: np.ndarray, y: np.ndarray) -> list[float]:
    """The definitions, one output of one example at a time."""
    n, batch = len(a), a.shape[-1]
    if y.dtype.kind in "iu":
        y = one_hot(y, n)
    c = [0.0] * batch
    for index in np.ndindex(a.shape):
        aj, yj = float(a[index]), float(y[index])
        if isinstance(cost, SoftmaxCrossEntropy):
            epsilon = cost.label_smoothing
            term = -((1 - epsilon) * yj + epsilon / n) * math.log(aj)
        elif isinstance(cost, CrossEntropy):
            term = -(yj * math.log(aj) + (1 - yj) * math.log(1 - aj))
        else:
            outputs = a.size / batch
            factor = {"Q": 0.5, "S": 1, "M": 1 / outputs}[type(cost).__name__[0]]
            term = factor * (aj - yj) ** 2
        c[index[-1]] += term
    return c


def test_every_cost_is_tested():
    public = {c for c in vars(costs).values() if isinstance(c, type) and issubclass(c, Cost)}
    public = {c for c in public if not c.__name__.startswith("_")} - {Cost}
    assert public == {type(cost) for _, cost, _ in KINDS}


# -- values and gradients ----------------------------------------------------------------------


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


@pytest.mark.parametrize("cost", SQUARED, ids=str)
def test_the_squares_differ_by_their_factor(cost: Cost):
    a, y = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([[0.0, 2.0], [1.0, 1.0]])
    two, four = {"Q": (0.5, 0.5), "S": (1, 1), "M": (1 / 2, 1 / 4)}[type(cost).__name__[0]]
    np.testing.assert_array_equal(cost.per_example(a, y), [two * 5, two * 4])
    assert cost.value(np.zeros((4, 2)), np.ones((4, 2))) == four * 4


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


# -- saturation --------------------------------------------------------------------------------


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


# -- bad input ---------------------------------------------------------------------------------

METHODS = ["value", "value_from_z", "per_example", "nabla_a", "delta"]


def refused(cost: Cost, a, y, error_type, match: str) -> None:
    for method in METHODS:
        with pytest.raises(error_type, match=match) as error:
            getattr(cost, method)(a, y)
        assert str(error.value).startswith(f"{cost}")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("cost", [*SQUARED, CrossEntropy()], ids=str)
def test_targets_are_never_broadcast(cost: Cost):
    a = np.full((2, 3), 0.5)
    for shape in [(2, 1), (1, 3), (3, 2), (1, 1), (3,), (2,), (), (1, 2, 3), (2, 0)]:
        message = re.escape(f"y must have the output's shape (2, 3), got {shape}")
        refused(cost, a, np.full(shape, 0.5), ShapeError, message)


def test_softmax_targets_are_never_broadcast():
    a = np.full((2, 3), 0.5)
    for shape in [(2, 1), (1, 3), (3, 2), (3,), ()]:
        match = re.escape(f"y must have the output's shape (2, 3), got {shape}")
        refused(SoftmaxCrossEntropy(), a, np.full(shape, 0.5), ShapeError, match)
    for shape in [(2,), (1,), (), (1, 3), (2, 3), (0,)]:
        match = r"expected labels of shape \(3,\) or targets of shape \(2, 3\), got int64 of shape"
        refused(SoftmaxCrossEntropy(), a, np.zeros(shape, np.int64), ShapeError, match)


@pytest.mark.parametrize(("label", "dtype"), [(-1, np.int64), (3, np.uint8), (7, np.int32)])
def test_labels_out_of_range(label, dtype):
    y = np.array([0, 2, label, 9], dtype)
    message = rf"labels must be in 0\.\.2, got {label} at index 2$"
    refused(SoftmaxCrossEntropy(), np.full((3, 4), 1 / 3), y, ValueError, message)


@pytest.mark.parametrize("cost", [*SQUARED, CrossEntropy()], ids=str)
def test_labels_where_columns_are_needed(cost: Cost):
    message = r"got labels of shape \(3,\): use one_hot\(labels, 2\)$"
    refused(cost, np.full((2, 3), 0.5), np.zeros(3, int), TypeError, message)


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


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, math.nan])
def test_label_smoothing_must_be_below_1(value):
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\), got "):
        SoftmaxCrossEntropy(value)
    with pytest.raises(TypeError, match=r"label_smoothing must be a number, got '0\.1'"):
        SoftmaxCrossEntropy("0.1")


# -- which activations a cost goes with --------------------------------------------------------


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
        def _per_example(self, a, y):
            return costs.sum_features(np.abs(a - y))

        def _nabla_a(self, a, y):
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


@pytest.mark.parametrize("cost", [CrossEntropy(), SoftmaxCrossEntropy()], ids=str)
def test_probability_costs_refuse_other_outputs(cost: Cost):
    for activation in (Identity(), Tanh(), ReLU(), Softplus()):
        message = rf"takes outputs in \[0, 1\], but .* is {re.escape(repr(activation))}: use S"
        with pytest.raises(ValueError, match=message):
            cost.check_activation(activation)
    for activation in (Sigmoid(), Softmax(), None):
        cost.check_activation(activation)


def test_squared_costs_take_any_output():
    for cost in SQUARED:
        for activation in (Identity(), Tanh(), ReLU(), Softmax(), None):
            cost.check_activation(activation)


# -- names and descriptions --------------------------------------------------------------------


def test_by_name():
    assert isinstance(costs.as_cost("cross_entropy"), CrossEntropy)
    assert isinstance(costs.as_cost("SoftmaxCrossEntropy"), SoftmaxCrossEntropy)
    cost = Quadratic()
    assert costs.as_cost(cost) is cost
    with pytest.raises(ValueError, match=r"unknown cost 'quadratik': choose from .*quadratic"):
        by_name(Cost, "quadratik")
    with pytest.raises(
        ValueError, match=r"unknown cost '_squared_cost': choose from (?!.*squared_cost)"
    ):
        by_name(Cost, "_squared_cost")
    with pytest.raises(TypeError, match="cost must be a Cost or its name, got None"):
        costs.as_cost(None)


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


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_steps_that_fill_up_a_sequence_cost_nothing(smoothing: float):
    """A sequence with padding costs what it does alone, and delta is 0 at the padding."""
    rng = np.random.default_rng(0)
    cost, z = SoftmaxCrossEntropy(smoothing), rng.standard_normal((4, 5, 2))
    a = Softmax().sigma(z)
    y = rng.integers(0, 4, (5, 2))
    y[3:, 1] = -1
    alone = [slice(0, 5), slice(0, 3)]
    for values in (cost.per_example(a, y), cost._per_example_from_z(z, y)):
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
