"""The elementwise operations: values, local derivatives, and the edges of their domains."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop.core.shapes import as_tuple
from backprop.graph.elementwise import (
    Add,
    Cos,
    Divide,
    Elementwise,
    Exp,
    Log,
    Multiply,
    Power,
    Sin,
    Sqrt,
    Subtract,
)
from tests.graph.operation_cases import CASES, argument, batches

ELEMENTWISE = [case for case in CASES if isinstance(case.operation, Elementwise)]


@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_upstream_times_local_is_downstream(case):
    op, arrays = case.operation, case.arrays(batches(case)[1])
    a = op.forward(argument(arrays), training=True)
    local = op.local(a, *arrays)
    upstream = np.random.default_rng(2).standard_normal(a.shape)
    downstream = as_tuple(op.backward(upstream))
    for u, slope, gradient in zip(arrays, local, downstream, strict=True):
        if not isinstance(u, float):
            np.testing.assert_array_equal(gradient, upstream * slope)


def test_values():
    u, v = np.array([[2.0, 3.0]]), np.array([[4.0, 5.0]])
    for op, expected in [(Add(), [6, 8]), (Subtract(), [-2, -2]), (Multiply(), [8, 15]),
                         (Divide(), [0.5, 0.6]), (Power(), [16, 243])]:  # fmt: skip
        np.testing.assert_allclose(op.forward((u, v)), [expected], rtol=1e-15)
    for op, f in [(Exp(), math.exp), (Log(), math.log), (Sqrt(), math.sqrt), (Sin(), math.sin),
                  (Cos(), math.cos)]:  # fmt: skip
        np.testing.assert_allclose(op.forward(u), [[f(2.0), f(3.0)]], rtol=1e-15)


def test_domain_edges_are_numpys_and_warn():
    zero = np.zeros((1, 1))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert Log().forward(zero) == -np.inf
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert Divide().forward((zero + 1, zero)) == np.inf
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(Sqrt().forward(zero - 1))
    root = Sqrt()
    root.forward(zero, training=True)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert root.backward(zero + 1) == np.inf
    half = Power()
    half.forward((zero, 0.5), training=True)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert half.backward(zero + 1)[0] == np.inf


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("error")
def test_slopes_of_powers_at_0(dtype):
    u = np.array([[0, 0, 0, 0, 2, 3, -2, 0.25]], dtype)
    v = np.array([[0, 1, 2, 0.5, 0, 2, 3, -1]], dtype)
    power, ln = Power(), np.log
    with np.errstate(divide="ignore", invalid="ignore"):  # the root at 0, the log of -2
        a = power.forward((u, v), keep=True)
        by_u, by_v = power.backward(np.ones_like(a))
    np.testing.assert_array_equal(a, [[1, 0, 0, 0, 1, 9, -8, 4]])
    np.testing.assert_array_equal(by_u, [[0, 1, 0, np.inf, 0, 6, 12, -16]])  # as in PyTorch
    expected = np.array([[0, 0, 0, 0, ln(2), 9 * ln(3), np.nan, 4 * ln(0.25)]])
    np.testing.assert_allclose(by_v, expected, rtol=np.finfo(dtype).eps * 4)
    assert by_u.dtype == by_v.dtype == dtype
    for exponent, slope in ((0.0, 0), (1.0, 1), (2.0, 0), (3.0, 0)):
        a = power.forward((u[:, :3], exponent), keep=True)
        np.testing.assert_array_equal(a, float(exponent == 0))
        np.testing.assert_array_equal(power.backward(np.ones_like(a))[0], slope)


def test_the_complex_step_goes_through_powers_of_0():
    h = 1e-20
    u, v = np.zeros((1, 3), complex), np.array([[1 + h * 1j, 2 + h * 1j, 0.5]])
    np.testing.assert_array_equal(Power().forward((u, v)), 0)
    u, v = np.full((1, 3), h * 1j), np.array([[0.0, 1, 2]], complex)
    step = Power().forward((u, v))
    np.testing.assert_allclose(step.imag / h, [[0, 1, 0]], atol=1e-19)
