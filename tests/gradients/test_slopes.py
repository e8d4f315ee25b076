"""The step chosen for every element, kinks, rounding, and which of the two methods decides."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from backprop import CrossEntropy, Network
from backprop.costs import SoftmaxCrossEntropy
from backprop.gradients.check import check_gradients
from backprop.layers import (
    ELU,
    GELU,
    GRU,
    LSTM,
    RNN,
    BatchNorm,
    Dense,
    LeakyReLU,
    Masked,
    ReLU,
    Sigmoid,
    Softplus,
    Tanh,
)
from tests.cases.feedforward import activations


def test_the_step_is_chosen_for_every_element():
    # sin(1000 x) bends within 1e-3; 5 x does not bend at all.
    def bent(x):
        return np.sin(1000 * x[0]) + 5 * x[1]

    report = check_gradients(
        bent, np.array([0.3, 0.3]), gradient=lambda x: [1000 * np.cos(1000 * x[0]), 5.0]
    )
    assert report.passed
    fine, coarse = report.arrays[0].step
    assert fine <= 1e-6 < 1e-5 < coarse
    assert f"{fine:.0e} to {coarse:.0e}" in str(report)


def test_what_a_numeric_gradient_cannot_see_is_not_called_wrong_but_small_errors_are():
    def f(x):
        return 1e-7 * x[0] ** 2 + x[1] ** 2  # beside x[1], x[0] hardly matters

    x, right = np.array([3.0, 0.5]), np.array([6e-7, 1.0])
    assert check_gradients(f, x, gradient=right).passed
    report = check_gradients(f, x, gradient=np.array([1.2e-6, 1.0]))
    assert not report.passed
    assert report.arrays[0].worst() == [0]
    assert "ratio 2, relative error" in str(report)


def test_an_error_in_a_tiny_gradient_beside_large_ones():
    class Small(Sigmoid):
        """Right where sigma' is large, and off by 2 where it is 1e-12."""

        def prime(self, z, a):
            prime = super().prime(z, a)
            return np.where(prime < 1e-11, 2 * prime, prime)

    x = np.array([[0.5, -27.0]])
    assert check_gradients(Sigmoid(), x).passed
    report = check_gradients(Small(), x)
    assert not report.passed
    assert report.arrays[0].indices[report.arrays[0].worst()[0]] == (0, 1)


# -- kinks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [ReLU(), LeakyReLU(0.2)], ids=str)
@pytest.mark.parametrize("z", [0.0, 1e-9, -1e-9])
def test_a_kink_is_reported_as_a_kink(layer, z: float):
    x = np.array([[1.0, -2.0], [z, 0.5]])
    report = check_gradients(layer, x, nabla_a=np.ones((2, 2)))
    assert report.passed
    (line,) = report.kinks
    assert line.startswith("input[1, 0]: backward ")
    assert "kink, slope " in line
    assert line in str(report)


@pytest.mark.parametrize("z", [1e-7, -3e-7, 1e-6, 1e-5, -2e-5, 1e-4, 5e-4])
def test_a_kink_nearby_is_stepped_inside_of(z: float):
    report = check_gradients(ReLU(), np.array([[z]]), nabla_a=np.ones((1, 1)))
    assert report.passed
    assert not report.kinks
    assert report.arrays[0].central[0] == pytest.approx(float(z > 0), abs=1e-7)
    assert report.arrays[0].step[0] <= abs(z)


def test_the_maximum_of_two_equal_numbers_is_a_kink_and_what_lies_outside_is_wrong():
    def largest(x):
        return x.max()

    x = np.array([1.0, 2.0, 2.0])
    for choice in ([0, 1, 0], [0, 0, 1], [0, 0.5, 0.5]):
        report = check_gradients(largest, x, gradient=np.array(choice, float))
        assert report.passed
        assert len(report.kinks) == 2
    report = check_gradients(largest, x, gradient=np.array([0, 1.5, 0]))
    assert not report.passed
    assert report.arrays[0].worst() == [1]


def test_no_kinks_where_a_function_only_bends():
    for layer in (ELU(1.0), ELU(0.5), GELU(), Softplus(), Tanh()):
        report = check_gradients(layer, np.linspace(-4, 4, 41)[:, None])
        assert report.passed
        assert bool(report.kinks) == (layer.config().get("alpha") == 0.5)  # at z = 0


# -- functions that are not analytic -----------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "why"),
    [
        (lambda x: float((np.abs(x) ** 2).sum()), "must return one complex number"),
        (lambda x: (x.real**2).sum(), "must return one complex number|lost on the way"),
        (lambda x: math.fsum(x**2), "complex"),
        (lambda x: (x * np.conj(x)).sum(), "not analytic in x, the two methods differ"),
    ],
)
def test_without_the_complex_step_central_differences_decide(f, why: str):
    x = np.array([0.5, -1.5])
    report = check_gradients(f, x, gradient=lambda x: 2 * x)
    assert report.passed
    assert report.exact_error is None
    assert re.search(f"no complex step: .*({why})", str(report))
    assert not check_gradients(f, x, gradient=lambda x: 2.001 * x).passed


