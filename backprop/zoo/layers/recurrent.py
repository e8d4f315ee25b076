"""A recurrent neuron for every feature: h_t = tanh(x_t + u h_{t-1}), from h = 0, for n x T x B.

::

    BPTT       delta_t = (nabla_a_t + u delta_{t+1}) * (1 - h_t^2)
    BP4        dC/du = sum over t and the batch of delta_t h_{t-1}
    downstream dC/dx_t = delta_t
"""

import numpy as np

from backprop.layers import Gradient, Layer, Parameter


class Recurrent(Layer):
    """Neurons that remember, each by a weight u of its own."""

    u, nabla_u = Parameter(regularized=True), Gradient()

    def __init__(self, n, dtype="float32", rng=None):
        self.n = n
        self.allocate(dtype, u=(n, 1))
        self.initialize(rng)

    def initialize(self, rng=None):
        self.u = np.random.default_rng(rng).standard_normal((self.n, 1))

    def output_shape(self, input_shape):
        if len(input_shape) != 2 or input_shape[0] != self.n:
            raise self.shape_error(f"({self.n}, T)", input_shape)
        return input_shape

    def output(self, a_prev, mode):
        a, h = np.empty_like(a_prev + self.u[..., None]), 0
        for t in range(a_prev.shape[1]):
            h = np.tanh(a_prev[:, t] + self.u * h)
            a[:, t] = h
        return a

    def deltas(self, nabla_a):
        """Return delta of all steps, from the last to the first."""
        deltas, later = np.empty_like(nabla_a), 0
        for t in range(nabla_a.shape[1] - 1, -1, -1):
            deltas[:, t] = (nabla_a[:, t] + later) * (1 - self.a[:, t] ** 2)
            later = self.u * nabla_a[:, t]
        return deltas

    def parameter_gradients(self, delta):
        deltas = self.deltas(delta)
        self.nabla_u = (deltas[:, 1:] * self.a[:, :-1]).sum(axis=(1, 2))[:, None]

    def downstream(self, delta):
        return self.deltas(delta)
