"""A chain of layers for sequences of different lengths, padded to one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.shapes import Shape, ShapeError, shape_text
from backprop.layers.base import Layer
from backprop.layers.containers.base import check_one_array, check_steps
from backprop.layers.containers.sequential import OpenChain
from backprop.layers.mode import Mode


class Masked(OpenChain):
    """A chain of layers for sequences of different lengths, padded to one length.

    Which steps are real goes with the data, so that a network, a trainer and `predict` need to
    know nothing of it, and is handed to every layer of the chain that takes a mask (`RNN`, `LSTM`,
    `GRU`, `MultiHeadAttention`, and containers of them):

    - numbers, (d + 1) x T x B: the last row is 1 where a step is real and 0 where it is not (a
      step is real where it is above 1/2). The chain is given the d rows above. The row has no
      gradient: its downstream gradient is 0.
    - tokens, integers T x B, where the first layer is an `Embedding`: -1 where a step is not
      real. The chain is given token 0 there.

    Below a layer that takes the mask the steps must stay what they are, as many and in order.

    `backprop.datasets.sequences.pad` makes both from lists of sequences.

    Parameters
    ----------
    layers : sequence of Layer
        Of which one at least takes a mask.

    Raises
    ------
    TypeError, ValueError, ShapeError
        As `Sequential`; ValueError too if no layer takes a mask.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        if not isinstance(layers, Layer):
            layers = tuple(layers)
            if layers and not any(getattr(layer, "takes_mask", True) for layer in layers):
                raise ValueError("Masked: no layer takes a mask; use Sequential")
        self.adopt_children(layers)

    def flatten_parameters(self) -> None:
        super().flatten_parameters()
        self.takes_mask = False  # it brings its own

    @property
    def input_shape(self) -> Shape | None:
        return None

    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        if self.integer_input:
            found = super().inner_shapes(input_shape)
        else:
            found = self._shapes_below_the_mask(input_shape)
        for child, (shape, _) in zip(self.children, found, strict=True):
            check_steps(child, shape, input_shape[-1])
        return found

    def _shapes_below_the_mask(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        check_one_array(self, input_shape)
        if len(input_shape) < 2 or input_shape[0] < 2:
            raise self.shape_error("(d + 1, T)", input_shape)
        inner = (input_shape[0] - 1, *input_shape[1:])
        try:
            self.children[0].output_shape(inner)
        except ShapeError as error:
            raise ShapeError(
                f"{self}: the last row of {shape_text(input_shape)} is the mask, and the layers "
                f"cannot take the {inner[0]} rows above it: {error}"
            ) from None
        return super().inner_shapes(inner)

    def check_input(self, a_prev: np.ndarray) -> None:
        if self.integer_input and isinstance(a_prev, np.ndarray) and a_prev.dtype.kind == "i":
            a_prev = np.where(a_prev == -1, 0, a_prev)
        super().check_input(a_prev)

    def _split(self, a_prev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the chain is given, and the mask."""
        if self.integer_input:
            mask = a_prev != -1
            return np.where(mask, a_prev, 0), mask
        return a_prev[:-1], a_prev[-1].real > 0.5

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        inner, mask = self._split(a_prev)
        return super().output(inner, mode.masked(mask))  # type: ignore[no-any-return]

    def gives(self, taken: Any, input_shape: Any) -> Any:
        return super().gives(taken, input_shape)

    def z_and_a(self, a_prev: np.ndarray, mode: Mode) -> tuple[Any, Any]:
        inner, mask = self._split(a_prev)
        return super().z_and_a(inner, mode.masked(mask))

    def descend_inside(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        inner = super().descend_inside(delta, input_gradient)
        if inner is None:
            return None
        return np.concatenate([inner, np.zeros_like(inner[:1])])  # the row of the mask
