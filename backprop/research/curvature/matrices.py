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
from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.quiet import underflow_is_0
from backprop.core.randomness import generator
from backprop.layers.base import Seed
from backprop.network import Network
from backprop.research.curvature.densities import density_of
from backprop.research.curvature.outer_products import OuterProducts
from backprop.research.curvature.output_hessian import output_hessian
from backprop.research.curvature.products import ComplexTwin


class EmpiricalFisher(OuterProducts):
    """(1/B) sum over x of grad C_x grad C_x^T: the second moment of the gradients of the data.

    Its diagonal is ``ExampleGradients(network, x, y).second_moment()``.

    Parameters
    ----------
    network : Network
        With a cost.
    x : ndarray, input shape x B
    y : ndarray
        Targets, as `Network.backward` takes them.
    """

    def __init__(self, network: Network, x: Any, y: Any) -> None:
        network.check_data(x, y)
        super().__init__(network, x)
        self.y = y

    def columns(self) -> Iterator[np.ndarray]:
        yield self.score(self.y)


class Fisher(OuterProducts):
    """(1/B) sum over x of E[grad ln p grad ln p^T], the expectation over the model's own targets.

    It is taken exactly: with one pass back for every class of a softmax cross-entropy, and for
    every output of a cross-entropy (each a coin of its own) or a squared cost (the normal density
    whose logarithm that is: of `Quadratic` with variance 1, of `SquaredError` with 1/2). Outputs
    with steps or places are independent of one another there.

    Parameters
    ----------
    network : Network
        With one of these costs.
    x : ndarray, input shape x B

    Raises
    ------
    TypeError
        If the cost is no logarithm of a density that is known; `GaussNewton` needs none.
    """

    def __init__(self, network: Network, x: Any) -> None:
        self.density = density_of(network.need_cost(), type(self).__name__)
        super().__init__(network, x)

    def columns(self) -> Iterator[np.ndarray]:
        return self.density.scores(self.network.root.a, self.score)


class MonteCarloFisher(OuterProducts):
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
    """

    def __init__(self, network: Network, x: Any, samples: int = 1, rng: Seed = None) -> None:
        self.density = density_of(network.need_cost(), type(self).__name__)
        self.samples = check_integer("MonteCarloFisher: samples", samples)
        self.rng = rng
        super().__init__(network, x)

    def columns(self) -> Iterator[np.ndarray]:
        rng = generator("MonteCarloFisher", self.rng)
        for _ in range(self.samples):
            score = self.score(self.density.draw(self.network.root.a, rng))
            yield score / score.dtype.type(np.sqrt(self.samples))


class GaussNewton(OuterProducts):
    """(1/B) sum over x of J_x^T H_x J_x: the Hessian without the curvature of the network itself.

    H_x is the Hessian of C_x by the output, where the way back starts: by z of a canonical pair,
    else by a. It comes from BP1 by the complex step, so any cost will do that is convex there, and
    is multiplied out of its eigenvectors. Positive semidefinite, unlike the Hessian, and equal to
    it where every layer is linear.

    Parameters
    ----------
    network : Network
        With a cost.
    x : ndarray, input shape x B
    y : ndarray
        Targets, as `Network.backward` takes them.

    Raises
    ------
    TypeError
        If the cost is not made for complex numbers.
    ValueError
        If it is not convex in the outputs.
    """

    def __init__(self, network: Network, x: Any, y: Any) -> None:
        network.check_data(x, y)
        super().__init__(network, x)
        self.x, self.y = x, y
        self._twin: ComplexTwin | None = None
        self.output = output_hessian(self.network, y)

    def columns(self) -> Iterator[np.ndarray]:
        return self.output.roots()

    @underflow_is_0
    def product(self, v: np.ndarray) -> np.ndarray:
        """Return G v: J v by the complex step on the way up, H_x, and J^T on the way back."""
        if self._twin is None:
            self._twin = ComplexTwin(self.network, self.x)
        if self._twin.reason:
            return super().product(v)
        u = self.output.times(self._twin.forward_derivative(v))
        start = (u / self.n_examples).astype(self.network.dtype)
        found = np.zeros(self.shape[0], self.network.dtype)
        for part in self.passes.back(start, self.below_sigma):
            found[part.where] = part.term.weighted_sum(np.ones(self.n_examples, found.dtype))
        return found


def gauss_newton_vector_product(network: Network, x: Any, y: Any, v: Any) -> np.ndarray:
    """Return G v, G the Gauss-Newton matrix of C by theta, for v of shape (P,) or P x K.

    As ``GaussNewton(network, x, y) @ v``, which see; take that one for many products.
    """
    return GaussNewton(network, x, y) @ v
