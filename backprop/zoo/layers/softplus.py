"""Softplus as a layer: a = ln(1 + exp z), z being its input.

::

    sigma'(z) = 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2
"""

import numpy as np

from backprop.layers import Activation


class Softplus(Activation):
    """A smooth ReLU."""

    range = (0.0, np.inf)

    def sigma(self, z):
        return np.log(1 + np.exp(z))

    def prime(self, z, a):
        return (1 + np.tanh(z / 2)) / 2
