"""One cost for each of several outputs, weighted, and costs by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_number, check_sequence, kind_of
from backprop.core.config import by_name
from backprop.costs.base import Cost


class WeightedCosts(Cost):
    """C = sum over k of weight_k C_k, C_k being the cost of output k of a graph.

    a, y and z are tuples, one array for each output. BP1 is that of each cost by itself, times
    its weight, and the gradients of what the outputs share add up on their way down.

    Parameters
    ----------
    costs : sequence of Cost or str
    weights : sequence of float, optional
        Not negative; 1 each unless told.

    Raises
    ------
    TypeError, ValueError
        If there is no cost, something is none, or there are not as many weights.
    """

    def __init__(self, costs: Sequence[Cost | str], weights: Sequence[float] | None = None) -> None:
        if isinstance(costs, (str, Cost)) or not costs:
            raise TypeError(f"WeightedCosts: expected a sequence of costs, got {costs!r}")
        self.costs = tuple(map(as_cost, costs))
        given = (1.0,) * len(self.costs)
        if weights is not None:
            given = check_sequence("WeightedCosts", "weights", weights, "numbers")
        self.weights = tuple(check_number("WeightedCosts: weights", w, "[0, inf)") for w in given)
        if len(self.weights) != len(self.costs):
            raise ValueError(
                f"WeightedCosts: there are {len(self.costs)} costs and {len(self.weights)} weights"
            )

    def check(self, a: Any, y: Any) -> None:
        for name, several in (("output", a), ("target y", y)):
            if not isinstance(several, tuple) or len(several) != len(self.costs):
                got = kind_of(several)
                raise TypeError(
                    f"{self}: the {name} must be a tuple of {len(self.costs)} arrays, got {got}"
                )
        for cost, outputs, targets in zip(self.costs, a, y, strict=True):
            cost.check(outputs, targets)

    def check_activation(self, activation: Any) -> None:
        if not isinstance(activation, tuple):
            raise ValueError(f"{self} is for several outputs, and there is one: give one cost")
        if len(activation) != len(self.costs):
            n, there = len(self.costs), len(activation)
            raise ValueError(f"{self} is for {n} outputs, and there are {there}")
        for cost, one in zip(self.costs, activation, strict=True):
            cost.check_activation(one)

    def is_canonical(self, activation: Any) -> bool:
        """Say True: the way back starts from the deltas, `bp1` takes each through its sigma."""
        return True

    def of_each(self, z: Any, a: Any, activation: Any, y: Any) -> np.ndarray:
        total = 0.0
        for cost, weight, *of_output in self._outputs(z, a, activation, y):
            total = total + weight * cost.of_each(*of_output)
        return total  # type: ignore[return-value]

    def bp1(self, z: Any, a: Any, activation: Any, y: Any) -> tuple[Any, bool]:
        starts = []
        for cost, weight, z_k, a_k, sigma, y_k in self._outputs(z, a, activation, y):
            start, below = cost.bp1(z_k, a_k, sigma, y_k)
            if sigma is not None and not below:
                start = sigma.times_prime(start, z_k, a_k)
            starts.append(weight * start)
        return tuple(starts), True

    def _outputs(self, z: Any, a: Any, activation: Any, y: Any) -> Any:
        return zip(self.costs, self.weights, z, a, activation, y, strict=True)

    def _per_example(self, a: Any, y: Any) -> np.ndarray:
        nothing = (None,) * len(self.costs)
        return self.of_each(nothing, a, nothing, y)

    def _nabla_a(self, a: Any, y: Any) -> Any:
        return tuple(
            weight * cost._nabla_a(a_k, y_k)
            for cost, weight, a_k, y_k in zip(self.costs, self.weights, a, y, strict=True)
        )

    def __repr__(self) -> str:
        parts = (f"{w:g} {c!r}" for c, w in zip(self.costs, self.weights, strict=True))
        return f"WeightedCosts({' + '.join(parts)})"


def as_cost(cost: Cost | str | Sequence[Cost | str]) -> Cost:
    """Return the cost itself, the one of that name, or that of several outputs."""
    if isinstance(cost, str):
        return by_name(Cost, cost)  # type: ignore[no-any-return]
    if isinstance(cost, (list, tuple)):
        return WeightedCosts(cost) if len(cost) != 1 else as_cost(cost[0])
    if not isinstance(cost, Cost):
        raise TypeError(f"cost must be a Cost or its name, got {cost!r}")
    return cost
