"""Memory that is shared, written to, or taken for something else."""

from __future__ import annotations

import numpy as np

from backprop.layers import Activation, Dense, Sigmoid, Tanh
from tests.cases import Scale
from tests.gradients.faults.base import Plain, fault


class SharesTheta(Scale):
    """The output is the parameter itself."""

    def output(self, a_prev, mode):
        if a_prev.dtype.kind == "c" or a_prev.shape[-1] == 1:
            return self.g + 0 * a_prev
        return np.broadcast_to(self.g, a_prev.shape)

    def parameter_gradients(self, delta):
        self.nabla_g = delta.sum(axis=1, keepdims=True)

    def downstream(self, delta):
        return np.zeros_like(delta)


class DownstreamInNabla(Scale):
    """What goes down lies in the vector of the gradients."""

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
