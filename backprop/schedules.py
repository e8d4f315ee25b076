"""Learning rates that change while training runs.

A schedule is called with the time in epochs, counted from 0 and fractional inside an epoch (epoch
2.5 is half-way through the third), and returns η. Whoever trains assigns it before each step:
``optimizer.eta = schedule(epoch)``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from backprop.core.checks import check_integer, check_number
from backprop.core.config import Configurable


class Schedule(Configurable, ABC):
    """Base of the schedules; a subclass defines `_eta`."""

    def __call__(self, epoch: float) -> float:
        """Return η at `epoch` (a finite number, at least 0).

        Raises
        ------
        TypeError, ValueError
            If `epoch` is not such a number.
        """
        return self._eta(check_number("epoch", epoch, "[0, inf)"))

    @abstractmethod
    def _eta(self, epoch: float) -> float:
        """Return η at a checked `epoch`."""


class ConstantRate(Schedule):
    """η(e) = η."""

    def __init__(self, eta: float) -> None:
        self.eta = check_number("eta", eta, "[0, inf)")

    def _eta(self, epoch: float) -> float:
        return self.eta


class StepDecay(Schedule):
    """η(e) = η · factor^⌊e / every⌋: multiplied by `factor` after each `every` whole epochs."""

    def __init__(self, eta: float, factor: float = 0.1, every: int = 10) -> None:
        self.eta = check_number("eta", eta, "[0, inf)")
        self.factor = check_number("factor", factor, "(0, 1]")
        self.every = check_integer("every", every)

    def _eta(self, epoch: float) -> float:
        return self.eta * self.factor ** (epoch // self.every)


class ExponentialDecay(Schedule):
    """η(e) = η · exp(−rate · e): halved every (ln 2) / rate epochs.

    A factor γ per epoch, as other libraries have it, is rate = −ln γ.
    """

    def __init__(self, eta: float, rate: float) -> None:
        self.eta = check_number("eta", eta, "[0, inf)")
        self.rate = check_number("rate", rate, "[0, inf)")

    def _eta(self, epoch: float) -> float:
        return self.eta * math.exp(-self.rate * epoch)


class CosineDecay(Schedule):
    """η(e) = final + ½ (η − final) (1 + cos(π e / epochs)), and `final` from then on.

    Source: Loshchilov and Hutter, SGDR: Stochastic gradient descent with warm restarts, 2017,
    equation 5, one cycle without restarts.
    """

    def __init__(self, eta: float, epochs: float, final: float = 0.0) -> None:
        self.eta = check_number("eta", eta, "[0, inf)")
        self.epochs = check_number("epochs", epochs, "(0, inf)")
        self.final = check_number("final", final, "[0, inf)")

    def _eta(self, epoch: float) -> float:
        if epoch >= self.epochs:
            return self.final
        cosine = math.cos(math.pi * epoch / self.epochs)
        return self.final + 0.5 * (self.eta - self.final) * (1 + cosine)


class Warmup(Schedule):
    """A straight line from 0 up to what `then` starts with, and after it `then`.

    η(e) = then(0) · e / epochs for e < epochs, and then(e − epochs) afterwards: `then` counts its
    epochs from the end of the warm-up, so a `CosineDecay` that is to end with a training of E
    epochs has E − `epochs` of them. η is 0 at e = 0, so this is a schedule to be asked at every
    step and not once an epoch.

    Source: Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017,
    section 2.2.
    """

    def __init__(self, epochs: float, then: Schedule) -> None:
        if not isinstance(then, Schedule):
            raise TypeError(f"then must be a schedule, got {then!r}")
        self.epochs = check_number("epochs", epochs, "(0, inf)")
        self.then = then

    def _eta(self, epoch: float) -> float:
        if epoch < self.epochs:
            return self.then(0.0) * epoch / self.epochs
        return self.then(epoch - self.epochs)
