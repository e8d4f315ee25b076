"""How θ moves along −∇C.

An optimizer works on the flat vectors θ and ∇ = ∇θC, in place, in blocks that stay in the cache.
Its memory of earlier steps is one or two vectors of θ's shape. Each class below is its update
rule; all products and quotients of vectors are elementwise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from backprop.core.checks import check_number
from backprop.core.config import Configurable
from backprop.kernels import memory


class Optimizer(Configurable, ABC):
    """Base of the optimizers; a subclass defines `state_names` and `_update`.

    Parameters
    ----------
    eta : float
        The learning rate η, at least 0.

    Attributes
    ----------
    eta : float
        May be assigned between steps, as a schedule does.
    t : int
        Steps taken.
    state : dict of str to ndarray
        The vectors that the rule remembers, of θ's shape and dtype; empty before the first step.
    """

    state_names: ClassVar[tuple[str, ...]] = ()

    t: int
    state: dict[str, np.ndarray]
    _theta: np.ndarray  # those of the last step, which need no second check
    _nabla: np.ndarray
    _scratch: np.ndarray

    def __init__(self, eta: float) -> None:
        self.eta = eta
        self.reset()

    @property
    def eta(self) -> float:
        """The learning rate η."""
        return self._eta

    @eta.setter
    def eta(self, value: float) -> None:
        self._eta = check_number("eta", value, "[0, inf)")

    def step(
        self, theta: np.ndarray, nabla: np.ndarray, weights: Sequence[slice] | None = None
    ) -> None:
        """Change `theta` in place by one step; `nabla` is left as it is.

        Parameters
        ----------
        theta, nabla : ndarray, shape (P,)
            Parameters and gradient, of one floating-point dtype.
        weights : sequence of slice, optional
            The parts of `theta` that hold weights and not biases, for the rules that treat them
            differently (`AdamW`); all of it, unless told.

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
        if not self.state:
            self.state = {name: np.zeros(n, theta.dtype) for name in self.state_names}
        self.t += 1
        vectors = (theta, nabla, *self.state.values())
        if n <= memory.UPDATE_BLOCK:
            self._update(self._scratch, *vectors)
            return
        for start in range(0, n, memory.UPDATE_BLOCK):
            block = slice(start, start + memory.UPDATE_BLOCK)
            self._update(self._scratch[: n - start], *[vector[block] for vector in vectors])

    @abstractmethod
    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *state: np.ndarray
    ) -> None:
        """Apply the rule to one block of θ, ∇ and each vector of the state; `s` is scratch.

        `t` already counts this step.
        """

    def reset(self) -> None:
        """Forget all steps taken."""
        self.t = 0
        self.state = {}
        self._theta = self._nabla = self._scratch = np.empty(0)

    def __getstate__(self) -> dict[str, Any]:
        forgotten = dict.fromkeys(("_theta", "_nabla", "_scratch"), np.empty(0))
        return {**self.__dict__, **forgotten}

    def get_state(self) -> dict[str, np.ndarray]:
        """Return copies of ``t`` and of every vector of `state`, by name.

        The learning rate is not part of it: it belongs to `config`.
        """
        return {"t": np.array(self.t), **{name: x.copy() for name, x in self.state.items()}}

    def set_state(self, state: Mapping[str, np.ndarray], theta: np.ndarray) -> None:
        """Copy in what `get_state` returned: the next step for `theta` goes on bit for bit.

        Raises
        ------
        ValueError
            If it is not the state of this kind of optimizer, for a vector of the shape and dtype
            of `theta`. Nothing is changed then.
        """
        kind = type(self).__name__
        t = np.asarray(state.get("t", -1))
        if t.shape != () or t.dtype.kind not in "iu" or t < 0:
            raise ValueError(f"the state of {kind} must count its steps in t, got t = {t}")
        names = {"t", *self.state_names} if t > 0 else {"t"}
        if state.keys() != names:
            raise ValueError(
                f"the state of {kind} after {t} steps must hold {', '.join(sorted(names))}, "
                f"got {', '.join(sorted(state))}"
            )
        vectors = {name: np.array(state[name]) for name in self.state_names if name in state}
        for name, vector in vectors.items():
            if vector.shape != theta.shape or vector.dtype != theta.dtype:
                raise ValueError(
                    f"{name} in the state of {kind} must be {_words(theta)} like theta, "
                    f"got {_words(vector)}"
                )
        self.reset()
        self.t, self.state = int(t), vectors

    def _check(self, theta: Any, nabla: Any) -> None:
        """Raise unless a step on these can be taken."""
        _check_vector("theta", theta)
        if not isinstance(nabla, np.ndarray) or nabla.dtype != theta.dtype:
            got = getattr(nabla, "dtype", type(nabla).__name__)
            raise TypeError(f"nabla must be an array of {theta.dtype} like theta, got {got}")
        if nabla.shape != theta.shape:
            raise ValueError(f"nabla must have theta's shape {theta.shape}, got {nabla.shape}")
        if not theta.flags.writeable:
            raise ValueError("theta is read-only")
        for vector in self.state.values():
            if vector.shape != theta.shape or vector.dtype != theta.dtype:
                raise ValueError(
                    f"{self} has taken steps on {_words(vector)}, got a theta of {_words(theta)}: "
                    "use a new optimizer, or reset()"
                )


