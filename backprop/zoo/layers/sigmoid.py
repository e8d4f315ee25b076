"""The sigmoid as a layer: a = sigma(z) = 1 / (1 + exp(-z)), z being its input.

::

    sigma'(z) = sigma(z) (1 - sigma(z))

An `Activation` writes sigma and prime(z, a), where a is sigma(z); the base does the rest.
"""

import numpy as np

from backprop.layers import Activation


def logistic(z):
    """Return 1 / (1 + exp(-z)), by tanh, which does not overflow."""
    return (1 + np.tanh(z / 2)) / 2


class Sigmoid(Activation):
    """1 / (1 + exp(-z))."""

    range = (0.0, 1.0)

    def sigma(self, z):
        return logistic(z)

    def prime(self, z, a):
        return logistic(a) * (1 - logistic(a))