def test_the_complex_step_is_dropped_for_single_elements_only():
    def f(x):
        return x[0] * np.conj(x[0]) + x[1] ** 3

    x = np.array([0.5, -1.5])
    report = check_gradients(f, x, gradient=lambda x: np.array([2 * x[0], 3 * x[1] ** 2]))
    assert report.passed, str(report)
    assert np.isnan(report.arrays[0].exact).tolist() == [True, False]
    assert "not analytic in x, the two methods differ (in 1 of 2 elements)" in str(report)
    # Zero is what the complex step finds in the first: central differences know better.
    report = check_gradients(f, x, gradient=lambda x: np.array([0, 3 * x[1] ** 2]))
    assert report.arrays[0].wrong.tolist() == [True, False]
    # The second is exact, so a fault of 1e-9 shows.
    report = check_gradients(
        f, x, gradient=lambda x: np.array([2 * x[0], 3 * x[1] ** 2 * (1 + 1e-9)])
    )
    assert report.arrays[0].worst() == [1]


def test_nan_in_complex_numbers_alone_condemns_nothing():
    def f(x):
        with np.errstate(over="ignore"):
            return (1 / (1 + np.exp(-x))).sum()

    def gradient(x):
        e = np.exp(-np.abs(x))
        return e / (1 + e) ** 2

    report = check_gradients(f, np.array([-800.0, 1.0]), gradient=gradient)
    assert report.passed, str(report)
    assert np.isnan(report.arrays[0].exact).tolist() == [True, False]
    assert "no complex step: not finite in x (in 1 of 2 elements)" in str(report)


# -- where rounding, or the end of a domain, is near -------------------------------------------


@pytest.mark.parametrize("layer", activations(), ids=lambda layer: layer.name)
def test_activations_far_out(layer):
    """Where sigma' is 1e-9 of 1 or less, and tanh' = 1 - a^2 has lost its digits to rounding."""
    z = np.linspace(-20, 20, 101)[:, None] + 0.05
    report = check_gradients(layer, z, exact_tolerance=1e-12)
    assert report.passed, str(report)
    assert report.exact_error <= 1e-12


class RealLSTM(LSTM):
    """One that takes no complex numbers, so that central differences decide alone."""

    takes_mask = True

    def output(self, a_prev, mode):
        if a_prev.dtype.kind == "c" or self.dtype.kind == "c":
            raise TypeError("no complex numbers")
        return super().output(a_prev, mode)


def saturated(cell: type, seed: int, masked: bool = True) -> tuple:
    """Return a recurrent layer, run in reverse for odd seeds, and an input that saturates it."""
    layer = cell(1, 4, reverse=bool(seed % 2), dtype="float64", rng=seed)
    x = 30 * np.random.default_rng(seed).standard_normal((2, 1, 2, 1))[1]
    if not masked:
        return layer, x
    first = 1.0 - seed % 2  # the real step
    return Masked([layer]), np.concatenate([x, [[[first], [1 - first]]]])


@pytest.mark.parametrize("cell", [LSTM, RealLSTM])
@pytest.mark.parametrize("seed", [8, 20, 102, 247, 274, 277, 282])
def test_gates_that_stand_still_but_for_a_tiny_part_are_no_wrong_gradient(cell, seed):
    """At small steps a gate of 1e-13 stands still, being known to bits of 1; g does not."""
    report = check_gradients(*saturated(cell, seed), rng=seed)
    assert report.passed, str(report)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cell", [RNN, GRU, LSTM])
def test_saturated_recurrent_layers_are_not_wrong(cell, masked):
    for seed in range(6):
        report = check_gradients(*saturated(cell, seed, masked), rng=seed)
        assert report.verdict != "wrong", str(report)


@pytest.mark.parametrize("cell", [LSTM, RealLSTM])
@pytest.mark.parametrize("seed", [20, 282])
def test_a_fault_behind_saturated_gates_is_found(cell, seed):
    """By the input the gradient is 6e-10, of upstream gradients of 1."""

    class Wrong(cell):
        takes_mask = True

        def downstream(self, delta):
            return 1.1 * super().downstream(delta)

    report = check_gradients(*saturated(Wrong, seed), rng=seed)
    assert report.arrays[0].wrong.any(), str(report)


