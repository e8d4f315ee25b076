"""exp, tanh and the sigmoid in C, and how columns are laid out for products."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfc

from tests.compiled.calls import Calls
from tests.compiled.support import needs_compiler

pytestmark = needs_compiler

FUNCTIONS = {"exp": np.exp, "expm1": np.expm1, "tanh": np.tanh}


@functools.lru_cache
def calls(dtype):
    loop = "for (int i = 0; i < n[0]; i++) ((real *)p[2])[i] = {}_of(((real *)p[1])[i])"
    functions = {name: loop.format(name) for name in (*FUNCTIONS, "sigmoid")}
    functions["normal_cdf"] = (
        "for (int i = 0; i < n[0]; i++)"
        " ((real *)p[2])[i] = normal_cdf_and_density(((real *)p[1])[i], (real *)p[3] + i)"
    )
    functions["gelu"] = "gelu(n[0], p[1], p[2])"
    functions["gelu_times_prime"] = "gelu_times_prime(n[0], p[1], p[2])"
    functions["packed"] = "pack_turned(n[0], n[1], p[2], n[3], p[4])"
    functions["plainly_packed"] = "plain_pack_turned(n[0], n[1], p[2], n[3], p[4])"
    functions["width"] = "((real *)p[0])[0] = PANEL"
    return Calls(["activations.h", "product.h"], dtype, **functions)


def value(name, x):
    x = np.asarray(x)
    found = np.empty_like(x)
    calls(str(x.dtype))(name, x.size, x, found)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extremes_and_nan(dtype):
    big = [np.inf, 1e20, np.finfo(dtype).max, 1e4]
    x = np.array([*big, *(-n for n in big), np.nan, -np.nan, 0.0, -0.0], dtype)
    positive, negative, nan, zero = slice(0, 4), slice(4, 8), slice(8, 10), slice(10, 12)
    expected = {"exp": (np.inf, 0, 1), "expm1": (np.inf, -1, 0), "tanh": (1, -1, 0)}
    for name, (above, below, at_0) in expected.items():
        found = value(name, x)
        assert (found[positive] == above).all(), name
        assert (found[negative] == below).all(), name
        assert np.isnan(found[nan]).all(), name
        assert (found[zero] == at_0).all(), name
    found = value("sigmoid", x)
    least = found[negative]
    assert (found[positive] == 1).all()
    assert ((least > 0) & (least < 4 * np.finfo(dtype).tiny)).all()
    assert np.isnan(found[nan]).all()
    assert (found[zero] == 0.5).all()
    assert (np.signbit(value("tanh", x[zero])) == [False, True]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tails_go_on_to_where_normal_numbers_end(dtype):
    info = np.finfo(dtype)
    ends = np.log(np.array([float(info.tiny), float(info.max)]))
    x = np.linspace(*ends, 20001).astype(dtype)[100:-200]
    expected = np.exp(x.astype(np.longdouble)).astype(dtype)
    np.testing.assert_allclose(value("exp", x), expected, rtol=4 * info.eps)
    small = np.logspace(-30, 0, 1000).astype(dtype)
    for name in ("tanh", "expm1"):
        expected = FUNCTIONS[name](small.astype(np.longdouble)).astype(dtype)
        np.testing.assert_allclose(value(name, small), expected, rtol=4 * info.eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_normal_distribution_into_its_tails(dtype):
    end = 12 if dtype == "float32" else 37
    z = np.concatenate([np.linspace(-end, end, 20001), np.logspace(-30, 0, 50)]).astype(dtype)
    cdf, density = np.empty_like(z), np.empty_like(z)
    calls(dtype)("normal_cdf", z.size, z, cdf, density)
    x = z.astype(np.float64)
    eps = np.finfo(dtype).eps * np.maximum(1, x**2)  # that of z^2
    expected = 0.5 * erfc(-x * np.sqrt(0.5))
    assert (np.abs(cdf - expected) <= 4 * eps * expected).all()
    expected = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    assert (np.abs(density - expected) <= 4 * eps * expected).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu_at_the_ends(dtype):
    z = np.array([np.inf, 1e30, 50, -50, -1e30, -np.inf, np.nan, 0, -0.0], dtype)
    a, slope = np.empty_like(z), np.ones_like(z)
    calls(dtype)("gelu", z.size, z, a)
    np.testing.assert_array_equal(a, [np.inf, z[1], 50, 0, 0, 0, np.nan, 0, 0])
    calls(dtype)("gelu_times_prime", z.size, z, slope)
    expected = [1, 1, 1, 0, 0, 0, np.nan, 0.5, 0.5]
    np.testing.assert_allclose(slope, expected, 4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(K=st.integers(1, 70), columns=st.integers(1, 64), far=st.integers(0, 3))
def test_columns_are_packed_in_blocks_as_one_by_one(dtype, K, columns, far):
    call, width = calls(dtype), np.empty(1, dtype)
    call("width", width)
    panel = int(width[0])
    columns = min(columns, panel)
    b = np.random.default_rng(0).standard_normal((columns, K + far)).astype(dtype)
    found, expected = np.zeros((2, K, panel), dtype)
    call("packed", K, columns, b, K + far, found)
    call("plainly_packed", K, columns, b, K + far, expected)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found[:, :columns], b[:, :K].T)
