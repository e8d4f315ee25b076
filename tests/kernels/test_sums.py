"""Sums by BLAS are the sums that NumPy makes."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.kernels.sums import (
    column_of_ones,
    plain_row_sums,
    plain_sum_over_batch,
    row_sums,
    sum_over_batch,
)
from tests.kernels.layouts import DTYPES, LAYOUTS, normal

SHAPES = [(1, 1), (1, 7), (7, 1), (3, 10), (30, 10), (10, 64), (257, 33), (2, 5000)]
of_all = pytest.mark.parametrize("shape", SHAPES, ids=str)
of_all_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def close(found: np.ndarray, expected: np.ndarray, terms: np.ndarray) -> None:
    """Compare to rounding: a few eps of the sum of the sizes of all terms."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    limit = 4 * np.finfo(found.dtype).eps * (1 + np.abs(terms).sum(axis=1, keepdims=True))
    assert (np.abs(found - expected) <= limit).all()


@of_all
@of_all_dtypes
def test_sum_over_batch(shape, dtype):
    for layout in LAYOUTS:
        delta = layout(normal(shape, dtype))
        found, expected = np.empty((2, shape[0], 1), dtype)
        sum_over_batch(delta, found)
        plain_sum_over_batch(delta, expected)
        close(found, expected, delta)


@of_all
@of_all_dtypes
def test_row_sums(shape, dtype):
    for layout in LAYOUTS:
        x, y = layout(normal(shape, dtype)), layout(normal(shape, dtype, seed=1))
        close(row_sums(x), plain_row_sums(x), x)
        close(row_sums(x, y), plain_row_sums(x, y), x * y)
        close(row_sums(x, np.ascontiguousarray(y)), plain_row_sums(x, y), x * y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_stays_so(dtype):
    rows = np.array([[1, np.inf, 2], [1, -np.inf, 2], [1, np.nan, 2], [np.inf, 1, -np.inf]], dtype)
    found, expected = np.empty((2, 4, 1), dtype)
    with np.errstate(invalid="ignore"):
        sum_over_batch(rows, found)
        plain_sum_over_batch(rows, expected)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(row_sums(rows), plain_row_sums(rows))
        ones = np.ones_like(rows)
        np.testing.assert_array_equal(row_sums(rows, ones), plain_row_sums(rows, ones))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_very_large_and_very_small_terms(dtype):
    info = np.finfo(dtype)
    for size in (info.max / 64, info.tiny, info.smallest_subnormal):
        rows = np.full((3, 32), size, dtype)
        found, expected = np.empty((2, 3, 1), dtype)
        sum_over_batch(rows, found)
        plain_sum_over_batch(rows, expected)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        np.testing.assert_allclose(row_sums(rows), plain_row_sums(rows), rtol=1e-5)


def test_the_sum_is_written_where_it_is_wanted():
    nabla = np.full(10, 7.0)
    delta = normal((4, 6), "float64")
    before = delta.copy()
    sum_over_batch(delta, out=nabla[3:7].reshape(4, 1))
    np.testing.assert_allclose(nabla[3:7], delta.sum(axis=1), rtol=1e-14)
    np.testing.assert_array_equal(nabla[[0, 1, 2, 7, 8, 9]], 7.0)
    np.testing.assert_array_equal(delta, before)


@of_all_dtypes
def test_the_ones_are_to_be_read_only(dtype):
    column = column_of_ones(5, np.dtype(dtype))
    np.testing.assert_array_equal(column, np.ones((5, 1), dtype), strict=True)
    assert column is column_of_ones(5, np.dtype(dtype))
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 2
