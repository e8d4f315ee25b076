"""Costs: the number C, and BP1, the gradient that the backward pass starts from, side by side."""

from backprop.costs.base import Cost, mean, sum_features
from backprop.costs.cross_entropy import CrossEntropy, SoftmaxCrossEntropy
from backprop.costs.several import WeightedCosts, as_cost
from backprop.costs.squared import MeanSquaredError, Quadratic, SquaredError

__all__ = [
    "Cost",
    "CrossEntropy",
    "MeanSquaredError",
    "Quadratic",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "WeightedCosts",
    "as_cost",
    "mean",
    "sum_features",
]
