"""Optimizers: how theta moves along the negative gradient of the cost.

An optimizer works in place on two flat vectors, the parameters theta and the gradient
nabla = dC/dtheta, block by block so that everything stays in the cache. What it remembers of
earlier steps is one or two vectors of theta's shape. Each class below is its update rule; ``<-``
assigns, and all products, quotients and roots of vectors are elementwise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from backprop.core.checks import check_array, check_number, check_vector
from backprop.core.config import Configurable
from backprop.kernels import memory

Part = slice | tuple[slice, float]  # of theta, and by what factor a rule applies to it


class Optimizer(Configurable, ABC):
    """Base of the optimizers; a subclass defines `accumulator_names` and `_update`.

    Parameters
    ----------
    eta : float
        The learning rate, at least 0.

    Attributes
    ----------
    eta : float
        May be assigned between steps, as a schedule does.
    t : int
        Steps taken.
    accumulators : dict of str to ndarray, shape (P,)
        The vectors that the rule carries from step to step, of theta's shape and dtype; empty
        before the first step.
    """

    accumulator_names: ClassVar[tuple[str, ...]] = ()

    t: int
    accumulators: dict[str, np.ndarray]
    _theta: np.ndarray  # those of the last step, which need no second check
    _nabla: np.ndarray
    _scratch: np.ndarray

    def __init__(self, eta: float) -> None:
        self.eta = eta
        self.reset()

    @property
    def eta(self) -> float:
        """The learning rate."""
        return self._eta

    @eta.setter
    def eta(self, value: float) -> None:
        self._eta = self._check_number("eta", value, "[0, inf)")

    def step(
        self,
        theta: np.ndarray,
        nabla: np.ndarray,
        weights: Sequence[Part] | None = None,
        groups: Sequence[tuple[slice, float]] | None = None,
    ) -> None:
        """Change `theta` in place by one step; `nabla` is left as it is.

        Parameters
        ----------
        theta, nabla : ndarray, shape (P,)
            Parameters and gradient, of one real floating-point dtype.
        weights : sequence of slice, or of (slice, float), optional
            The parts of `theta` that hold weights and not biases, for the rules that treat them
            differently (`AdamW`), each with the factor of its decay; all of it, unless told.
        groups : sequence of (slice, float), optional
            The parts of `theta` that learn, each with a factor for eta: what is in none of them
            is left as it is, and so are its accumulators. All of it, unless told.

        Raises
        ------
        TypeError, ValueError
            If `theta` and `nabla` are not such vectors, or not of the size and dtype of the steps
            before. Nothing is changed then.
        """
        same = theta is self._theta and nabla is self._nabla  # as in the step before
        if not (same and theta.flags.writeable and theta.dtype == self._scratch.dtype):
            self._check(theta, nabla)
            self._theta, self._nabla = theta, nabla
            self._scratch = np.empty(min(theta.size, memory.UPDATE_BLOCK), theta.dtype)
        n = theta.size
        if not self.accumulators:
            names = self.accumulator_names
            self.accumulators = {name: np.zeros(n, theta.dtype) for name in names}
        self.t += 1
        vectors = (theta, nabla, *self.accumulators.values())
        if groups is None:
            if n == len(self._scratch):
                self._update(self._scratch, *vectors)
            else:
                self._update_in_blocks(vectors)
            return
        eta = self._eta
        try:
            for part, factor in groups:
                self._eta = eta * factor
                self._update_in_blocks(tuple(vector[part] for vector in vectors))
        finally:
            self._eta = eta

    def _update_in_blocks(self, vectors: tuple[np.ndarray, ...]) -> None:
        n, size = len(vectors[0]), len(self._scratch)
        for start in range(0, n, size):
            block = slice(start, start + size)
            self._update(self._scratch[: n - start], *[vector[block] for vector in vectors])

    @abstractmethod
    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *accumulators: np.ndarray
    ) -> None:
        """Apply the rule in place to one block of theta, nabla and every accumulator.

        `s` is scratch memory of the block's size; `t` already counts this step.
        """

    def reset(self) -> None:
        """Forget all steps taken."""
        self.t = 0
        self.accumulators = {}
        self._theta = self._nabla = self._scratch = np.empty(0)

    def __getstate__(self) -> dict[str, Any]:
        forgotten = dict.fromkeys(("_theta", "_nabla", "_scratch"), np.empty(0))
        return {**self.__dict__, **forgotten}

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of ``t`` and of every vector in `accumulators`, by name.

        The learning rate is not part of it: it belongs to `config`.
        """
        copies = {name: vector.copy() for name, vector in self.accumulators.items()}
        return {"t": np.array(self.t), **copies}

    def set_state(self, state: Mapping[str, np.ndarray], theta: np.ndarray) -> None:
        """Copy in what `state` returned: the next step for `theta` goes on bit for bit.

        Raises
        ------
        ValueError
            If it is not the state of this kind of optimizer, for a vector of the shape and dtype
            of `theta`. Nothing is changed then.
        """
        kind = type(self).__name__
        t = np.asarray(state.get("t", -1))
        if t.shape != () or t.dtype.kind not in "iu" or t < 0:
            raise ValueError(f"{kind}: the state must count its steps in t, got t = {t}")
        names = {"t", *self.accumulator_names} if t > 0 else {"t"}
        if state.keys() != names:
            raise ValueError(
                f"{kind}: the state after {t} steps must hold {', '.join(sorted(names))}, "
                f"got {', '.join(sorted(state))}"
            )
        vectors = {name: np.array(state[name]) for name in self.accumulator_names if name in state}
        for name, vector in vectors.items():
            if vector.shape != theta.shape or vector.dtype != theta.dtype:
                raise ValueError(
                    f"{kind}: {name} in the state must be {_size_and_dtype(theta)} like theta, "
                    f"got {_size_and_dtype(vector)}"
                )
        self.reset()
        self.t, self.accumulators = int(t), vectors

    def _check_number(self, name: str, value: Any, interval: str) -> float:
        return check_number(f"{type(self).__name__}: {name}", value, interval)

    def _check(self, theta: Any, nabla: Any) -> None:
        """Raise unless a step on these can be taken."""
        owner = type(self).__name__
        check_vector(owner, "vector theta", theta)
        check_array(owner, "gradient nabla", nabla, theta.dtype)
        if nabla.shape != theta.shape:
            raise ValueError(
                f"{owner}: nabla must have theta's shape {theta.shape}, got {nabla.shape}"
            )
        if not theta.flags.writeable:
            raise ValueError(f"{owner}: theta is read-only")
        for vector in self.accumulators.values():
            if vector.shape != theta.shape or vector.dtype != theta.dtype:
                raise ValueError(
                    f"{owner}: has taken steps on {_size_and_dtype(vector)}, got a theta of "
                    f"{_size_and_dtype(theta)}: use a new optimizer, or reset()"
                )


