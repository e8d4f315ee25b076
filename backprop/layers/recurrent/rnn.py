"""The simple recurrent layer: one neuron layer that sees its own last output."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.initializers import Initializer
from backprop.layers.activations import Activation
from backprop.layers.base import Seed
from backprop.layers.neurons import checked_activation
from backprop.layers.outputs import Outputs, still_says
from backprop.layers.recurrent.base import Recurrent, Step


class RNN(Recurrent):
    """A simple recurrent layer: it sees the input of a step, and its own output of the step before.

    ::

        forward    z_t = w x_t + w_h h_{t-1} + b,   h_t = sigma(z_t)
        BP2        delta_t = (nabla_a_t + w_h^T delta_{t+1}) * sigma'(z_t)

    and BP3, BP4, masks and the other parameters as in `Recurrent`. Every step back multiplies by
    w_h^T and sigma'(z_t): with tanh the gradient fades, or grows where w_h is large, like a power
    of the number of steps, which the norms of ``delta[:, t]`` show. PyTorch's layer has a second
    bias, which adds nothing.

    Parameters
    ----------
    n_in, n : int
    activation : Activation or str
        sigma.
    w_init, w_h_init, reverse, truncate, carry, dtype, rng
        See `Recurrent`.

    Attributes
    ----------
    w, nabla_w : ndarray, n x n_in
    w_h, nabla_w_h : ndarray, n x n
    b, nabla_b : ndarray, n x 1
    a_prev : ndarray, n_in x T x B
    z, a, delta : ndarray, n x T x B

    Source: Elman, "Finding Structure in Time", 1990; Werbos, 1990, see `Recurrent`; for the
    vanishing gradient Bengio, Simard and Frasconi, "Learning Long-Term Dependencies with Gradient
    Descent is Difficult", 1994.
    """

    activation: Any = checked_activation

    def __init__(
        self,
        n_in: int,
        n: int,
        activation: Activation | str = "tanh",
        w_init: Initializer | str = "glorot_uniform",
        w_h_init: Initializer | str = "orthogonal",
        reverse: bool = False,
        truncate: int | None = None,
        carry: bool = False,
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> None:
        self.activation = activation
        super().__init__(n_in, n, w_init, w_h_init, reverse, truncate, carry, dtype, rng)

    def step_forward(self, step: Step) -> None:
        step.after[0] = self.activation.sigma(step.z)  # h_t = sigma(z_t)

    def step_backward(self, step: Step, nabla: np.ndarray, delta: np.ndarray) -> None:
        (nabla_h,), (h_new,) = nabla, step.after
        delta[...] = self.activation.times_prime(nabla_h, step.z, h_new)  # BP2: * sigma'(z_t)
        np.matmul(self.w_h.T, delta, out=nabla_h)  # w_h^T delta_t, for step t - 1

    def gives(self, taken: Any, input_shape: Any) -> Outputs:
        if not still_says(self, "gives", "step_forward"):
            return Outputs.ANYTHING
        return self.activation.outputs(self.n).rearranged()  # h is 0 where a mask begins

    @property
    def own_activation(self) -> Activation:
        return self.activation

    def described(self) -> list[str]:
        sizes, *options = super().described()
        return [sizes, self.activation.name, *options]
