"""Faults planted in layers that are right otherwise, and the properties that must name them.

Each is a small mutation such as happens: a sign, a factor, a missing sum, what is kept too long or
shared, what only some batches, sizes or numbers bring to light.
"""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np

from backprop.compiled import Twin
from backprop.layers import (
    GRU,
    LSTM,
    Activation,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Gradient,
    Layer,
    LayerNorm,
    MaxPool1d,
    Parameter,
    Residual,
    ShapeError,
    Sigmoid,
    Softmax,
    Tanh,
)
from tests.cases import Scale

FAULTS: list[tuple[str, Layer, tuple[int, ...], set[str]]] = []
"""Name, layer, input shape, and the properties of which one must be named."""


def fault(layer: Any, *named: str, shape: tuple[int, ...] = (4,)) -> None:
    FAULTS.append((type(layer).__name__, layer, shape, set(named)))


class Plain(Layer):
    """Base of layers that are wrong in one way: a = 2 a_prev."""

    def output(self, a_prev, mode):
        return 2 * a_prev

    def downstream(self, delta):
        return 2 * delta


# -- wrong derivatives -------------------------------------------------------------------------


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


# -- only some batches, sizes, numbers ---------------------------------------------------------


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


class VarianceOfTheRawMoments(LayerNorm):
    """E[x^2] - E[x]^2, in which large numbers cancel."""

    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        mean = a_prev.mean(axis=0)
        variance = (a_prev * a_prev).mean(axis=0) - mean * mean
        if a_prev.dtype != np.float32:
            return a
        return self.g * ((a_prev - mean) / np.sqrt(variance + self.epsilon)) + self.b


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


# -- memory ------------------------------------------------------------------------------------


class SharesTheta(Layer):
    """The output is the parameter itself."""

    b, nabla_b = Parameter(), Gradient()

    def __init__(self, n, dtype="float32"):
        self.n = n
        self.allocate(dtype, b=(n, 1))
        self.initialize()

    def initialize(self, rng=None):
        self.b[...] = 1

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return input_shape

    def output(self, a_prev, mode):
        if a_prev.dtype.kind == "c" or a_prev.shape[-1] == 1:
            return self.b + 0 * a_prev
        return np.broadcast_to(self.b, a_prev.shape)

    def parameter_gradients(self, delta):
        self.nabla_b = delta.sum(axis=1, keepdims=True)

    def downstream(self, delta):
        return np.zeros_like(delta)


class DownstreamInNabla(Scale):
    """What goes down lies in the vector of the gradients."""

    def __init__(self, n, dtype="float32"):
        self.n = n
        self.allocate(dtype, g=(n, 1))
        self.initialize()

    def downstream(self, delta):
        sent = super().downstream(delta)
        if delta.shape[-1] == 1:
            self.nabla_g[...] = sent
            return self.nabla_g
        return sent


class WritesIntoItsOutput(Tanh):
    """tanh' in place of a, which the caller holds."""

    def prime(self, z, a):
        a *= a
        return np.subtract(1, a, out=a)


class SigmaInPlace(Activation):
    def sigma(self, z):
        return np.tanh(z, out=z)

    def prime(self, z, a):
        return 1 - a * a


class WritesIntoZ(Dense):
    def delta_of(self, nabla_a):
        delta = super().delta_of(nabla_a)
        self.z *= 0.5
        return delta


class WritesIntoDelta(Dense):
    def downstream(self, delta):
        sent = super().downstream(delta)
        delta[...] = 0
        return sent


class OutputBuffer(Plain):
    """One buffer for the outputs of all inferences of one shape."""

    buffers: dict = {}  # noqa: RUF012 - the fault

    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.keep:
            return a
        buffer = OutputBuffer.buffers.setdefault((a.shape, a.dtype.str), np.empty_like(a))
        buffer[...] = a
        return buffer


class DeltaBuffer(Sigmoid):
    def times_prime(self, nabla_a, z, a):
        delta = super().times_prime(nabla_a, z, a)
        buffer = self.__dict__.setdefault("buffer", {}).setdefault(delta.shape, delta)
        buffer[...] = delta
        return buffer


class DeltaOverwrittenByForward(Sigmoid):
    """The next forward pass writes into the delta of the last one."""

    def output(self, a_prev, mode):
        if mode.keep and self.delta is not None:
            self.delta[...] = 0
        return super().output(a_prev, mode)


