"""Broken layers: what they keep, change, share, or say of themselves is wrong."""

from __future__ import annotations

import copy

import numpy as np

from backprop.layers import BatchNorm, Dropout, Layer, Sigmoid
from backprop.layers.mode import TRAINING
from tests.cases import Scale


class StaleInput(Scale):
    def output(self, a_prev, mode):
        if mode.keep:
            kept = self.__dict__.setdefault("first", a_prev)
            self.used = kept if kept.shape == a_prev.shape else a_prev
        return super().output(a_prev, mode)

    def parameter_gradients(self, delta):
        np.sum(delta * self.used, axis=1, keepdims=True, out=self.nabla_g)


class OldestInput(Scale):
    """Keeps a list, as if every forward were followed by its own backward."""

    def output(self, a_prev, mode):
        if mode.keep:
            self.__dict__.setdefault("queue", []).append(a_prev)
        return super().output(a_prev, mode)

    def parameter_gradients(self, delta):
        x = self.queue[0][..., : delta.shape[-1]]
        np.sum(delta * x, axis=1, keepdims=True, out=self.nabla_g)


class InferenceKeeps(Scale):
    def output(self, a_prev, mode):
        self.a_prev = a_prev
        return super().output(a_prev, mode)


class InferenceDiffers(Scale):
    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        return a if mode.training else 2 * a


class KeepsAsInTraining(Dropout):
    """Drops out wherever state is kept: keep=True behaves as training."""

    def output(self, a_prev, mode):
        return super().output(a_prev, TRAINING if mode.keep else mode)


class MovesItsStatistics(BatchNorm):
    """keep=True goes by the running statistics, as it should, and moves them, as it must not."""

    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.keep and not mode.training:
            mu = a_prev.real.mean(axis=-1, keepdims=True)
            self.running_mean += 0.1 * (mu - self.running_mean)
        return a


class DrawsForNothing(Dropout):
    """keep=True drops nothing out, but draws the numbers that training would have drawn."""

    def output(self, a_prev, mode):
        if mode.keep and not mode.training:
            self.rng.random(a_prev.shape)
        return super().output(a_prev, mode)


class OldMask(Dropout):
    """Goes back by the mask of the last training forward, after keep=True too."""

    def output(self, a_prev, mode):
        mask = self.mask
        a = super().output(a_prev, mode)
        if mode.keep and not mode.training:
            self.mask = mask
        return a


class BatchStatistics(BatchNorm):
    """Goes back through the statistics of the batch although keep=True went by the running ones."""

    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.keep:
            self.by_batch = True
        return a


class KeepsOnlyInTraining(Scale):
    """Asks for `mode.training` where it should ask for `mode.keep`."""

    def output(self, a_prev, mode):
        if mode.training:
            self.used = a_prev
        return super().output(a_prev, mode)

    def parameter_gradients(self, delta):
        np.sum(delta * self.used, axis=1, keepdims=True, out=self.nabla_g)


class ChangesItsInput(Scale):
    def run(self, a_prev, mode):
        a = super().run(a_prev, mode)
        if mode.keep:
            self.a_prev = a_prev.copy()
        a_prev *= self.g
        return a


class ChangesUpstream(Scale):
    def downstream(self, delta):
        sent = super().downstream(delta)
        delta *= self.g
        return sent


class ReusesItsBuffer(Scale):
    def downstream(self, delta):
        sent = super().downstream(delta)
        buffer = self.__dict__.setdefault("buffer", np.empty_like(sent))
        if buffer.shape != sent.shape:
            self.buffer = buffer = np.empty_like(sent)
        buffer[...] = sent
        return buffer


class UpcastsOutput(Scale):
    def output(self, a_prev, mode):
        return super().output(a_prev, mode).astype(np.float64)


class NoShapeCheck(Scale):
    """One feature is broadcast against the n factors."""

    def output_shape(self, input_shape):
        return input_shape


class LiesAboutItsShape(Scale):
    def output_shape(self, input_shape):
        return (*super().output_shape(input_shape), 1)


class Broadcasts(Scale):
    def check_upstream(self, nabla, name="nabla_a", like=None):
        pass


class Centred(Layer):
    """The mean over the batch taken off: right, but the examples meet."""

    def output(self, a_prev, mode):
        return a_prev - a_prev.mean(axis=-1, keepdims=True)

    def downstream(self, delta):
        return delta - delta.mean(axis=-1, keepdims=True)


class DeclaredCentred(Centred):
    independent_examples = False


class NoisyCentred(Centred):
    """The same with random numbers, where no example can go alone."""

    def __init__(self, rng=None):
        self.initialize(rng)

    def initialize(self, rng=None):
        self.rng = np.random.default_rng(rng)

    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.training:
            a = a + self.rng.standard_normal(a.shape).astype(a_prev.dtype)
        return a


class ByPosition(Layer):
    independent_examples = False

    def factors(self, a):
        return np.arange(1, a.shape[-1] + 1).astype(a.real.dtype)

    def output(self, a_prev, mode):
        return a_prev * self.factors(a_prev)

    def downstream(self, delta):
        return delta * self.factors(delta)


