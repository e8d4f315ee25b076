"""Neurons: what every layer shares that ends in an activation."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop.core.assignment import OnAssignment
from backprop.layers.arguments import check_assignable
from backprop.layers.base import Layer
from backprop.layers.mode import Mode
from backprop.layers.outputs import Outputs

if TYPE_CHECKING:
    from backprop.layers.activations import Activation


@OnAssignment
def checked_activation(layer: Any, activation: Any) -> None:
    """sigma, or its name.

    Refused if the cost that the layer ends in cannot take its values, or what the layer stands in
    was made with another.
    """
    from backprop.layers.activations import as_activation  # which are neurons

    before = vars(layer).get("activation")
    check_assignable(layer, "activation")
    vars(layer)["activation"] = as_activation(activation, type(layer).__name__)
    if before is not None:
        try:
            layer.outputs_changed()
        except ValueError:
            vars(layer)["activation"] = before
            raise


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
        sigma. May be assigned, or its name; refused where a cost follows that cannot take its
        values.
    """

    activation: Activation = checked_activation  # type: ignore[assignment]

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

    def gives(self, taken: Any, input_shape: Any) -> Outputs:
        return self.activation.outputs(self.output_shape(input_shape)[0])

    @property
    def output_activation(self) -> Activation:
        return self.activation
