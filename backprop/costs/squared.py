"""Squared costs: half the square, the square, and its mean over the outputs."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np

from backprop.core.checks import is_finite
from backprop.costs.base import Cost
from backprop.layers.activations import Identity


class SquaredCost(Cost):
    """C_x = factor ||a - y||^2; what the three squared costs share."""

    canonical = Identity

    @abstractmethod
    def _factor(self, a: np.ndarray) -> float:
        """Return what the sum of squares is multiplied by."""

    def cost_of_each(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            cost = self._factor(a) * np.square(a - y).sum(axis=0)
            if not is_finite(cost):  # squares in double precision, the factor before the sum
                wide = np.result_type(a, np.float64)
                difference = a.astype(wide) - y.astype(wide)
                cost = np.square(math.sqrt(self._factor(a)) * difference).sum(axis=0)
        return cost  # type: ignore[no-any-return]

    def gradient(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        nabla_a = a - y
        nabla_a *= 2 * self._factor(a) / a.shape[-1]
        return nabla_a

    # The canonical activation is the identity: z is a, and sigma' is 1.

    def cost_of_each_from_z(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.cost_of_each(z, y)

    def delta_of(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.gradient(a, y)


class Quadratic(SquaredCost):
    """C_x = 1/2 ||a - y||^2, so dC/da = (a - y) / B.

    Canonical with `Identity`. With `Sigmoid` it goes through sigma' and shows the learning
    slowdown of a saturated neuron. Source: the book, chapter 1, equation (6).
    """

    def _factor(self, a: np.ndarray) -> float:
        return 0.5


class SquaredError(SquaredCost):
    """C_x = ||a - y||^2, so dC/da = 2 (a - y) / B: the plain square, without the half.

    Canonical with `Identity`, where delta is 2 (a - y) / B.
    """

    def _factor(self, a: np.ndarray) -> float:
        return 1.0


class MeanSquaredError(SquaredCost):
    """C_x = 1/n ||a - y||^2 over the n outputs, so dC/da = 2 (a - y) / (n B).

    What PyTorch's ``MSELoss`` and Keras call mean squared error. Canonical with `Identity`.
    """

    def _factor(self, a: np.ndarray) -> float:
        return 1 / math.prod(a.shape[:-1])

    def mean_weight(self, w: np.ndarray) -> float:
        return float(w.mean())  # of all steps: C is the mean over all that count