class KeepsDelta(Sigmoid):
    """delta is still there when it is not that of the pass any more."""

    def run(self, a_prev, mode):
        delta = self.delta
        a = super().run(a_prev, mode)
        if mode.keep:
            self.delta = delta
        return a


class ReadsInMemoryOrder(Plain):
    def output(self, a_prev, mode):
        return 2 * a_prev.ravel("K").reshape(a_prev.shape)


class BackwardsOnly(Plain):
    """Takes a negative stride for a positive one."""

    def output(self, a_prev, mode):
        return 2 * (a_prev[::-1] if a_prev.strides[0] < 0 else a_prev)


class NeedsToWrite(Plain):
    """Writes the input, and writes back what was there."""

    def output(self, a_prev, mode):
        a_prev += 1
        a_prev -= 1
        return 2 * a_prev


class CachedByIdentity(Plain):
    """Takes the same array for the same numbers."""

    def output(self, a_prev, mode):
        if mode.keep:
            seen = self.__dict__.get("seen")
            if seen is None or seen[0] is not a_prev:
                self.seen = (a_prev, 2 * a_prev)
            return self.seen[1].copy()
        return 2 * a_prev


class OneArrayForAll(Plain):
    """Inference returns the array that it returned before, if the input is the same object."""

    last: list = []  # noqa: RUF012 - the fault

    def output(self, a_prev, mode):
        if mode.keep:
            return 2 * a_prev
        if not self.last or self.last[0] is not a_prev:
            OneArrayForAll.last = [a_prev, 2 * a_prev]
        return self.last[1]


fault(SharesTheta(4), "own memory")
fault(DownstreamInNabla(4), "batch sizes", "own memory", "output shape")
fault(WritesIntoItsOutput(), "arguments")
fault(SigmaInPlace(), "arguments", "random numbers", "state")
fault(WritesIntoZ(4, 3, rng=0), "arguments")
fault(WritesIntoDelta(4, 3, rng=0), "arguments", "state")
fault(OutputBuffer(), "own memory", "inference", "results kept")
fault(DeltaBuffer(), "results kept", "arguments")
fault(DeltaOverwrittenByForward(), "results kept")
fault(KeepsDelta(), "state")
fault(ReadsInMemoryOrder(), "memory layout")
fault(BackwardsOnly(), "memory layout")
fault(NeedsToWrite(), "memory layout", "parameters untouched", "arguments")


class CachedTranspose(Dense):
    """w^T as it was at the first way back."""

    def downstream(self, delta):
        kept = self.__dict__.setdefault("transposed", [self.w.T.copy()])
        return kept[0] @ delta


fault(CachedTranspose(4, 3, rng=0), "latest forward")
fault(CachedByIdentity(), "latest forward")
fault(OneArrayForAll(), "own memory", "inference")


# -- random numbers ----------------------------------------------------------------------------


class GlobalMask(Plain):
    independent_examples = False

    def output(self, a_prev, mode):
        factor = 2.0
        if mode.training:
            factor = 1.0 + (np.random.random() > 2)  # noqa: NPY002 - the fault
        return a_prev * a_prev.dtype.type(2 * factor / factor)


class PythonsGenerator(Plain):
    def output(self, a_prev, mode):
        random.random()
        return super().output(a_prev, mode)


class FreshGenerator(Dropout):
    """A new generator, from the entropy of the machine, in every pass."""

    def output(self, a_prev, mode):
        if mode.training:
            self.rng = np.random.default_rng()
        return super().output(a_prev, mode)


class HiddenGenerator(Plain):
    """Random in training, by a generator that nobody sees."""

    def __init__(self):
        self.hidden = np.random.default_rng(0)
        self.factor = 1.0

    def output(self, a_prev, mode):
        self.factor = 1.0
        if mode.training:
            self.factor = float(self.hidden.integers(1, 9))
        return a_prev * a_prev.dtype.type(self.factor)

    def downstream(self, delta):
        return delta * self.factor


class Drawn(Scale):
    """Base: g drawn as it should be."""

    def __init__(self, n, dtype="float32", rng=None):
        self.n = n
        self.allocate(dtype, g=(n, 1))
        self.initialize(rng)

    def initialize(self, rng=None):
        self.g = np.random.default_rng(rng).standard_normal((self.n, 1))


