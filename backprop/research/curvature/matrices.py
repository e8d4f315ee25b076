"""The Fisher family by its right names, and the Gauss-Newton matrix.

All are means over the examples of one minibatch (see `OuterProducts`), with p the density of which
the cost is the negative logarithm, but for a constant:

====================  =============================================================================
`Fisher`              (1/B) sum_x E[grad ln p(y|x) grad ln p(y|x)^T], y drawn from the model: exact
`MonteCarloFisher`    the same, the expectation by so many y that are drawn from the model
`EmpiricalFisher`     (1/B) sum_x grad C_x grad C_x^T, with the targets of the data in place of y
`GaussNewton`         (1/B) sum_x J_x^T H_x J_x, H_x the cost's Hessian by the output
====================  =============================================================================

The first needs no targets, and neither does the second. With a canonical pair (softmax and its
cross-entropy, sigmoid and its own, the identity and a square) the first and the last are equal. The
third is not an estimate of any of the others: where the model fits, its gradients vanish, and the
curvature does not. Nor is it the square of the gradient: of the mean of B gradients that are mostly
noise the square is low by about B.

Source: Martens, "New insights and perspectives on the natural gradient method", arXiv 1412.1193;
Kunstner, Balles and Hennig, "Limitations of the empirical Fisher approximation for natural gradient
descent", arXiv 1905.12558, 2019; Schraudolph, "Fast Curvature Matrix-Vector Products for
Second-Order Gradient Descent", 2002.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.quiet import underflow_is_0
from backprop.core.randomness import generator
from backprop.core.shapes import each_array
from backprop.layers.base import Seed
from backprop.network import Network
from backprop.research.arguments import check_minibatch, check_network
from backprop.research.curvature.densities import densities_of
from backprop.research.curvature.outer_products import OuterProducts
from backprop.research.curvature.output_hessian import output_hessian
from backprop.research.curvature.outputs import times
from backprop.research.curvature.products import ComplexTwin


class EmpiricalFisher(OuterProducts):
    """(1/B) sum over x of grad C_x grad C_x^T: the second moment of the gradients of the data.

    Its diagonal is ``ExampleGradients(network, x, y).second_moment()``. With weights it is
    (1/B) sum of w_x grad C_x grad C_x^T, where the gradients of `ExampleGradients` carry w_x, and
    their second moment its square.

    Parameters
    ----------
    network : Network
        With a cost.
    x : ndarray, input shape x B
    y : ndarray
        Targets, as `Network.backward` takes them.
    sample_weight : ndarray, (B,), optional

    Raises
    ------
    TypeError, ShapeError, ValueError
        If x, y or the weights are not data for the network; if steps, or outputs, have weights of
        their own, as an example has one gradient.
    """

    def __init__(self, network: Network, x: Any, y: Any, *, sample_weight: Any = None) -> None:
        check_network(type(self).__name__, network)
        check_minibatch(network, x, y)
        super().__init__(network, x)
        self.y = y
        self.outputs.weigh(sample_weight, y)
        self._weights = self.outputs.weights_of_examples("EmpiricalFisher")

    def columns(self) -> Iterator[Any]:
        start, _ = self.network.bp1(self.y)
        start = times(start, self.n_examples)
        yield start if self._weights is None else times(start, np.sqrt(self._weights))


class _OfDensity(OuterProducts):
    """A matrix of which the targets are those of the model."""

    def __init__(
        self, network: Network, x: Any = None, *targets: Any, sample_weight: Any = None
    ) -> None:
        check_network(type(self).__name__, network)
        if targets:
            raise self._no_targets()
        if x is None:
            name = type(self).__name__
            raise TypeError(
                f"{name} is a mean over a minibatch: give its inputs, {name}(network, x)"
            )
        self.densities = densities_of(network.need_cost(), type(self).__name__)
        super().__init__(network, x)
        if sample_weight is not None:
            drawn = tuple(self._draw(np.random.default_rng(0)))  # which only have to fit
            self.outputs.weigh(sample_weight, drawn if self.outputs.several else drawn[0])

    def _no_targets(self) -> TypeError:
        """Return the error for targets, which an empirical Fisher matrix has."""
        name = type(self).__name__
        return TypeError(
            f"{name} takes no targets, as they are the model's own: give {name}(network, x), or, "
            "for the gradients of targets y, EmpiricalFisher(network, x, y)"
        )

    def _draw(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield targets of each output."""
        for density, output in zip(self.densities, self.outputs.each, strict=True):
            yield density.draw(output.a, rng)


