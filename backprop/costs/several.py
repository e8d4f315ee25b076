"""One cost for each of several outputs, weighted, and costs by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_number, check_sequence, kind_of
from backprop.core.config import made_of
from backprop.costs.base import OF_A, Cost


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

    is_sum: bool = True  # False where a subclass, or an assignment, makes it something else

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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if any(name in vars(cls) for name in OF_A):
            cls.is_sum = False

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in OF_A:
            super().__setattr__("is_sum", False)

    def check(self, a: Any, y: Any) -> None:
        for name, several in (("output", a), ("target y", y)):
            if not isinstance(several, tuple) or len(several) != len(self.costs):
                got = kind_of(several)
                raise TypeError(
                    f"{self}: the {name} must be a tuple of {len(self.costs)} arrays, got {got}"
                )
        for cost, outputs, targets in zip(self.costs, a, y, strict=True):
            cost.check(outputs, targets)

    def check_outputs(self, a: Any) -> None:
        for cost, outputs in zip(self.costs, a, strict=True):
            cost.check_outputs(outputs)

    def check_last_layer(self, layer: Any, given: Any) -> None:
        if not isinstance(given, tuple):
            raise ValueError(f"{self} is for several outputs, and there is one: give one cost")
        if len(given) != len(self.costs):
            n, there = len(self.costs), len(given)
            raise ValueError(f"{self} is for {n} outputs, and there are {there}")
        for cost, one, gives in zip(self.costs, layer, given, strict=True):
            cost.check_last_layer(one, gives)

    def normalized(self, sample_weight: Any, a: Any, y: Any) -> Any:
        """Return the weights of every output, a tuple of as many.

        What is no tuple is for all of them; None in a tuple stands for no weights.
        """
        n, given = len(self.costs), sample_weight
        if not self._weights_each and (isinstance(given, tuple) or np.ndim(given) != 1):
            raise ValueError(f"{self}: sample_weight must be one number an example for all outputs")
        if not isinstance(given, tuple):
            given = (given,) * n
        if len(given) != n:
            raise ValueError(
                f"{self}: sample_weight must be one array for all outputs, or a tuple of {n}, got "
                f"{kind_of(given)}"
            )
        return tuple(
            np.ones(y_k.shape[-1]) if w is None else cost.normalized(w, a_k, y_k)
            for cost, w, a_k, y_k in zip(self.costs, given, a, y, strict=True)
        )

    def is_canonical(self, activation: Any) -> bool:
        """Say whether the way back starts from the deltas: `bp1` takes each through its sigma."""
        return self.is_sum

    def of_each(self, z: Any, a: Any, activation: Any, y: Any) -> np.ndarray:
        if not self.is_sum:
            return self.cost_of_each(a, y)  # type: ignore[no-any-return]
        return self._sum_of_each(z, a, activation, y, None)

    def weighted_of_each(self, z: Any, a: Any, activation: Any, y: Any, w: Any) -> np.ndarray:
        if w is None or not self._weights_each:
            c = self.of_each(z, a, activation, y)
            return c if w is None else c * w[0]
        return self._sum_of_each(z, a, activation, y, w)

    def _sum_of_each(self, z: Any, a: Any, activation: Any, y: Any, w: Any) -> np.ndarray:
        nothing = (None,) * len(self.costs)
        given = (z or nothing, a, activation or nothing, y, w or nothing)
        total = 0.0
        for cost, weight, *of_output in zip(self.costs, self.weights, *given, strict=True):
            total = total + weight * cost.weighted_of_each(*of_output)
        return total  # type: ignore[return-value]

    @property
    def _weights_each(self) -> bool:
        """Whether every output can have weights of its own."""
        return self.is_sum and type(self).of_each is WeightedCosts.of_each

    def bp1(self, z: Any, a: Any, activation: Any, y: Any) -> tuple[Any, bool]:
        if not self.is_sum:
            return self.gradient(a, y), False
        starts = []
        of_outputs = zip(self.costs, self.weights, z, a, activation, y, strict=True)
        for cost, weight, z_k, a_k, sigma, y_k in of_outputs:
            start, below = cost.bp1(z_k, a_k, sigma, y_k)
            if sigma is not None and not below:
                start = sigma.times_prime(start, z_k, a_k)
            starts.append(weight * start)
        return tuple(starts), True

    def cost_of_each(self, a: Any, y: Any) -> Any:
        parts = zip(self.costs, self.weights, a, y, strict=True)
        return sum(weight * cost.of_each(None, a_k, None, y_k) for cost, weight, a_k, y_k in parts)

    def gradient(self, a: Any, y: Any) -> Any:
        return tuple(
            weight * cost.gradient(a_k, y_k)
            for cost, weight, a_k, y_k in zip(self.costs, self.weights, a, y, strict=True)
        )

    def __repr__(self) -> str:
        parts = (f"{w:g} {c!r}" for c, w in zip(self.costs, self.weights, strict=True))
        return f"{type(self).__name__}({' + '.join(parts)})"


def as_cost(cost: Cost | str | Sequence[Cost | str], owner: str = "Network") -> Cost:
    """Return the cost itself, the one of that name, or that of several outputs."""
    if isinstance(cost, (list, tuple)):
        return WeightedCosts(cost) if len(cost) != 1 else as_cost(cost[0], owner)
    return made_of(Cost, cost, owner, "cost")  # type: ignore[no-any-return]
