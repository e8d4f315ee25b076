"""The outputs of a network, each with the cost that is taken of it: where curvature begins.

Of a network of several outputs C is a sum of terms, share_k C_k, each of one output alone; so a
matrix of C is the sum of theirs. Weights count examples, or steps: one of weight 2 is as good as
two, and the shares of costs count in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple, each_array
from backprop.costs import Cost, WeightedCosts
from backprop.network import Network


class Output:
    """One output of a network that has gone up, and its cost.

    Attributes
    ----------
    cost : Cost
    z, a : ndarray, n x ... x B
    sigma : Activation or None
        Between the two.
    counts : float or ndarray
        How often every example, or step, counts: the cost's share times its weight.
    one_of_several : bool
    """

    def __init__(
        self, cost: Cost, share: float, z: Any, a: Any, sigma: Any, one_of_several: bool
    ) -> None:
        self.cost, self.counts, self.one_of_several = cost, share, one_of_several
        self.z, self.a, self.sigma = z, a, sigma

    @property
    def canonical(self) -> bool:
        """Whether cost and activation are a canonical pair."""
        return self.cost.is_canonical(self.sigma)

    @property
    def at(self) -> Any:
        """What C is differentiated by: z of a canonical pair, else a."""
        return self.z if self.canonical else self.a

    def score(self, cost: Cost, y: Any) -> Any:
        """Return the gradient by `at` of a cost of each example alone: neither counted nor / B."""
        start, _ = cost.bp1(self.z, self.a, self.sigma, y)
        return start * start.dtype.type(start.shape[-1])

    def counted(self, s: np.ndarray) -> np.ndarray:
        """Return s times the root of how often it counts, so that s s^T counts that often."""
        return np.multiply(s, np.sqrt(self.counts), dtype=s.dtype)

    def through_sigma(self, s: np.ndarray) -> np.ndarray:
        """Return what a vector by `at` is where the way back starts.

        That is `at` itself, but that with several outputs it starts below all activations. The
        Jacobian of sigma is symmetric; so this takes J v by z to J v by a as well.
        """
        if self.canonical or self.sigma is None or not self.one_of_several:
            return s
        return self.sigma.times_prime(s, self.z, self.a)  # type: ignore[no-any-return]


class Outputs:
    """All outputs of a network that has gone up.

    Parameters
    ----------
    network : Network
        With a cost.
    owner : str
        Who asks, for errors.

    Raises
    ------
    ValueError
        If the cost of several outputs is not a sum over them.
    """

    def __init__(self, network: Network, owner: str) -> None:
        root, self.cost = network.root, network.need_cost()
        self.several = isinstance(root.a, tuple)
        z, a, sigma = root.z, root.a, root.output_activation
        parts: list[Any] = [(self.cost, 1.0, z, a, sigma, False)]
        if self.several:
            if not isinstance(self.cost, WeightedCosts) or not self.cost.is_sum:
                raise ValueError(
                    f"{owner}: the network has {len(a)} outputs, and their cost, {self.cost}, is "
                    "no sum of one for each: give the network a WeightedCosts, or take Hessian"
                )
            sigmas: Any = sigma
            of_outputs = zip(self.cost.costs, self.cost.weights, z, a, sigmas, strict=True)
            parts = [(*part, True) for part in of_outputs]
        self.each = [Output(*part) for part in parts]
        self.weights: Any = None

    def weigh(self, sample_weight: Any, y: Any) -> None:
        """Let examples, or steps, count as often as their weights say.

        Raises
        ------
        TypeError, ShapeError, ValueError
            If they are no weights for the targets y; see `Cost.normalized`.
        """
        if sample_weight is None:
            return
        a = tuple(output.a for output in self.each) if self.several else self.each[0].a
        self.weights = self.cost.normalized(sample_weight, a, y)
        of_each = self.weights if self.several else (self.weights,)
        for output, w in zip(self.each, of_each, strict=True):
            output.counts = output.counts * w

    def weights_of_examples(self, what: str) -> Any:
        """Return the weights as one number an example, (B,), or None.

        Raises
        ------
        ValueError
            If steps, or outputs, have weights of their own; `what` cannot be had with these.
        """
        of_each = as_tuple(self.weights)
        first = of_each[0]
        if first is None:
            return None
        if first.ndim > 1 or not all(np.array_equal(w, first) for w in of_each):
            raise ValueError(
                f"{what} cannot have weights of steps, or others for each output: give one "
                f"weight for each of the {first.shape[-1]} examples"
            )
        return first

    def start(self, parts: dict[int, np.ndarray]) -> Any:
        """Return where the way back starts from vectors by `at` of some outputs, 0 in others."""
        starts = [
            output.through_sigma(parts[k]) if k in parts else np.zeros_like(output.a)
            for k, output in enumerate(self.each)
        ]
        return tuple(starts) if self.several else starts[0]

    def of_each(self, arrays: Any) -> Any:
        """Return the array of each output, in a tuple also where there is one."""
        return arrays if self.several else (arrays,)


def times(start: Any, factor: Any) -> Any:
    """Return where the way back starts, times a number or one for each example."""
    return each_array(lambda one: np.multiply(one, factor, dtype=one.dtype), start)