class SGD(Optimizer):
    """Gradient descent, stochastic where ∇ is that of a minibatch.

    ::

        θ ← θ − η∇

    Source: Nielsen, Neural Networks and Deep Learning, chapter 1.
    """

    def __init__(self, eta: float = 0.1) -> None:
        super().__init__(eta)

    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *state: np.ndarray
    ) -> None:
        np.multiply(nabla, self._eta, out=s)
        np.subtract(theta, s, out=theta)  # θ ← θ − η∇


class Momentum(Optimizer):
    """Gradient descent with a velocity v, of which friction leaves the fraction μ at every step.

    ::

        v ← μv − η∇
        θ ← θ + v

    With a constant η this is also the rule u ← μu + ∇, θ ← θ − ηu of torch.optim.SGD, with
    v = −ηu. When η changes, the two differ: here the steps already in v keep the η they were
    taken with.

    Source: Nielsen, Neural Networks and Deep Learning, chapter 3, "Variations on stochastic
    gradient descent".

    Parameters
    ----------
    eta : float
        The learning rate η.
    mu : float
        The momentum coefficient μ, in [0, 1).
    """

    state_names = ("v",)

    def __init__(self, eta: float = 0.01, mu: float = 0.9) -> None:
        super().__init__(eta)
        self.mu = check_number("mu", mu, "[0, 1)")

    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *state: np.ndarray
    ) -> None:
        (v,) = state
        np.multiply(nabla, self._eta, out=s)
        np.multiply(v, self.mu, out=v)
        np.subtract(v, s, out=v)  # v ← μv − η∇
        np.add(theta, v, out=theta)  # θ ← θ + v


class Nesterov(Momentum):
    """Nesterov's accelerated gradient: momentum that takes ∇ where v is about to lead.

    ::

        v ← μv − η∇
        θ ← θ + μv − η∇

    Sutskever's form moves a point φ and takes the gradient at φ + μv:

        v′ = μv − η∇C(φ + μv),    φ′ = φ + v′.

    The rule above keeps that look-ahead point itself, θ = φ + μv, so that only ∇C(θ) is needed:

        θ′ = φ′ + μv′ = φ + v′ + μv′ = θ − μv + v′ + μv′ = θ + μv′ − η∇C(θ).

    Its θ is thus where the gradient is taken, one μv ahead of φ; both tend to the same minimum.
    With a constant η it is the rule of torch.optim.SGD with nesterov=True.

    Source: Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum
    in deep learning, 2013, equations 3 and 4.
    """

    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *state: np.ndarray
    ) -> None:
        (v,) = state
        np.multiply(nabla, self._eta, out=s)
        np.multiply(v, self.mu, out=v)
        np.subtract(v, s, out=v)  # v ← μv − η∇
        np.subtract(theta, s, out=theta)
        np.multiply(v, self.mu, out=s)
        np.add(theta, s, out=theta)  # θ ← θ − η∇ + μv


