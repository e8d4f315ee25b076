"""Layer normalisation without scale and shift: a = (x - mu) / s, for every example.

::

    mu  = mean of x over the features,     s^2 = mean of (x - mu)^2 + 1e-5
    downstream (u - mean of u - a (mean of u a)) / s,   u = nabla_a

The last line counts in that every x moves mu and s, too.
"""

import numpy as np

from backprop.layers import Layer


class LayerNorm(Layer):
    """Every example has mean 0 and deviation 1."""

    s = None

    def output(self, a_prev, mode):
        centred = a_prev - a_prev.mean(axis=0, keepdims=True)
        s = np.sqrt((centred**2).mean(axis=0, keepdims=True) + 1e-5)
        if mode.keep:
            self.s = s
        return centred / s

    def downstream(self, delta):
        return (delta - self.a * (delta * self.a).mean(axis=0, keepdims=True)) / self.s
