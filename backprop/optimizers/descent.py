"""Gradient descent, plain and with momentum."""

from __future__ import annotations

import numpy as np

from backprop.optimizers.base import Optimizer


class SGD(Optimizer):
    """Plain gradient descent; stochastic if nabla is the gradient of a minibatch.

    ::

        theta <- theta - eta nabla

    Source: Nielsen, Neural Networks and Deep Learning, chapter 1.

    Parameters
    ----------
    eta : float
        The learning rate, at least 0.
    """

    def __init__(self, eta: float = 0.1) -> None:
        super().__init__(eta)

    def update(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        np.multiply(nabla, eta, out=s)
        np.subtract(theta, s, out=theta)  # theta <- theta - eta nabla


class Momentum(Optimizer):
    """Gradient descent with a velocity v, of which each step keeps the fraction mu.

    ::

        v     <- mu v - eta nabla
        theta <- theta + v

    With a constant eta this is also the rule u <- mu u + nabla, theta <- theta - eta u of
    torch.optim.SGD, with v = -eta u. When eta changes, the two differ: here the steps already in
    v keep the eta they were taken with.

    Source: Nielsen, Neural Networks and Deep Learning, chapter 3, "Variations on stochastic
    gradient descent".

    Parameters
    ----------
    eta : float
        The learning rate, at least 0.
    mu : float
        The momentum coefficient, in [0, 1).
    """

    accumulator_names = ("v",)

    def __init__(self, eta: float = 0.01, mu: float = 0.9) -> None:
        super().__init__(eta)
        self.mu = self._check_number("mu", mu, "[0, 1)")

    def update(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        (v,) = more
        np.multiply(nabla, eta, out=s)
        np.multiply(v, self.mu, out=v)
        np.subtract(v, s, out=v)  # v <- mu v - eta nabla
        np.add(theta, v, out=theta)  # theta <- theta + v


class Nesterov(Momentum):
    """Nesterov's accelerated gradient: momentum, with the gradient taken one step ahead.

    ::

        v     <- mu v - eta nabla
        theta <- theta + mu v - eta nabla

    Sutskever's form moves a point phi and takes the gradient at phi + mu v (primes mark the new
    values, and nabla(x) is the gradient at x)::

        v'   = mu v - eta nabla(phi + mu v)
        phi' = phi + v'

    The rule above keeps that look-ahead point itself, theta = phi + mu v, so that only
    nabla(theta) is needed::

        theta' = phi' + mu v' = phi + v' + mu v' = theta - mu v + v' + mu v'
               = theta + mu v' - eta nabla(theta)

    Its theta is thus where the gradient is taken, one mu v ahead of phi; both tend to the same
    minimum. With a constant eta it is the rule of torch.optim.SGD with nesterov=True.

    Source: Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum
    in deep learning, 2013, equations 3 and 4.

    Parameters
    ----------
    eta, mu : float
        As in `Momentum`.
    """

    def update(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        (v,) = more
        np.multiply(nabla, eta, out=s)
        np.multiply(v, self.mu, out=v)
        np.subtract(v, s, out=v)  # v <- mu v - eta nabla
        np.subtract(theta, s, out=theta)
        np.multiply(v, self.mu, out=s)
        np.add(theta, s, out=theta)  # theta <- theta - eta nabla + mu v
