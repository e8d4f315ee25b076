"""Per-example quantities: what the mean over a minibatch hides.

C = (1/B) sum of C_x, so the gradient that training sees is a mean of B gradients. Their norms,
moments and products with one another follow from the same delta and a_prev, without forming the
gradients: what example j adds to dC/dw of a dense layer is the outer product delta_j a_prev_j^T,
the norm of which is |delta_j| |a_prev_j|. Source: Goodfellow, "Efficient Per-Example Gradient
Computations", arXiv 1510.01799, 2015.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from backprop.core.checks import check_number
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import each_array
from backprop.costs.weights import weighted
from backprop.layers.checks import check_like
from backprop.layers.passes import own
from backprop.network import Network
from backprop.research.arguments import check_minibatch, check_network, real_vector
from backprop.research.example_passes import ExamplePasses, Part, example_passes
from backprop.research.factors import blocks


class ExampleGradients:
    """The gradients of every example of a minibatch, and what can be known of them unformed.

    With g_j = grad C_x of example j by theta, (P,), and C the mean over the B examples::

        grad C = (1/B) sum over j of g_j

    So g_j does not carry the 1/B that `layer.delta` does: it is the gradient of the example alone.
    With a `sample_weight` w_j it is B w_j / (sum of w) times that: the mean still is grad C.

    Every layer there is has a closed form; a layer of your own, and a `Variable` of a graph, have
    their gradients by a loop, one pass back for each example, and are listed in `by_loop`. A layer
    that stands in several places, or is tied, has one gradient: what its places give is added up,
    per example, before any norm. Frozen layers have none: their part is 0.

    Parameters
    ----------
    network : Network
        With a cost. It stays as it is: what it keeps, its gradients and generators, too. Hooks are
        not called, and a credit rule is not followed: these are gradients.
    x : ndarray, input shape x B
    y : ndarray
        Targets, as `Network.backward` takes them.
    training : bool
        False: of the network that predicts. True: as in training; dropout draws the mask that the
        network's own next training pass would draw.
    sample_weight : ndarray, optional
        As in `Network.backward`.

    Attributes
    ----------
    n_examples : int
        B.
    parts : list of Part
        Every parameter that learns: its name, where it lies in theta, and its factors.
    by_loop : tuple of str
        The layers without a closed form.

    Raises
    ------
    ValueError
        If examples meet in a layer (batch normalisation in training), with the reason.
    RuntimeError
        If the network has no cost.
    TypeError, ShapeError, ValueError
        If x, y or the weights are not data for it.
    """

    @underflow_is_0
    def __init__(
        self,
        network: Network,
        x: Any,
        y: Any,
        training: bool = False,
        sample_weight: Any = None,
    ) -> None:
        check_network("ExampleGradients", network)
        cost = network.need_cost()
        check_minibatch(network, x, y)
        with example_passes(network, own(x), training) as passes:
            root = network.root  # BP1 as in `Network.bp1`, which would begin a credit rule
            start, below_sigma = cost.bp1(root.z, root.a, root.output_activation, y)
            if sample_weight is not None:
                start = weighted(start, cost.normalized(sample_weight, root.a, y))
            # delta carries the 1/B of the mean, which a single example has not.
            start = each_array(lambda array: array * array.dtype.type(passes.batch), start)
            self._take(passes, passes.back(start, below_sigma))

    @classmethod
    def from_upstream(
        cls, network: Network, x: Any, nabla_a: Any, training: bool = False
    ) -> ExampleGradients:
        """Return the gradients from any upstream gradient, output shape x B; needs no cost.

        Column j is df_j/da of what is to be differentiated, f_j for example j: nothing is divided
        or multiplied by B, and the sum of all g_j is what `Network.backpropagate` leaves.
        """
        check_network("ExampleGradients", network)
        found = cls.__new__(cls)
        network.check_x(x)
        with example_passes(network, own(x), training) as passes:
            check_like(network.root, "nabla_a", nabla_a, network.root.a)
            found._take(passes, passes.back(own(nabla_a), False))
        return found

    def _take(self, passes: ExamplePasses, parts: list[Part]) -> None:
        self.n_examples, self.by_loop, self.parts = passes.batch, passes.by_loop, parts
        self.n_parameters, self.dtype = passes.network.n_parameters, passes.network.dtype

    # -- the gradients themselves ------------------------------------------------------------

    def gradients(self) -> np.ndarray:
        """Return all of them, P x B, one example a column: B times the memory of theta."""
        found = np.zeros((self.n_examples, self.n_parameters), self.dtype)
        for part in self.parts:
            for examples in blocks(self.n_examples, part.term.size):
                found[examples, part.where] = part.term.gradients(examples)
        return found.T

    def mean(self) -> np.ndarray:
        """Return grad C, (P,): what `Network.backward` leaves in `nabla`."""
        return self.weighted_sum(np.full(self.n_examples, 1 / self.n_examples))

    def weighted_sum(self, c: Any) -> np.ndarray:
        """Return the sum of c_j g_j, (P,), for one number an example: BP4 with weights."""
        of_each = f"one number for each of the {self.n_examples} examples"
        c = real_vector("weighted_sum", of_each, c, self.n_examples).astype(self.dtype)
        found = np.zeros(self.n_parameters, self.dtype)
        for part in self.parts:
            found[part.where] = part.term.weighted_sum(c)
        return found

    # -- norms and products ------------------------------------------------------------------

    def squared_norms_by_parameter(self) -> dict[str, np.ndarray]:
        """Return |g_j|^2 by each parameter alone, (B,), under names such as "0.w"."""
        return {part.name: part.term.squared_norms() for part in self.parts}

    @cached_property
    def _squared_norms(self) -> np.ndarray:
        found = np.zeros(self.n_examples, self.dtype)
        for part in self.parts:
            found += part.term.squared_norms()
        return found

    def norms(self) -> np.ndarray:
        """Return |g_j|, (B,), without forming a gradient where that is the longer way."""
        return np.sqrt(self._squared_norms)

    def products(self, v: Any) -> np.ndarray:
        """Return g_j . v, (B,), for a direction v in theta, (P,).

        By how much does C_x of every example fall in a step of -v? With v the gradient of other
        examples it is their influence on one another to first order: a step along example j changes
        the cost of validation by -eta g_j . v, v the gradient of that (TracIn: Pruthi et al.,
        arXiv 2002.08484, 2020). For all pairs see `backprop.research.gradient_gram`.
        """
        v = real_vector("products", "a direction in theta", v, self.n_parameters)
        v = v.astype(self.dtype)
        found = np.zeros(self.n_examples, self.dtype)
        for part in self.parts:
            found += part.term.products(v[part.where])
        return found

    # -- moments over the examples -----------------------------------------------------------

    def second_moment(self) -> np.ndarray:
        """Return (1/B) sum of g_j^2, elementwise, (P,): of a dense layer delta^2 (a^2)^T / B.

        It is not (grad C)^2, the square of the mean, which is smaller by about B where gradients
        are mostly noise.
        """
        found = np.zeros(self.n_parameters, self.dtype)
        for part in self.parts:
            found[part.where] = part.term.second_moment()
        return found / self.n_examples

    def variance(self) -> np.ndarray:
        """Return (1/B) sum of (g_j - grad C)^2, elementwise, (P,): that of this minibatch.

        As the second moment less the square of the mean, of which rounding may leave some of the
        machine's epsilon times the second moment where it is 0.
        """
        return np.maximum(self.second_moment() - self.mean() ** 2, 0)

    def signal_to_noise(self) -> np.ndarray:
        """Return (grad C)^2 / variance, elementwise, (P,); 0 where both are 0."""
        signal, noise = self.mean() ** 2, self.variance()
        with np.errstate(divide="ignore"):
            return np.divide(signal, noise, out=np.zeros_like(signal), where=signal > 0)

    def noise_scale(self) -> float:
        """Return the simple noise scale, tr(Sigma) / |G|^2: from which B on noise is not the limit.

        G is the gradient over all data and Sigma the covariance of the g_j, of which this minibatch
        has estimates without bias::

            |G|^2      ~ (B |grad C|^2 - (1/B) sum of |g_j|^2) / (B - 1)
            tr(Sigma)  ~ (sum of |g_j|^2 - B |grad C|^2) / (B - 1)

        The ratio of two such estimates is not free of bias itself; where the minibatch is too small
        to see G at all (the first is not positive) it is infinite. Source: McCandlish, Kaplan and
        Amodei, "An Empirical Model of Large-Batch Training", arXiv 1812.06162, 2018, appendix A.1.

        Raises
        ------
        ValueError
            If there is a single example, which has no noise to see.
        """
        n = self.n_examples
        if n < 2:
            raise ValueError("noise_scale: the noise of gradients shows in two examples at least")
        of_mean = float(np.sum(self.mean().astype(np.float64) ** 2))
        of_each = float(self._squared_norms.astype(np.float64).mean())
        signal = (n * of_mean - of_each) / (n - 1)
        noise = n * max(of_each - of_mean, 0.0) / (n - 1)
        if signal <= 0:
            return math.inf if noise > 0 else 0.0
        return noise / signal

    # -- clipping ----------------------------------------------------------------------------

    def clipping_factors(self, bound: float) -> np.ndarray:
        """Return min(1, bound / |g_j|), (B,): by what each gradient is multiplied to fit."""
        bound = check_number("clipping: bound", bound, "(0, inf)")
        norms = self.norms()
        return np.divide(bound, norms, out=np.ones_like(norms), where=norms > bound)

    def clipped(self, bound: float) -> np.ndarray:
        """Return (1/B) sum of g_j min(1, bound / |g_j|), (P,), by ghost clipping.

        The norms are known without the gradients, and what is left is BP4 with weights: no gradient
        of a single example is formed. With noise added it is the gradient of differentially private
        training. Source: Abadi et al., "Deep Learning with Differential Privacy", arXiv 1607.00133,
        2016; for the ghost Li et al., "Large Language Models Can Be Strong Differentially Private
        Learners", arXiv 2110.05679, 2021.
        """
        return self.weighted_sum(self.clipping_factors(bound) / self.n_examples)

    def clipped_explicitly(self, bound: float) -> np.ndarray:
        """Return the same from the gradients themselves, formed and shortened, block by block."""
        factors = self.clipping_factors(bound)
        found = np.zeros(self.n_parameters, self.dtype)
        for part in self.parts:
            for examples in blocks(self.n_examples, part.term.size):
                found[part.where] += factors[examples] @ part.term.gradients(examples)
        return found / self.n_examples

    def __repr__(self) -> str:
        return f"<ExampleGradients of {self.n_examples} examples, {self.n_parameters} parameters>"
