"""The checkers themselves, on functions whose gradients are known."""

from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pytest

from backprop import L1, L2, CrossEntropy, Graph, Network, Quadratic
from backprop.costs import SoftmaxCrossEntropy
from backprop.gradients.check import (
    assert_gradients,
    central_difference,
    check_gradients,
    complex_step,
    relative_error,
)
from backprop.graph import graph
from backprop.layers import (
    ELU,
    GELU,
    BatchNorm,
    Dense,
    Dropout,
    LeakyReLU,
    ReLU,
    ShapeError,
    Sigmoid,
    Softplus,
    Tanh,
)
from tests.cases import CASES, COST_CASES, NETWORK_CASES, layer_report
from tests.cases.feedforward import activations

X = np.array([[-1.5, 0.3, 2.0], [40.0, -1e-3, 0.0]])


def f(x):
    """Return an analytic scalar function in which every element plays another role."""
    return (np.arange(6).reshape(2, 3) * np.sin(x)).sum() + x[0, 0] * x[1, 1] ** 2


def gradient(x):
    g = np.arange(6).reshape(2, 3) * np.cos(x)
    g[0, 0] += x[1, 1] ** 2
    g[1, 1] += 2 * x[0, 0] * x[1, 1]
    return g


def test_central_difference():
    g = central_difference(f, X.copy())
    assert (g.shape, g.dtype) == (X.shape, np.float64)
    np.testing.assert_allclose(g, gradient(X), rtol=1e-8, atol=1e-9)


def test_complex_step():
    g = complex_step(f, X.astype(complex))
    assert (g.shape, g.dtype) == (X.shape, np.float64)
    np.testing.assert_allclose(g, gradient(X), rtol=1e-15, atol=1e-18)


def test_the_example_of_squire_and_trapp():
    # f(x) = x^4.5 at 1.5, whose derivative they give as 18.600 812 734 259 759.
    x = np.array([1.5])
    exact = 18.600812734259759
    assert complex_step(lambda x: (x**4.5).sum(), x.astype(complex))[0] == pytest.approx(
        exact, rel=1e-15
    )
    assert central_difference(lambda x: (x**4.5).sum(), x)[0] == pytest.approx(exact, rel=1e-9)


def test_the_step_can_be_chosen():
    # (f(x + h) - f(x - h)) / 2h of x^3 is 3 x^2 + h^2, by algebra.
    x = np.array([2.0])
    assert central_difference(lambda x: (x**3).sum(), x, step=0.5)[0] == 12.25
    assert complex_step(lambda x: (x**3).sum(), x.astype(complex), step=0.5)[0] == 11.75


def test_the_default_step_grows_with_x():
    seen = []

    def record(x):
        seen.append(x[0])
        return x[0]

    for value in (0.0, 1.0, 1000.0):
        central_difference(record, np.array([value]))
    steps = np.diff(seen)[::2] / -2
    np.testing.assert_allclose(steps, np.cbrt(2.0**-52) * np.array([1, 1, 1000]), rtol=1e-6)


@pytest.mark.parametrize("order", ["C", "F"])
def test_x_is_perturbed_in_place_and_restored(order: str):
    x = np.array(X, order=order)
    view = x[:, ::2]
    places = []

    def g(given):
        assert given is view
        places.append(np.argwhere(x != X).tolist())
        return x.sum()

    np.testing.assert_allclose(central_difference(g, view), 1, rtol=1e-9)
    np.testing.assert_array_equal(x, X)
    assert places == [p for place in [[0, 0], [0, 2], [1, 0], [1, 2]] for p in 2 * [[place]]]

    z = X.astype(complex)
    np.testing.assert_allclose(complex_step(lambda _: z.sum(), z), 1, rtol=1e-15)
    np.testing.assert_array_equal(z, X)


def test_the_difference_is_divided_by_what_x_moved_in_fact():
    # x + h is rounded: on a straight line, dividing by 2h would be wrong in the tenth digit.
    x = np.array([0.3, 7.7, -1e6])
    for step in (None, 1e-7):
        for index in range(3):
            slope = central_difference(lambda x, index=index: 4 * x[index], x, step)[index]
            assert slope == 4


