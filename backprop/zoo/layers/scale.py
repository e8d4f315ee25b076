"""A scale for every neuron: a = g * a_prev.

::

    BP4        dC/dg = sum of nabla_a * a_prev over the batch
    downstream g * nabla_a
"""

import numpy as np

from backprop.layers import Gradient, Layer, Parameter


class Scale(Layer):
    """Every neuron times its own factor."""

    g, nabla_g = Parameter(regularized=True), Gradient()

    def __init__(self, n, dtype="float32"):
        self.n = n
        self.allocate(dtype, g=(n, 1))
        self.initialize()

    def initialize(self, rng=None):
        self.g = np.ones((self.n, 1))

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return input_shape

    def output(self, a_prev, mode):
        return self.g * a_prev

    def parameter_gradients(self, delta):
        self.nabla_g += (delta * self.a_prev).sum(axis=1, keepdims=True)

    def downstream(self, delta):
        return self.g * delta
