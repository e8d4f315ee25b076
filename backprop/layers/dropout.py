"""Dropout: every activation is left out with probability p while training."""

from __future__ import annotations

import numpy as np

from backprop.checks import check_number
from backprop.layers.base import Layer, Seed


class Dropout(Layer):
    """Inverted dropout: training scales what it keeps, so inference is the identity.

    ::

        forward    a = mask * a_prev        mask = 0 with probability p, else 1 / (1 - p)
        downstream dC/da_prev = mask * nabla_a

    The expectation of a is a_prev. The mask is drawn anew for every training forward, kept as
    `mask`, and read again by backward; the mode of the forward pass counts, nothing is re-read.
    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", 2014; the book, chapter 3, in the form that rescales at test time instead.

    Parameters
    ----------
    p : float
        The probability of leaving an activation out, 0 <= p < 1.
    rng : numpy.random.Generator, int or None
        Where masks are drawn from, or its seed. `initialize` (and so a network's seed) replaces
        it.

    Attributes
    ----------
    mask : ndarray of the input's shape and dtype, or None
        That of the last training forward: 0 or 1 / (1 - p).
    """

    mask: np.ndarray | None = None

    def __init__(self, p: float = 0.5, rng: Seed = None) -> None:
        self.p = check_number("Dropout: p", p, "[0, 1)")
        self.initialize(rng)

    def initialize(self, rng: Seed = None) -> None:
        # A stream of its own: how many masks are drawn does not depend on who else draws.
        self.rng = np.random.default_rng(np.random.default_rng(rng).integers(2**63))

    def _forward(self, a_prev: np.ndarray, training: bool) -> np.ndarray:
        if not training:
            return a_prev.copy()
        assert self.rng is not None
        kind = np.float32 if a_prev.dtype.itemsize == 4 else np.float64
        kept = self.rng.random(a_prev.shape, dtype=kind) >= self.p
        mask = kept.astype(kind)
        mask *= 1 / (1 - self.p)
        self.a_prev, self.mask, self.a, self.delta = a_prev, mask, mask * a_prev, None
        return self.a  # type: ignore[no-any-return]

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        return self.mask * nabla_a if input_gradient else None

    def __repr__(self) -> str:
        return f"Dropout({self.p:g})"
