"""Minibatches from an iterable or a function, one after another, epoch after epoch."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.shapes import each_array
from backprop.core.stored import Stored
from backprop.training.prepared import Minibatch, Preparation, bytes_of, check_alike, size_of

HELD = 2**26  # bytes of the first minibatches of an epoch, which are kept to be measured, at most


class Ahead:
    """An iterator that can be looked into ahead: each of its minibatches has a number.

    Parameters
    ----------
    iterator : iterator of minibatches
    first : int
        The number of the next one.
    """

    def __init__(self, iterator: Iterator[Minibatch], first: int = 0) -> None:
        self._iterator: Any = iterator
        self._waiting: deque[Minibatch] = deque()
        self._first = first  # the number of the first that waits

    def at(self, number: int) -> Minibatch | None:
        """Return the minibatch of a number, which was not forgotten; None if there is none."""
        while self._first + len(self._waiting) <= number:
            found = self._drawn()
            if found is None:
                return None
            self._waiting.append(found)
        return self._waiting[number - self._first]

    def forget(self, number: int) -> None:
        """Let go of those before a number."""
        while self._waiting and self._first < number:
            self._waiting.popleft()
            self._first += 1

    def begin_at(self, number: int) -> Iterator[Minibatch]:
        """Yield one after another, from a number on."""
        self.forget(number)
        while (found := self.at(number)) is not None:
            yield found
            number += 1
            self.forget(number)

    def _drawn(self) -> Minibatch | None:
        return next(self._iterator, None)


class Stream(Ahead):
    """The minibatches of one epoch after another, from what `fit` is given in the place of arrays.

    Parameters
    ----------
    source : iterable, or function of nothing or of a generator
    network : Network
    steps : int, optional
        The most that are taken in an epoch.
    what : str
        What one of them is called in errors.
    hold : int
        The first so many examples of every epoch are kept, to be measured when it is over.

    Attributes
    ----------
    once : bool
        Whether the source can be gone through only once.
    length : int or None
        How many there are in an epoch, as far as that is known before.
    sample : Minibatch
        The first that there was.
    held : list of Minibatch
    """

    def __init__(
        self, source: Any, network: Any, steps: int | None, what: str = "minibatch", hold: int = 0
    ) -> None:
        super().__init__(iter(()))
        self.source, self.limit, self.what, self.hold = source, steps, what, hold
        self.is_function = not is_iterable(source)
        self.once = isinstance(source, Iterator)
        self.takes_rng = self.is_function and _takes_rng(source)
        known = [n for n in (steps, _length(source)) if n is not None]
        self.length = min(known) if known else None
        self.prepare = Preparation(network)
        self.epoch = -1  # the one that it was opened for
        self.sample: Any = None
        self.held: list[Minibatch] = []
        self._room = hold, HELD  # for examples and bytes to be held
        self._count, self._over = 0, False  # drawn in this epoch

    def open(self, epoch: int, rng: np.random.Generator) -> None:
        """Begin an epoch, and look at its first minibatch.

        Raises
        ------
        TypeError, ValueError
            If there is none, or it is none for the network.
        """
        self.close()
        self.epoch, self.held, self._room = epoch, [], (self.hold, HELD)
        self._count, self._over, self._first = 0, False, 0
        made = self.source
        if self.is_function:
            made = made(rng) if self.takes_rng else made()
            if not is_iterable(made):
                raise TypeError(
                    f"fit: {_named(self.source)} must return an iterable of minibatches (x, y), or "
                    f"yield them, got {type(made).__name__}"
                )
        self._iterator = iter(made)
        if self.at(0) is None:
            why = ""
            if self.once or self.is_function:
                why = ": was it gone through before?"
            raise ValueError(f"fit: {_named(self.source)} yields no {self.what}{why}")

    def is_begun(self, source: Any, epoch: int) -> bool:
        """Say whether an epoch of a source was begun that cannot begin anew."""
        return self.once and self.source is source and self.epoch == epoch

    def skip(self, step: int) -> None:
        """Go past so many minibatches of the epoch."""
        while self._count < step and not self._over:
            if min(self._room) > 0:
                self.at(self._count)
            else:
                self._raw()
        self.forget(step)
        if not self._waiting:
            self._first = max(self._first, self._count)

    def close(self) -> None:
        """Let go of what was opened; a generator is closed, unless it is the user's."""
        if not self.once and hasattr(self._iterator, "close"):
            self._iterator.close()
        self._iterator = iter(())
        self._waiting.clear()
        self.epoch = -1

    def _raw(self) -> Any:
        """Return the next that is yielded; None if there is none, or so many are taken."""
        if self._over or self._count == self.limit:
            self._over = True
            return None
        try:
            found = next(self._iterator)
        except StopIteration:
            self._over = True
            return None
        self._count += 1
        return (found,)

    def _drawn(self) -> Minibatch | None:
        raw = self._raw()
        if raw is None:
            return None
        try:
            found = self.prepare(raw[0])
            self.sample = self.sample or found
            check_alike(found, self.sample)
        except (TypeError, ValueError) as error:
            number = f"{self.what} {self._count}"
            self._count -= 1
            kind = type(error)
            message = f"fit: {number} of epoch {self.epoch + 1} from {_named(self.source)}: {error}"
            raise _like(kind, message, error) from error
        if min(self._room) > 0:  # from the first on
            x, y, w = found
            self.held.append((each_array(np.copy, x), y, w))
            self._room = self._room[0] - size_of(found), self._room[1] - bytes_of(found)
        return found


