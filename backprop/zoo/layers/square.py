"""Linear neurons, as many as the layer below has: a = w a_prev + b.

::

    BP3        dC/db = sum of nabla_a over the batch
    BP4        dC/dw = nabla_a a_prev^T
    downstream w^T nabla_a
"""

import numpy as np

from backprop.layers import Gradient, Layer, Parameter


class Square(Layer):
    """n linear neurons above n others."""

    w, nabla_w = Parameter(regularized=True), Gradient()
    b, nabla_b = Parameter(), Gradient()

    def __init__(self, n, dtype="float32", rng=None):
        self.n = n
        self.allocate(dtype, w=(n, n), b=(n, 1))
        self.initialize(rng)

    def initialize(self, rng=None):
        rng = np.random.default_rng(rng)
        self.w = rng.standard_normal(self.w.shape) / np.sqrt(self.n)
        self.b = rng.standard_normal(self.b.shape)

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return input_shape

    def output(self, a_prev, mode):
        return self.w @ a_prev + self.b

    def parameter_gradients(self, delta):
        self.nabla_b = delta.sum(axis=1, keepdims=True)
        self.nabla_w = delta @ self.a_prev.T

    def downstream(self, delta):
        return self.w @ delta
