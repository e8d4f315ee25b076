"""The elementwise operations: values, local derivatives, and the edges of their domains."""

from __future__ import annotations

import math

import numpy as np
import pytest

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
    downstream = op.backward(upstream)
    downstream = downstream if isinstance(downstream, tuple) else (downstream,)
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