def is_iterable(source: Any) -> bool:
    """Say whether there is an iterator of something, which is not made yet."""
    return hasattr(source, "__iter__") or hasattr(type(source), "__getitem__")


def is_minibatches(x: Any) -> bool:
    """Say whether what `fit` is given as x are minibatches: an iterable of them, or a function."""
    arrays = isinstance(x, (np.ndarray, Stored, str, bytes, Mapping, type))
    if arrays or hasattr(x, "to_numpy") or hasattr(x, "detach"):
        return False
    if isinstance(x, tuple) and not all(isinstance(one, (tuple, list)) for one in x):
        return False
    return is_iterable(x) or callable(x)


def check_source(owner: str, source: Any, epochs: int, way: str) -> None:
    """Raise a ValueError if something that can be gone through once is to be so several times."""
    if epochs > 1 and isinstance(source, Iterator):
        kind = type(source).__name__
        raise ValueError(
            f"{owner}: a {kind} can be gone through once, and there are {epochs} epochs: give the "
            f"function that makes it, {way}, or a list"
        )


def check_steps(steps: Any) -> int | None:
    """Return the number of minibatches in an epoch, or None."""
    return None if steps is None else check_integer("fit: steps", steps)


def _length(source: Any) -> int | None:
    """Return how many minibatches there are, if the source says so."""
    try:
        return len(source) if isinstance(source, Sized) else None
    except TypeError:  # as of PyTorch's loaders of streams
        return None


def _takes_rng(function: Callable[..., Any]) -> bool:
    """Say whether a function is to be given a generator: if it must have an argument, or has rng.

    Raises
    ------
    TypeError
        If it must have several.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a function in C
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in positional and p.default is p.empty]
    needed += [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(needed) > 1 or any(p.kind is p.KEYWORD_ONLY for p in needed):
        raise TypeError(
            f"fit: {_named(function)} must be a function of nothing, or of a random generator, and "
            f"it needs {', '.join(p.name for p in needed)}"
        )
    first = next((p for p in parameters if p.kind in positional), None)
    return bool(needed) or (first is not None and first.name == "rng")


def _named(source: Any) -> str:
    """Say what the source is: the name of a function, the kind of anything else."""
    name = getattr(source, "__qualname__", None)
    if name is not None and not is_iterable(source):
        return f"the function {name}"
    return f"the {type(source).__name__}"


def _like(kind: type[Exception], message: str, error: Exception) -> Exception:
    """Return an error of the same kind with another message."""
    try:
        made = kind(message)
    except Exception:  # one whose constructor takes something else
        return ValueError(message)
    vars(made).update(vars(error))
    return made
