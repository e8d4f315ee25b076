r"""What a cost makes of an output: C, nabla_a C, and BP1 of a canonical pair, in numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from backprop import costs
from backprop.costs.base import Cost
from backprop.inspection import typeset
from backprop.inspection.elements import Number, Term, by_example
from backprop.inspection.typeset import Equation, Part

_FACTORS = {  # C's gradient is factor (a - y) / divisor, or delta^L of the canonical pair is
    costs.Quadratic: (1.0, "B"),
    costs.SquaredError: (2.0, "B"),
    costs.MeanSquaredError: (2.0, "(n B)"),
    costs.CrossEntropy: (1.0, "B"),
    costs.SoftmaxCrossEntropy: (1.0, "B"),
}
_RATIOS = {  # B times C's gradient
    costs.CrossEntropy: "((1 - y)/(1 - a) - y/a)",
    costs.SoftmaxCrossEntropy: "(-y/a)",
}
_VALUES = {  # C_x
    costs.Quadratic: r"\frac{1}{2} \lVert a - y \rVert^{2}",
    costs.SquaredError: r"\lVert a - y \rVert^{2}",
    costs.MeanSquaredError: r"\frac{1}{n} \lVert a - y \rVert^{2}",
    costs.CrossEntropy: r"-\sum_{j} [y_{j} \ln a_{j} + (1 - y_{j}) \ln(1 - a_{j})]",
    costs.SoftmaxCrossEntropy: r"-\sum_{j} y_{j} \ln a_{j}",
}


@dataclass(frozen=True)
class CostTrace:
    """The cost of one output, and where the backward pass starts.

    Attributes
    ----------
    cost : Cost
    a, y : ndarray
        The output, and the targets as they were given.
    each : ndarray of shape (B,)
        C_x of every example.
    nabla_a : ndarray, the shape of a
        With the 1/B of the mean, and the weight.
    canonical : bool
        Whether cost and activation are a canonical pair, whose delta^L is made at once.
    weight : float
        Of one of several costs, by which its gradients are multiplied.
    name : str
        The node of the graph that it is the cost of; "" of a chain.
    """

    cost: Cost
    a: np.ndarray
    y: np.ndarray
    each: np.ndarray
    nabla_a: np.ndarray
    canonical: bool
    weight: float = 1.0
    name: str = ""

    @property
    def value(self) -> float:
        """C, the mean over the batch."""
        return float(costs.mean(self.each))

    @property
    def batch(self) -> int:
        return int(self.a.shape[-1])

    @cached_property
    def is_padded(self) -> bool:
        """Whether there are labels of -1, steps that cost nothing."""
        takes_labels = isinstance(self.cost, costs.SoftmaxCrossEntropy)
        return takes_labels and self.y.dtype.kind in "iu" and bool((self.y < 0).any())

    @cached_property
    def target(self) -> np.ndarray | None:
        """The targets in the shape of the output, a 1 at a label's place; None if none fit."""
        y: Any = self.y
        if isinstance(self.cost, costs.SoftmaxCrossEntropy):
            y = self.cost.probabilities(y, self.a)
        return np.asarray(y).reshape(self.a.shape) if np.size(y) == self.a.size else None

    def factor_and_divisor(self) -> tuple[float, int] | None:
        """Return f and d, if the backward pass starts from f (a - y) / d; else None."""
        if type(self.cost) not in _FACTORS or (not self.canonical and type(self.cost) in _RATIOS):
            return None
        factor, below = _FACTORS[type(self.cost)]
        return factor * self.weight, self.a.size if below == "(n B)" else self.batch

    def items(self, a: str) -> tuple[Equation | str, ...]:
        """Return C, and nabla_a C where the backward pass starts from it; ``a`` is the output."""
        batch = self.batch
        formula: tuple[str, ...] = ()
        if type(self.cost) in _VALUES:
            formula = (_with_a(_VALUES[type(self.cost)], a),)
        items: list[Equation | str] = []
        if self.a.ndim > 2:
            items.append("The sum over $j$, or the norm, is over all numbers of an example.")
        if self.is_padded:
            items.append("Steps whose label is -1 cost nothing.")
        if batch == 1:
            items.append(Equation("C", self.value, formula))
        else:
            total: list[Part] = ["("]
            for c in self.each[: typeset.LIMIT]:
                total += [float(c), "+"]
            total[-1:] = [")", "/", str(batch)]
            items += [
                f"The batch has $B$ = {batch} examples, one a column. $C$ is the mean over them, "
                r"so every column of $\delta$ carries 1/$B$ (times $B$ it is the example's own "
                r"$\delta$), and BP3 and BP4 are plain sums over the columns.",
                Equation("C_{x}", self.each[np.newaxis], formula),
                Equation("C", self.value, (r"\frac{1}{B}", r"\sum_{x}", "C_{x}"), tuple(total)),
            ]
        if self.weight != 1:
            items.append(
                f"It is one of several costs, and has the weight {self.weight:g} among them, which "
                "its gradients carry."
            )
        if not self.canonical:
            formula, numbers = self.bp1(a)
            made = self._made(a)
            items.append(Equation(r"\nabla_{a}C", self.nabla_a, formula, numbers, made=made))
        return tuple(items)

    def _made(self, a: str) -> Term | None:
        """Return how one number of nabla_a C is made; None if that is not known."""
        target, kind = self.target, type(self.cost)
        if target is None or self.is_padded:
            return None
        output, y = by_example(a, self.a).here, by_example("y", target).here
        start = self.factor_and_divisor()
        if start is not None:
            factor, divisor = start
            return _times(factor, output - y) / divisor
        if kind is costs.CrossEntropy:
            return _times(self.weight, (1 - y) / (1 - output) - y / output) / self.batch
        if kind is costs.SoftmaxCrossEntropy:
            return _times(-self.weight, y / output) / self.batch
        return None

    def bp1(self, a: str) -> tuple[tuple[str, ...], tuple[Part, ...]]:
        """Return formula and numbers of delta^L of a canonical pair, else of nabla_a C."""
        start = self.factor_and_divisor()
        weight = () if self.weight == 1 else (f"{self.weight:g}",)
        if start is None:
            if type(self.cost) not in _RATIOS:
                return (), ()
            return (*weight, _with_a(_RATIOS[type(self.cost)], a), "/", "B"), ()
        factor, divisor = start
        times = () if factor == 1 else (f"{factor:g}",)
        assert self.target is not None
        numbers: tuple[Part, ...] = (self.a, "-", self.target)
        if times or divisor > 1:
            numbers = (*times, "(", *numbers, ")")
        if divisor > 1:
            numbers = (*numbers, "/", str(divisor))
        formula = (*times, "(", a, "-", "y", ")", "/", _FACTORS[type(self.cost)][1])
        return formula, () if self.is_padded else numbers