class SGD(Optimizer):
    """Gradient descent, stochastic where nabla is the gradient of a minibatch.

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

    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *accumulators: np.ndarray
    ) -> None:
        np.multiply(nabla, self._eta, out=s)
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

    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *accumulators: np.ndarray
    ) -> None:
        (v,) = accumulators
        np.multiply(nabla, self._eta, out=s)
        np.multiply(v, self.mu, out=v)
        np.subtract(v, s, out=v)  # v <- mu v - eta nabla
        np.add(theta, v, out=theta)  # theta <- theta + v


class Nesterov(Momentum):
    """Nesterov's accelerated gradient: momentum, with nabla taken where v is about to lead.

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

    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *accumulators: np.ndarray
    ) -> None:
        (v,) = accumulators
        np.multiply(nabla, self._eta, out=s)
        np.multiply(v, self.mu, out=v)
        np.subtract(v, s, out=v)  # v <- mu v - eta nabla
        np.subtract(theta, s, out=theta)
        np.multiply(v, self.mu, out=s)
        np.add(theta, s, out=theta)  # theta <- theta - eta nabla + mu v


class RMSProp(Optimizer):
    """Gradient descent, each step divided by a running root mean square of the gradient.

    ::

        v     <- rho v + (1 - rho) nabla^2
        theta <- theta - eta nabla / (sqrt(v) + eps)

    eps is outside the root, as in torch.optim.RMSprop. The array ``accumulators["v"]`` holds
    v / (1 - rho), the plain sum of rho^k nabla^2 over the steps k = 0, 1, ... backwards, which
    saves a pass; the constant is in the last line's scalars.

    Source: Hinton, Neural networks for machine learning, 2012, lecture 6e (rho = 0.9 there).

    Parameters
    ----------
    eta : float
        The learning rate, at least 0.
    rho : float
        The decay rate, in [0, 1).
    eps : float
        Greater than 0.
    """

    accumulator_names = ("v",)

    def __init__(self, eta: float = 0.01, rho: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(eta)
        self.rho = self._check_number("rho", rho, "[0, 1)")
        self.eps = self._check_number("eps", eps, "(0, inf)")

    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *accumulators: np.ndarray
    ) -> None:
        (v,) = accumulators
        c = 1 / math.sqrt(1 - self.rho)
        np.multiply(v, self.rho, out=v)
        np.multiply(nabla, nabla, out=s)
        np.add(v, s, out=v)  # c^2 v <- rho c^2 v + nabla^2
        np.sqrt(v, out=s)
        np.add(s, self.eps * c, out=s)  # s = c (sqrt(v) + eps)
        np.divide(nabla, s, out=s)
        np.multiply(s, self._eta * c, out=s)
        np.subtract(theta, s, out=theta)  # theta <- theta - eta nabla / (sqrt(v) + eps)


