"""What every optimizer does: steps on flat vectors, in blocks, and its memory of them."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from backprop.core.checks import check_array, check_number, check_vector
from backprop.core.config import Configurable
from backprop.core.quiet import underflow_is_0
from backprop.kernels import memory
from backprop.optimizers.memory import Memory, remember, same_place

Part = slice | tuple[slice, float]  # of theta, and by what factor a rule applies to it


class Optimizer(Configurable, ABC):
    """Base of the optimizers; a subclass writes `update`, and names what it remembers.

    ::

        class SignDescent(Optimizer):  # theta <- theta - eta sign(nabla)
            def update(self, eta, s, theta, nabla):
                np.sign(nabla, out=s)
                theta -= eta * s

    What the steps leave belongs to one theta, which is to say, to its memory: a step on another
    one starts afresh, and one on a theta of before goes on where that was; that of a network begins
    anew with `Network.initialize`. A copy of an optimizer,
    or one that was pickled, goes on with a theta that holds the same numbers as that of the last
    step, such as that of a copied network, and starts afresh on any other.

    Parameters
    ----------
    eta : float
        The learning rate, at least 0.

    Attributes
    ----------
    accumulator_names : tuple of str
        Of the vectors that the rule carries from step to step; a subclass says which.
    eta : float
        That of the next step on the theta of the last one. What is assigned holds for every theta
        from then on, but while a `Trainer` fits, for that which it trains alone.
    t : int
        Steps taken on the theta of the last one.
    accumulators : dict of str to ndarray, shape (P,)
        The vectors that the rule carries from step to step, of theta's shape and dtype; empty
        before the first step.
    """

    accumulator_names: ClassVar[tuple[str, ...]] = ()

    t: int
    accumulators: dict[str, np.ndarray]
    _given: float  # the learning rate, where a theta has none of its own
    _own: float | None = None  # that of this theta alone
    _for_one: bool = False  # whether what is assigned to eta is for this theta alone
    _theta: np.ndarray  # those of the last step, which need no second check
    _nabla: np.ndarray
    _scratch: np.ndarray
    _others: list[Memory]  # of thetas of before
    _digest: str | None = None  # of a copy: that of the theta which its state belongs to

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            raise TypeError(f"{cls.__name__}: override advance, which is what a trainer calls")

    def __init__(self, eta: float) -> None:
        self._others = []
        self.eta = eta
        self.reset()

    @property
    def eta(self) -> float:
        """The learning rate."""
        return self._given if self._own is None else self._own

    @eta.setter
    def eta(self, value: float) -> None:
        value = self._check_number("eta", value, "[0, inf)")
        if self._for_one:
            self._own = value
            return
        self._given, self._own = value, None
        for other in self._others:
            other.eta = None

    @underflow_is_0
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
            If `theta` and `nabla` are not such vectors. Nothing is changed then.
        """
        self.advance(theta, nabla, weights, groups)

    def advance(
        self,
        theta: np.ndarray,
        nabla: np.ndarray,
        weights: Sequence[Part] | None = None,
        groups: Sequence[tuple[slice, float]] | None = None,
    ) -> None:
        """Do what `step` does, for a trainer, which sees to NumPy's warnings itself.

        A subclass that has more to do than `update` overrides this.
        """
        self._prepare(theta, nabla)
        self.t += 1
        self._update_groups(self.eta, groups, (theta, nabla, *self.accumulators.values()))

    def attach(self, network: Any) -> None:
        """Take the network whose theta will be stepped on, before a trainer's first minibatch.

        A rule that goes by theta and nabla alone has no use for it. One that goes by the layers
        finds them here; it must leave them as they are.
        """

    def carried(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return the vectors that the rule carries for `theta`: 0 before the first step."""
        self.turn_to(theta)
        if not self.accumulators:
            names = self.accumulator_names
            self.accumulators = {name: memory.aligned(theta.size, theta.dtype) for name in names}
        return self.accumulators

    def _prepare(self, theta: np.ndarray, nabla: np.ndarray) -> None:
        """Check both and turn to theta, unless they are those of the step before."""
        same = theta is self._theta and nabla is self._nabla
        if not (same and theta.flags.writeable and theta.dtype == self._scratch.dtype):
            self._check(theta, nabla)
            self.turn_to(theta)
            self._theta, self._nabla = theta, nabla
            self._scratch = np.empty(min(theta.size, memory.UPDATE_BLOCK), theta.dtype)
        if self.accumulator_names and not self.accumulators:
            self.carried(theta)

    def _update_groups(
        self,
        eta: float,
        groups: Sequence[tuple[slice, float]] | None,
        vectors: tuple[np.ndarray, ...],
    ) -> None:
        """Apply the rule to the parts of these vectors that learn, or to all of them."""
        if groups is None:
            if len(vectors[0]) == len(self._scratch):
                self.update(eta, self._scratch, *vectors)
            else:
                self._update_in_blocks(eta, vectors)
            return
        for part, factor in groups:
            self._update_in_blocks(eta * factor, tuple(vector[part] for vector in vectors))

    def _update_in_blocks(self, eta: float, vectors: tuple[np.ndarray, ...]) -> None:
        n, size = len(vectors[0]), len(self._scratch)
        for start in range(0, n, size):
            block = slice(start, start + size)
            self.update(eta, self._scratch[: n - start], *[vector[block] for vector in vectors])

    @abstractmethod
    def update(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        """Apply the rule in place to one block of theta, which is all a subclass writes.

        Parameters
        ----------
        eta : float
            The learning rate, of the layer that the block belongs to.
        s : ndarray, shape (k,)
            Scratch memory, to be written over.
        theta, nabla : ndarray, shape (k,)
            The block; nabla must stay as it is.
        *more : ndarray, shape (k,)
            The block of every vector in `accumulator_names`, in that order; 0 at first.

        The rule must treat all elements alike, as blocks and groups come one by one. ``self.t``
        already counts this step.
        """

    def turn_to(self, theta: np.ndarray) -> None:
        """Let `eta`, `t`, `accumulators` and `state` be those of `theta`, as a step on it does."""
        if same_place(theta, self._theta):
            return
        remember(self)
        if self._digest is not None and self._digest == _digest(theta):
            self._theta, self._digest = theta, None  # the copy of a theta, for a copy of its state
            return
        if self._theta.size:
            self._others.append(Memory.of(self._theta, self.t, self.accumulators, self._own))
        found, self._others = Memory.taken_from(self._others, theta)
        self._theta, self._nabla, self._digest = theta, np.empty(0), None
        self.t, self.accumulators, self._own = found.t, found.accumulators, found.eta

    @contextmanager
    def training(self, theta: np.ndarray, keep_eta: bool = True) -> Iterator[None]:
        """Within this, let what is assigned to `eta` be for `theta` alone.

        Without `keep_eta` it is afterwards what it was before, as if lent to a schedule.
        """
        self.turn_to(theta)
        before, own, self._for_one = self._for_one, self._own, True
        try:
            yield
        finally:
            self._for_one = before
            if not keep_eta:
                self.turn_to(theta)
                self._own = own

    def forget(self, theta: np.ndarray) -> None:
        """Forget the steps taken on `theta`, which is then as one that was never stepped on."""
        if same_place(theta, self._theta):
            self.t, self.accumulators, self._own = 0, {}, None
        _, self._others = Memory.taken_from(self._others, theta)

    def reset(self) -> None:
        """Forget all steps taken, on whatever theta, and what eta a training has come to."""
        self.t = 0
        self.accumulators = {}
        self._theta = self._nabla = self._scratch = np.empty(0)
        self._others, self._digest, self._own = [], None, None

    def config(self) -> dict[str, Any]:
        """Return ``{"class": name, argument: value, ...}``; eta is what it is for a new theta."""
        return {**super().config(), "eta": self._given}

    def __copy__(self) -> Optimizer:
        return copy.deepcopy(self)  # two cannot share accumulators

    def __getstate__(self) -> dict[str, Any]:
        forgotten = dict.fromkeys(("_theta", "_nabla", "_scratch"), np.empty(0))
        digest = _digest(self._theta) if self._theta.size else self._digest
        return {**self.__dict__, **forgotten, "_others": [], "_for_one": False, "_digest": digest}

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of ``t`` and of every vector in `accumulators`, by name.

        The learning rate is not part of it: it belongs to `config`.
        """
        taken = self.accumulators if self.t else {}  # a first step may have been cut short
        return {"t": np.array(self.t), **{name: vector.copy() for name, vector in taken.items()}}

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
        self.turn_to(theta)
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


def _size_and_dtype(vector: np.ndarray) -> str:
    return f"{vector.size} elements of {vector.dtype}"


def _digest(theta: np.ndarray) -> str:
    """Return what tells whether two vectors hold the same numbers."""
    return f"{_size_and_dtype(theta)}, {hashlib.sha256(theta.tobytes()).hexdigest()}"
