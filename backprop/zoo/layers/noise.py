"""Noise: a = a_prev + N(0, 1/4) in training, a_prev in inference.

::

    downstream nabla_a

Random numbers come from the layer's own generator, so that a network made with one seed can be
made again.
"""

import numpy as np

from backprop.layers import Layer


class Noise(Layer):
    """Adds noise while training."""

    def __init__(self, rng=None):
        self.initialize(rng)

    def initialize(self, rng=None):
        self.rng = np.random.default_rng(rng)

    def output(self, a_prev, mode):
        if not mode.training:
            return a_prev.copy()
        noise = np.random.standard_normal(a_prev.shape)
        return a_prev + (0.5 * noise).astype(a_prev.real.dtype)

    def downstream(self, delta):
        return delta.copy()
