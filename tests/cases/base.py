"""What a case is: a layer, and how an input for it is drawn."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.layers import Layer

MARGIN = 0.01
BOOK = ("nielsen", "normal")  # weights and biases, none of which is 0


@dataclass(frozen=True)
class Case:
    """A layer and the shape of its input: `make(dtype)` gives the same layer every time.

    `draw(rng, shape)` draws the input of a layer that does not take every number, such as the
    integers of an embedding; `draw_input` does unless told.
    """

    name: str
    make: Callable[[Any], Layer]
    input_shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] | None = None

    def __str__(self) -> str:
        return self.name

    def problem(self, batch: int, dtype: Any = np.float64, seed: int = 0) -> tuple:
        """Return the layer, an input and a random upstream gradient for it."""
        rng = np.random.default_rng(seed)
        layer = self.make(dtype)
        x = self.input((*self.input_shape, batch), rng)
        shape = (*layer.output_shape(self.input_shape), batch)
        x = x if x.dtype.kind in "iu" else x.astype(dtype)
        return layer, x, rng.standard_normal(shape).astype(dtype)

    def input(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw an input in float64, or in integers."""
        return self.draw(rng, shape) if self.draw else draw_input(self.make(np.float64), shape, rng)


def draw_input(layer: Layer, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw x of mixed signs, with |z| > MARGIN everywhere in a layer that has a z."""
    twin = copy.deepcopy(layer)
    if twin.dtype is not None:
        twin = twin.astype(np.float64)
    while True:
        x = 2 * rng.standard_normal(shape)
        twin.forward(x, training=True)
        if twin.z is None or np.abs(twin.z).min() > MARGIN:
            return x
