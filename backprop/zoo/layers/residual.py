"""A residual block of its own: a = x + tanh(w x).

::

    BP2        delta = nabla_a * (1 - tanh(w x)^2)
    BP4        dC/dw = delta x^T
    downstream nabla_a + w^T delta: the way past, and the way through
"""

import numpy as np

from backprop.layers import Gradient, Layer, Parameter


class Residual(Layer):
    """A step from x in the direction of tanh(w x)."""

    w, nabla_w = Parameter(regularized=True), Gradient()

    def __init__(self, n, dtype="float32", rng=None):
        self.n = n
        self.allocate(dtype, w=(n, n))
        self.initialize(rng)

    def initialize(self, rng=None):
        self.w = np.random.default_rng(rng).standard_normal((self.n, self.n)) / self.n

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return input_shape

    def output(self, a_prev, mode):
        return a_prev + np.tanh(self.w @ a_prev)

    def parameter_gradients(self, delta):
        self.nabla_w = self.through(delta) @ self.a_prev.T

    def downstream(self, delta):
        return self.w.T @ self.through(delta)

    def through(self, nabla_a):
        """Return nabla_a times the derivative of tanh."""
        return nabla_a * (1 - (self.a - self.a_prev) ** 2)
