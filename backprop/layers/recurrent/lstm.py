"""Long short-term memory: a state that is added to, so that its gradient need not fade."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from backprop.kernels.elementwise import gate
from backprop.layers.base import Seed
from backprop.layers.recurrent.base import Recurrent, Step


class LSTM(Recurrent):
    """Long short-term memory: a recurrent layer with a cell c, which gates write, keep and read.

    The four blocks of z, of n rows each, are in the order i, f, o, g::

        z_t = w x_t + w_h h_{t-1} + b
        i = s(z_i)        input gate: how much of g goes into the cell
        f = s(z_f)        forget gate: how much of the cell stays
        o = s(z_o)        output gate: how much of the cell shows
        g = tanh(z_g)     what there is to be remembered
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)

    s is the sigmoid. With nabla_h_t = nabla_a_t + w_h^T delta_{t+1} and nabla_c_t as it comes from
    step t + 1, both 0 after the last step, backward is ::

        nabla_c_t += nabla_h_t * o * (1 - tanh(c_t)^2)
        BP2        delta_i = nabla_c_t * g * i (1 - i)
                   delta_f = nabla_c_t * c_{t-1} * f (1 - f)
                   delta_o = nabla_h_t * tanh(c_t) * o (1 - o)
                   delta_g = nabla_c_t * i * (1 - g^2)
        nabla_c_{t-1} = nabla_c_t * f

    and BP3, BP4, masks and the parameters as in `Recurrent`. The last line is what the LSTM is
    for: from step to step the cell's gradient is multiplied by f alone, which may stay near 1.
    The forget gate's biases therefore start at 1. PyTorch's layer has a second bias, which adds
    nothing, and the order i, f, g, o.

    Attributes
    ----------
    w, nabla_w : ndarray, 4n x n_in
    w_h, nabla_w_h : ndarray, 4n x n
    b, nabla_b : ndarray, 4n x 1
    a_prev : ndarray, n_in x T x B
    z, delta : ndarray, 4n x T x B
        In the order i, f, o, g.
    gates : ndarray, 4n x T x B
        i, f, o and g.
    c, tanh_c, a : ndarray, n x T x B

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; the forget gate is that of
    Gers, Schmidhuber and Cummins, "Learning to Forget: Continual Prediction with LSTM", 2000; its
    bias of 1 of Jozefowicz, Zaremba and Sutskever, "An Empirical Exploration of Recurrent Network
    Architectures", 2015.
    """

    blocks = 4
    states = 2
    kept: ClassVar = {"gates": 4, "tanh_c": 1}

    gates: Any = None
    tanh_c: Any = None

    def initialize(self, rng: Seed = None) -> None:
        super().initialize(rng)
        self.b[self.n : 2 * self.n] = 1  # the forget gate begins by keeping

    @property
    def c(self) -> np.ndarray | None:
        """The cell after every step of the last training forward, or None."""
        if self.a is None:
            return None
        after = self.states_of_steps[:-1] if self.reverse else self.states_of_steps[1:]
        return after[:, 1].transpose(1, 0, 2)  # type: ignore[no-any-return]

    def step_forward(self, step: Step) -> None:
        n, z = self.n, step.z
        (_, c), (h_new, c_new), (gates, tanh_c) = step.before, step.after, step.kept
        gate(z[: 3 * n], out=gates[: 3 * n])  # i, f, o = s(z_i), s(z_f), s(z_o)
        np.tanh(z[3 * n :], out=gates[3 * n :])  # g = tanh(z_g)
        i, f, o, g = gates.reshape(4, n, -1)
        np.multiply(f, c, out=c_new)  # c_t = f * c_{t-1} + i * g
        c_new += i * g
        np.tanh(c_new, out=tanh_c)
        np.multiply(o, tanh_c, out=h_new)  # h_t = o * tanh(c_t)

    def step_backward(self, step: Step, nabla: np.ndarray, delta: np.ndarray) -> None:
        n, c = self.n, step.before[1]
        (nabla_h, nabla_c), (gates, tanh_c) = nabla, step.kept
        i, f, o, g = gates.reshape(4, n, -1)
        delta_i, delta_f, delta_o, delta_g = delta.reshape(4, n, -1)
        nabla_c += nabla_h * o * (1 - tanh_c**2)  # from h_t = o * tanh(c_t)
        np.multiply(nabla_c, g, out=delta_i)
        np.multiply(nabla_c, c, out=delta_f)
        np.multiply(nabla_h, tanh_c, out=delta_o)
        np.multiply(nabla_c, i, out=delta_g)
        s = gates[: 3 * n]
        delta[: 3 * n] *= s * (1 - s)  # BP2: * s'(z) of i, f and o
        delta_g *= 1 - g**2  # BP2: * tanh'(z_g)
        nabla_c *= f  # dC/dc_{t-1}
        np.matmul(self.w_h.T, delta, out=nabla_h)  # w_h^T delta_t, for step t - 1
