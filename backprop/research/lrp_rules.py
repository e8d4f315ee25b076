"""The rules of layer-wise relevance propagation: how a neuron's relevance is shared out.

All of them come down to a forward and a backward pass of the layer with other weights,
R_k = a_k (w^T (R / z))_k, so one text serves `Dense`, every convolution, and means. For sources see
`backprop.research.lrp`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_number
from backprop.layers import Layer


class Linear:
    """What a layer computes below its sigma, at one input: z = w a_prev + b, as rules see it.

    Attributes
    ----------
    a : ndarray
        The input.
    w, b : ndarray or float
        Those of the layer (or of a layer with `BatchNorm` made part of it); 1 and 0 for a layer
        without.
    """

    def __init__(self, layer: Layer, w: Any = None, b: Any = None) -> None:
        self.layer, self.a = layer, layer.a_prev
        self.w = getattr(layer, "w", 1.0) if w is None else w
        self.b = getattr(layer, "b", 0.0) if b is None else b

    @property
    def z(self) -> np.ndarray:
        """Z itself."""
        up, _ = self.with_weights(self.w)
        return up(self.a) + self.b  # type: ignore[no-any-return]

    def share(
        self,
        r: np.ndarray,
        terms: Sequence[tuple[np.ndarray, Any]],
        b: Any = 0.0,
        stabilised: Callable[[np.ndarray], np.ndarray] = lambda z: z,
    ) -> np.ndarray:
        """Share R out by the terms' contributions: sum over terms of a (w^T (R / z)).

        z is the sum of w a over the terms, and b. Where it is 0 there is nothing to go by, and
        nothing is handed down.
        """
        maps = [self.with_weights(w) for _, w in terms]
        z: Any = b + sum(up(a) for (up, _), (a, _) in zip(maps, terms, strict=True))
        z = stabilised(z)
        s = np.divide(r, z, out=np.zeros_like(r), where=z != 0)
        parts = [a * down(s) for (_, down), (a, _) in zip(maps, terms, strict=True)]
        return sum(parts[1:], parts[0])

    def with_weights(self, w: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return a -> w a, and s -> w^T s."""
        twin: Any = copy.deepcopy(self.layer)
        factor = 1.0
        if isinstance(self.w, np.ndarray):
            twin.w = w
            if hasattr(twin, "b"):
                twin.b = np.zeros_like(twin.b)
        else:
            factor = w

        def up(a: np.ndarray) -> Any:
            twin.forward(a, keep=True)
            return factor * (twin.a if twin.z is None else twin.z)

        def down(s: np.ndarray) -> Any:
            return factor * np.asarray(twin.backward_from(s))

        return up, down


class Rule(ABC):
    """Base of the rules: how relevance is shared out among the inputs of a linear map."""

    @abstractmethod
    def share(self, linear: Linear, r: np.ndarray) -> np.ndarray:
        """Return the relevance of `linear.a`, from that of z."""

    def __repr__(self) -> str:
        given = ", ".join(f"{value:g}" for value in vars(self).values())
        return f"{type(self).__name__}({given})"


class LRP0(Rule):
    """R_k = sum over j of a_k w_jk / z_j R_j: in the ratio of the contributions as they are.

    A bias keeps its own share; without biases the sum of R is the score to rounding. Where
    contributions of both signs cancel in z, R becomes large.
    """

    def share(self, linear: Linear, r: np.ndarray) -> np.ndarray:
        return linear.share(r, [(linear.a, linear.w)], linear.b)


class LRPEpsilon(Rule):
    """R_k = sum over j of a_k w_jk / (z_j + epsilon sign z_j) R_j: what is weak is left out.

    Parameters
    ----------
    epsilon : float
        Positive; it takes the more of R away the smaller z_j.
    """

    def __init__(self, epsilon: float = 1e-6) -> None:
        self.epsilon = check_number("LRPEpsilon: epsilon", epsilon, "(0, inf)")

    def share(self, linear: Linear, r: np.ndarray) -> np.ndarray:
        def stabilised(z: np.ndarray) -> np.ndarray:
            return z + np.where(z >= 0, self.epsilon, -self.epsilon)

        return linear.share(r, [(linear.a, linear.w)], linear.b, stabilised)