def trace_costs(network: Any, y: Any, names: tuple[str, ...] = ("",)) -> tuple[CostTrace, ...]:
    """Return the costs of the outputs, after a forward pass that kept state.

    Of several outputs each has its own; there is none where they are joined by something else than
    a weighted sum.
    """
    cost, root = network.need_cost(), network.root
    if not isinstance(root.a, tuple):
        each = network.cost_per_example(y)
        canonical = cost.is_canonical(root.output_activation)
        return (_traced(cost, root.a, y, each, canonical, 1.0, names[0]),)
    if not isinstance(cost, costs.WeightedCosts) or not cost.is_sum:
        return ()
    found = []
    outputs = zip(cost.costs, cost.weights, root.z, root.a, root.output_activation, y, names,
                  strict=True)  # fmt: skip
    for one, weight, z, a, sigma, target, name in outputs:
        canonical = sigma is not None and one.is_canonical(sigma)
        each = one.of_each(z, a, sigma, target)
        found.append(_traced(one, a, target, each, canonical, weight, name))
    return tuple(found)


def _traced(
    cost: Cost, a: Any, y: Any, each: np.ndarray, canonical: bool, weight: float, name: str
) -> CostTrace:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        nabla_a = cost.nabla_a(a, y)
    return CostTrace(
        cost, a, y, each, nabla_a * weight if weight != 1 else nabla_a, canonical, weight, name
    )


def _times(factor: float, term: Term) -> Term:
    return term if factor == 1 else Number(factor) * term


def _with_a(formula: str, a: str) -> str:
    """Let the a in a formula be a symbol."""
    return re.sub(r"\ba(?=\b|_)", lambda _: a, formula)
