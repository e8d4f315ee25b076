"""Broken layers: what goes back is wrong, of another shape, or missing."""

from __future__ import annotations

import numpy as np

from backprop.layers import RNN, Activation, Dense, Gradient, Layer, Parameter
from tests.cases import Scale


class WrongFactor(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_w *= 2.001 / 2


class NoSigmaPrime(Dense):
    def delta_of(self, nabla_a):
        return nabla_a.copy()


class WrongSigmaPrime(Activation):
    def sigma(self, z):
        return np.tanh(z)

    def prime(self, z, a):
        return 1 + a * a


class NoDelta(Dense):
    """Goes back as it should, but delta is not there to look at."""

    def go_back_from(self, delta, input_gradient=True):
        downstream = super().go_back_from(delta, input_gradient)
        self.delta = None
        return downstream


class SigmaPrimeTooLate(Dense):
    """Right by `backward`; entered below sigma, it multiplies by sigma' all the same."""

    def delta_of(self, nabla_a):
        self.nabla_a = nabla_a
        return super().delta_of(nabla_a)

    def descend(self, delta, input_gradient):
        nabla_a = self.__dict__.pop("nabla_a", delta)
        return super().descend(super().delta_of(nabla_a), input_gradient)


class LoneDelta(Dense):
    """What it keeps as delta is not what BP3 and BP4 go by."""

    def go_back_from(self, delta, input_gradient=True):
        downstream = super().go_back_from(delta, input_gradient)
        self.delta = delta * 1.001
        return downstream


class LosesDelta(RNN):
    """Has a z, and no delta to it."""

    def go_back_from(self, delta, input_gradient=True):
        downstream = super().go_back_from(delta, input_gradient)
        self.delta = None
        return downstream


class DeafToHooks(Scale):
    """Calls no hooks at delta."""

    def go_back_from(self, delta, input_gradient=True):
        return self.descend(delta, input_gradient)


class HooksForWeightsOnly(Scale):
    """BP2 goes by the delta that was there before the hooks."""

    def go_back_from(self, delta, input_gradient=True):
        super().go_back_from(delta, False)
        return self.downstream(delta) if input_gradient else None


class NeverFrozen(Scale):
    def wants_gradients(self):
        return True


class FrozenBlocks(Scale):
    """Sends nothing down when it is frozen, as if all below it were, too."""

    def downstream(self, delta):
        return super().downstream(delta) * self.trainable


class NoSumOverTheBatch(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_b = delta[:, :1]


class MeanOverTheBatch(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla /= delta.shape[-1]


class Transposed(Dense):
    def downstream(self, delta):
        return self.w @ delta


class Accumulates(Dense):
    def parameter_gradients(self, delta):
        before = self.nabla.copy()
        super().parameter_gradients(delta)
        self.nabla += before


class NotLinear(Scale):
    def delta_of(self, nabla_a):
        return np.clip(nabla_a, -1, 1)


class OnesOnly(Scale):
    """Right for an upstream gradient of ones alone."""

    def delta_of(self, nabla_a):
        return np.ones_like(nabla_a)


class AlwaysDownstream(Scale):
    def descend(self, delta, input_gradient):
        return super().descend(delta, True)


class NoParametersForTheFirst(Scale):
    def descend(self, delta, input_gradient):
        return super().descend(delta, True) if input_gradient else None


class OneWrongElement(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_w[7, 11] *= 1.5


class NoDownstream(Scale):
    def downstream(self, delta):
        return None


class RowOfBiases(Layer):
    """Biases without the batch axis: right by luck where n = B, else it fails."""

    b, nabla_b = Parameter(), Gradient()

    def __init__(self, n, dtype="float32"):
        self.n = n
        self.allocate(dtype, b=(n,))

    def output(self, a_prev, mode):
        return a_prev + self.b

    def parameter_gradients(self, delta):
        self.nabla_b = delta.sum(axis=0)

    def downstream(self, delta):
        return delta.copy()


class SumForgotten(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_b = delta


class DownstreamOfAnotherShape(Scale):
    def downstream(self, delta):
        return super().downstream(delta).sum(axis=-1, keepdims=True)


class NotANumber(Scale):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_g[1] = np.nan


class TwiceInSingle(Scale):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_g *= 2 if delta.dtype == np.float32 else 1


class HalfInSingle(Scale):
    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if a.dtype == np.float32:
            a[...] = a.astype(np.float16)
        return a


class InMemoryOrder(Scale):
    """Takes the numbers as they lie in memory for those in C order."""

    def delta_of(self, nabla_a):
        return nabla_a.ravel("K").reshape(nabla_a.shape)


BROKEN = [
    (WrongFactor(4, 3, rng=0), "gradients", "BP4, dC/dw,"),
    (NoSigmaPrime(4, 3, rng=0), "delta", "BP1 and BP2"),
    (WrongSigmaPrime(), "delta", "BP1 and BP2"),
    (NoDelta(4, 3, rng=0), "delta", "BP1 and BP2"),
    (LoneDelta(4, 3, rng=0), "delta", "BP1 and BP2"),
    (SigmaPrimeTooLate(4, 3, rng=0), "from delta", "BP2, dC/da_prev,"),
    (LosesDelta(2, 4, rng=0), "from delta", "goes on as backward does"),
    (DeafToHooks(4), "delta hook", "BP2, dC/da_prev,"),
    (HooksForWeightsOnly(4), "delta hook", "BP2, dC/da_prev,"),
    (NeverFrozen(4), "frozen", "BP4, dC/dg,"),
    (FrozenBlocks(4), "frozen", "BP2, dC/da_prev,"),
    (NoSumOverTheBatch(4, 3, rng=0), "gradients", "BP3, dC/db,"),
    (MeanOverTheBatch(4, 3, rng=0), "gradients", "BP4, dC/dw,"),
    (Transposed(4, 4, rng=0), "gradients", "BP2, dC/da_prev,"),
    (Accumulates(4, 3, rng=0), "overwriting", "BP4, dC/dw,"),
    (RowOfBiases(4), "output shape", "forward(x).shape"),
    (NotLinear(4), "linearity", "J^T (2u - 3v)"),
    (OnesOnly(4), "linearity", "J^T (2u - 3v)"),
    (OneWrongElement(30, 20, rng=0), "adjointness", "(BP4, dC/dw)"),
    (AlwaysDownstream(4), "no input gradient", "only spares"),
    (NoParametersForTheFirst(4), "no input gradient", "BP4, dC/dg,"),
    (SumForgotten(4, 3, rng=0), "both passes", "BP3, dC/db,"),
    (DownstreamOfAnotherShape(4), "both passes", "BP2, dC/da_prev,"),
    (NoDownstream(4), "both passes", "BP2, dC/da_prev,"),
    (NotANumber(4), "finite", "BP4, dC/dg,"),
    (TwiceInSingle(4), "precision", "BP4, dC/dg,"),
    (HalfInSingle(4), "precision", "a = f(a_prev)"),
    (InMemoryOrder(4), "memory layout", "BP2, dC/da_prev,"),
]