class Adam(Optimizer):
    """Momentum divided by a running root mean square, both freed of their bias towards zero.

    ::

        m     <- beta1 m + (1 - beta1) nabla          m_hat = m / (1 - beta1^t)
        v     <- beta2 v + (1 - beta2) nabla^2        v_hat = v / (1 - beta2^t)
        theta <- theta - eta m_hat / (sqrt(v_hat) + eps)

    m_hat and v_hat are weighted means. With M = sum of beta1^k nabla and S = sum of beta1^k, over
    the t steps k = 0, 1, ... backwards, m = (1 - beta1) M and 1 - beta1^t = (1 - beta1) S, so that
    m_hat = M / S. The arrays ``accumulators["m"]`` and ``accumulators["v"]`` hold these plain
    sums, m / (1 - beta1) and v / (1 - beta2), which saves two passes.

    Source: Kingma and Ba, Adam: a method for stochastic optimization, 2015, algorithm 1.

    Parameters
    ----------
    eta : float
        The learning rate, at least 0.
    beta1, beta2 : float
        The decay rates of the two means, in [0, 1).
    eps : float
        Greater than 0.
    """

    accumulator_names = ("m", "v")

    def __init__(
        self, eta: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        super().__init__(eta)
        self.beta1 = self._check_number("beta1", beta1, "[0, 1)")
        self.beta2 = self._check_number("beta2", beta2, "[0, 1)")
        self.eps = self._check_number("eps", eps, "(0, inf)")

    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *accumulators: np.ndarray
    ) -> None:
        m, v = accumulators
        sum1 = (1 - self.beta1**self.t) / (1 - self.beta1)  # m_hat = m / sum1
        root2 = math.sqrt((1 - self.beta2**self.t) / (1 - self.beta2))
        np.multiply(m, self.beta1, out=m)
        np.add(m, nabla, out=m)  # m <- beta1 m + nabla
        np.multiply(v, self.beta2, out=v)
        np.multiply(nabla, nabla, out=s)
        np.add(v, s, out=v)  # v <- beta2 v + nabla^2
        np.sqrt(v, out=s)  # sqrt(v_hat) = sqrt(v) / root2
        np.add(s, self.eps * root2, out=s)  # s = root2 (sqrt(v_hat) + eps)
        np.divide(m, s, out=s)
        np.multiply(s, self._eta * root2 / sum1, out=s)
        np.subtract(theta, s, out=theta)  # theta <- theta - eta m_hat / (sqrt(v_hat) + eps)


class AdamW(Adam):
    """Adam with decoupled weight decay.

    ::

        theta <- theta - eta weight_decay theta, weights only
        theta <- theta - eta m_hat / (sqrt(v_hat) + eps), m_hat and v_hat of nabla as in Adam

    The gradient of an L2 penalty would be divided by sqrt(v_hat) like the rest of nabla, so that
    the weights with the largest gradients would decay the least; here all decay alike. As in
    torch.optim.AdamW, the decay is multiplied by eta.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, 2019, algorithm 2.

    Parameters
    ----------
    eta, beta1, beta2, eps : float
        As in `Adam`.
    weight_decay : float
        The strength of the decay, at least 0.
    """

    def __init__(
        self,
        eta: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(eta, beta1, beta2, eps)
        self.weight_decay = self._check_number("weight_decay", weight_decay, "[0, inf)")

    def step(
        self,
        theta: np.ndarray,
        nabla: np.ndarray,
        weights: Sequence[Part] | None = None,
        groups: Sequence[tuple[slice, float]] | None = None,
    ) -> None:
        """Change `theta` in place by one step, decaying the parts named by `weights` (or all).

        The parts must not overlap. Otherwise as `Optimizer.step`.
        """
        self._check(theta, nabla)
        named: Sequence[Part] = [slice(None)] if weights is None else weights
        parts = [self._part(theta, part) for part in named]
        for part, factor in parts:  # theta <- theta - eta weight_decay theta
            np.multiply(part, 1 - self._eta * self.weight_decay * factor, out=part)
        super().step(theta, nabla, weights, groups)

    def _part(self, theta: np.ndarray, part: Any) -> tuple[np.ndarray, float]:
        """Return the view of theta that one of `weights` names, and its factor."""
        owner = type(self).__name__
        part, factor = part if isinstance(part, tuple) else (part, 1.0)
        if not isinstance(part, slice):
            raise TypeError(f"{owner}: weights must be slices of theta, got {part!r}")
        if part.stop is not None and part.stop > theta.size:
            raise ValueError(
                f"{owner}: weights must be inside of theta, which has {theta.size} elements, "
                f"got {part}"
            )
        return theta[part], factor


def _size_and_dtype(vector: np.ndarray) -> str:
    return f"{vector.size} elements of {vector.dtype}"
