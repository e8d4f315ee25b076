"""Wrong derivatives."""

from __future__ import annotations

import numpy as np

from backprop.layers import GRU, LSTM, Conv2d, Dense, LayerNorm, MaxPool1d, Residual, Softmax, Tanh
from tests.cases import Scale
from tests.gradients.faults.base import Plain, fault


class WrongSign(Scale):
    def downstream(self, delta):
        return -super().downstream(delta)


class MissingFactor(Plain):
    def downstream(self, delta):
        return delta.copy()


class OneExampleLost(Scale):
    """The sum over the batch leaves the last example out."""

    def parameter_gradients(self, delta):
        delta = delta[..., : max(1, delta.shape[-1] - 1)]
        self.nabla_g = (delta * self.a_prev[..., : delta.shape[-1]]).sum(axis=1, keepdims=True)


class SlightlyWrong(Scale):
    def downstream(self, delta):
        return super().downstream(delta) * (1 + 1e-6)


class PrimeAtA(Dense):
    """sigma' taken of a in the place of z."""

    def delta_of(self, nabla_a):
        return nabla_a * self.activation.prime(self.a, self.activation.sigma(self.a))


class PrimeOfTheInput(Tanh):
    def times_prime(self, nabla_a, z, a):
        return nabla_a * (1 - z * z)


class BiasTwice(Dense):
    def weighted_input(self, a_prev):
        return super().weighted_input(a_prev) + self.b


class WindowOffByOne(MaxPool1d):
    def downstream(self, delta):
        return np.roll(super().downstream(delta), 1, axis=1)


class KernelTurned(Conv2d):
    def downstream(self, delta):
        kept = self.w.copy()
        self.w = kept[:, :, ::-1]
        try:
            return super().downstream(delta)
        finally:
            self.w = kept


class ResidualWithoutThePastWay(Residual):
    def descend_inside(self, delta, input_gradient):
        found = super().descend_inside(delta, input_gradient)
        return None if found is None else found - delta


class ThroughTheMeanForgotten(LayerNorm):
    def downstream(self, delta):
        return self.g * delta / self.deviation.reshape(1, -1)


class JacobianIsNotDiagonal(Softmax):
    def times_prime(self, nabla_a, z, a):
        return nabla_a * a * (1 - a)


class BiasGradientIsAMean(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_b = delta.mean(axis=1, keepdims=True)


class ForgottenGate(LSTM):
    def step_backward(self, step, nabla, delta):
        super().step_backward(step, nabla, delta)
        delta[: self.n] = 0


class OneStepBack(GRU):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_w_h *= 0.5


for one in (
    WrongSign(4),
    MissingFactor(),
    OneExampleLost(4),
    SlightlyWrong(4),
    ResidualWithoutThePastWay([Dense(4, 4, "tanh", rng=0)]),
    ThroughTheMeanForgotten(4),
    BiasGradientIsAMean(4, 3, rng=0),
):
    fault(one, "gradients")
fault(PrimeAtA(4, 3, "tanh", rng=0), "delta")
fault(PrimeOfTheInput(), "delta")
fault(JacobianIsNotDiagonal(), "delta")
fault(BiasTwice(4, 3, rng=0), "gradients", "delta")
fault(WindowOffByOne(2), "gradients", shape=(2, 6))
fault(KernelTurned(2, 3, 3, rng=0), "gradients", "parameters untouched", shape=(2, 5, 5))
fault(ForgottenGate(3, 2, rng=0), "gradients", shape=(3, 3))
fault(OneStepBack(3, 2, rng=0), "gradients", shape=(3, 3))
