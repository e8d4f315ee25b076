"""Neurons that share their weights, shifted: a_j = sum over k of c[j - k] a_prev_k.

::

    a = w a_prev with w[j, k] = c[(j - k) mod n]
    BP4        dC/dc[s] = sum of (nabla_a a_prev^T)[j, k] over all j, k with (j - k) mod n = s
    downstream w^T nabla_a
"""

import numpy as np

from backprop.layers import Gradient, Layer, Parameter


class Circulant(Layer):
    """n neurons with n weights."""

    c, nabla_c = Parameter(regularized=True), Gradient()

    def __init__(self, n, dtype="float32", rng=None):
        self.n = n
        self.shifts = (np.arange(n)[:, None] - np.arange(n)) % n
        self.allocate(dtype, c=(n,))
        self.initialize(rng)

    def initialize(self, rng=None):
        self.c = np.random.default_rng(rng).standard_normal(self.n) / np.sqrt(self.n)

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return input_shape

    def output(self, a_prev, mode):
        return self.c[self.shifts] @ a_prev

    def parameter_gradients(self, delta):
        nabla_w = delta @ self.a_prev.T
        for shift in range(self.n):
            self.nabla_c[shift] = nabla_w[self.shifts == shift][0]

    def downstream(self, delta):
        return self.c[self.shifts].T @ delta
