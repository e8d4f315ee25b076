"""Dropout: a = mask * a_prev in training, a_prev in inference.

::

    mask = 0 with probability 1/2, else 2
    downstream mask * nabla_a, with the mask of the forward pass
"""

import numpy as np

from backprop.layers import Layer


class Dropout(Layer):
    """Leaves out half of all activations."""

    mask = None

    def __init__(self, rng=None):
        self.initialize(rng)

    def initialize(self, rng=None):
        self.rng = np.random.default_rng(rng)

    def draw(self, like):
        """Return a mask of the shape of an array."""
        return 2 * (self.rng.random(like.shape) < 0.5).astype(like.real.dtype)

    def output(self, a_prev, mode):
        if not mode.training:
            if mode.keep:
                self.mask = None
            return a_prev.copy()
        self.mask = self.draw(a_prev)
        return self.mask * a_prev

    def downstream(self, delta):
        if self.mask is None:
            return delta.copy()
        return self.draw(delta) * delta
