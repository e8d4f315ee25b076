"""Random numbers that come from elsewhere, or are drawn otherwise."""

from __future__ import annotations

import random

import numpy as np

from backprop.layers import Dropout
from tests.cases import Scale
from tests.gradients.faults.base import Plain, fault


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


class SeedsTheGeneratorOfAll(Scale):
    def initialize(self, rng=None):
        np.random.seed(0)  # noqa: NPY002
        super().initialize(rng)


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
fault(SeedsTheGeneratorOfAll(4), "initialization")
