"""Fast and accurate elementwise functions are what their plain twins say."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.kernels import elementwise
from backprop.kernels.elementwise import (
    at_least,
    gate,
    log_softmax,
    normal_cdf,
    plain_at_least,
    plain_log_softmax,
    plain_normal_cdf,
    plain_sigmoid,
    plain_sigmoid_to_0,
    plain_softplus,
    sigmoid,
    sigmoid_to_0,
    softplus,
)
from tests.kernels.layouts import DTYPES, LAYOUTS, normal

SHAPES = [(1, 1), (3, 5), (31, 33), (32, 32), (7, 3, 50), (2, 2**14), (3, 2**14 + 1)]
PAIRS = {  # each with its plain twin
    "sigmoid": (sigmoid, plain_sigmoid),
    "sigmoid_to_0": (sigmoid_to_0, plain_sigmoid_to_0),
    "softplus": (softplus, plain_softplus),
    "log_softmax": (log_softmax, plain_log_softmax),
    "normal_cdf": (normal_cdf, plain_normal_cdf),
}
of_all = pytest.mark.parametrize("name", PAIRS)
of_all_shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
of_all_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def test_every_function_has_a_twin():
    functions = {
        name
        for name, value in vars(elementwise).items()
        if getattr(value, "__module__", None) == elementwise.__name__ and name[0] != "_"
    }
    plain = {name for name in functions if name.startswith("plain_")}
    without = {name for name in functions - plain if "plain_" + name not in plain}
    assert without == {"gate"}  # that of the sigmoid is its, too


def near_the_real_axis(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return numbers of both signs; a logarithm of complex ones has one branch there."""
    z = 2 * normal(shape, dtype)
    return z - 0.9j * z.imag if z.dtype.kind == "c" else z


@of_all
@of_all_shapes
@of_all_dtypes
def test_it_is_its_plain_twin(name, shape, dtype):
    for layout in LAYOUTS:
        fast, plain = PAIRS[name]
        z = layout(near_the_real_axis(shape, dtype))
        before = z.copy()
        found, expected = fast(z), plain(z)
        assert found.dtype == expected.dtype == z.dtype
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(found, expected, rtol=50 * eps, atol=50 * eps)
        np.testing.assert_array_equal(z, before)
        assert not np.shares_memory(found, z)


@of_all_shapes
@of_all_dtypes
@pytest.mark.parametrize("floor", [0.0, -0.5, -87.0, np.inf])
def test_at_least(shape, dtype, floor):
    for layout in LAYOUTS:
        z = layout(normal(shape, dtype))
        before = z.copy()
        found = at_least(floor, z)
        np.testing.assert_array_equal(found, plain_at_least(floor, z), strict=True)
        assert found.dtype == z.dtype
        np.testing.assert_array_equal(z, before)
        assert not np.shares_memory(found, z)


@pytest.mark.parametrize("n", [3, 5000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_at_least_of_what_is_not_finite(n, dtype):
    z = np.resize(np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, -1], dtype), (2, n))
    for floor in (0.0, -1.0):
        np.testing.assert_array_equal(at_least(floor, z), plain_at_least(floor, z))


@of_all_shapes
@of_all_dtypes
def test_a_gate_is_a_sigmoid(shape, dtype):
    for layout in LAYOUTS:
        z = layout(near_the_real_axis(shape, dtype))
        out = np.empty(z.shape, dtype)
        gate(z, out)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(out, plain_sigmoid(z), rtol=0, atol=20 * eps)
        in_place = z.copy()
        gate(in_place, in_place)
        np.testing.assert_array_equal(in_place, out)


# -- where the plain twin overflows, or loses all digits -----------------------------------------

EXTREMES = [-1e30, -800, -300, -100, -88, -87, -50, -20, -1, -1e-30, 0, 1e-30, 1, 20, 50, 87, 100,
            300, 800, 1e30]  # fmt: skip


