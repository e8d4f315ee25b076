"""Costs of large numbers, whose squares or sums do not fit where C itself does."""

import numpy as np
import pytest

import backprop as bp
from backprop.costs import MeanSquaredError, Quadratic, SquaredError


@pytest.mark.parametrize("size", [1.0, 1e18, 1e19, 1e20, 1e30, 3e38])
@pytest.mark.parametrize(
    ("cost", "factor"), [(Quadratic(), 0.5), (SquaredError(), 1.0), (MeanSquaredError(), 0.25)]
)
@pytest.mark.filterwarnings("error")
def test_squared_costs_of_float32_are_those_of_float64(cost, factor, size):
    rng = np.random.default_rng(0)
    a, y = (rng.uniform(-0.5, 0.5, (2, 4, 5)) * size).astype(np.float32)
    wide = (a.astype(float) - y) ** 2
    np.testing.assert_allclose(cost.per_example(a, y), factor * wide.sum(axis=0), rtol=1e-5)
    assert cost.value(a, y) == pytest.approx(factor * wide.sum() / 5, rel=1e-5)
    np.testing.assert_allclose(cost.nabla_a(a, y), 2 * factor / 5 * (a.astype(float) - y), 1e-6)


@pytest.mark.filterwarnings("error")
def test_a_mean_is_finite_where_its_sum_is_not():
    a = np.full((100, 40), 1.2e154)
    assert MeanSquaredError().value(a, np.zeros_like(a)) == pytest.approx(1.44e308, rel=1e-12)
    a = np.full((2, 40), 1e154)
    assert Quadratic().value(a, np.zeros_like(a)) == pytest.approx(1e308, rel=1e-12)
    a[0, 0] = 1e200  # whose cost is beyond the largest number
    assert Quadratic().value(a, np.zeros_like(a)) == np.inf


def test_a_network_of_large_numbers_has_a_cost():
    network = bp.Network([bp.Dense(2, 2, "identity", "orthogonal")], "mean_squared_error")
    x = np.full((2, 3), 1e20, np.float32)
    found = network.evaluate(x, np.zeros((2, 3), np.float32), metrics={})
    assert found["cost"] == pytest.approx(1e40, rel=1e-5)