class Fisher(_OfDensity):
    """(1/B) sum over x of E[grad ln p grad ln p^T], the expectation over the model's own targets.

    It is taken exactly: with one pass back for every class of a softmax cross-entropy, and for
    every output of a cross-entropy (each a coin of its own) or a squared cost (the normal density
    whose logarithm that is: of `Quadratic` with variance 1, of `SquaredError` with 1/2). Outputs
    with steps or places are independent of one another there, and so are several outputs.

    Parameters
    ----------
    network : Network
        With one of these costs, or a sum of some.
    x : ndarray, input shape x B
    sample_weight : ndarray, (B,) or that of the output without its first axis, optional
        As in `Network.backward`; a step of weight 0, as of padding, has no part.

    Raises
    ------
    TypeError
        If the cost is no logarithm of a density that is known; `GaussNewton` needs none. If it is
        given targets.
    """

    def columns(self) -> Iterator[Any]:
        outputs = self.outputs
        for k, (density, output) in enumerate(zip(self.densities, outputs.each, strict=True)):
            for s in density.scores(output.a, partial(output.score, density.cost)):
                yield outputs.start({k: output.counted(s)})


class MonteCarloFisher(_OfDensity):
    """The exact Fisher matrix estimated by targets that are drawn from the model, without bias.

    Parameters
    ----------
    network : Network
        With a cost as `Fisher` takes it.
    x : ndarray, input shape x B
    samples : int
        Targets that are drawn for every example, each of which costs a pass back.
    rng : numpy.random.Generator, int or None
        The same seed draws the same every time; a generator goes on, so that no two diagonals are
        of the same targets.
    sample_weight : ndarray, optional
        As of `Fisher`.
    """

    def __init__(
        self,
        network: Network,
        x: Any = None,
        samples: int = 1,
        rng: Seed = None,
        *,
        sample_weight: Any = None,
    ) -> None:
        check_network("MonteCarloFisher", network)
        if np.ndim(samples):
            raise self._no_targets()
        self.samples = check_integer("MonteCarloFisher: samples", samples)
        self.rng = rng
        super().__init__(network, x, sample_weight=sample_weight)

    def columns(self) -> Iterator[Any]:
        rng = generator("MonteCarloFisher", self.rng)
        for _ in range(self.samples):
            of_each = zip(self.densities, self.outputs.each, self._draw(rng), strict=True)
            scores = {
                k: output.counted(output.score(density.cost, y))
                for k, (density, output, y) in enumerate(of_each)
            }
            yield times(self.outputs.start(scores), 1 / np.sqrt(self.samples))


class GaussNewton(OuterProducts):
    """(1/B) sum over x of J_x^T H_x J_x: the Hessian without the curvature of the network itself.

    H_x is the Hessian of C_x by the output, where the way back starts: by z of a canonical pair,
    else by a. It comes from BP1 by the complex step, so any cost will do that is convex there, and
    is multiplied out of its eigenvectors. Positive semidefinite, unlike the Hessian, and equal to
    it where every layer is linear.

    Parameters
    ----------
    network : Network
        With a cost; of several outputs one that is a sum over them.
    x : ndarray, input shape x B
    y : ndarray
        Targets, as `Network.backward` takes them.
    sample_weight : ndarray, optional
        As in `Network.backward`.

    Raises
    ------
    TypeError
        If the cost is not made for complex numbers.
    ValueError
        If it is not convex in the outputs.
    """

    def __init__(self, network: Network, x: Any, y: Any, *, sample_weight: Any = None) -> None:
        check_network(type(self).__name__, network)
        check_minibatch(network, x, y)
        super().__init__(network, x)
        self.x, self.y = x, y
        self.outputs.weigh(sample_weight, y)
        self._twin: ComplexTwin | None = None
        pairs = zip(self.outputs.each, self.outputs.of_each(y), strict=True)
        self.hessians = [output_hessian(output, targets) for output, targets in pairs]

    def columns(self) -> Iterator[Any]:
        for k, hessian in enumerate(self.hessians):
            for s in hessian.roots():
                yield self.outputs.start({k: s})

    @underflow_is_0
    def product(self, v: np.ndarray) -> np.ndarray:
        """Return G v: J v by the complex step on the way up, H_x, and J^T on the way back."""
        if self._twin is None:
            self._twin = ComplexTwin(self.network, self.x)
        if self._twin.reason:
            return super().product(v)
        u, outputs = {}, self.outputs
        of_each = outputs.of_each(self._twin.forward_derivative(v))
        for k, (output, along) in enumerate(zip(outputs.each, of_each, strict=True)):
            u[k] = self.hessians[k].times(output.through_sigma(along)) / self.n_examples
        start = each_array(lambda one: one.astype(self.network.dtype), outputs.start(u))
        found = np.zeros(self.shape[0], self.network.dtype)
        for part in self.passes.back(start, self.below_sigma):
            found[part.where] = part.term.weighted_sum(np.ones(self.n_examples, found.dtype))
        return found


def gauss_newton_vector_product(
    network: Network, x: Any, y: Any, v: Any, *, sample_weight: Any = None
) -> np.ndarray:
    """Return G v, G the Gauss-Newton matrix of C by theta, for v of shape (P,) or P x K.

    As ``GaussNewton(network, x, y, sample_weight=sample_weight) @ v``, which see; take that one for
    many products.
    """
    return GaussNewton(network, x, y, sample_weight=sample_weight) @ v
