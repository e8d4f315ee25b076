"""Numbers of too few digits, and descriptions that are not true."""

from __future__ import annotations

import copy

import numpy as np

from backprop.layers import Activation, BatchNorm, Dense, Layer, LayerNorm, ShapeError, Tanh
from tests.cases import Scale
from tests.gradients.faults.base import Plain, fault


class SingleInside(Dense):
    """Computes in float32, whatever it is given."""

    def weighted_input(self, a_prev):
        if a_prev.dtype.kind == "c":
            raise TypeError("real numbers only")
        z = self.w.astype(np.float32) @ a_prev.astype(np.float32)
        return z.astype(a_prev.dtype) + self.b


class SingleOnTheWayBack(Tanh):
    def prime(self, z, a):
        return (1 - a.astype("c8" if a.dtype.kind == "c" else "f4") ** 2).astype(a.dtype)


class HalfPrecisionSlope(Plain):
    """Slope 1/3, in float32, on both ways."""

    def output(self, a_prev, mode):
        return a_prev * np.float32(1 / 3).astype(a_prev.dtype)

    def downstream(self, delta):
        return delta * (1 / 3)


class KeepsInputInSingle(Layer):
    """a = a_prev^2, of which the way back remembers half the digits."""

    def output(self, a_prev, mode):
        if mode.keep and a_prev.dtype.kind == "f":
            self.kept = a_prev.astype(np.float32)
        if a_prev.dtype.kind == "c":
            raise TypeError("real numbers only")
        return a_prev * a_prev

    def downstream(self, delta):
        return 2 * self.kept.astype(delta.dtype) * delta


class StateInDouble(BatchNorm):
    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.training:
            self.running_mean = self.running_mean.astype(np.float64)
        return a


class OutOfRange(Tanh):
    range = (0.0, 1.0)


class PrintedPrimeIsWrong(Tanh):
    """delta is right, and sigma' as the trace prints it is not."""

    def times_prime(self, nabla_a, z, a):
        return nabla_a * (1 - a * a)

    def prime(self, z, a):
        return 1 - a


class OwnName(Scale):
    def __repr__(self):
        return object.__repr__(self)


class CallsItselfAnother(Scale):
    passes = 0

    def output(self, a_prev, mode):
        if mode.keep:
            self.passes += 1
        return super().output(a_prev, mode)

    def __repr__(self):
        return f"{type(self).__name__}({self.n}, {self.passes} passes)"


class UnderAnothersName(Scale):
    def __repr__(self):
        return f"Dense({self.n} -> {self.n})"


class ArgumentChanged(Scale):
    """What it keeps of its argument makes another layer."""

    def __init__(self, n, dtype="float32"):
        super().__init__(n, dtype)
        self.n = n

    def config(self):
        return {**super().config(), "n": self.n + 1}


class InputShapeLies(Scale):
    @property
    def input_shape(self):
        return (self.n + 1,)

    def output_shape(self, input_shape):
        return Scale.output_shape(self, input_shape)


class ShapeAsAList(Scale):
    def output_shape(self, input_shape):
        return list(super().output_shape(input_shape))


class TrainingShape(Plain):
    """Inference gives another shape than training."""

    def output(self, a_prev, mode):
        return 2 * a_prev if mode.keep else 2 * a_prev[:1]


class HooksAreCopied(Scale):
    def __deepcopy__(self, memo):
        twin = type(self)(self.n)
        twin.__dict__.update(copy.copy(self).__dict__)
        twin.bind(self.theta.copy(), self.nabla.copy())
        if self._hooks is not None:
            twin._hooks = self._hooks
        return twin


class RefusesOtherShapes(Scale):
    """A wrong shape is no ShapeError but a plain failure."""

    def output_shape(self, input_shape):
        if len(input_shape) > 1:
            raise ShapeError("no")
        return (self.n,)


class VarianceOfTheRawMoments(LayerNorm):
    """E[x^2] - E[x]^2, in which large numbers cancel."""

    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        mean = a_prev.mean(axis=0)
        variance = (a_prev * a_prev).mean(axis=0) - mean * mean
        if a_prev.dtype != np.float32:
            return a
        return self.g * ((a_prev - mean) / np.sqrt(variance + self.epsilon)) + self.b


class OverflowsInFloat32(Activation):
    """The softplus as it is written, which is infinite in float32 from 89 on."""

    def sigma(self, z):
        return np.log(1 + np.exp(z))

    def prime(self, z, a):
        return 1 / (1 + np.exp(-z))


fault(SingleInside(4, 3, rng=0), "precision", "linearity", "gradients")
fault(SingleOnTheWayBack(), "delta")
fault(HalfPrecisionSlope(), "gradients")
fault(KeepsInputInSingle(), "precision", "gradients")
fault(StateInDouble(4), "dtype")
fault(OutOfRange(), "sigma prime")
fault(PrintedPrimeIsWrong(), "sigma prime")
fault(OwnName(4), "description")
fault(CallsItselfAnother(4), "both passes", "description", "inference")
fault(ArgumentChanged(4), "description")
fault(UnderAnothersName(4), "description")
fault(InputShapeLies(4), "output shape")
fault(ShapeAsAList(4), "output shape")
fault(TrainingShape(), "output shape")
fault(HooksAreCopied(4), "copies")
fault(RefusesOtherShapes(4), "output shape")
fault(VarianceOfTheRawMoments(4), "precision")
fault(OverflowsInFloat32(), "precision")
