"""State, modes, masks and hooks that are forgotten, kept or shared."""

from __future__ import annotations

import copy

import numpy as np

from backprop.layers import GRU, LSTM, BatchNorm, Layer
from tests.cases import Scale
from tests.gradients.faults.base import Plain, fault


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
