"""A chain of layers for sequences of different lengths, padded to one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.shapes import Shape, ShapeError, shape_text
from backprop.layers.base import Layer
from backprop.layers.containers.base import check_one_array
from backprop.layers.containers.sequential import OpenChain
from backprop.layers.flat import check_layers
from backprop.layers.masks import mask_after, why_unmasked
from backprop.layers.mode import Mode


class Masked(OpenChain):
    """A chain of layers for sequences of different lengths, padded to one length.

    Which steps are real goes with the data, so that a network, a trainer and `predict` need to
    know nothing of it:

    - numbers, (d + 1) x ... x T x B: the last row (of images, the last channel) is 1 where a step
      is real and 0 where it is not (a step is real where it is above 1/2). The chain is given the
      d rows above. The row has no gradient: its downstream gradient is 0.
    - tokens, integers T x B, where the first layer is an `Embedding`: -1 where a step is not
      real. The chain is given token 0 there.

    Every layer of the chain is given 0 where a step is padding, and sends down 0 there. So how far
    a batch was padded, and with what, changes no output at a real step, no gradient and no
    statistic. Layers in which steps meet heed the mask: recurrent layers keep their state,
    attention looks at real steps only, a pool and a convolution take padding for the end of the
    sequence, means are over real steps. What cannot do so is refused; `backprop.layers.masks` says
    how a layer of one's own declares what it does.

    After `Masked` nobody knows of the mask: put there what treats every step by itself
    (`TimeDistributed`, with labels of -1), and inside what makes one column of a sequence
    (`GlobalAvgPool`, ``TimeStep(-1)``).

    `backprop.datasets.sequences.pad` makes both from lists of sequences.

    Parameters
    ----------
    layers : sequence of Layer
        Of which one at least takes a mask, or integers.

    Raises
    ------
    TypeError, ValueError, ShapeError
        As `Sequential`; ValueError too if a layer cannot be given a mask, or none needs one.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        if not isinstance(layers, Layer):
            layers = tuple(layers)
            check_layers(layers, "Masked")
            if not any(layer.takes_mask or layer.integer_input for layer in layers):
                raise ValueError("Masked: no layer takes a mask; use Sequential")
            reason = why_unmasked(layers)
            if reason:
                raise ValueError(f"Masked: {reason}")
        self.adopt_children(layers)

    def flatten_parameters(self) -> None:
        super().flatten_parameters()
        self.takes_mask = False  # it brings its own

    def why_unmasked(self) -> str:
        return f"{self} brings a mask of its own: take its layers as they are, without it"

    @property
    def input_shape(self) -> Shape | None:
        return None

    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        if self.integer_input:
            return super().inner_shapes(input_shape)
        return self._shapes_below_the_mask(input_shape)

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
        tokens = a_prev
        if self.integer_input and isinstance(a_prev, np.ndarray) and a_prev.dtype.kind == "i":
            tokens = np.where(a_prev == -1, 0, a_prev)
        super().check_input(tokens)
        mask_after(self.children, self._split(a_prev)[1])  # raises if the steps lie wrongly

    def _split(self, a_prev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the chain is given, and the mask, T x B."""
        if self.integer_input:
            inner, real = np.where(a_prev == -1, 0, a_prev), a_prev != -1
        else:
            inner, real = a_prev[:-1], a_prev[-1].real > 0.5
        return inner, real.all(axis=tuple(range(real.ndim - 2)))

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
