"""Sigmoid neurons: z = w a_prev + b, a = 1 / (1 + exp(-z)).

::

    BP2        delta = nabla_a * sigma'(z),      sigma'(z) = a (1 - a)
    BP3        dC/db = sum of delta over the batch
    BP4        dC/dw = delta a_prev^T
    downstream w^T delta
"""

import numpy as np

from backprop.layers import Gradient, Layer, Parameter


class SigmoidNeurons(Layer):
    """What Dense(n_in, n_out) is in the book."""

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
        z = self.w @ a_prev + self.b
        if mode.keep:
            self.z = z
        return 1 / (1 + np.exp(-z))

    def delta_of(self, nabla_a):
        return nabla_a.copy()

    def parameter_gradients(self, delta):
        self.nabla_b = delta.sum(axis=1, keepdims=True)
        self.nabla_w = delta @ self.a_prev.T

    def downstream(self, delta):
        return self.w.T @ delta
