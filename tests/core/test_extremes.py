"""Extreme numbers, and numbers that are nearly equal: NumPy makes bins of them, and a norm."""

import numpy as np
import pytest

from backprop.core.extremes import histogram_range, norm

ULP = np.spacing(1.0)


def test_it_goes_from_the_least_number_to_the_largest():
    values = np.random.default_rng(0).standard_normal(100)
    assert histogram_range(values, 50) == (values.min(), values.max())
    assert histogram_range(np.zeros(0), 50) == (0, 1)


@pytest.mark.parametrize(
    "numbers",
    [[3], [1, 1 + ULP], [-1, -1 + 40 * ULP], [1e20, 1e20], [0, 5e-324], [-5e-324, 1e-322], [1e307]],
    ids=str,
)
def test_numbers_that_are_nearly_equal_are_in_one_bin_or_two(numbers):
    values = np.array(numbers, np.float64)
    low, high = histogram_range(values, 50)
    assert low < values.min()
    assert high > values.max()
    counts = np.histogram(values, 50, (low, high))[0]
    assert counts.sum() == len(values)
    assert np.count_nonzero(counts) <= 2


def test_numbers_whose_difference_is_infinite_have_a_range():
    counts = np.histogram(
        [-1.7e308, 0, 1.7e308], 50, histogram_range(np.array([-1.7e308, 1.7e308]), 50)
    )[0]
    assert counts.sum() == 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "float16"])
def test_a_norm_is_that_of_numpy(dtype):
    values = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(dtype)
    assert norm(values) == pytest.approx(np.linalg.norm(values.ravel().astype(complex)), rel=1e-12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full(4, 1e-30, "f4"), 2e-30),
        (np.full(4, 1e30, "f4"), 2e30),
        (np.full(4, 1e200), 2e200),
        (np.full(4, 5e-324), 1e-323),
        (np.array([1e308, 1e308]), np.sqrt(2) * 1e308),
        (np.full(4, 1.7e308), np.inf),
        (np.array([np.inf, -1]), np.inf),
        (np.zeros(3), 0),
        (np.zeros(0), 0),
        (np.arange(3), np.sqrt(5)),
    ],
)
def test_a_norm_of_extremes(values, expected):
    assert norm(values) == pytest.approx(expected, rel=1e-6, abs=0)


def test_a_norm_of_what_is_no_number_is_none():
    assert np.isnan(norm(np.array([1, np.nan])))
