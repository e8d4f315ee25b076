"""Schedules: learning rates that change while training runs.

A schedule is called with the time e in epochs, counted from 0 and fractional inside an epoch
(epoch 2.5 is half-way through the third), and returns eta(e). Whoever trains assigns it before
each step: ``optimizer.eta = schedule(epoch)``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from backprop.core.checks import check_integer, check_number
from backprop.core.config import Configurable


class Schedule(Configurable, ABC):
    """Base of the schedules; a subclass writes `eta_at`.

    ::

        class Inverse(Schedule):  # eta(e) = eta / (1 + e)
            def __init__(self, eta):
                self.eta = eta

            def eta_at(self, epoch):
                return self.eta / (1 + epoch)
    """

    def __call__(self, epoch: float) -> float:
        """Return eta at `epoch` (a finite number, at least 0).

        Raises
        ------
        TypeError, ValueError
            If `epoch` is not such a number.
        """
        return self.eta_at(check_number(f"{type(self).__name__}: epoch", epoch, "[0, inf)"))

    @abstractmethod
    def eta_at(self, epoch: float) -> float:
        """Return eta at an `epoch` that has been checked."""


class ConstantRate(Schedule):
    """The same learning rate always: eta(e) = eta.

    Parameters
    ----------
    eta : float
        At least 0.
    """

    def __init__(self, eta: float) -> None:
        self.eta = check_number(f"{type(self).__name__}: eta", eta, "[0, inf)")

    def eta_at(self, epoch: float) -> float:
        return self.eta


class StepDecay(Schedule):
    """A learning rate that drops by a factor every so many epochs.

    eta(e) = eta factor^floor(e / every). What is less than 1e-9 short of a drop counts as there:
    the time is rounded, and after a `Warmup` of 0.3 epochs e = 2.3 - 0.3 is a little less than 2.

    Parameters
    ----------
    eta : float
        The learning rate at the start, at least 0.
    factor : float
        In (0, 1].
    every : int
        Epochs from one drop to the next.
    """

    def __init__(self, eta: float, factor: float = 0.1, every: int = 10) -> None:
        self.eta = check_number(f"{type(self).__name__}: eta", eta, "[0, inf)")
        self.factor = check_number(f"{type(self).__name__}: factor", factor, "(0, 1]")
        self.every = check_integer(f"{type(self).__name__}: every", every)

    def eta_at(self, epoch: float) -> float:
        return self.eta * self.factor ** ((epoch + 1e-9) // self.every)


class ExponentialDecay(Schedule):
    """A learning rate that decays exponentially: eta(e) = eta exp(-rate e).

    It is halved every (ln 2) / rate epochs. A factor gamma per epoch, as other libraries have it,
    is rate = -ln gamma.

    Parameters
    ----------
    eta : float
        The learning rate at the start, at least 0.
    rate : float
        Per epoch, at least 0.
    """

    def __init__(self, eta: float, rate: float) -> None:
        self.eta = check_number(f"{type(self).__name__}: eta", eta, "[0, inf)")
        self.rate = check_number(f"{type(self).__name__}: rate", rate, "[0, inf)")

    def eta_at(self, epoch: float) -> float:
        return self.eta * math.exp(-self.rate * epoch)


class CosineDecay(Schedule):
    """A learning rate that falls along half a cosine, and then stays.

    eta(e) = final + (eta - final) (1 + cos(pi e / epochs)) / 2 for e < epochs, then `final`.

    Source: Loshchilov and Hutter, SGDR: Stochastic gradient descent with warm restarts, 2017,
    equation 5, one cycle without restarts.

    Parameters
    ----------
    eta : float
        The learning rate at the start, at least 0.
    epochs : float
        How long it falls, greater than 0.
    final : float
        The learning rate at the end, at least 0.
    """

    def __init__(self, eta: float, epochs: float, final: float = 0.0) -> None:
        self.eta = check_number(f"{type(self).__name__}: eta", eta, "[0, inf)")
        self.epochs = check_number(f"{type(self).__name__}: epochs", epochs, "(0, inf)")
        self.final = check_number(f"{type(self).__name__}: final", final, "[0, inf)")

    def eta_at(self, epoch: float) -> float:
        if epoch >= self.epochs:
            return self.final
        cosine = math.cos(math.pi * epoch / self.epochs)
        return self.final + 0.5 * (self.eta - self.final) * (1 + cosine)


class Warmup(Schedule):
    """A learning rate that rises in a straight line from 0, and then follows another schedule.

    eta(e) = then(0) e / epochs for e < epochs, and then(e - epochs) afterwards: `then` counts its
    epochs from the end of the warm-up, so a `CosineDecay` that is to end with a training of E
    epochs has E - `epochs` of them. eta is 0 at e = 0, so this is a schedule to be asked at every
    step and not once an epoch.

    Source: Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017,
    section 2.2.

    Parameters
    ----------
    epochs : float
        How long it rises, greater than 0.
    then : Schedule
        What it rises to, and follows from there on.
    """

    def __init__(self, epochs: float, then: Schedule) -> None:
        if not isinstance(then, Schedule):
            raise TypeError(f"{type(self).__name__}: then must be a Schedule, got {then!r}")
        self.epochs = check_number(f"{type(self).__name__}: epochs", epochs, "(0, inf)")
        self.then = then

    def eta_at(self, epoch: float) -> float:
        if epoch < self.epochs:
            return self.then(0.0) * epoch / self.epochs
        return self.then(epoch - self.epochs)
