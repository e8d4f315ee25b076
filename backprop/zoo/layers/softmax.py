"""Softmax as a layer: a_j = exp(z_j) / sum over k of exp(z_k).

::

    da_j / dz_k = a_j (1[j = k] - a_k)
"""

import numpy as np

from backprop.layers import Layer


class Softmax(Layer):
    """Probabilities of the classes, which stand on the first axis."""

    def output(self, a_prev, mode):
        a = np.exp(a_prev - a_prev.real.max(axis=0, keepdims=True))
        return a / a.sum(axis=0, keepdims=True)

    def downstream(self, delta):
        return delta * self.a * (1 - self.a)