class RMSProp(Optimizer):
    """Steps divided by a running root mean square of the gradient.

    ::

        v ← ρv + (1 − ρ)∇²
        θ ← θ − η∇ / (√v + ε)

    ε is outside the root, as in torch.optim.RMSprop. The array ``state["v"]`` holds v / (1 − ρ),
    the plain sum Σ ρᵏ∇², which saves a pass; the constant is in the last line's scalars.

    Source: Hinton, Neural networks for machine learning, 2012, lecture 6e (ρ = 0.9 there).

    Parameters
    ----------
    eta : float
        The learning rate η.
    rho : float
        The decay rate ρ, in [0, 1).
    eps : float
        ε, greater than 0.
    """

    state_names = ("v",)

    def __init__(self, eta: float = 0.01, rho: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(eta)
        self.rho = check_number("rho", rho, "[0, 1)")
        self.eps = check_number("eps", eps, "(0, inf)")

    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *state: np.ndarray
    ) -> None:
        (v,) = state
        c = 1 / math.sqrt(1 - self.rho)
        np.multiply(v, self.rho, out=v)
        np.multiply(nabla, nabla, out=s)
        np.add(v, s, out=v)  # c²v ← ρ c²v + ∇²
        np.sqrt(v, out=s)
        np.add(s, self.eps * c, out=s)  # s = c (√v + ε)
        np.divide(nabla, s, out=s)
        np.multiply(s, self._eta * c, out=s)
        np.subtract(theta, s, out=theta)  # θ ← θ − η∇ / (√v + ε)


