"""Matrices over theta that are means of outer products of gradients, and what is known of them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import count_examples
from backprop.network import Network
from backprop.research.arguments import check_network, real_vector
from backprop.research.curvature.kronecker import KroneckerFactors, kronecker_factors
from backprop.research.curvature.outputs import Outputs
from backprop.research.example_passes import ExamplePasses, Part, why_examples_meet


class Symmetric(ABC):
    """A symmetric matrix over theta that is known by its products, ``M @ v`` and ``v @ M``."""

    shape: tuple[int, int]
    __array_ufunc__ = None  # so that NumPy leaves v @ M to the matrix

    @abstractmethod
    def __matmul__(self, v: Any) -> np.ndarray:
        """Return M v for v of shape (P,), or P x K."""

    def __rmatmul__(self, v: Any) -> np.ndarray:
        """Return v M, which is (M v^T)^T, for v of shape (P,), or K x P."""
        return (self @ np.transpose(v)).T


class OuterProducts(Symmetric):
    """A curvature matrix over theta, of one minibatch: a mean over the examples of outer products.

    ::

        M = (1/B) sum over x, k of w_x g_xk g_xk^T,     g_xk = J_x^T s_xk

    J_x is the Jacobian of example x's output by theta, n x P, and s_xk are vectors over the output,
    which make the difference: one is the gradient of the cost, or of a cost whose target is drawn,
    or several multiply to the cost's Hessian. The output is z of the last layer where cost and
    activation are a canonical pair, else a: where the way back starts.

    No s carries the 1/B of `layer.delta`, and M is a mean over examples, not a sum. A weight w_x,
    divided by the mean of all as `Cost.normalized` does, counts examples: one of weight 2 is as
    good as two. Of several outputs, C being the sum of share_k C_k, the matrices add up with the
    same shares. The network is the one that predicts (no dropout, running statistics); it is
    copied, and stays as it is. Rows and columns of frozen layers are 0.

    Attributes
    ----------
    shape : (P, P)
    n_examples : int
        B.
    """

    def __init__(self, network: Network, x: Any) -> None:
        check_network(type(self).__name__, network)
        network.need_cost()
        for name, layer in network.walk():
            reason = "" if layer.children else why_examples_meet(layer, training=False)
            if reason:
                raise ValueError(f"layer {name}, {layer}: {reason}")
        self.network = copy.deepcopy(network)
        self.network.credit = None  # J is the derivative, by whatever rule the network learns
        self.network.forward(x, keep=True)
        self.passes = ExamplePasses(self.network, count_examples(x))
        self.outputs = Outputs(self.network, type(self).__name__)
        self.n_examples = self.passes.batch
        self.shape = (network.n_parameters, network.n_parameters)
        self.below_sigma = self.network.canonical

    @abstractmethod
    def columns(self) -> Iterator[Any]:
        """Yield s_k of all examples, n x B, for every k; of several outputs, one for each."""

    def gradients(self) -> Iterator[list[Part]]:
        """Yield g_k of all examples for every k, as factors: see `ExamplePasses.back`."""
        for column in self.columns():
            yield self.passes.back(column, self.below_sigma)

    @underflow_is_0
    def diagonal(self) -> np.ndarray:
        """Return the diagonal of M, (P,), without M: of a dense layer sum of delta^2 (a^2)^T / B.

        One pass back for every k.
        """
        found = np.zeros(self.shape[0], self.network.dtype)
        for parts in self.gradients():
            for part in parts:
                found[part.where] += part.term.second_moment()
        return found / self.n_examples

    @underflow_is_0
    def matrix(self) -> np.ndarray:
        """Return M, P x P: for small networks."""
        found = np.zeros(self.shape, self.network.dtype)
        for parts in self.gradients():
            g = np.zeros((self.n_examples, self.shape[0]), self.network.dtype)
            for part in parts:
                g[:, part.where] = part.term.gradients(slice(None))
            found += g.T @ g
        return found / self.n_examples

    @underflow_is_0
    def __matmul__(self, v: Any) -> np.ndarray:
        """Return M v for v of shape (P,), or P x K, without M.

        Raises
        ------
        ShapeError
            If v has another shape.
        """
        return by_columns(self.product, self.direction(v))

    def direction(self, v: Any) -> np.ndarray:
        """Return v in the network's dtype, if it is one direction in theta, or several."""
        return direction(self, v, self.shape[0]).astype(self.network.dtype)

    def product(self, v: np.ndarray) -> np.ndarray:
        """Return M v, (P,), as the sum of g (g . v)."""
        found = np.zeros(self.shape[0], self.network.dtype)
        for parts in self.gradients():
            c = np.zeros(self.n_examples, self.network.dtype)
            for part in parts:
                c += part.term.products(v[part.where])
            for part in parts:
                found[part.where] += part.term.weighted_sum(c)
        return found / self.n_examples

    @underflow_is_0
    def kronecker_factors(self) -> dict[str, KroneckerFactors]:
        """Return the two factors of M's block of every dense and convolutional layer, by its name.

        See `KroneckerFactors` for what they are.

        Raises
        ------
        ValueError
            If steps, or outputs, have weights of their own.
        """
        weights = self.outputs.weights_of_examples(f"{type(self).__name__}: Kronecker factors")
        return kronecker_factors(self.passes, self.gradients(), weights=weights)

    def __repr__(self) -> str:
        p = self.shape[0]
        return f"<{type(self).__name__} of {self.n_examples} examples, {p} x {p}>"


def direction(owner: object, v: Any, n: int) -> np.ndarray:
    """Return v as an array, if it is one direction in theta, (P,), or several, P x K."""
    return real_vector(owner, "a direction in theta", v, n, several=True)


def by_columns(product: Any, v: np.ndarray) -> np.ndarray:
    """Return the product with every column of v."""
    if v.ndim == 1:
        return product(v)  # type: ignore[no-any-return]
    return np.stack([product(column) for column in v.T], axis=1) if v.size else np.zeros(v.shape)
