"""What is right only for some batches, sizes and numbers."""

from __future__ import annotations

import numpy as np

from backprop.layers import Activation, Softmax
from tests.cases import Scale
from tests.gradients.faults.base import Plain, fault


class OnlyBatchesOfOne(Scale):
    def downstream(self, delta):
        return super().downstream(delta) * (0.5 if delta.shape[-1] == 1 else 1)


class OnlyBatchesBeyond16(Scale):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        if delta.shape[-1] > 16:
            self.nabla_g = (delta * self.a_prev)[:, :16].sum(axis=1, keepdims=True)


class OnlyBatchesBeyond32(Scale):
    def downstream(self, delta):
        sent = super().downstream(delta)
        sent[:, 32:] = 0
        return sent


class OutputBeyond16(Scale):
    """Forward and backward agree, but the seventeenth example is computed like the first."""

    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        a[:, 16:] *= 2
        return a

    def downstream(self, delta):
        sent = super().downstream(delta)
        sent[:, 16:] *= 2
        return sent

    def parameter_gradients(self, delta):
        delta = delta.copy()
        delta[:, 16:] *= 2
        super().parameter_gradients(delta)


class OddLengths(Plain):
    def downstream(self, delta):
        sent = super().downstream(delta)
        if len(sent) % 2:
            sent[-1] = 0
        return sent


class LargeOnly(Plain):
    """Clips what is larger than 10 on the way forward, and does not know on the way back."""

    def output(self, a_prev, mode):
        return 2 * np.where(np.abs(a_prev) > 10, np.sign(a_prev.real) * 10, a_prev)


class SmallOnly(Plain):
    def output(self, a_prev, mode):
        return 2 * np.where(np.abs(a_prev) < 1e-4, 0, a_prev)


class LargeUpstream(Plain):
    def downstream(self, delta):
        return 2 * np.clip(delta, -100, 100)


class SmallUpstream(Plain):
    def downstream(self, delta):
        return 2 * np.where(np.abs(delta) < 1e-4, 0, delta)


class Overflows(Activation):
    """The softmax without its maximum taken off."""

    elementwise = False

    def sigma(self, z):
        a = np.exp(z)
        return a / a.sum(axis=0)

    prime = Softmax.prime
    times_prime = Softmax.times_prime


fault(OnlyBatchesOfOne(4), "batch sizes")
fault(OnlyBatchesBeyond16(4), "batch sizes")
fault(OnlyBatchesBeyond32(4), "batch sizes")
fault(OutputBeyond16(4), "independent examples")
fault(OddLengths(), "other sizes")
fault(LargeOnly(), "magnitudes")
fault(SmallOnly(), "magnitudes")
fault(LargeUpstream(), "linearity")
fault(SmallUpstream(), "linearity")
fault(Overflows(), "magnitudes")


class OnlyPositiveScales(Scale):
    def downstream(self, delta):
        return np.abs(self.g) * delta


class ScalesUpToThree(Scale):
    def downstream(self, delta):
        return np.minimum(self.g.real, 3) * delta


class DividesByTheScale(Scale):
    """dC/dg through the output, which is 0 / 0 where a scale is 0."""

    def parameter_gradients(self, delta):
        self.nabla_g = (delta * self.a / self.g).sum(axis=1, keepdims=True)


class DividesByTheInput(Plain):
    """a = 2 a_prev, and the slope is a over a_prev."""

    def downstream(self, delta):
        return delta * self.a / self.a_prev


class InputsOfZeroCount(Scale):
    def parameter_gradients(self, delta):
        inputs = np.where(self.a_prev == 0, 1, self.a_prev)
        self.nabla_g = (delta * inputs).sum(axis=1, keepdims=True)


class FirstHundredExamples(Scale):
    def parameter_gradients(self, delta):
        self.nabla_g = (delta * self.a_prev)[:, :100].sum(axis=1, keepdims=True)


class DropsSmallDeltas(Plain):
    def downstream(self, delta):
        return np.where(np.abs(delta) < 1e-12, 0, 2 * delta)


fault(OnlyPositiveScales(4), "other parameters")
fault(ScalesUpToThree(4), "other parameters")
fault(DividesByTheScale(4), "other parameters")
fault(DividesByTheInput(), "magnitudes")
fault(InputsOfZeroCount(4), "magnitudes")
fault(FirstHundredExamples(4), "batch sizes")
fault(DropsSmallDeltas(), "linearity")
