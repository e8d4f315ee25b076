"""Steps divided by a running root mean square of the gradient.

The squares are kept as their plain sum, which takes the fewest passes. Gradients whose squares do
not fit into the dtype, from about 1e17 up in float32, or that are not small beside eps when their
squares are 0, have the same rules by roots instead of squares, from the first such step on.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from backprop.optimizers.base import Optimizer, Part

_TYPES = [np.finfo(kind) for kind in (np.float32, np.float64, np.longdouble)]
_LARGEST = {info.dtype.itemsize: float(info.max) for info in _TYPES}
_LEAST_EPS = {info.dtype.itemsize: math.sqrt(float(info.tiny)) / float(info.eps) for info in _TYPES}
"""By bytes of the dtype: beside a smaller eps, a gradient whose square is 0 would count."""


class Adaptive(Optimizer):
    """Base of the rules with squares: those that fit are summed as they are, else by roots.

    A subclass writes both rules, `_update_by_squares` and `_update_by_roots`, and `_to_roots`.
    """

    names_by_roots: ClassVar[tuple[str, ...]] = ()

    eps: float

    def _names_in(self, state: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        return self.names_by_roots if "root_v" in state else self.accumulator_names

    def update(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        if "root_v" not in self.accumulators:
            # vdot, unlike dot, does not warn of what overflows
            if np.vdot(nabla, nabla) < self.room_for_squares(s.itemsize):
                self._update_by_squares(eta, s, theta, nabla, *more)
                return
            carried = self.accumulators.values()
            self._to_roots(*carried)
            self.accumulators = dict(zip(self.names_by_roots, carried, strict=True))
        self._update_by_roots(eta, s, theta, nabla, *more)

    def room_for_squares(self, itemsize: int) -> float:
        """Return what the squares of a gradient may add up to; 0 if eps wants roots anyway."""
        if self.eps <= _LEAST_EPS[itemsize]:
            return 0.0
        return 0.5 * (1 - self._decay_of_squares()) * _LARGEST[itemsize]

    @abstractmethod
    def _decay_of_squares(self) -> float:
        """Return by what a square is multiplied from step to step."""

    @abstractmethod
    def _update_by_squares(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        """Do what `update` says, with the plain sum of the squares."""

    @abstractmethod
    def _update_by_roots(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        """Do what `update` says, with the root of the mean square."""

    @abstractmethod
    def _to_roots(self, *accumulators: np.ndarray) -> None:
        """Turn what the one rule carries into what the other does, in place."""

    def _eps_of(self, s: np.ndarray, factor: float) -> float:
        """Return eps times a factor, or what is the least above 0 in the dtype."""
        return max(self.eps * factor, float(np.finfo(s.dtype).smallest_subnormal))


class RMSProp(Adaptive):
    """Gradient descent, each step divided by a running root mean square of the gradient.

    ::

        v     <- rho v + (1 - rho) nabla^2
        theta <- theta - eta nabla / (sqrt(v) + eps)

    eps is outside the root, as in torch.optim.RMSprop. The array ``accumulators["v"]`` holds
    v / (1 - rho), the plain sum of rho^k nabla^2 over the steps k = 0, 1, ... backwards, which
    saves a pass; the constant is in the last line's scalars. Once squares do not fit into the
    dtype it is ``accumulators["root_v"]``, which holds sqrt(v).

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
    names_by_roots = ("root_v",)

    def __init__(self, eta: float = 0.01, rho: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(eta)
        self.rho = self._check_number("rho", rho, "[0, 1)")
        self.eps = self._check_number("eps", eps, "(0, inf)")

    def _decay_of_squares(self) -> float:
        return self.rho

    def _update_by_squares(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        (v,) = more
        c = 1 / math.sqrt(1 - self.rho)
        np.multiply(v, self.rho, out=v)
        np.multiply(nabla, nabla, out=s)
        np.add(v, s, out=v)  # c^2 v <- rho c^2 v + nabla^2
        np.sqrt(v, out=s)
        np.add(s, self.eps * c, out=s)  # s = c (sqrt(v) + eps)
        np.divide(nabla, s, out=s)
        np.multiply(s, eta * c, out=s)
        np.subtract(theta, s, out=theta)  # theta <- theta - eta nabla / (sqrt(v) + eps)

    def _update_by_roots(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        (root_v,) = more
        _mean_root(root_v, nabla, self.rho, s)
        np.add(root_v, self._eps_of(s, 1), out=s)
        np.divide(nabla, s, out=s)
        np.multiply(s, eta, out=s)
        np.subtract(theta, s, out=theta)  # theta <- theta - eta nabla / (sqrt(v) + eps)

    def _to_roots(self, *accumulators: np.ndarray) -> None:
        (v,) = accumulators
        np.sqrt(v, out=v)
        np.multiply(v, math.sqrt(1 - self.rho), out=v)


class Adam(Adaptive):
    """Adam: momentum divided by a running root mean square, both corrected for starting at 0.

    ::

        m     <- beta1 m + (1 - beta1) nabla          m_hat = m / (1 - beta1^t)
        v     <- beta2 v + (1 - beta2) nabla^2        v_hat = v / (1 - beta2^t)
        theta <- theta - eta m_hat / (sqrt(v_hat) + eps)

    m_hat and v_hat are weighted means. With M = sum of beta1^k nabla and S = sum of beta1^k, over
    the t steps k = 0, 1, ... backwards, m = (1 - beta1) M and 1 - beta1^t = (1 - beta1) S, so that
    m_hat = M / S. The arrays ``accumulators["m"]`` and ``accumulators["v"]`` hold these plain
    sums, m / (1 - beta1) and v / (1 - beta2), which saves two passes. Once squares do not fit into
    the dtype they are ``accumulators["mean"]`` and ``accumulators["root_v"]``, which hold m and
    sqrt(v).

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
    names_by_roots = ("mean", "root_v")

    def __init__(
        self, eta: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        super().__init__(eta)
        self.beta1 = self._check_number("beta1", beta1, "[0, 1)")
        self.beta2 = self._check_number("beta2", beta2, "[0, 1)")
        self.eps = self._check_number("eps", eps, "(0, inf)")

    def _decay_of_squares(self) -> float:
        return self.beta2

    def _update_by_squares(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        m, v = more
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
        np.multiply(s, eta * root2 / sum1, out=s)
        np.subtract(theta, s, out=theta)  # theta <- theta - eta m_hat / (sqrt(v_hat) + eps)

    def _update_by_roots(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        mean, root_v = more
        sum1 = 1 - self.beta1**self.t  # m_hat = mean / sum1
        root2 = math.sqrt(1 - self.beta2**self.t)  # sqrt(v_hat) = root_v / root2
        np.multiply(mean, self.beta1, out=mean)
        np.multiply(nabla, 1 - self.beta1, out=s)
        np.add(mean, s, out=mean)
        _mean_root(root_v, nabla, self.beta2, s)
        np.add(root_v, self._eps_of(s, root2), out=s)  # s = root2 (sqrt(v_hat) + eps)
        np.divide(mean, s, out=s)
        np.multiply(s, eta * root2 / sum1, out=s)
        np.subtract(theta, s, out=theta)  # theta <- theta - eta m_hat / (sqrt(v_hat) + eps)

    def _to_roots(self, *accumulators: np.ndarray) -> None:
        m, v = accumulators
        np.multiply(m, 1 - self.beta1, out=m)
        np.sqrt(v, out=v)
        np.multiply(v, math.sqrt(1 - self.beta2), out=v)


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

    def advance(
        self,
        theta: np.ndarray,
        nabla: np.ndarray,
        weights: Sequence[Part] | None = None,
        groups: Sequence[tuple[slice, float]] | None = None,
    ) -> None:
        # The parts that `weights` names, or all, decay; they must not overlap.
        self._check(theta, nabla)
        if theta is not self._theta:  # whose eta may be another
            self.turn_to(theta)
        named: Sequence[Part] = [slice(None)] if weights is None else weights
        parts = [self._part(theta, part) for part in named]
        for part, factor in parts:  # theta <- theta - eta weight_decay theta
            np.multiply(part, 1 - self.eta * self.weight_decay * factor, out=part)
        super().advance(theta, nabla, weights, groups)

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


def _mean_root(root: np.ndarray, nabla: np.ndarray, decay: float, s: np.ndarray) -> None:
    """Let root be sqrt(decay root^2 + (1 - decay) nabla^2), in place, without squares."""
    np.multiply(root, math.sqrt(decay), out=root)
    np.multiply(nabla, math.sqrt(1 - decay), out=s)
    np.hypot(root, s, out=root)