class Adam(Optimizer):
    """Momentum divided by a running root mean square, both freed of their bias towards zero.

    ::

        m ← β₁m + (1 − β₁)∇          m̂ = m / (1 − β₁ᵗ)
        v ← β₂v + (1 − β₂)∇²         v̂ = v / (1 − β₂ᵗ)
        θ ← θ − η m̂ / (√v̂ + ε)

    m̂ and v̂ are weighted means: with M = Σ β₁ᵏ∇ and S = Σ β₁ᵏ, over the t steps k = 0, 1, ...
    backwards, m = (1 − β₁)M and 1 − β₁ᵗ = (1 − β₁)S, so that m̂ = M/S. The arrays ``state["m"]``
    and ``state["v"]`` hold these plain sums, m/(1 − β₁) and v/(1 − β₂), which saves two passes.

    Source: Kingma and Ba, Adam: a method for stochastic optimization, 2015, algorithm 1.

    Parameters
    ----------
    eta : float
        The learning rate η.
    beta1, beta2 : float
        The decay rates β₁ and β₂, in [0, 1).
    eps : float
        ε, greater than 0.
    """

    state_names = ("m", "v")

    def __init__(
        self, eta: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        super().__init__(eta)
        self.beta1 = check_number("beta1", beta1, "[0, 1)")
        self.beta2 = check_number("beta2", beta2, "[0, 1)")
        self.eps = check_number("eps", eps, "(0, inf)")

    def _update(
        self, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *state: np.ndarray
    ) -> None:
        m, v = state
        sum1 = (1 - self.beta1**self.t) / (1 - self.beta1)  # m̂ = m / sum1
        root2 = math.sqrt((1 - self.beta2**self.t) / (1 - self.beta2))  # √v̂ = √v / root2
        np.multiply(m, self.beta1, out=m)
        np.add(m, nabla, out=m)  # m ← β₁m + ∇
        np.multiply(v, self.beta2, out=v)
        np.multiply(nabla, nabla, out=s)
        np.add(v, s, out=v)  # v ← β₂v + ∇²
        np.sqrt(v, out=s)
        np.add(s, self.eps * root2, out=s)  # s = root2 (√v̂ + ε)
        np.divide(m, s, out=s)
        np.multiply(s, self._eta * root2 / sum1, out=s)
        np.subtract(theta, s, out=theta)  # θ ← θ − η m̂ / (√v̂ + ε)


class AdamW(Adam):
    """Adam with decoupled weight decay.

    ::

        θ ← θ − ηλθ, weights only
        θ ← θ − η m̂ / (√v̂ + ε), with m̂ and v̂ of ∇ alone, as in Adam

    The gradient of an L2 penalty would be divided by √v̂ like the rest of ∇, so that the weights
    with the largest gradients would decay the least; here all decay alike. As in
    torch.optim.AdamW, the decay is multiplied by η.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization, 2019, algorithm 2.

    Parameters
    ----------
    eta, beta1, beta2, eps : float
        As in `Adam`.
    weight_decay : float
        λ, at least 0.
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
        self.weight_decay = check_number("weight_decay", weight_decay, "[0, inf)")

    def step(
        self, theta: np.ndarray, nabla: np.ndarray, weights: Sequence[slice] | None = None
    ) -> None:
        """Change `theta` in place by one step, decaying the parts named by `weights` (or all).

        The parts must not overlap. Otherwise as `Optimizer.step`.
        """
        self._check(theta, nabla)
        parts = [theta] if weights is None else [_part(theta, weight) for weight in weights]
        for part in parts:
            np.multiply(part, 1 - self._eta * self.weight_decay, out=part)  # θ ← θ − ηλθ
        super().step(theta, nabla)


def clip_by_norm(nabla: np.ndarray, max_norm: float) -> float:
    """Shorten `nabla` in place to the length `max_norm` if it is longer; return ‖∇‖ before.

    Summed in double precision, so that float32 gradients neither overflow nor underflow. Where
    ‖∇‖ is infinite or NaN there is no direction to keep: `nabla` is left as it is, for the caller
    to see.

    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks,
    2013, algorithm 1.

    Raises
    ------
    TypeError, ValueError
        If `nabla` is not a vector of floating-point numbers or `max_norm` not finite and positive.
    """
    _check_vector("nabla", nabla)
    max_norm = check_number("max_norm", max_norm, "(0, inf)")
    squares = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, nabla.size, memory.UPDATE_BLOCK):
            block = nabla[start : start + memory.UPDATE_BLOCK].astype(np.float64, copy=False)
            squares += float(np.dot(block, block))
    norm = math.sqrt(squares)
    if max_norm < norm < math.inf:
        np.multiply(nabla, max_norm / norm, out=nabla)
    return norm


def clip_by_value(nabla: np.ndarray, limit: float) -> None:
    """Bring every element of `nabla` into [−limit, limit], in place. NaN stays NaN.

    Raises
    ------
    TypeError, ValueError
        If `nabla` is not a vector of floating-point numbers or `limit` not finite and positive.
    """
    _check_vector("nabla", nabla)
    limit = check_number("limit", limit, "(0, inf)")
    np.clip(nabla, -limit, limit, out=nabla)


def _check_vector(name: str, x: Any) -> None:
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        got = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"{name} must be an array of floating-point numbers, got {got}")
    if x.ndim != 1:
        raise ValueError(f"{name} must be a vector, got the shape {x.shape}")


def _part(theta: np.ndarray, weight: Any) -> np.ndarray:
    """Return the view of θ that one of `weights` names."""
    if not isinstance(weight, slice):
        raise TypeError(f"weights must be slices of theta, got {weight!r}")
    part = theta[weight]
    if weight.stop is not None and weight.stop > theta.size:
        raise ValueError(f"{weight} is outside of theta, which has {theta.size} elements")
    return part


def _words(vector: np.ndarray) -> str:
    return f"{vector.size} elements of {vector.dtype}"
