"""A layer on every time step by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.shapes import Shape, ShapeError, with_batch
from backprop.layers.activations import Activation
from backprop.layers.base import Layer
from backprop.layers.containers.base import Container, check_one_array
from backprop.layers.mode import Mode


class TimeDistributed(Container):
    """Apply one layer to every time step separately, with the same parameters.

    The T steps of B sequences are T B examples: n x T x B is n x (T B) in another shape, so BP3
    and BP4 sum over the steps too. Images over time, C x H x W x T x B, are C x H x W x (T B).

    Parameters
    ----------
    layer : Layer
        Such as ``Dense(64, 10)``.

    Raises
    ------
    TypeError, ValueError
        If it is no layer, or belongs to another network or container.
    ShapeError
        From `output_shape`, if there is no axis of time, or the layer does not take a step.
    """

    unmasked_advice = (
        "takes steps that only fill a sequence up for examples, and examples meet in its layer: "
        "put a BatchNorm, which takes a mask, on the sequences themselves"
    )

    def __init__(self, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"TimeDistributed: expected a layer, got {layer!r}")
        self.adopt_children((layer,))

    def flatten_parameters(self) -> None:
        super().flatten_parameters()
        self.independent_steps = self.independent_examples  # to the layer a step is an example

    @property
    def layer(self) -> Layer:
        """The child."""
        return self.children[0]

    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        step = input_shape[:-1]
        return [(step, self.layer.output_shape(step))]

    def output_shape(self, input_shape: Shape) -> Shape:
        check_one_array(self, input_shape)
        if len(input_shape) < 2 and not self.integer_input:
            raise self.shape_error("(..., T)", input_shape)
        try:
            of_step = self.layer.output_shape(input_shape[:-1])
        except ShapeError as error:
            if not error.expected:
                raise
            expected = with_batch(error.expected).replace(", B)", ", T)")
            raise self.shape_error(expected, input_shape) from None
        check_one_array(self, of_step)
        return (*of_step, input_shape[-1])

    def gives(self, taken: Any, input_shape: Shape) -> Any:
        return self.layer.known_outputs(taken, input_shape[:-1])

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        if mode.mask is not None:
            mode = mode.masked(None)  # every step is by itself
        a = self._steps(self.layer.run(examples(a_prev), mode), a_prev)
        if mode.keep:
            self.z = None if self.layer.z is None else self._steps(self.layer.z, a_prev)
        return a

    def z_and_a(self, a_prev: np.ndarray, mode: Mode) -> tuple[Any, Any]:
        z, a = self.layer.z_and_a(examples(a_prev), mode.masked(None))
        return None if z is None else self._steps(z, a_prev), self._steps(a, a_prev)

    def delta_of(self, nabla_a: np.ndarray) -> np.ndarray:
        return self._steps(self.layer.below_sigma(examples(nabla_a)), self.a_prev)

    def descend_inside(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        nabla_a_prev = self.layer.go_back_from(examples(delta), input_gradient)
        return None if nabla_a_prev is None else nabla_a_prev.reshape(self.a_prev.shape)

    def _steps(self, array: np.ndarray, a_prev: np.ndarray) -> np.ndarray:
        """Return n x (T B) as n x T x B."""
        return array.reshape(*array.shape[:-1], *a_prev.shape[-2:])

    @property
    def output_activation(self) -> Activation | None:
        return self.layer.output_activation


def examples(array: np.ndarray) -> np.ndarray:
    """Return n x T x B as n x (T B)."""
    return array.reshape(*array.shape[:-2], -1)
