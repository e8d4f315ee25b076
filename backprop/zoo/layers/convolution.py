"""A convolution of a signal: z_l = sum over i of w_i x_{l+i} + b, for a kernel of three weights.

::

    n numbers become n - 2
    BP3        dC/db = sum of nabla_a over places and batch
    BP4        dC/dw_i = sum of nabla_a_l x_{l+i} over places and batch
    downstream dC/dx_m = sum over i of w_i nabla_a_{m-i}
"""

import numpy as np

from backprop.layers import Gradient, Layer, Parameter


class Convolution(Layer):
    """A kernel of three, moved along n x B."""

    w, nabla_w = Parameter(regularized=True), Gradient()
    b, nabla_b = Parameter(), Gradient()

    def __init__(self, dtype="float32", rng=None):
        self.allocate(dtype, w=(3,), b=(1, 1))
        self.initialize(rng)

    def initialize(self, rng=None):
        rng = np.random.default_rng(rng)
        self.w, self.b = rng.standard_normal(3), rng.standard_normal((1, 1))

    def output_shape(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] < 3:
            raise self.shape_error("(n >= 3)", input_shape)
        return (input_shape[0] - 2,)

    def output(self, a_prev, mode):
        n = len(a_prev) - 2
        return sum(w * a_prev[i : i + n] for i, w in enumerate(self.w)) + self.b

    def parameter_gradients(self, delta):
        n = len(delta)
        self.nabla_b[...] = delta.sum()
        for i in range(3):
            self.nabla_w[i] = (delta * self.a_prev[i : i + n]).sum()

    def downstream(self, delta):
        nabla, n = np.zeros_like(self.a_prev), len(delta)
        for i, w in enumerate(self.w[::-1]):
            nabla[i : i + n] += w * delta
        return nabla
