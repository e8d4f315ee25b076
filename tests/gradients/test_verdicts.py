"""Right, wrong, or not judged: what numbers cannot tell is never called right."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import Network, Quadratic
from backprop.gradients.check import assert_gradients, check_gradients
from backprop.layers import BatchNorm, Dense, ReLU, Softmax

X = np.array([0.3, -1.2, 2.1, 0.7])


class Offset(Quadratic):
    """The quadratic cost plus a constant, its gradient times a factor."""

    real = False

    def __init__(self, constant: float, factor: float = 1.0) -> None:
        self.constant, self.factor = constant, factor

    def cost_of_each(self, a, y):
        value = super().cost_of_each(a, y)
        if self.real:
            value = np.hypot(value, 0)  # which takes no complex numbers
        return value + self.constant

    def gradient(self, a, y):
        return self.factor * super().gradient(a, y)


class RealOffset(Offset):
    real = True


def networks(cost):
    yield Network([Dense(4, 3, "identity", rng=0)], cost)
    yield Network([Dense(4, 6, "relu", rng=0), Dense(6, 3, "identity", rng=1)], cost)  # units dead


# -- a constant that hides all that moves ------------------------------------------------------


@pytest.mark.parametrize("constant", [1e12, 1e15, 1e20])
@pytest.mark.parametrize("factor", [1.0, 1.001, 2.0, 0.0])
def test_beside_a_large_constant_the_complex_step_decides(constant: float, factor: float):
    cost = Offset(constant, factor)
    verdict = "right" if factor == 1 else "wrong"
    assert check_gradients(cost, input_shape=(3,)).verdict == verdict
    for network in networks(cost):
        assert check_gradients(network).verdict == verdict


@pytest.mark.parametrize("constant", [1e12, 1e15, 1e20])
@pytest.mark.parametrize("factor", [1.0, 1.001, 2.0, 0.0])
def test_beside_a_large_constant_central_differences_judge_nothing(constant, factor):
    cost = RealOffset(constant, factor)
    report = check_gradients(cost, input_shape=(3,))
    assert report.verdict == "not judged"
    assert not report.passed
    assert all(array.not_judged.all() for array in report.arrays)
    assert "is only known to" in str(report)
    for network in networks(cost):
        assert check_gradients(network).verdict == "not judged"
    with pytest.raises(AssertionError, match="NOT JUDGED"):
        assert_gradients(cost, (3,))


@pytest.mark.parametrize("constant", [1.0, 1e3, 1e5])
@pytest.mark.parametrize("factor", [1.0, 1.001, 2.0, 0.0])
def test_beside_a_small_constant_central_differences_judge(constant: float, factor: float):
    verdict = "right" if factor == 1 else "wrong"
    assert check_gradients(RealOffset(constant, factor), input_shape=(3,)).verdict == verdict


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_function_with_a_large_constant(factor: float):
    def f(x):
        return float((x**2).sum() + 1e12)

    assert check_gradients(f, X, gradient=2 * factor * X).verdict == "not judged"


def test_a_large_constant_that_is_taken_off_again():
    def f(x):
        return float((x.sum() + 1e12) - 1e12)

    assert check_gradients(f, X, gradient=np.ones(4)).verdict == "not judged"
    assert check_gradients(f, X, gradient=np.zeros(4)).verdict == "wrong"


def test_an_imaginary_part_that_is_lost_proves_nothing():
    def huber(x, constant):
        small = np.abs(x) < 1
        return np.where(small, x**2 / 2, np.abs(x) - 0.5).sum() + constant

    slopes = np.clip(X, -1, 1)
    assert check_gradients(lambda x: huber(x, 0.0), X, gradient=slopes).verdict == "right"
    hidden = check_gradients(lambda x: huber(x, 1e12), X, gradient=slopes)
    assert hidden.verdict == "not judged"
    assert hidden.arrays[0].not_judged.tolist() == [False, True, True, False]
    none = check_gradients(lambda x: huber(x, 1e12), X, gradient=np.where(np.abs(X) < 1, X, 0))
    assert none.arrays[0].not_judged.tolist() == [False, True, True, False]


# -- zeros -------------------------------------------------------------------------------------


def test_a_bias_below_a_batch_normalisation_is_judged_and_right():
    for real in (Offset(0.0), RealOffset(0.0)):
        layers = [Dense(3, 4, "identity", rng=1), BatchNorm(4), ReLU(), Dense(4, 2, rng=2)]
        report = check_gradients(Network(layers, real), batch=7)
        assert report.verdict == "right", str(report)


def test_a_gradient_that_is_zero_everywhere_is_judged():
    constant = check_gradients(lambda x: 5.0 + 0 * float(x.sum()), X, gradient=0 * X)
    assert constant.verdict == "right"
    least = check_gradients(lambda x: float(((x - X) ** 2).sum()), X, gradient=lambda x: x - X)
    assert least.verdict == "right"
    ones = check_gradients(Softmax(), X[:, None], nabla_a=np.ones((4, 1)))  # they add up to 1
    assert ones.verdict == "right"

    def total(x):
        return float((np.exp(x) / np.exp(x).sum()).sum())

    assert check_gradients(total, X, gradient=np.full(4, 1e-17)).verdict == "right"
    assert check_gradients(total, X, gradient=np.full(4, 1e-5)).verdict == "wrong"


# -- kinks -------------------------------------------------------------------------------------


class AtZero(ReLU):
    """ReLU whose derivative at 0 is what one likes."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def prime(self, z, a):
        return np.where(z == 0, self.slope, super().prime(z, a))


@pytest.mark.parametrize(
    ("slope", "alone", "beside_others"),
    [
        (0.0, "right", "right"),
        (1.0, "right", "right"),
        (0.3, "not judged", "right"),
        (1.3, "wrong", "wrong"),
    ],
)
def test_where_all_is_at_a_kink_only_the_slopes_of_its_sides_are_right(
    slope: float, alone: str, beside_others: str
):
    report = check_gradients(AtZero(slope), np.zeros((2, 3)))
    assert report.verdict == alone
    assert ("and no element is elsewhere" in str(report)) == (alone == "not judged")
    report = check_gradients(AtZero(slope), np.array([[0.0, 0.5, -1.5]]))
    assert report.verdict == beside_others


def test_a_gradient_given_in_float32_is_held_to_float32s_rounding():
    x = X.astype(np.float32)
    report = check_gradients(lambda x: (x**3).sum(), x=x, gradient=3 * x**2)
    assert report.passed, str(report)
    assert "the gradient is given in float32" in str(report)
    for wrong in (3 * x**2 * np.float32(1 + 1e-5), 3 * x**2 + np.float32(1e-4), 2 * x**2):
        report = check_gradients(lambda x: (x**3).sum(), x=x, gradient=wrong)
        assert report.verdict == "wrong", str(report)


def test_a_slope_without_bound_is_not_judged():
    """sqrt(abs(x)) at 0: central differences are 0 at every step, and there is no derivative."""
    for x in (np.zeros(3), np.array([0.0, 1.0])):
        slope = np.divide(0.5, np.sqrt(x), out=np.zeros_like(x), where=x != 0)
        report = check_gradients(lambda x: np.sqrt(np.abs(x)).sum(), x=x, gradient=slope)
        assert report.verdict == "not judged", str(report)
        np.testing.assert_array_equal(report.arrays[0].not_judged, x == 0)
