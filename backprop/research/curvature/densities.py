"""The densities p(y|x) of which costs are the negative logarithm: their scores, and draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from backprop.costs import Cost, CrossEntropy, SoftmaxCrossEntropy
from backprop.costs.squared import SquaredCost

Score = Callable[[Any], np.ndarray]  # of targets: the gradient of each example's cost


class Density(ABC):
    """What a network's outputs a, n x ... x B, say of the targets."""

    @abstractmethod
    def scores(self, a: np.ndarray, score: Score) -> Iterator[np.ndarray]:
        """Yield vectors s_k for which the sum of s s^T is E[score score^T], of every example."""

    @abstractmethod
    def draw(self, a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw targets."""


class Classes(Density):
    """One of n classes at every place: p(y = k) = a_k."""

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

    def __init__(self, cost: Cost) -> None:
        self.cost = cost

    def precision(self, a: np.ndarray) -> Any:
        """Return 1 / variance: dC_x/da at a distance of 1."""
        return a.shape[-1] * self.cost.nabla_a(np.ones_like(a), np.zeros_like(a))

    def scores(self, a: np.ndarray, score: Score) -> Iterator[np.ndarray]:
        return one_by_one(np.sqrt(self.precision(a)))

    def draw(self, a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = rng.standard_normal(a.shape) / np.sqrt(self.precision(a))
        return a + noise.astype(a.dtype)


def density_of(cost: Cost, owner: str) -> Density:
    """Return the density of which a cost is the negative logarithm.

    Raises
    ------
    TypeError
        If none is known.
    """
    if isinstance(cost, SoftmaxCrossEntropy):
        return Classes()
    if isinstance(cost, CrossEntropy):
        return Coins()
    if isinstance(cost, SquaredCost):
        return Normal(cost)
    raise TypeError(
        f"{owner}: it is not known of which density {cost} is the negative logarithm: take "
        "GaussNewton, or the cost cross_entropy, softmax_cross_entropy or a squared one"
    )


def one_by_one(s: np.ndarray) -> Iterator[np.ndarray]:
    """Yield for every output of an example an array that is 0 in all others."""
    for output in np.ndindex(s.shape[:-1]):
        only = np.zeros_like(s)
        only[output] = s[output]
        yield only
