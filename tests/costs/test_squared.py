"""Squared costs: what they differ by."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.costs import (
    Cost,
)
from tests.costs.support import (
    SQUARED,
)


@pytest.mark.parametrize("cost", SQUARED, ids=str)
def test_the_squares_differ_by_their_factor(cost: Cost):
    a, y = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([[0.0, 2.0], [1.0, 1.0]])
    two, four = {"Q": (0.5, 0.5), "S": (1, 1), "M": (1 / 2, 1 / 4)}[type(cost).__name__[0]]
    np.testing.assert_array_equal(cost.per_example(a, y), [two * 5, two * 4])
    assert cost.value(np.zeros((4, 2)), np.ones((4, 2))) == four * 4
