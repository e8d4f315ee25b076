"""Central differences, the complex step and the relative error, where the answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.layers import ShapeError
from tests.gradients.known import X, f, gradient


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
