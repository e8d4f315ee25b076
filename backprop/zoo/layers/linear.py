"""Linear neurons: a = w a_prev + b.

The cost is a mean over the batch, C = 1/B sum of C_x, and nabla_a is dC/da.

::

    BP3        dC/db = sum of nabla_a over the batch
    BP4        dC/dw = nabla_a a_prev^T
    downstream w^T nabla_a
"""

import numpy as np

from backprop.layers import Gradient, Layer, Parameter


class Linear(Layer):
    """n_out linear neurons."""

    w, nabla_w = Parameter(regularized=True), Gradient()
    b, nabla_b = Parameter(), Gradient()

    def __init__(self, n_in, n_out, dtype="float32", rng=None):
        self.n_in, self.n_out = n_in, n_out
        self.allocate(dtype, w=(n_out, n_in), b=(n_out, 1))
        self.initialize(rng)

    def initialize(self, rng=None):
        rng = np.random.default_rng(rng)
        self.w = rng.standard_normal(self.w.shape) / np.sqrt(self.n_in)
        self.b = rng.standard_normal(self.b.shape)

    def output_shape(self, input_shape):
        if input_shape != (self.n_in,):
            raise self.shape_error((self.n_in,), input_shape)
        return (self.n_out,)

    def output(self, a_prev, mode):
        return self.w @ a_prev + self.b

    def parameter_gradients(self, delta):
        batch = delta.shape[-1]
        self.nabla_b = delta.sum(axis=1, keepdims=True) / batch
        self.nabla_w = delta @ self.a_prev.T / batch

    def downstream(self, delta):
        return self.w.T @ delta
