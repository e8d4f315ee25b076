"""One cost for each of several outputs, and costs by their names."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backprop import costs
from backprop.core.config import by_name, from_config
from backprop.costs import (
    Cost,
    CrossEntropy,
    Quadratic,
    SoftmaxCrossEntropy,
)
from backprop.gradients.numeric import central_difference, relative_error
from backprop.layers import ShapeError, Sigmoid, Softmax, Tanh
from backprop.layers.outputs import Outputs


def test_by_name():
    assert isinstance(costs.as_cost("cross_entropy"), CrossEntropy)
    assert isinstance(costs.as_cost("SoftmaxCrossEntropy"), SoftmaxCrossEntropy)
    cost = Quadratic()
    assert costs.as_cost(cost) is cost
    with pytest.raises(ValueError, match=r"unknown cost 'quadratik': choose from .*quadratic"):
        by_name(Cost, "quadratik")
    with pytest.raises(ValueError, match="did you mean 'mean_squared_error'"):
        by_name(Cost, "mse")
    with pytest.raises(
        ValueError, match=r"unknown cost '_squared_cost': choose from (?!.*squared_cost)"
    ):
        by_name(Cost, "_squared_cost")
    with pytest.raises(TypeError, match="cost must be a Cost or its name, got None"):
        costs.as_cost(None)


# -- several outputs ----------------------------------------------------------------------------


def several() -> tuple[costs.WeightedCosts, tuple, tuple, tuple, tuple]:
    """Return three costs, and z, a, the activations and targets: the second is no pair."""
    cost = costs.WeightedCosts(["cross_entropy", Quadratic(), "softmax_cross_entropy"], [2, 1, 0.5])
    activations = (Sigmoid(), Tanh(), Softmax())
    rng = np.random.default_rng(0)
    z = tuple(rng.standard_normal((n, 4)) for n in (2, 3, 5))
    a = tuple(sigma.sigma(one) for sigma, one in zip(activations, z, strict=True))
    y = (rng.random((2, 4)), rng.standard_normal((3, 4)), rng.integers(0, 5, 4))
    return cost, z, a, activations, y


def test_the_sum_is_weighted():
    cost, z, a, activations, y = several()
    parts = [one.per_example(*pair) for one, *pair in zip(cost.costs, a, y, strict=True)]
    expected = 2 * parts[0] + parts[1] + 0.5 * parts[2]
    np.testing.assert_allclose(cost.per_example(a, y), expected, rtol=1e-14)
    np.testing.assert_allclose(cost.of_each(z, a, activations, y), expected, rtol=1e-12)
    assert cost.value(a, y) == pytest.approx(expected.mean(), rel=1e-14)
    for found, one, weight, *pair in zip(
        cost.nabla_a(a, y), cost.costs, cost.weights, a, y, strict=True
    ):
        np.testing.assert_allclose(found, weight * one.nabla_a(*pair), rtol=1e-14)


def test_bp1_is_that_of_every_cost_through_its_sigma():
    cost, z, a, activations, y = several()
    starts, below = cost.bp1(z, a, activations, y)
    assert below
    for k, start in enumerate(starts):

        def value(z_k, k=k):
            a_k = activations[k].sigma(z_k)
            return cost.value((*a[:k], a_k, *a[k + 1 :]), y)

        assert relative_error(central_difference(value, z[k]), start, floor=0.01) <= 1e-7
        exact = cost.weights[k] * (cost.costs[k].delta(a[k], y[k]) if k != 1 else
                                   Quadratic().nabla_a(a[1], y[1]) * (1 - a[1] ** 2))  # fmt: skip
        np.testing.assert_allclose(start, exact, rtol=1e-12)


def test_what_several_costs_refuse():
    cost, _, a, activations, y = several()
    for error, match, call in [
        (TypeError, "the output must be a tuple of 3 arrays, got a tuple of 2",
         lambda: cost.value(a[:2], y)),
        (TypeError, "the output must be a tuple of 3 arrays, got one array",
         lambda: cost.value(a[0], y)),
        (TypeError, "the target y must be a tuple of 3 arrays", lambda: cost.value(a, y[0])),
        (ShapeError, r"y must have the output's shape \(3, 4\), got \(2, 4\)",
         lambda: cost.value(a, (y[0], y[0], y[2]))),
        (ValueError, "is for 3 outputs, and there are 2",
         lambda: cost.check_last_layer(activations[:2], (Outputs.UNIT_INTERVAL,) * 2)),
        (ValueError, "is for several outputs, and there is one: give one cost",
         lambda: cost.check_last_layer(Sigmoid(), Outputs.UNIT_INTERVAL)),
        (ValueError, r"takes numbers in \[0, 1\], each .* last layer, Tanh\(\), gives any numbers",
         lambda: cost.check_last_layer((Tanh(), Tanh(), Softmax()), (
             Outputs.ANYTHING, Outputs.ANYTHING, Outputs.PROBABILITIES))),
        (TypeError, r"WeightedCosts: expected a sequence of costs, got \[\]",
         lambda: costs.WeightedCosts([])),
        (TypeError, "WeightedCosts: expected a sequence of costs, got 'quadratic'",
         lambda: costs.WeightedCosts("quadratic")),
        (TypeError, "cost must be a Cost or its name, got 3", lambda: costs.WeightedCosts([3])),
        (ValueError, "there are 1 costs and 2 weights",
         lambda: costs.WeightedCosts(["quadratic"], [1, 2])),
        (ValueError, "weights must be", lambda: costs.WeightedCosts(["quadratic"], [-1])),
        (TypeError, "weights must be", lambda: costs.WeightedCosts(["quadratic"], ["1"])),
    ]:  # fmt: skip
        with pytest.raises(error, match=match):
            call()


def test_several_costs_are_described():
    cost = several()[0]
    twin = from_config(json.loads(json.dumps(cost.config())))
    assert repr(twin) == repr(cost)
    assert repr(cost) == (
        "WeightedCosts(2 CrossEntropy() + 1 Quadratic() + 0.5 SoftmaxCrossEntropy())"
    )
    assert repr(costs.as_cost(["quadratic", cost.costs[0]])) == (
        "WeightedCosts(1 Quadratic() + 1 CrossEntropy())"
    )
