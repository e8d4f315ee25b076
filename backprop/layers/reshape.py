"""Layers that only rearrange: the same numbers in another shape, the batch untouched."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from backprop.layers.base import Layer, Shape, ShapeError, check_size, shape_text


class Reshape(Layer):
    """Give every example another shape, in C order; backward gives the gradient the old one.

    What it returns is a view of what it was given, where that is possible without a copy.

    Parameters
    ----------
    shape : sequence of int
        The new shape without the batch axis; one entry may be -1, which stands for whatever
        makes the number of elements come out.

    Raises
    ------
    ValueError
        For an entry that is neither positive nor the only -1.
    ShapeError
        From `output_shape`, if the number of elements does not fit.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(n if n == -1 else check_size("Reshape", "shape", n) for n in shape)
        if self.shape.count(-1) > 1 or not self.shape:
            raise ValueError(f"Reshape: shape may hold one -1 and must not be empty, got {shape!r}")

    def output_shape(self, input_shape: Shape) -> Shape:
        size, known = math.prod(input_shape), -math.prod(self.shape)
        if -1 not in self.shape:
            if size == math.prod(self.shape):
                return self.shape
        elif known and size % known == 0:
            return tuple(size // known if n == -1 else n for n in self.shape)
        raise ShapeError(
            f"{self}: cannot reshape {shape_text(input_shape)} to {self.shape}",
            f"(..., B) with {'a multiple of ' if -1 in self.shape else ''}"
            f"{abs(math.prod(self.shape))} elements an example",
        )

    def _forward(self, a_prev: np.ndarray, training: bool) -> np.ndarray:
        a = a_prev.reshape(*self.output_shape(a_prev.shape[:-1]), a_prev.shape[-1])
        if training:
            self.a_prev, self.a, self.delta = a_prev, a, None
        return a

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        return nabla_a.reshape(self.a_prev.shape) if input_gradient else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.shape))})"


class Flatten(Reshape):
    """Make one column of every example, C x H x W x B to (C H W) x B: what `Dense` takes."""

    def __init__(self) -> None:
        super().__init__((-1,))

    def __repr__(self) -> str:
        return "Flatten()"
