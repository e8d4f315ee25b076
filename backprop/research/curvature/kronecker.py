"""KFAC's factors: a layer's block of a curvature matrix as a Kronecker product."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.layers import Dense, Layer
from backprop.layers.convolution import Convolution
from backprop.research.example_passes import ExamplePasses, Part
from backprop.research.factors import Beside, Outer


@dataclass
class KroneckerFactors:
    """The block of a layer, approximately input (x) output: two factors of the layer's own sizes.

    With a' = (a_prev, 1), so that the bias is a column of w, and the s_k of the matrix going back
    to delta_k::

        input  = (1/B) sum over x, p of w_x a'_p a'_p^T         (n_in + 1) x (n_in + 1)
        output = (1/(B places)) sum over x, k, p of delta_kp delta_kp^T     n_out x n_out

    Of a dense layer there is one place p; it is exact where delta and a_prev are independent. Of a
    convolution a' is a patch and the places are those of the windows, whose deltas are taken to be
    uncorrelated, and alike everywhere; so they are of a dense layer that stands in
    `TimeDistributed`.

    With groups of channels there is one pair for each: groups x ... are the shapes. w_x are the
    weights of the examples, of which the deltas carry the roots.

    Source: Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate
    Curvature", arXiv 1503.05671, 2015; Grosse and Martens, "A Kronecker-factored approximate Fisher
    matrix for convolution layers", arXiv 1602.01407, 2016.

    Attributes
    ----------
    w, b : slice
        Where in theta weights and biases lie.
    input : ndarray, groups x (n_in + 1) x (n_in + 1)
    output : ndarray, groups x n_out x n_out
    """

    w: slice
    b: slice
    input: np.ndarray
    output: np.ndarray

    def block(self) -> np.ndarray:
        """Return the block that the factors stand for, by w (row by row) and then b.

        Between different groups of channels it is 0.
        """
        groups, rows, width = len(self.input), self.output.shape[1], self.input.shape[1] - 1
        size = groups * rows * width
        found = np.zeros((size + groups * rows,) * 2, self.input.dtype)
        for group, (a, g) in enumerate(zip(self.input, self.output, strict=True)):
            whole = np.kron(g, a)
            of_w = np.arange(rows * width) + group * rows * width
            of_b = size + group * rows + np.arange(rows)
            places = np.concatenate([of_w.reshape(rows, width), of_b[:, None]], axis=1).ravel()
            found[np.ix_(places, places)] = whole
        return found

    def damped_inverses(self, damping: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (input + pi sqrt(damping))^-1 and (output + sqrt(damping) / pi)^-1.

        pi^2 = (tr input / (n_in + 1)) / (tr output / n_out) shares the damping out, so that the
        product of the two comes near to (block + damping)^-1. Computed in float64.
        """
        factors = [one.astype(np.float64) for one in (self.input, self.output)]
        means = [np.trace(one, axis1=1, axis2=2) / one.shape[1] for one in factors]
        tiny = np.finfo(np.float32).tiny  # of a layer that nothing comes through
        pi = np.sqrt(np.maximum(means[0], tiny) / np.maximum(means[1], tiny))[:, None, None]
        a, g = (
            np.linalg.inv(one + share * np.sqrt(damping) * np.eye(one.shape[1]))
            for one, share in zip(factors, (pi, 1 / pi), strict=True)
        )
        return a.astype(self.input.dtype), g.astype(self.input.dtype)

    def gathered(self, vector: np.ndarray) -> np.ndarray:
        """Return the layer's part of a vector like theta as matrices, the bias a last column."""
        groups, rows, width = len(self.input), self.output.shape[1], self.input.shape[1] - 1
        w = vector[self.w].reshape(groups, rows, width)
        return np.concatenate([w, vector[self.b].reshape(groups, rows, 1)], axis=2)

    def scatter(self, matrices: np.ndarray, vector: np.ndarray) -> None:
        """Put what `gathered` has taken apart into a vector like theta."""
        vector[self.w] = matrices[:, :, :-1].ravel()
        vector[self.b] = matrices[:, :, -1].ravel()


def kronecker_factors(
    passes: ExamplePasses, gradients: Iterable[list[Part]], others: Any = None, weights: Any = None
) -> dict[str, KroneckerFactors]:
    """Return the factors of every layer that has them, from the gradients of all columns.

    Parameters
    ----------
    passes : ExamplePasses
    gradients : iterable of list of Part
        What `ExamplePasses.back` returned for every column.
    others : ndarray, (P,), optional
        Is added the sum over examples and columns of the squares of the gradients of all else.
    weights : ndarray, (B,), optional
        Of the examples, of mean 1; the gradients already carry their roots.
    """
    found: dict[str, KroneckerFactors] = {}
    for parts in gradients:
        by_name = {part.name: part for part in parts}
        for name, term in list(_layers_with_factors(passes, by_name)):
            w, b = by_name.pop(f"{name}.w"), by_name.pop(f"{name}.b")
            left, places = _flat(term.left), passes.batch * term.places
            output = np.matmul(left, left.swapaxes(1, 2)) / left.dtype.type(places)
            if name in found:
                found[name].output += output
            else:
                inputs = _of_inputs(term.right, weights)
                found[name] = KroneckerFactors(w.where, b.where, inputs, output)
        if others is not None:
            for part in by_name.values():
                others[part.where] += part.term.second_moment()
    return found


def _layers_with_factors(
    passes: ExamplePasses, by_name: dict[str, Part]
) -> Iterator[tuple[str, Outer]]:
    """Yield the layers of which both parameters are learnt, at one place in the network.

    Each with the term of its weights.
    """
    for name, layer in passes.network.walk():
        w, b = by_name.get(f"{name}.w"), by_name.get(f"{name}.b")
        if w is None or b is None or not has_factors(layer) or not isinstance(w.term, Outer):
            continue
        if not isinstance(w.term.left, Beside):
            yield name, w.term


def has_factors(layer: Layer) -> bool:
    """Say whether a layer is of a kind that has Kronecker factors."""
    return isinstance(layer, (Dense, Convolution))


def _flat(columns: Any) -> np.ndarray:
    array = columns.of(slice(None))
    return array.reshape(*array.shape[:2], -1)  # type: ignore[no-any-return]


def _of_inputs(right: Any, weights: Any) -> np.ndarray:
    """Return the sum of w a' a'^T over places and examples, by B."""
    columns = counted = _flat(right)
    groups, rows, n = columns.shape
    if weights is not None:
        counted = columns * np.tile(weights, right.places).astype(columns.dtype)
    found = np.empty((groups, rows + 1, rows + 1), columns.dtype)
    np.matmul(counted, columns.swapaxes(1, 2), out=found[:, :-1, :-1])
    found[:, :-1, -1] = found[:, -1, :-1] = counted.sum(axis=2)
    found[:, -1, -1] = n
    return found / found.dtype.type(right.batch)
