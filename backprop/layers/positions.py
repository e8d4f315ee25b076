"""Waves that tell every step of a sequence where it stands."""

from __future__ import annotations

import functools

import numpy as np

from backprop.core.shapes import Shape
from backprop.layers.base import Layer
from backprop.layers.mode import Mode


class PositionalEncoding(Layer):
    """Add sinusoids to a sequence, from which attention can tell where each step stands.

    ::

        a[:, t] = a_prev[:, t] + p[:, t]
        p[2i, t] = sin(t / 10000^(2i/d))        p[2i + 1, t] = cos(t / 10000^(2i/d))
        downstream dC/da_prev = nabla_a

    for t = 0, 1, ..., T - 1, any T. With an odd d the last row is a sine without its cosine. It
    takes d x T x B of any d, and has no parameters. With a mask t counts the real steps of every
    sequence, so that what fills it up, in front too, moves no step to another place.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.5.
    """

    takes_mask = True

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            raise self.shape_error("(d, T)", input_shape)
        return input_shape

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        d, steps, _ = a_prev.shape
        p = positions(d, steps, "f4" if a_prev.dtype.itemsize == 4 else "f8")
        if mode.mask is not None:
            p = p[:, np.maximum(mode.mask.cumsum(axis=0) - 1, 0), 0]  # d x T x B
        return a_prev + p

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        return delta.copy()


@functools.lru_cache(maxsize=16)  # which several threads may use
def positions(d: int, steps: int, dtype: str) -> np.ndarray:
    """Return p as d x T x 1, to be read only."""
    wavelength = 10000.0 ** (np.arange(0, d, 2)[:, None] / d)
    angle = np.arange(steps) / wavelength
    p = np.empty((d, steps, 1), dtype)
    p[0::2, :, 0] = np.sin(angle)
    p[1::2, :, 0] = np.cos(angle)[: d // 2]
    p.flags.writeable = False
    return p