class LRPGamma(Rule):
    """LRP-0 in which what speaks for a neuron counts 1 + gamma times.

    ::

        contribution = a_k w_jk + gamma (a_k w_jk)+          and so for the bias, where z_j > 0

    of which R_j is shared out in the ratio; where z_j < 0, gamma (a_k w_jk)- in its place. For
    inputs that are not negative, and z_j > 0, that is w + gamma w+ in the place of w. Source for
    both signs: Andeol et al., "Learning Domain Invariant Representations by Joint Wasserstein
    Distance Minimization", 2021.

    Parameters
    ----------
    gamma : float
        Not negative; 0 is LRP-0.
    """

    def __init__(self, gamma: float = 0.25) -> None:
        self.gamma = check_number("LRPGamma: gamma", gamma, "[0, inf)")

    def share(self, linear: Linear, r: np.ndarray) -> np.ndarray:
        a, w, b, z = linear.a, linear.w, linear.b, linear.z
        plus, minus = w + self.gamma * positive(w), w + self.gamma * negative(w)
        for_it = [(positive(a), plus), (negative(a), minus)]
        against = [(positive(a), minus), (negative(a), plus)]
        found = linear.share(r * (z > 0), for_it, b + self.gamma * positive(b))
        return found + linear.share(r * (z < 0), against, b + self.gamma * negative(b))


class LRPAlphaBeta(Rule):
    """Shares out alpha R among positive contributions, and -beta R among negative ones.

    ::

        R_k = sum over j of (alpha (a_k w_jk)+ / sum of (a w_j)+  -  beta (a_k w_jk)- / ...) R_j

    with alpha - beta = 1, so that R is kept where a neuron has contributions of both signs (of one
    sign alone, if beta > 0, it is not). The bias is a contribution that keeps its share.

    Parameters
    ----------
    alpha : float
        At least 1; beta is alpha - 1. With alpha = 1 only what speaks for a neuron counts: the
        rule z+ of deep Taylor decomposition.
    """

    def __init__(self, alpha: float = 2.0) -> None:
        self.alpha = check_number("LRPAlphaBeta: alpha", alpha, "[1, inf)")

    def share(self, linear: Linear, r: np.ndarray) -> np.ndarray:
        plus, minus = (
            [positive(p) for p in (linear.a, linear.w, linear.b)],
            [negative(p) for p in (linear.a, linear.w, linear.b)],
        )
        terms = [(plus[0], plus[1]), (minus[0], minus[1])]
        found = self.alpha * linear.share(r, terms, plus[2])
        if self.alpha > 1:
            terms = [(plus[0], minus[1]), (minus[0], plus[1])]
            found -= (self.alpha - 1) * linear.share(r, terms, minus[2])
        return found


class LRPBox(Rule):
    """For the first layer, of inputs that lie between two numbers, such as pixels.

    ::

        contribution = x_k w_jk - low max(0, w_jk) - high min(0, w_jk)

    It is 0 for a pixel that speaks as much against the neuron as a pixel can, and never negative.

    Parameters
    ----------
    low, high : float
        The range of the inputs, 0 and 1 unless told.
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        self.low = check_number("LRPBox: low", low)
        self.high = check_number("LRPBox: high", high)
        if low >= high:
            raise ValueError(f"LRPBox: low must be less than high, got {low} and {high}")

    def share(self, linear: Linear, r: np.ndarray) -> np.ndarray:
        low, high = (np.full_like(linear.a, -end) for end in (self.low, self.high))
        terms = [
            (linear.a, linear.w), (low, positive(linear.w)), (high, negative(linear.w)),
        ]  # fmt: skip
        return linear.share(r, terms)


def positive(p: Any) -> Any:
    """Return max(0, p)."""
    return np.maximum(p, 0)


def negative(p: Any) -> Any:
    """Return min(0, p)."""
    return np.minimum(p, 0)
