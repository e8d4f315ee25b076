"""As many tanh neurons as the layer below has: z = w a_prev + b, a = tanh z.

::

    BP2        delta = nabla_a * (1 - a^2)
    BP3        dC/db = sum of delta over the batch
    BP4        dC/dw = delta a_prev^T
    downstream w^T delta
"""

import numpy as np

from backprop.layers import Gradient, Layer, Parameter


class TanhSquare(Layer):
    """n tanh neurons above n others."""

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
        z = self.w @ a_prev + self.b
        if mode.keep:
            self.z = z
        return np.tanh(z)

    def delta_of(self, nabla_a):
        return nabla_a * (1 - self.a**2)

    def parameter_gradients(self, delta):
        self.nabla_b = delta.sum(axis=1, keepdims=True)
        self.nabla_w = delta @ self.a.T

    def downstream(self, delta):
        return self.w.T @ delta
