"""Planted faults are found where they are, and arguments that do not fit are named."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from backprop import L2, CrossEntropy, Network, Quadratic, SoftmaxCrossEntropy
from backprop.gradients.check import assert_gradients, check_gradients
from backprop.layers import Dense, ReLU, ShapeError
from tests.gradients.known import X, f

# -- planted faults ----------------------------------------------------------------------------


class Faulty(Dense):
    """A square sigmoid layer in which one thing is wrong."""

    fault = ""

    def run(self, a_prev, mode):
        kept = self.a_prev
        a = super().run(a_prev, mode)
        if mode.keep and self.fault == "stale input" and kept is not None:
            self.a_prev = kept
        return a

    def delta_of(self, nabla_a):
        if self.fault == "right for ones only":
            nabla_a = np.ones_like(nabla_a)
        if self.fault == "dropped sigma'":
            return nabla_a
        if self.fault == "plus sign":
            return nabla_a * self.a * (1 + self.a)
        return nabla_a * self.activation.prime(self.z, self.a)

    def parameter_gradients(self, delta):
        fault, batch = self.fault, delta.shape[-1]
        self.nabla_b = delta[:, :1] if fault == "no sum over the batch" else delta.sum(1)[:, None]
        self.nabla_w = delta @ self.a_prev.T
        if fault == "wrong factor":
            self.nabla_w *= 2.001 / 2
        if fault == "off by one":
            self.nabla_w = np.roll(self.nabla_w, 1, axis=1)
        if fault == "divided by the batch":
            self.nabla /= batch

    def downstream(self, delta):
        return (self.w if self.fault == "transposed" else self.w.T) @ delta


def faulty(fault: str) -> Faulty:
    layer = Faulty(4, 4, dtype="float64", rng=0)
    layer.fault = fault
    return layer


FAULTS = {
    "wrong factor": {"w"},
    "dropped sigma'": {"input", "w", "b"},
    "no sum over the batch": {"b"},
    "transposed": {"input"},
    "divided by the batch": {"w", "b"},
    "off by one": {"w"},
    "plus sign": {"input", "w", "b"},
    "stale input": {"w"},
    "right for ones only": {"input", "w", "b"},
}


def test_the_faulty_layer_is_right_without_a_fault():
    report = assert_gradients(faulty(""), batch=5)
    assert report.exact_error <= 1e-12


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_in_a_layer_is_caught_and_located(fault: str):
    with pytest.raises(AssertionError) as error:
        assert_gradients(faulty(fault), batch=5)
    report = check_gradients(faulty(fault), batch=5)
    assert str(error.value) == str(report)
    assert {array.name for array in report.arrays if array.wrong.any()} == FAULTS[fault]
    name = next(array.name for array in report.arrays if array.wrong.any())
    assert re.search(rf"\n  {name}\[\d, \d\]: backward .*, numeric .*, ratio .*", str(report))
    assert f"Faulty(4 -> 4, sigmoid), {name}: wrong in " in str(report)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_inside_a_network(fault: str):
    for place in (0, 1):
        layers = [Dense(4, 4, "tanh", rng=1), Dense(4, 4, "tanh", rng=2)]
        layers[place] = faulty(fault)
        network = Network([layer.astype("float64") for layer in layers], "quadratic")
        report = check_gradients(network, batch=5)
        assert not report.passed
        wrong = [array.name for array in report.arrays if array.wrong.any()]
        if FAULTS[fault] != {"input"}:
            assert any(name.startswith(f"layer {place}, ") for name in wrong)


def test_the_ratio_shows_a_factor_of_the_batch():
    assert "ratio 0.2, relative error 8.0e-01" in str(
        check_gradients(faulty("divided by the batch"), batch=5)
    )
    assert "ratio 1.0005, relative error 5.0e-04" in str(check_gradients(faulty("wrong factor")))


class WrongCost(Quadratic):
    fault = ""

    def gradient(self, a, y):
        nabla_a = super().gradient(a, y)
        return nabla_a * {"missing 1/B": a.shape[-1], "2.001": 2.001 / 2}.get(self.fault, 1)


@pytest.mark.parametrize("fault", ["missing 1/B", "2.001"])
def test_a_planted_fault_in_a_cost(fault: str):
    cost = WrongCost()
    assert check_gradients(cost, input_shape=(3,)).passed
    cost.fault = fault
    report = check_gradients(cost, input_shape=(3,))
    assert all(array.wrong.all() for array in report.arrays)
    assert f"ratio {'3' if fault == 'missing 1/B' else '1.0005'}, " in str(report)
    network = Network([Dense(4, 3, "identity", dtype="float64", rng=0)], cost)
    assert not check_gradients(network).passed


class NoGradient(L2):
    factor = 0.0

    def gradient(self, w, out=None):
        return np.multiply(w, self.factor * self.lmbda, out=out)


@pytest.mark.parametrize("factor", [0.0, 1.0, 2.001])
def test_a_dropped_or_wrong_regularizer(factor: float):
    network = Network.from_sizes([4, 3, 2], dtype="float64", rng=0)
    regularizer = NoGradient(0.01)
    regularizer.factor = factor
    report = check_gradients(network, regularizer=regularizer)
    wrong = [array.name[-1] for array in report.arrays if array.wrong.any()]
    assert wrong == ["w", "w"]
    regularizer.factor = 2.0
    assert check_gradients(network, regularizer=regularizer).passed


@pytest.mark.parametrize("base", [CrossEntropy, SoftmaxCrossEntropy])
@pytest.mark.parametrize("right", [True, False])
def test_a_cost_of_ones_own_is_judged_where_it_is_defined(base, right):
    """Without a canonical activation, at numbers such as it demands of a last layer."""

    class Twice(base):
        def cost_of_each(self, a, y):
            return 2 * super().cost_of_each(a, y)

        def gradient(self, a, y):
            return (2 if right else 1) * super().gradient(a, y)

    report = check_gradients(Twice(), input_shape=(4,))
    assert report.passed is right
    assert ("WRONG" in str(report)) is not right


# -- arguments ---------------------------------------------------------------------------------


def test_elements_are_drawn_and_counted():
    report = check_gradients(Dense(20, 30, rng=0), elements=7)
    assert [len(array.indices) for array in report.arrays] == [7, 7, 7]
    assert "7 of 600" in str(report)
    assert "all 60 " in str(check_gradients(Dense(20, 3, rng=0)))


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (3, {}, "the target must be a layer, a cost, a network or a function, got 3"),
        (ReLU(), {}, "give x, or the input_shape to draw it of"),
        (ReLU(), {"x": [[1.0]]}, "the input x must be a numpy array, got list"),
        (ReLU(), {"input_shape": (2,), "y": np.ones(2)}, "a layer takes no y"),
        (ReLU(), {"input_shape": (2,), "regularizer": L2(1)}, "a layer takes no regularizer"),
        (Quadratic(), {"nabla_a": np.ones(2)}, "a cost takes no nabla_a"),
        (f, {"x": X}, "needs its gradient, check_gradients(f, x, gradient=g)"),
        (f, {"x": X, "gradient": f, "y": X}, "a function takes no y"),
        (f, {"gradient": f}, "give x"),
        (Network([Dense(2, 1)]), {"y": X}, "a network without a cost takes no y"),
        (Network([Dense(2, 1)], "quadratic"), {"nabla_a": X}, "a cost takes no nabla_a"),
    ],
)
def test_arguments_that_do_not_fit(target, options: dict, message: str):
    with pytest.raises(TypeError, match="^check_gradients: .*" + re.escape(message)):
        check_gradients(target, **options)


@pytest.mark.parametrize("name", ["tolerance", "exact_tolerance", "elements", "batch"])
def test_numbers_out_of_range(name: str):
    with pytest.raises(ValueError, match=f"^check_gradients: {name} must be "):
        check_gradients(ReLU(), input_shape=(2,), **{name: 0})


NETWORK = Network([Dense(2, 1)], "quadratic")


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        (Dense(2, 1), {"nabla_a": [1]}, TypeError, "nabla_a must be a numpy array, got list"),
        (Dense(2, 1), {"nabla_a": np.ones((2, 1))}, ShapeError, "(2, 1), expected (1, 3)"),
        (Dense(2, 1), {"nabla_a": np.ones((1, 3), complex)}, TypeError, "nabla_a must be real"),
        (Network([Dense(2, 1)]), {"nabla_a": np.ones(3)}, ShapeError, "(3,), expected (1, 3)"),
        (NETWORK, {"regularizer": "l2"}, TypeError, "regularizer must be a Regularizer"),
        (NETWORK, {"regularizer": 0.1}, TypeError, "got 0.1: give L2"),
        (ReLU(), {"input_shape": 3}, TypeError, "input_shape must be a tuple of integers, got 3"),
        (ReLU(), {"input_shape": np.ones((2, 3))}, TypeError, "give the array as x="),
        (ReLU(), {"x": (3,)}, TypeError, "a shape: give input_shape=(3,)"),
        (Quadratic(), {"x": [4]}, TypeError, "a shape: give input_shape=[4]"),
        (ReLU(), {"input_shape": (-1,)}, ValueError, "input_shape must be at least 1, got -1"),
        (ReLU(), {"x": np.ones((2, 3)), "input_shape": (3,)}, ShapeError, "input_shape is (3,)"),
        (f, {"input_shape": (3,), "gradient": f}, TypeError, "a function takes no input_shape"),
        (ReLU(), {"x": np.ones((2, 3), complex)}, TypeError, "x must be real, got complex128"),
        (ReLU(), {"x": np.ones((2, 0))}, ValueError, "x is empty, its shape is (2, 0)"),
        (f, {"x": np.ones(0), "gradient": f}, ValueError, "x is empty, its shape is (0,)"),
        (ReLU(), {"x": np.full((2, 3), math.nan)}, ValueError, "x must be finite"),
        (ReLU, {"input_shape": (3,)}, TypeError, "got the class ReLU, expected an object: ReLU("),
        (f, {"x": X, "gradient": 1j * X}, TypeError, "must be real numbers, got complex128"),
    ],
)
def test_bad_arguments_are_named(target, options: dict, error: type, message: str):
    with pytest.raises(error, match="^check_gradients: [^\n]*" + re.escape(message)):
        check_gradients(target, **options)


def test_targets_of_another_shape():
    with pytest.raises(ShapeError, match=r"y must have the output's shape \(1, 3\), got \(2, 3\)"):
        check_gradients(NETWORK, y=np.ones((2, 3)))
