"""What every optimizer does: steps on flat vectors, in blocks, and its memory of them."""

from __future__ import annotations

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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            raise TypeError(f"{cls.__name__}: override advance, which is what a trainer calls")

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
            differently (`AdamW`), each with the factor of its decay; all of it, unless told. They
            must not overlap.
        groups : sequence of (slice, float), optional
            The parts of `theta` that learn, each with a factor for eta: what is in none of them
            is left as it is, and so are its accumulators. All of it, unless told.

        Raises
        ------
        TypeError, ValueError
            If `theta` and `nabla` are not such vectors, or not of the size and dtype of the steps
            before. Nothing is changed then.
        """
        with np.errstate(under="ignore"):  # what gets too small to count is 0
            self.advance(theta, nabla, weights, groups)

    def advance(
        self,
        theta: np.ndarray,
        nabla: np.ndarray,
        weights: Sequence[Part] | None = None,
        groups: Sequence[tuple[slice, float]] | None = None,
    ) -> None:
        """Do what `step` does, for a trainer, which sees to NumPy's warnings itself.

        A subclass that has more to do than `_update` overrides this.
        """
        same = theta is self._theta and nabla is self._nabla  # as in the step before
        if not (same and theta.flags.writeable and theta.dtype == self._scratch.dtype):
            self._check(theta, nabla)
            self._theta, self._nabla = theta, nabla
            self._scratch = np.empty(min(theta.size, memory.UPDATE_BLOCK), theta.dtype)
        n = theta.size
        if self.accumulator_names and not self.accumulators:
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
        names = self._names_in(state) if t > 0 else ()
        if state.keys() != {"t", *names}:
            raise ValueError(
                f"{kind}: the state after {t} steps must hold {', '.join(sorted(['t', *names]))}, "
                f"got {', '.join(sorted(state))}"
            )
        vectors = {name: np.array(state[name]) for name in names}
        for name, vector in vectors.items():
            if vector.shape != theta.shape or vector.dtype != theta.dtype:
                raise ValueError(
                    f"{kind}: {name} in the state must be {_size_and_dtype(theta)} like theta, "
                    f"got {_size_and_dtype(vector)}"
                )
        self.reset()
        self.t, self.accumulators = int(t), vectors

    def _names_in(self, state: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        """Return the names of the vectors that a state like this one holds."""
        return self.accumulator_names

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


def _size_and_dtype(vector: np.ndarray) -> str:
    return f"{vector.size} elements of {vector.dtype}"