@pytest.fixture(params=["float32", "float64"])
def extremes(request):
    """Return numbers of all sizes; a warning on the way would be an error."""
    return np.array([EXTREMES], request.param)


def wide(z: np.ndarray) -> np.ndarray:
    """Return the numbers with more digits and a larger range, for the plain formula."""
    return z.astype(np.longdouble)


def test_the_sigmoid_is_accurate_at_both_ends(extremes):
    a, info = sigmoid(extremes), np.finfo(extremes.dtype)
    assert (a > 0).all()
    assert (a <= 1).all()
    with np.errstate(over="ignore"):
        exact = plain_sigmoid(wide(extremes))
    inside = exact > 2 * info.tiny
    np.testing.assert_allclose(a[inside], exact[inside], rtol=8 * info.eps)
    assert (a[~inside] < 8 * info.tiny).all()


def test_the_gate_is_accurate_absolutely(extremes):
    out = np.empty_like(extremes)
    gate(extremes, out)
    with np.errstate(over="ignore"):
        exact = plain_sigmoid(wide(extremes))
    np.testing.assert_allclose(out, exact, rtol=0, atol=2 * np.finfo(out.dtype).eps)
    assert ((out >= 0) & (out <= 1)).all()


def test_softplus_is_accurate_at_both_ends(extremes):
    a, info = softplus(extremes), np.finfo(extremes.dtype)
    z = wide(extremes)
    exact = np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0)
    inside = exact > info.tiny
    np.testing.assert_allclose(a[inside], exact[inside], rtol=8 * info.eps)
    assert (a[~inside] <= info.tiny).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("error")
def test_the_sigmoid_that_z_may_multiply_ends_at_0(dtype):
    z = np.array([-50, -87, -90, -100, -700, -709, -1e4, -1e38, -np.inf, 90, 1e38, np.inf], dtype)
    found, least = sigmoid_to_0(z), float(np.finfo(dtype).smallest_subnormal)
    np.testing.assert_array_equal(found[-3:], 1)
    exact = np.exp(z[:-3].astype(np.longdouble))
    np.testing.assert_allclose(found[:-3], exact.astype(float), rtol=1e-6, atol=2 * least)
    np.testing.assert_array_equal(found[-6:-3], 0)


def test_log_softmax_is_accurate_whatever_the_shift():
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        info = np.finfo(dtype)
        for shift in (0, 1e4, -1e4, info.max / 8):
            z = (rng.standard_normal((5, 4)) * 30 + shift).astype(dtype)
            exact = wide(z) - wide(z).max(axis=0)
            exact = exact - np.log(np.exp(exact).sum(axis=0))
            found = log_softmax(z)
            np.testing.assert_allclose(found, exact, rtol=8 * info.eps, atol=8 * info.eps)
        far = np.array([[-info.max / 4], [0], [info.max / 4]], dtype)
        np.testing.assert_array_equal(log_softmax(far)[2], 0)


def test_the_normal_distribution_is_accurate_below(extremes):
    from scipy.special import log_ndtr

    a, info = normal_cdf(extremes), np.finfo(extremes.dtype)
    exact = np.exp(log_ndtr(extremes.astype(np.float64)))
    inside = exact > info.tiny
    np.testing.assert_allclose(a[inside], exact[inside], rtol=2e-4 if a.dtype == "f4" else 1e-11)
    assert (a[~inside] <= info.tiny).all()


@of_all
def test_the_complex_step_goes_through(name):
    """An imaginary part of 1e-20 comes out as the derivative, which central differences confirm."""
    fast, _ = PAIRS[name]
    z = normal((4, 6), "float64")
    direction = normal((4, 6), "float64", seed=1)
    exact = fast(z + 1e-20j * direction).imag / 1e-20
    h = 1e-6
    numeric = (fast(z + h * direction) - fast(z - h * direction)) / (2 * h)
    np.testing.assert_allclose(exact, numeric, rtol=1e-7, atol=1e-9)
