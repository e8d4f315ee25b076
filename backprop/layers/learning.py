"""How a layer learns: frozen or not, at what rate, and with how much decay; and where in theta."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from backprop.core.checks import check_bool, check_number


class Learning:
    """How a layer learns: frozen or not, and how much of eta and of the decay applies to it.

    One object serves all places of a layer that stands in several. `changes` counts how often
    any layer's learning has been set, so that a trainer need look only when something has.
    """

    changes: ClassVar[int] = 0

    def __init__(self) -> None:
        self.trainable, self.eta_factor, self.decay_factor = True, 1.0, 1.0

    def set(self, owner: object, name: str, value: Any) -> None:
        """Set one of the three, after a check that names `owner`."""
        if name not in LEARNING:
            raise ValueError(f"{owner}: {name} is none of {', '.join(LEARNING)}")
        what = f"{owner}: {name}"
        if name == "trainable":
            value = check_bool(what, value)
        else:
            value = check_number(what, value, "[0, inf)")
        setattr(self, name, value)

    def described(self) -> dict[str, Any]:
        """Return what is not as it is unless told, by name."""
        return {name: value for name, value in vars(self).items() if value != LEARNING[name]}


LEARNING: dict[str, Any] = vars(Learning())
"""How a layer learns unless told."""


class Learns:
    """The part of every layer that says how it learns; see `Layer`."""

    nabla: np.ndarray
    children: tuple[Any, ...]
    place_of: Any
    _learning: Learning | None = None

    @property
    def n_parameters(self) -> int:
        """How many numbers are learnt: the length of `theta`."""
        raise NotImplementedError

    def _own_parts(self) -> Iterator[tuple[str, slice]]:
        """Yield the parameters that are the layer's own, and where in `theta` they lie."""
        raise NotImplementedError

    @property
    def trainable(self) -> bool:
        """Whether the layer learns. Of a container: whether something inside does."""
        if self.children:
            return any(child.trainable for child in self.children)
        return self._learning is None or self._learning.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.set_learning("trainable", value)

    @property
    def eta_factor(self) -> float:
        """By which the learning rate is multiplied. Of a container: that of its first layer."""
        return self._learning_of_first("eta_factor")

    @eta_factor.setter
    def eta_factor(self, value: float) -> None:
        self.set_learning("eta_factor", value)

    @property
    def decay_factor(self) -> float:
        """By which weight decay and penalties are multiplied. Of a container: of its first."""
        return self._learning_of_first("decay_factor")

    @decay_factor.setter
    def decay_factor(self, value: float) -> None:
        self.set_learning("decay_factor", value)

    def _learning_of_first(self, name: str) -> float:
        if self.children:
            return self.children[0]._learning_of_first(name)  # type: ignore[no-any-return]
        return float(LEARNING[name] if self._learning is None else getattr(self._learning, name))

    @property
    def learning(self) -> dict[str, Any]:
        """How the layer learns, where that is not as usual: ``{"trainable": False}``."""
        return {} if self._learning is None else self._learning.described()

    def set_learning(self, name: str, value: Any) -> None:
        """Set `trainable`, `eta_factor` or `decay_factor`, of all layers inside if there are."""
        Learning().set(self, name, value)  # raises before anything has changed
        Learning.changes += 1
        for child in self.children:
            child.set_learning(name, value)
        if self.children:
            return
        if self._learning is None:
            self._learning = Learning()
        self._learning.set(self, name, value)
        if not self.trainable:
            (self.place_of or self).nabla[...] = 0

    def learning_parts(self, most: float = math.inf) -> list[tuple[slice, float]]:
        """Return the parts of `theta` that learn, each with its factor for the learning rate.

        Parameters that follow one another with the same factor are one part; but a part of `most`
        numbers or more is joined with no other.
        """
        return list(_merged(self._parts(0, weights=False), most))

    def weight_parts(self, times_eta: bool = False) -> list[tuple[slice, float]]:
        """Return where in `theta` the weights lie that learn, each with its factor for decay.

        With `times_eta` it is multiplied by that for the learning rate: what a decay needs that
        is no part of the gradient.
        """
        return list(_merged(self._parts(0, weights=True, times_eta=times_eta)))

    def has_weights(self) -> bool:
        """Say whether the regularized parameters really are, which a class may leave open."""
        return True

    def _parts(
        self, start: int, weights: bool, times_eta: bool = False
    ) -> Iterator[tuple[slice, float]]:
        for child in self.children:
            yield from child._parts(start, weights, times_eta)
            start += child.n_parameters
        if self.children or not self.trainable:
            return
        factor = self.decay_factor if weights else self.eta_factor
        if times_eta:
            factor *= self.eta_factor
        for name, part in self._own_parts():
            if not weights or (getattr(type(self), name).regularized and self.has_weights()):
                yield slice(start + part.start, start + part.stop), factor


def _merged(
    parts: Iterator[tuple[slice, float]], most: float = math.inf
) -> Iterator[tuple[slice, float]]:
    """Yield the parts, those that follow one another with one factor as one, if not too large."""
    last: tuple[slice, float] | None = None
    for part, factor in parts:
        joined = last is not None and (last[0].stop, last[1]) == (part.start, factor)
        if last is not None and joined and last[0].stop - last[0].start < most:
            last = slice(last[0].start, part.stop), factor
            continue
        if last is not None:
            yield last
        last = part, factor
    if last is not None:
        yield last
