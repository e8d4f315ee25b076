"""The range of a histogram: NumPy makes bins of it, whatever the numbers are."""

import numpy as np
import pytest

from backprop.core.histograms import histogram_range

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