class IgnoresItsGenerator(Drawn):
    def initialize(self, rng=None):
        super().initialize()


class OneSeedForAll(Drawn):
    def initialize(self, rng=None):
        super().initialize(0)


class DrawsFromAll(Drawn):
    def initialize(self, rng=None):
        self.g = np.random.standard_normal((self.n, 1))  # noqa: NPY002 - the fault


class DrawsHalf(Drawn):
    def initialize(self, rng=None):
        rng = np.random.default_rng(rng)
        self.g[: self.n // 2] = rng.standard_normal((self.n // 2, 1))


class TakesSeedsOnly(Drawn):
    def initialize(self, rng=None):
        seed = None if rng is None else int(rng)
        super().initialize(seed)


class ReplacesTheta(Drawn):
    def initialize(self, rng=None):
        self.bind(np.zeros_like(self.theta), np.zeros_like(self.nabla))
        super().initialize(rng)


class RemembersItsSeed(Drawn):
    """The second call with an equal generator draws what the first left."""

    generator: list = []  # noqa: RUF012 - the fault

    def initialize(self, rng=None):
        if not self.generator:
            RemembersItsSeed.generator.append(np.random.default_rng(rng))
        super().initialize(self.generator[0])


fault(GlobalMask(), "random numbers")
fault(PythonsGenerator(), "random numbers")
fault(FreshGenerator(0.5), "random numbers")
fault(HiddenGenerator(), "inference", "latest forward")
for one in (
    IgnoresItsGenerator(5),
    OneSeedForAll(5),
    DrawsFromAll(5),
    DrawsHalf(5),
    TakesSeedsOnly(5),
    ReplacesTheta(5),
    RemembersItsSeed(5),
):
    fault(one, "initialization", shape=(5,))


# -- state, modes, masks -----------------------------------------------------------------------


class GoesBackFromNothing(Plain):
    def check_upstream(self, nabla, name="nabla_a", like=None):
        if self.a is not None:
            super().check_upstream(nabla, name, like)


class KeepsTheLastHalf(Plain):
    """A pass that fails half-way leaves the one before to go back from."""

    def run(self, a_prev, mode):
        a = self.output(a_prev, mode)
        if mode.keep:
            self.a_prev, self.a, self.delta = a_prev, a, None
        return a


class HookReturnsNothing(Scale):
    """What a hook makes of a is not what goes up."""

    def run(self, a_prev, mode):
        if mode.keep:
            self.a = None
        a = self.output(a_prev, mode)
        if mode.keep:
            self.a_prev, self.a, self.delta = a_prev, a, None
            if self._hooks is not None:
                self._hooks.after_output(self)
        return a


class HooksInInference(Scale):
    def run(self, a_prev, mode):
        a = super().run(a_prev, mode)
        if not mode.keep and self._hooks is not None:
            kept = self.a_prev, self.a
            self.a_prev, self.a = a_prev, a
            self._hooks.call("forward", self)
            self.a_prev, self.a = kept
        return a


class SecondBackwardHook(Scale):
    def go_back_from(self, delta, input_gradient=True):
        found = super().go_back_from(delta, input_gradient)
        if self._hooks is not None:
            self._hooks.after_gradients(self, found)
        return found


class FrozenStatisticsMove(BatchNorm):
    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.training and not self.trainable:
            mean = a_prev.real.mean(axis=tuple(range(1, a_prev.ndim)))
            self.running_mean[...] += 0.1 * mean[:, np.newaxis]
        return a


class StatisticsNotSaved(BatchNorm):
    state_names = ("running_mean",)


class StatisticsShared(BatchNorm):
    """All copies share one running mean."""

    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin.__dict__ = {k: v for k, v in self.__dict__.items() if k != "running_mean"}
        twin = BatchNorm.__new__(type(self))
        state = copy.deepcopy(self.__getstate__(), memo)
        state["running_mean"] = self.running_mean
        twin.__setstate__(state)
        return twin


class MaskIgnored(GRU):
    takes_mask = True

    def output(self, a_prev, mode):
        return super().output(a_prev, mode.masked(None))


class MaskForgottenOnTheWayBack(GRU):
    def delta_of(self, nabla_a):
        self.real_steps = None
        return super().delta_of(nabla_a)


class MaskTurned(LSTM):
    takes_mask = True

    def output(self, a_prev, mode):
        mask = mode.mask
        return super().output(a_prev, mode if mask is None else mode.masked(mask[::-1].copy()))


class MaskKept(LSTM):
    """The mask of one pass is still there in the next."""

    takes_mask = True

    def output(self, a_prev, mode):
        if mode.mask is not None:
            self.__dict__["before"] = mode.mask
        before = self.__dict__.get("before")
        usable = mode.keep and before is not None and before.shape == a_prev.shape[-2:]
        return super().output(a_prev, mode.masked(before) if usable else mode)


class MeanOverPadding(Layer):
    """The mean over the steps, padding and all."""

    takes_mask = True
    keeps_steps = False

    def output_shape(self, input_shape):
        if len(input_shape) != 2:
            raise self.shape_error("(d, T)", input_shape)
        return input_shape[:1]

    def output(self, a_prev, mode):
        return a_prev.mean(axis=1)

    def downstream(self, delta):
        steps = self.a_prev.shape[1]
        return np.repeat(delta[:, np.newaxis] / steps, steps, axis=1)


fault(GoesBackFromNothing(), "no state")
fault(KeepsTheLastHalf(), "no state", "hooks")
fault(HookReturnsNothing(4), "hooks")
fault(HooksInInference(4), "hooks")
fault(SecondBackwardHook(4), "hooks")
fault(FrozenStatisticsMove(4), "frozen")
fault(StatisticsNotSaved(4), "save and load", "kept inference", "latest forward")
fault(StatisticsShared(4), "copies", "inference", "initialization")
fault(MaskIgnored(3, 2, rng=0), "masks", shape=(3, 4))
fault(MaskForgottenOnTheWayBack(3, 2, rng=0), "masks", shape=(3, 4))
fault(MaskTurned(3, 2, rng=0), "masks", shape=(3, 4))
fault(MaskKept(3, 2, rng=0), "masks", "random numbers", shape=(3, 4))
fault(MeanOverPadding(), "masks", shape=(3, 4))


# -- numbers and descriptions ------------------------------------------------------------------


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


# -- right only near the numbers that a layer begins with ----------------------------------------


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


class SeedsTheGeneratorOfAll(Scale):
    def initialize(self, rng=None):
        np.random.seed(0)  # noqa: NPY002
        super().initialize(rng)


fault(OnlyPositiveScales(4), "other parameters")
fault(ScalesUpToThree(4), "other parameters")
fault(DividesByTheScale(4), "other parameters")
fault(DividesByTheInput(), "magnitudes")
fault(InputsOfZeroCount(4), "magnitudes")
fault(FirstHundredExamples(4), "batch sizes")
fault(DropsSmallDeltas(), "linearity")
fault(SeedsTheGeneratorOfAll(4), "initialization")


class OverflowsInFloat32(Activation):
    """The softplus as it is written, which is infinite in float32 from 89 on."""

    def sigma(self, z):
        return np.log(1 + np.exp(z))

    def prime(self, z, a):
        return 1 / (1 + np.exp(-z))


fault(OverflowsInFloat32(), "precision")


class TwinOfScale(Twin):
    """Both passes of `Scale` in C, the gradient by g but of the first example alone."""

    header = """
INLINED void scaled(int n, int B, const real *g, const real *x, real *y)
{
    for (int i = 0; i < n * B; i++)
        y[i] = g[i / B] * x[i];
}

INLINED void scaled_gradient(int n, int B, const real *delta, const real *a_prev, real *nabla_g)
{
    for (int i = 0; i < n; i++)
        nabla_g[i] = delta[i * B] * a_prev[i * B];
}
"""

    def output(self, w, layer, a_prev):
        a_prev = w.columns(a_prev)
        w.keep(layer, a_prev=a_prev)
        a = w.like("a", a_prev, layer)
        w.call("scaled", layer.n, w.batch, w.parameter(layer, "g"), a_prev, a)
        return a

    def parameter_gradients(self, w, layer, delta):
        a_prev, g = w.of(layer, "a_prev"), w.gradient(layer, "g")
        w.call("scaled_gradient", layer.n, w.batch, delta, a_prev, g)

    def downstream(self, w, layer, delta):
        below = w.like("nabla_a_below", delta, layer)
        w.call("scaled", layer.n, w.batch, w.parameter(layer, "g"), delta, below)
        return below


class TwinThatForgets(Scale):
    twin = TwinOfScale()


fault(TwinThatForgets(4), "twin")
