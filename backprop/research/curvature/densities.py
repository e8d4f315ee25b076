"""The densities p(y|x) of which costs are the negative logarithm: their scores, and draws."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from backprop.costs import Cost, CrossEntropy, SoftmaxCrossEntropy, WeightedCosts
from backprop.costs.base import OF_A
from backprop.costs.squared import SquaredCost

Score = Callable[[Any], np.ndarray]  # of targets: the gradient of each example's cost


class Density(ABC):
    """What a network's outputs a, n x ... x B, say of the targets.

    Attributes
    ----------
    cost : Cost
        -ln p, but for a constant: the scores are what its BP1 gives.
    """

    def __init__(self, cost: Cost) -> None:
        self.cost = cost

    @abstractmethod
    def scores(self, a: np.ndarray, score: Score) -> Iterator[np.ndarray]:
        """Yield vectors s_k for which the sum of s s^T is E[score score^T], of every example."""

    @abstractmethod
    def draw(self, a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw targets."""


class Classes(Density):
    """One of n classes at every place: p(y = k) = a_k, however the labels are smoothed."""

    def __init__(self, cost: Cost) -> None:
        cost = copy.copy(cost)
        cost.label_smoothing = 0.0  # type: ignore[attr-defined]
        super().__init__(cost)

    def scores(self, a: np.ndarray, score: Score) -> Iterator[np.ndarray]:
        places = [(slice(None), *place) for place in np.ndindex(a.shape[1:-1])]
        for k, p in enumerate(a):
            s = score(np.full(a.shape[1:], k))
            s = np.multiply(s, np.sqrt(p), out=np.zeros_like(s), where=p > 0)
            for place in places:  # which are drawn independently of one another
                only = np.zeros_like(s) if len(places) > 1 else s
                only[place] = s[place]
                yield only

    def draw(self, a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        below = rng.random(a.shape[1:]) * a.sum(axis=0) >= np.cumsum(a, axis=0)
        return np.minimum(below.sum(axis=0), len(a) - 1)


class Coins(Density):
    """A coin for every output: p(y = 1) = a."""

    def scores(self, a: np.ndarray, score: Score) -> Iterator[np.ndarray]:
        heads, tails = score(np.ones_like(a)), score(np.zeros_like(a))
        variance = np.zeros_like(a)  # of the score, whose mean is 0
        for p, s in ((a, heads), (1 - a, tails)):
            variance += np.multiply(p, s * s, out=np.zeros_like(a), where=p > 0)
        return one_by_one(np.sqrt(variance))

    def draw(self, a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (rng.random(a.shape) < a).astype(a.dtype)


class Normal(Density):
    """y = a + noise, of the variance for which the cost is the negative logarithm."""

    def precision(self, a: np.ndarray) -> Any:
        """Return 1 / variance: dC_x/da at a distance of 1."""
        return a.shape[-1] * self.cost.nabla_a(np.ones_like(a), np.zeros_like(a))

    def scores(self, a: np.ndarray, score: Score) -> Iterator[np.ndarray]:
        return one_by_one(np.sqrt(self.precision(a)))

    def draw(self, a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = rng.standard_normal(a.shape) / np.sqrt(self.precision(a))
        return a + noise.astype(a.dtype)


DENSITIES: dict[Any, Callable[[Cost], Density]] = {
    SoftmaxCrossEntropy: Classes,
    CrossEntropy: Coins,
    SquaredCost: Normal,
}


def density_of(cost: Cost, owner: str) -> Density:
    """Return the density of which a cost is the negative logarithm.

    Raises
    ------
    TypeError
        If none is known, as of a subclass that computes something else.
    """
    for kind, density in DENSITIES.items():
        if isinstance(cost, kind) and all(_is_of(cost, kind, name) for name in OF_A):
            return density(cost)
    raise TypeError(
        f"{owner}: it is not known of which density {cost} is the negative logarithm: take "
        "GaussNewton, or the cost cross_entropy, softmax_cross_entropy or a squared one"
    )


def densities_of(cost: Cost, owner: str) -> list[Density]:
    """Return the density of each output that a cost is taken of, which are independent.

    Raises
    ------
    TypeError
        If one is not known.
    """
    if isinstance(cost, WeightedCosts) and cost.is_sum:
        return [density_of(one, owner) for one in cost.costs]
    return [density_of(cost, owner)]


def _is_of(cost: Cost, kind: Any, name: str) -> bool:
    return getattr(type(cost), name) is getattr(kind, name) and name not in vars(cost)


def one_by_one(s: np.ndarray) -> Iterator[np.ndarray]:
    """Yield for every output of an example an array that is 0 in all others."""
    for output in np.ndindex(s.shape[:-1]):
        only = np.zeros_like(s)
        only[output] = s[output]
        yield only
