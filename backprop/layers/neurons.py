"""Neurons: what every layer shares that ends in an activation."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop.layers.base import Layer
from backprop.layers.mode import Mode

if TYPE_CHECKING:
    from backprop.layers.activations import Activation


class Neurons(Layer):
    """A layer that ends in an activation: z = weighted_input(a_prev), a = sigma(z).

    ::

        forward    z = weighted_input(a_prev),   a = sigma(z)
        BP1, BP2   delta = nabla_a * sigma'(z)

    A subclass writes `weighted_input`, and of the way back `parameter_gradients` and
    `downstream`, both from delta.

    Attributes
    ----------
    activation : Activation
        sigma.
    """

    activation: Activation

    @abstractmethod
    def weighted_input(self, a_prev: np.ndarray) -> np.ndarray:
        """Return z, a new array."""

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        z = self.weighted_input(a_prev)
        if mode.keep:
            self.z = z
        return self.activation.sigma(z)  # a = sigma(z)

    def z_and_a(self, a_prev: np.ndarray, mode: Mode) -> tuple[Any, Any]:
        z = self.weighted_input(a_prev)
        return z, self.activation.sigma(z)

    def delta_of(self, nabla_a: np.ndarray) -> np.ndarray:
        return self.activation.times_prime(nabla_a, self.z, self.a)  # BP1, BP2: * sigma'(z)

    @property
    def output_activation(self) -> Activation:
        return self.activation
