"""The Hessian of a cost by a network's output, of every example: from BP1, by the complex step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from backprop.research.curvature.densities import one_by_one
from backprop.research.curvature.outputs import Output

STEP = 1e-20
CONVEX = 1e-9  # how far below 0 rounding may put an eigenvalue, beside the largest


class OutputHessian:
    """H_x = d^2 C_x / dz^2 (or / da^2) of every example, which differ from example to example.

    Parameters
    ----------
    derivative : callable
        Takes a direction v of the output's shape, n x ... x B, to H_x v of every example.
    shape : tuple of int
        Of the output.

    Attributes
    ----------
    diagonal : ndarray of `shape`, or None
        Where every output has its own term in the cost.
    """

    def __init__(self, derivative: Callable[[np.ndarray], np.ndarray], shape: Any) -> None:
        self.times, self.shape = derivative, shape
        row_sums = derivative(np.ones(shape))
        signs = np.random.default_rng(0).uniform(0.5, 1.5, shape)
        signs[::2] *= -1
        # With H diagonal H s is s H 1, and with no other, but by a chance that is no chance.
        off = np.abs(derivative(signs) - signs * row_sums)
        self.diagonal = row_sums if (off <= 1e-12 * np.abs(row_sums).max(initial=0)).all() else None

    def matrices(self) -> np.ndarray:
        """Return H_x of every example, B x n x n, the outputs of an example in one row."""
        n = int(np.prod(self.shape[:-1]))
        columns = [self.times(unit).reshape(n, -1) for unit in one_by_one(np.ones(self.shape))]
        return np.stack(columns).transpose(2, 0, 1)

    def roots(self) -> Iterator[np.ndarray]:
        """Yield s_k, of the output's shape, for which the sum of s s^T is H_x of every example.

        Raises
        ------
        ValueError
            If an H_x has a negative eigenvalue.
        """
        if self.diagonal is not None:
            _check_convex(self.diagonal)
            yield from one_by_one(np.sqrt(np.maximum(self.diagonal, 0)))
            return
        h = self.matrices()
        values, vectors = np.linalg.eigh((h + h.swapaxes(1, 2)) / 2)
        _check_convex(values)
        found = vectors * np.sqrt(np.maximum(values, 0))[:, None]
        least = CONVEX * np.abs(values).max(initial=0)
        for k in range(values.shape[1]):
            if (values[:, k] > least).any():  # of softmax one direction of n is flat
                yield found[:, :, k].T.reshape(self.shape)


def _check_convex(values: np.ndarray) -> None:
    if values.min(initial=0) < -CONVEX * np.abs(values).max(initial=0):
        raise ValueError(
            f"GaussNewton: the cost is not convex in the outputs, its Hessian has the eigenvalue "
            f"{values.min():g}: take Hessian, or Fisher"
        )


def output_hessian(output: Output, y: Any) -> OutputHessian:
    """Return the Hessian of one output's term in C, for the network's last forward pass."""
    cost, below, batch = output.cost, output.canonical, output.at.shape[-1]
    sigma, at = output.sigma, output.at.astype(np.float64)
    y = y.astype(np.float64) if y.dtype.kind == "f" else y

    def derivative(v: np.ndarray) -> np.ndarray:
        there = at + 1j * STEP * v
        z, a = (there, sigma.sigma(there)) if below else (None, there)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", getattr(np, "exceptions", np).ComplexWarning)
            try:
                start, _ = cost.bp1(z, a, sigma if below else None, y)
            except Exception as error:
                raise TypeError(
                    f"GaussNewton: {cost} cannot take complex numbers: {error}"
                ) from error
        if start.dtype.kind != "c":
            raise TypeError(f"GaussNewton: {cost} loses the imaginary part of its outputs")
        return start.imag * (batch / STEP) * output.counts  # type: ignore[no-any-return]

    return OutputHessian(derivative, at.shape)
