"""The gated recurrent unit: two gates, and no cell beside h."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from backprop.core.shapes import Shape
from backprop.kernels.elementwise import gate
from backprop.kernels.sums import sum_over_batch
from backprop.layers.base import Seed
from backprop.layers.parameters import Gradient, Parameter
from backprop.layers.recurrent.base import Recurrent, Step, columns


class GRU(Recurrent):
    """A gated recurrent unit: h moves towards a candidate g, as far as a gate lets it.

    The three blocks of z, of n rows each, are in the order r, u, g::

        z_r = w_r x_t + w_hr h_{t-1} + b_r,     r = s(z_r)        reset gate
        z_u = w_u x_t + w_hu h_{t-1} + b_u,     u = s(z_u)        update gate
        q   = w_hg h_{t-1} + b_h
        z_g = w_g x_t + r * q + b_g,            g = tanh(z_g)     candidate
        h_t = (1 - u) * g + u * h_{t-1}

    s is the sigmoid. The reset gate acts after the product with w_h, as in cuDNN and PyTorch, so
    that all three products are one; q then has a bias b_h of its own, which r * q does not make
    superfluous. Cho's gate acts before it, w_hg (r * h_{t-1}), and his u is 1 - u here. Backward::

        BP2        delta_g = nabla_h_t * (1 - u) * (1 - g^2)
                   delta_r = delta_g * q * r (1 - r)
                   delta_u = nabla_h_t * (h_{t-1} - g) * u (1 - u)
                   delta_q = delta_g * r
        nabla_h_{t-1} = nabla_a_{t-1} + nabla_h_t * u
                        + w_hr^T delta_r + w_hu^T delta_u + w_hg^T delta_q
        BP3        dC/db_h = sum of delta_q over steps and batch
        BP4        dC/dw_hg = sum over t of delta_q h_{t-1}^T

    and the rest of BP3 and BP4, masks and the parameters as in `Recurrent`. PyTorch's layer has
    a second bias for r and u, too, which adds nothing.

    Attributes
    ----------
    w, nabla_w : ndarray, 3n x n_in
    w_h, nabla_w_h : ndarray, 3n x n
    b, nabla_b : ndarray, 3n x 1
    b_h, nabla_b_h : ndarray, n x 1
    a_prev : ndarray, n_in x T x B
    z, delta : ndarray, 3n x T x B
        In the order r, u, g.
    gates : ndarray, 3n x T x B
        r, u and g.
    q, a : ndarray, n x T x B

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical
    Machine Translation", 2014.
    """

    blocks = 3
    kept: ClassVar = {"q": 1, "gates": 3}

    b_h, nabla_b_h = Parameter(), Gradient()

    gates: Any = None
    q: Any = None

    def further_shapes(self) -> dict[str, Shape]:
        return {"b_h": (self.n, 1)}

    def initialize(self, rng: Seed = None) -> None:
        super().initialize(rng)
        self.b_h[...] = 0

    def products(self) -> list[tuple[slice, slice, np.ndarray]]:
        n, n_in = self.n, self.n_in
        w_b_h = np.hstack([self.w, self.b, self.w_h])
        b_h = np.hstack([self.b_h, self.w_h[2 * n :]])
        return [
            (slice(2 * n), slice(None), w_b_h[: 2 * n]),  # z_r and z_u
            (slice(2 * n, 3 * n), slice(n_in + 1), w_b_h[2 * n :, : n_in + 1]),  # w_g x_t + b_g
            (slice(3 * n, 4 * n), slice(n_in, None), b_h),  # q = w_hg h_{t-1} + b_h
        ]

    def step_forward(self, step: Step) -> None:
        n, z = self.n, step.z
        (h,), (h_new,), (q, gates) = step.before, step.after, step.kept
        gate(z[: 2 * n], out=gates[: 2 * n])  # r, u = s(z_r), s(z_u)
        r, u, g = gates.reshape(3, n, -1)
        z[2 * n :] += r * q  # z_g = w_g x_t + r * q + b_g
        np.tanh(z[2 * n :], out=g)  # g = tanh(z_g)
        np.subtract(h, g, out=h_new)  # h_t = g + u * (h_{t-1} - g)
        h_new *= u
        h_new += g

    def step_backward(self, step: Step, nabla: np.ndarray, delta: np.ndarray) -> None:
        n = self.n
        (nabla_h,), (h,), (q, gates) = nabla, step.before, step.kept
        r, u, g = gates.reshape(3, n, -1)
        delta_r, delta_u, delta_g = delta.reshape(3, n, -1)
        np.multiply(nabla_h, 1 - u, out=delta_g)
        delta_g *= 1 - g**2  # BP2: * tanh'(z_g)
        np.multiply(delta_g, q, out=delta_r)
        np.multiply(nabla_h, h - g, out=delta_u)
        s = gates[: 2 * n]
        delta[: 2 * n] *= s * (1 - s)  # BP2: * s'(z) of r and u
        nabla_h *= u  # to h_{t-1}: the way past the gates, and the two products
        nabla_h += self.w_h[: 2 * n].T @ delta[: 2 * n]
        nabla_h += self.w_h[2 * n :].T @ (delta_g * r)

    def parameter_gradients(self, delta: np.ndarray) -> None:
        n = self.n
        delta_q = columns(delta[2 * n :] * self.gates[:n])
        delta, x, h = columns(delta), columns(self.a_prev), columns(self.h_before)
        sum_over_batch(delta, out=self.nabla_b)  # BP3
        sum_over_batch(delta_q, out=self.nabla_b_h)
        np.matmul(delta, x.T, out=self.nabla_w)  # BP4: delta_t x_t^T
        np.matmul(delta[: 2 * n], h.T, out=self.nabla_w_h[: 2 * n])  # delta_t h_{t-1}^T
        np.matmul(delta_q, h.T, out=self.nabla_w_h[2 * n :])