def test_x_is_restored_after_an_error():
    def fails(x):
        if x[1] != 2:
            raise ZeroDivisionError
        return x.sum()

    for check, x in (
        (central_difference, np.array([1.0, 2.0])),
        (complex_step, np.array([1.0 + 0j, 2.0])),
    ):
        with pytest.raises(ZeroDivisionError):
            check(fails, x)
        np.testing.assert_array_equal(x, [1, 2])


def test_scalars_and_empty_arrays():
    assert central_difference(lambda x: float(x) ** 2, np.array(3.0)) == pytest.approx(6, rel=1e-9)
    assert complex_step(lambda x: complex(x) ** 2, np.array(3.0 + 0j)) == 6
    assert central_difference(lambda x: 0.0, np.empty((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("x", [[1.0], np.array([1]), np.ones(2, np.float32), np.ones(2, complex)])
def test_central_difference_needs_float64(x):
    with pytest.raises(TypeError, match=r"^central_difference: the point x must be "):
        central_difference(lambda x: x.sum(), x)


@pytest.mark.parametrize("x", [[1.0], np.ones(2), np.ones(2, np.complex64)])
def test_complex_step_needs_complex128(x):
    with pytest.raises(TypeError, match=r"^complex_step: the point x must be "):
        complex_step(lambda x: x.sum(), x)


def test_complex_step_starts_on_the_real_line():
    with pytest.raises(ValueError, match="the imaginary part of x must be 0"):
        complex_step(lambda x: x.sum(), np.array([1 + 1j]))


def test_f_returns_one_number():
    x = np.ones(2)
    for wrong in (lambda x: x, lambda x: x.astype(complex).sum(), lambda x: None, lambda x: "1"):
        with pytest.raises(TypeError, match=r"^f must return one real number, got "):
            central_difference(wrong, x)
    # A real number means that something on the way dropped the imaginary part.
    for wrong in (lambda x: x, lambda x: np.abs(x).sum(), lambda x: x.real.sum()):
        with pytest.raises(TypeError, match=r"^f must return one complex number, got "):
            complex_step(wrong, x.astype(complex))
    np.testing.assert_array_equal(x, 1)


@pytest.mark.parametrize("step", [0, -1e-6, math.nan, math.inf])
def test_the_step_must_be_positive(step):
    with pytest.raises(ValueError, match=r"^central_difference: step must be in \(0, inf\)"):
        central_difference(f, X.copy(), step)
    with pytest.raises(ValueError, match=r"^complex_step: step must be in \(0, inf\)"):
        complex_step(f, X.astype(complex), step)


# -- relative error ----------------------------------------------------------------------------


def test_relative_error_is_the_largest_of_all_elements():
    numeric, analytic = np.array([[1.0, -2.0], [4.0, 10.0]]), np.array([[1.0, -2.5], [4.4, 10.0]])
    assert relative_error(numeric, analytic) == pytest.approx(0.2, rel=1e-15)
    assert relative_error(analytic, numeric) == pytest.approx(0.2, rel=1e-15)
    assert relative_error(-3 * numeric, -3 * analytic) == pytest.approx(0.2, rel=1e-14)


def test_relative_error_of_typical_mistakes():
    g = gradient(X)
    assert relative_error(g, 2 * g) == 0.5
    assert relative_error(g, -g) == 2
    assert relative_error(g, 0 * g) == 1
    wrong = g.copy()
    wrong[1, 2] *= 1.0001  # the one wrong element counts
    assert relative_error(g, wrong) == pytest.approx(1e-4, rel=1e-3)


def test_small_elements_are_measured_against_the_floor():
    analytic = np.array([1000.0, 0.0, 1e-4])
    assert relative_error(np.array([1000.0, 1e-8, 1e-4]), analytic) == pytest.approx(1e-8)
    assert relative_error(np.array([1000.0, 0.0, 2e-4]), analytic) == pytest.approx(1e-4)
    assert relative_error(np.array([1000.0, 0.0, 2e-4]), analytic, floor=0) == pytest.approx(0.5)
    assert relative_error(np.array([1000.0, 1e-8, 1e-4]), analytic, floor=0) == 1


def test_equal_and_empty_arrays():
    assert relative_error(np.zeros((2, 3)), np.zeros((2, 3))) == 0
    assert relative_error(X, X) == 0
    assert relative_error(np.empty((0, 3)), np.empty((0, 3))) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_never_passes(bad: float):
    good, wrong = np.ones(3), np.array([1.0, bad, 1.0])
    for pair in ((good, wrong), (wrong, good), (wrong, wrong)):
        assert math.isnan(relative_error(*pair))


def test_shapes_are_never_broadcast():
    with pytest.raises(
        ShapeError, match=r"^relative_error: the shapes differ, \(3, 1\) and \(3,\)"
    ):
        relative_error(np.ones((3, 1)), np.ones(3))


# -- check_gradients: what is right ------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_layer(case, batch: int):
    layer, x, nabla_a = case.problem(batch, seed=7)
    report = layer_report(layer, x, nabla_a)
    assert report.passed
    assert report.central_error <= 1e-7
    assert report.exact_error <= 1e-12
    by_input = [] if layer.integer_input else ["input"]
    assert [array.name for array in report.arrays] == [*by_input, *layer.parameters]
    assert "the gradients are right" in str(report)


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


@pytest.mark.parametrize("case", COST_CASES, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_cost(case, batch: int):
    z, y = case.problem(batch)
    report = check_gradients(case.cost, z, y, exact_tolerance=1e-12)
    assert report.passed, str(report)
    assert report.exact_error is not None
    assert [array.name for array in report.arrays] == ["a", "z"]


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
@pytest.mark.parametrize("regularizer", [None, L1(0.3), L2(0.2)], ids=str)
def test_every_network(case, regularizer):
    network, x, y = case.problem(3)
    report = check_gradients(network, x, y, regularizer=regularizer, exact_tolerance=1e-12)
    assert report.passed, str(report)
    assert report.exact_error is not None
    assert not report.kinks


def test_a_network_with_dropout_in_float32_is_left_as_it_is():
    network = Network(
        [Dense(4, 6, "relu", rng=1), Dropout(0.5, rng=2), Dense(6, 3, "softmax", rng=3)],
        "softmax_cross_entropy",
    )
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    before = pickle.dumps(network), x.copy()
    report = assert_gradients(network, x=x, y=np.array([0, 1, 2, 1, 0]))
    assert pickle.dumps(network) == before[0]
    np.testing.assert_array_equal(x, before[1])
    names = [array.name for array in report.arrays]
    assert names[:2] == ["input", "layer 0, Dense(4 -> 6, relu), w"]
    assert names[-1] == "layer 2, Dense(6 -> 3, softmax), b"


def test_a_network_without_a_cost_and_a_graph():
    network = Network([Dense(3, 4, "tanh", rng=0), Dense(4, 2, "elu", rng=1)])
    assert check_gradients(network, nabla_a=np.ones((2, 3))).passed
    x = graph.Input("x", (3,))
    node = graph.apply(Dense(3, 3, "tanh", rng=0), x) * graph.sin(x) + x
    for cost in (None, "quadratic"):
        report = assert_gradients(Graph(node, cost), regularizer=L2(0.1))
        assert report.exact_error <= 1e-12


def test_the_hardest_function_with_its_gradient():
    report = check_gradients(f, X, gradient=gradient)
    assert report.passed
    assert report.target == "f"
    assert report.exact_error <= 1e-15
    assert check_gradients(f, X, gradient=gradient(X)).passed


def test_elements_are_drawn_and_counted():
    report = check_gradients(Dense(20, 30, rng=0), elements=7)
    assert [len(array.indices) for array in report.arrays] == [7, 7, 7]
    assert "7 of 600" in str(report)
    assert "all 60 " in str(check_gradients(Dense(20, 3, rng=0)))


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


# -- planted faults ----------------------------------------------------------------------------


class Faulty(Dense):
    """A square sigmoid layer in which one thing is wrong."""

    fault = ""

    def _forward(self, a_prev, training):
        kept = self.a_prev
        a = super()._forward(a_prev, training)
        if training and self.fault == "stale input" and kept is not None:
            self.a_prev = kept
        return a

    def _backward(self, nabla_a, input_gradient):
        fault, batch = self.fault, nabla_a.shape[-1]
        if fault == "right for ones only":
            nabla_a = np.ones_like(nabla_a)
        delta = nabla_a * self.activation.prime(self.z, self.a)
        if fault == "dropped sigma'":
            delta = nabla_a
        if fault == "plus sign":
            delta = nabla_a * self.a * (1 + self.a)
        self.nabla_b = delta[:, :1] if fault == "no sum over the batch" else delta.sum(1)[:, None]
        self.nabla_w = delta @ self.a_prev.T
        if fault == "wrong factor":
            self.nabla_w *= 2.001 / 2
        if fault == "off by one":
            self.nabla_w = np.roll(self.nabla_w, 1, axis=1)
        if fault == "divided by the batch":
            self.nabla /= batch
        return (self.w if fault == "transposed" else self.w.T) @ delta


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
    assert f"Dense(4 -> 4, sigmoid), {name}: wrong in " in str(report)


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

    def _nabla_a(self, a, y):
        nabla_a = super()._nabla_a(a, y)
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

    def _gradient(self, w, out=None):
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


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_wrong(bad: float):
    x = np.array([1.0, 2.0])
    assert not check_gradients(lambda x: (x**2).sum(), x, gradient=np.array([2.0, bad])).passed
    assert not check_gradients(lambda x: bad * x.sum(), x, gradient=np.array([2.0, 4.0])).passed


def test_the_worst_come_first_and_not_too_many():
    x = np.arange(1.0, 11)
    off = 1 + np.arange(10) / 1000
    report = check_gradients(lambda x: (x**2).sum(), x, gradient=2 * x * off)
    assert report.arrays[0].worst() == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    lines = str(report).splitlines()
    assert "x: wrong in 9 of 10 elements, the worst are" in str(report)
    assert sum("backward" in line for line in lines) == 5
    assert report.central_error == pytest.approx(0.009 / 1.009, rel=1e-6)


# -- bad arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (3, {}, "the target must be a layer, a cost, a network or a function, got 3"),
        (ReLU(), {}, "give x, or the input_shape to draw it of"),
        (ReLU(), {"x": [[1.0]]}, "the input x must be a numpy array, got list"),
        (ReLU(), {"input_shape": (2,), "y": np.ones(2)}, "a layer takes no y"),
        (ReLU(), {"input_shape": (2,), "regularizer": L2(1)}, "a layer takes no regularizer"),
        (Quadratic(), {"nabla_a": np.ones(2)}, "a cost takes no nabla_a"),
        (f, {"x": X}, "a function needs its gradient"),
        (f, {"x": X, "gradient": f, "y": X}, "a function takes no y"),
        (f, {"gradient": f}, "give x"),
        (Network([Dense(2, 1)]), {"y": X}, "a network without a cost takes no y"),
        (Network([Dense(2, 1)], "quadratic"), {"nabla_a": X}, "a cost takes no nabla_a"),
    ],
)
def test_arguments_that_do_not_fit(target, options: dict, message: str):
    with pytest.raises(TypeError, match="^check_gradients: .*" + re.escape(message)):
        check_gradients(target, **options)


def test_a_gradient_of_another_shape():
    with pytest.raises(ShapeError, match=r"the gradient by x has shape \(2, 1\), expected \(2,\)"):
        check_gradients(lambda x: x.sum(), np.ones(2), gradient=np.ones((2, 1)))


@pytest.mark.parametrize("name", ["tolerance", "exact_tolerance", "elements", "batch"])
def test_numbers_out_of_range(name: str):
    with pytest.raises(ValueError, match=f"^check_gradients: {name} must be "):
        check_gradients(ReLU(), input_shape=(2,), **{name: 0})


@pytest.mark.parametrize("layer", activations(), ids=lambda layer: layer.name)
def test_activations_far_out(layer):
    """Where sigma' is 1e-9 of 1 or less, and tanh' = 1 - a^2 has lost its digits to rounding."""
    z = np.linspace(-20, 20, 101)[:, None] + 0.05
    report = check_gradients(layer, z, exact_tolerance=1e-12)
    assert report.passed, str(report)
    assert report.exact_error <= 1e-12


# -- where rounding, or the end of a domain, is near -------------------------------------------


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
    assert ("cannot be judged" in str(report)) == (scale >= 50 and label == 0)  # 1e-32 and less


@pytest.mark.parametrize("scale", [1, 5, 10])
def test_a_saturated_network_with_a_fault_is_wrong(scale: float):
    class Twice(Dense):
        def _backward_delta(self, delta, input_gradient):
            nabla_a = super()._backward_delta(delta, input_gradient)
            self.nabla_w *= 2
            return nabla_a

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


@pytest.mark.parametrize(
    "error", [AssertionError, NotImplementedError, KeyError, ZeroDivisionError]
)
def test_a_function_may_refuse_complex_numbers_as_it_likes(error):
    def f(x):
        if x.dtype.kind == "c":
            raise error("no such numbers")
        return (x**2).sum()

    x = np.array([0.5, -1.5])
    report = check_gradients(f, x, gradient=lambda x: 2 * x)
    assert report.passed
    assert report.exact_error is None
    assert re.search("no complex step: '?no such numbers", str(report))
    assert not check_gradients(f, x, gradient=lambda x: 2.001 * x).passed


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


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_parameters_that_are_not_finite(bad: float):
    layers = [Dense(2, 3, rng=0), Dense(3, 1, rng=1)]
    layers[1].w[0, 2] = bad
    with pytest.raises(
        ValueError, match=r"^check_gradients: the parameters of layer 1, Dense.* not "
    ):
        check_gradients(Network(layers))
    with pytest.raises(
        ValueError, match=r"^check_gradients: the parameters of Dense.* not finite$"
    ):
        check_gradients(layers[1])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_function_that_is_not_finite_is_not_checked(bad: float):
    report = check_gradients(lambda x: bad * x.sum(), np.ones(2), gradient=np.ones(2))
    assert not report.passed
    text = str(report)
    assert "NOT CHECKED, the function is not finite" in text
    assert "x[0]: backward 1, numeric unknown, the function is not finite there" in text
    assert "WRONG" not in text


def test_one_infinite_example_leaves_the_others_to_be_checked():
    z, y = np.array([[40.0, 1.0]]), np.array([[0.5, 0.5]])
    report = check_gradients(CrossEntropy(), z, y)
    a, by_z = report.arrays
    assert a.unknown.tolist() == [True, False]
    assert a.wrong.tolist() == [True, False]
    assert not by_z.wrong.any()


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


def test_what_cannot_be_judged_is_said():
    def f(x):
        return float(1e8 + 1e-8 * np.sin(x).sum())

    x = np.array([0.3, 0.4])
    report = check_gradients(f, x, gradient=lambda x: 1e-8 * np.cos(x))
    assert report.passed
    assert "x: 2 of 2 elements cannot be judged, the numeric gradient is only known" in str(report)
    assert "cannot be judged" not in str(check_gradients(lambda x: x.sum(), x, gradient=np.ones(2)))


def test_the_errors_shown_for_wrong_elements_are_undistorted():
    def f(x):
        return float(1 + 1e-9 * x[0])  # of which rounding leaves few digits

    report = check_gradients(f, np.array([0.5]), gradient=np.array([2e-9]))
    assert not report.passed
    assert report.central_error == pytest.approx(0.5, rel=1e-3)
    assert "relative error 5.0e-01" in str(report)


# -- bad arguments, once more ------------------------------------------------------------------

NETWORK = Network([Dense(2, 1)], "quadratic")


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        (Dense(2, 1), {"nabla_a": [1]}, TypeError, "nabla_a must be a numpy array, got list"),
        (Dense(2, 1), {"nabla_a": np.ones((2, 1))}, ShapeError, "(2, 1), expected (1, 3)"),
        (Dense(2, 1), {"nabla_a": np.ones((1, 3), complex)}, TypeError, "nabla_a must be real"),
        (Network([Dense(2, 1)]), {"nabla_a": np.ones(3)}, ShapeError, "(3,), expected (1, 3)"),
        (NETWORK, {"regularizer": "l2"}, TypeError, "regularizer must be a Regularizer"),
        (NETWORK, {"regularizer": 0.1}, TypeError, "L2(0.1), got 0.1"),
        (ReLU(), {"input_shape": 3}, TypeError, "input_shape must be a tuple of integers, got 3"),
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
