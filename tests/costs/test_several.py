"""One cost for each of several outputs, and costs by their names."""

from __future__ import annotations

import pytest

from backprop import costs
from backprop.core.config import by_name
from backprop.costs import (
    Cost,
    CrossEntropy,
    Quadratic,
    SoftmaxCrossEntropy,
)


def test_by_name():
    assert isinstance(costs.as_cost("cross_entropy"), CrossEntropy)
    assert isinstance(costs.as_cost("SoftmaxCrossEntropy"), SoftmaxCrossEntropy)
    cost = Quadratic()
    assert costs.as_cost(cost) is cost
    with pytest.raises(ValueError, match=r"unknown cost 'quadratik': choose from .*quadratic"):
        by_name(Cost, "quadratik")
    with pytest.raises(
        ValueError, match=r"unknown cost '_squared_cost': choose from (?!.*squared_cost)"
    ):
        by_name(Cost, "_squared_cost")
    with pytest.raises(TypeError, match="cost must be a Cost or its name, got None"):
        costs.as_cost(None)