def test_a_bias_below_a_batch_normalisation_is_right_and_zero():
    """The mean takes it off again: its gradient is 0, and rounding in backward."""
    layers = [
        Dense(3, 4, "identity", dtype="float64", rng=1),
        BatchNorm(4, dtype="float64"),
        Tanh(),
    ]
    network = Network([*layers, Dense(4, 2, dtype="float64", rng=2)], "quadratic")
    rng = np.random.default_rng(0)
    report = check_gradients(network, rng.standard_normal((3, 50)), rng.random((2, 50)))
    assert report.passed, str(report)
    zero = report.arrays[2]
    assert zero.name.endswith("b")
    assert 0 < np.abs(zero.analytic).max() < 1e-14


def confident(scale: float) -> Network:
    """Return a softmax network whose two z are scale x and -scale x."""
    network = Network([Dense(1, 2, "softmax", dtype="float64", rng=0)], "softmax_cross_entropy")
    network[0].w[...] = [[scale], [-scale]]
    network[0].b[...] = 0
    return network


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("scale", [1, 10, 20, 50, 300])
def test_a_saturated_network_is_right(scale: float, label: int):
    report = check_gradients(confident(scale), np.array([[0.73]]), np.array([label]))
    assert report.passed, str(report)
    assert report.exact_error is not None


@pytest.mark.parametrize("scale", [1, 5, 10])
def test_a_saturated_network_with_a_fault_is_wrong(scale: float):
    class Twice(Dense):
        def parameter_gradients(self, delta):
            super().parameter_gradients(delta)
            self.nabla_w *= 2

    network = Network([Twice(1, 2, "softmax", dtype="float64", rng=0)], "softmax_cross_entropy")
    network.theta[...] = confident(scale).theta
    report = check_gradients(network, np.array([[0.73]]), np.array([0]))
    assert [array.wrong.any() for array in report.arrays] == [False, True, False]
    assert "ratio 2, relative error 5.0e-01" in str(report)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("factor", [5, 20])
def test_a_network_with_large_weights_is_right(activation: str, factor: float):
    network = Network(
        [Dense(784, 30, activation, rng=0), Dense(30, 10, "softmax", rng=1)],
        "softmax_cross_entropy",
    )
    network.theta[...] *= factor
    report = check_gradients(network, y=np.array([1, 2, 3]), elements=20)
    assert report.passed, str(report)
    assert report.exact_error <= 1e-10


@pytest.mark.parametrize("z", [1, 10, 20, 30, 36])
@pytest.mark.parametrize("cost", [CrossEntropy(), SoftmaxCrossEntropy()], ids=str)
def test_a_saturated_cost_is_right(cost, z: float):
    x = z * np.array([[1.0, -1, 0.5], [-1, 1, -0.3], [0.2, 0.3, -1]])
    report = check_gradients(cost, x=x)
    assert report.passed, str(report)
    assert report.exact_error is not None


REAL = float  # which refuses complex numbers


@pytest.mark.parametrize("number", [lambda c: c, REAL], ids=["complex", "real"])
@pytest.mark.parametrize(
    ("f", "gradient", "x"),
    [
        (lambda x: (x * np.log(x)).sum(), lambda x: np.log(x) + 1, [1e-9, 0.5]),
        (lambda x: (1 / x).sum(), lambda x: -1 / x**2, [1e-5, -1e-5]),
        (lambda x: np.log(x).sum(), lambda x: 1 / x, [1e-4, 1e-6, 1e-9]),
        (lambda x: np.sin(1e8 * x).sum(), lambda x: 1e8 * np.cos(1e8 * x), [1e-8, 2e-8]),
    ],
)
def test_near_the_end_of_a_domain_steps_are_small(f, gradient, x, number):
    def value(x):
        return number(f(x))

    x = np.array(x)
    report = check_gradients(value, x, gradient=gradient)
    assert report.passed, str(report)
    assert (report.exact_error is None) == (number is REAL)
    wrong = check_gradients(value, x, gradient=lambda x: 1.01 * gradient(x))
    assert wrong.arrays[0].wrong.all()


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_features_of_size_1e7_and_weights_to_match(activation: str):
    layer = Dense(3, 4, activation, dtype="float64", rng=0)
    layer.w /= 1e7
    report = check_gradients(layer, x=1e7 * np.random.default_rng(0).standard_normal((3, 5)))
    assert report.passed, str(report)
    assert report.exact_error <= 1e-10


@pytest.mark.parametrize("inside", [False, True])
def test_a_function_in_float32(inside: bool):
    def f(x):
        c = (x.astype(np.float32) ** 2).sum()
        return 1.1 * float(c) if inside else c

    x, factor = np.array([0.3, -1.1, 2.3]), 1.1 if inside else 1.0
    report = check_gradients(f, x, gradient=lambda x: 2 * factor * x)
    assert report.passed, str(report)
    assert "the function computes in float32: only coarse errors can be seen" in str(report)
    assert check_gradients(f, x, gradient=lambda x: 3 * factor * x).arrays[0].wrong.all()