class Forgetful(Layer):
    """What it was constructed with is not what its attribute says."""

    def __init__(self, factor=1.0):
        self.factor = factor
        self.twice = 2.0

    def output(self, a_prev, mode):
        return a_prev * (self.factor * self.twice)

    def downstream(self, delta):
        return delta * (self.factor * self.twice)


def forgetful() -> Layer:
    layer = Forgetful(3.0)
    layer.twice = 2.5
    return layer


class Unnamed(Scale):
    """A constructor argument that no attribute keeps."""

    def __init__(self, size, dtype="float32"):
        super().__init__(size, dtype)


class SharesItsParameters(Scale):
    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin.bind(self.theta, self.nabla)
        return twin

    def astype(self, dtype):
        twin = copy.copy(self)
        twin.a_prev = twin.a = None
        twin.bind(self.theta.astype(dtype), self.nabla.astype(dtype))
        return twin


class KeepsNoOutput(Scale):
    def run(self, a_prev, mode):
        a = super().run(a_prev, mode)
        if mode.keep:
            self.a = self.a + 1
        return a


class NeverKeeps(Scale):
    def run(self, a_prev, mode):
        return self.output(a_prev, mode)


class WrongZ(Sigmoid):
    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.keep:
            self.z = a
        return a


class ForgetsItsOutput(Scale):
    def run(self, a_prev, mode):
        if mode.keep:
            self.a_prev = a_prev
        return self.output(a_prev, mode)


class Learns(Scale):
    def descend(self, delta, input_gradient):
        downstream = super().descend(delta, input_gradient)
        self.theta -= 0.1 * self.nabla
        return downstream


class Decays(Scale):
    def output(self, a_prev, mode):
        if mode.training:
            self.g *= 0.99
        return super().output(a_prev, mode)


class RunningMean(Centred):
    """Keeps a mean for inference where saving does not look."""

    independent_examples = False

    def __init__(self, n):
        self.n = n
        self.mean = np.zeros((n, 1))
        self.used_batch = False

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return input_shape

    def output(self, a_prev, mode):
        if mode.keep:
            self.used_batch = mode.training
        if not mode.training:
            return (a_prev - self.mean).astype(a_prev.dtype)
        self.mean = 0.9 * self.mean + 0.1 * a_prev.real.mean(axis=-1, keepdims=True)
        return super().output(a_prev, mode)

    def downstream(self, delta):
        return super().downstream(delta) if self.used_batch else delta.copy()


class ArrayArgument(Layer):
    def __init__(self, factor):
        self.factor = factor

    def output(self, a_prev, mode):
        return (a_prev * self.factor).astype(a_prev.dtype)

    def downstream(self, delta):
        return (delta * self.factor).astype(delta.dtype)


BROKEN = [
    (StaleInput(4), "latest forward", "BP4, dC/dg,"),
    (OldestInput(4), "latest forward", "BP4, dC/dg,"),
    (InferenceKeeps(4), "inference", "keeps nothing"),
    (InferenceDiffers(4), "inference", "a = f(a_prev)"),
    (KeepsAsInTraining(0.5, rng=0), "kept inference", "a = f(a_prev)"),
    (MovesItsStatistics(4), "kept inference", "can go back"),
    (DrawsForNothing(0.5, rng=0), "kept inference", "can go back"),
    (OldMask(0.5, rng=0), "kept inference", "BP2, dC/da_prev,"),
    (BatchStatistics(4), "kept inference", "BP2, dC/da_prev,"),
    (KeepsOnlyInTraining(4), "kept inference", "BP4, dC/dg,"),
    (ChangesItsInput(4), "arguments", "only read"),
    (ChangesUpstream(4), "arguments", "only read"),
    (ReusesItsBuffer(4), "results kept", "stays"),
    (UpcastsOutput(4), "dtype", "float32 stays float32"),
    (NoShapeCheck(4), "output shape", "forward(x).shape"),
    (LiesAboutItsShape(4), "output shape", "forward(x).shape"),
    (Broadcasts(4), "shapes", "nabla_a has the shape of a"),
    (Centred(), "independent examples", "a = f(a_prev)"),
    (NoisyCentred(0), "independent examples", "a = f(a_prev)"),
    (ByPosition(), "permutation", "a = f(a_prev)"),
    (forgetful(), "save and load", "config and state"),
    (Unnamed(4), "description", "how to make the layer again"),
    (SharesItsParameters(4), "copies", "a layer of its own"),
    (KeepsNoOutput(4), "state", "keeps a_prev, z and a"),
    (WrongZ(), "state", "a = sigma(z)"),
    (ForgetsItsOutput(4), "both passes", "keeps a"),
    (Learns(4), "parameters untouched", "only an optimizer"),
    (Decays(4), "parameters untouched", "only an optimizer"),
    (RunningMean(4), "save and load", "config and state"),
    (ArrayArgument(np.full((4, 1), 2.0)), "description", "how to make the layer again"),
]
