"""A part of a minibatch: the examples that one of several processes has, which step together.

The gradient of a minibatch is a sum over its examples, so that nearly every layer can go through
some of them and know nothing of the others. Two kinds of layers cannot, and heed the part that
comes with the mode, ``mode.part``: what draws random numbers draws those of the whole minibatch,
the same in every process, and takes its own columns; and batch normalisation adds up its sums over
all parts. With that a step of several processes is the step of one, but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.core.shapes import Shape, each_array

Join = Callable[[np.ndarray, str], None]


def share_of(n: int, rank: int, parts: int) -> slice:
    """Return which of n examples the part of this rank has: all parts alike, the first ones more.

    Of fewer examples a part never has more of them.
    """
    each, more = divmod(n, parts)
    first = rank * each + min(rank, more)
    return slice(first, first + each + (rank < more))


class Part:
    """Which examples of a minibatch are here, and how its sums over all of them come about.

    A part that has no example of its own goes through the passes with the first one of the
    minibatch, which counts for nothing: it `stands_in`.

    Parameters
    ----------
    batch : int
        The examples of the whole minibatch.
    rank, parts : int
        Which part this is, counted from 0, and of how many.
    join : callable of (ndarray of float64, "sum", "min" or "max")
        Lets the array be, in place, the sum (or smallest, largest) over all parts, which call it
        at the same moment.

    Attributes
    ----------
    columns : slice
        Those of the minibatch that are here.
    share : float
        This part's examples by all of them: 0 where it stands in.
    stands_in : bool
    """

    def __init__(self, batch: int, rank: int, parts: int, join: Join) -> None:
        self.batch, self.join = batch, join
        mine = share_of(batch, rank, parts)
        self.share = (mine.stop - mine.start) / batch
        self.stands_in = not self.share
        self.columns = slice(0, 1) if self.stands_in else mine

    @property
    def size(self) -> int:
        """How many examples are here."""
        return int(self.columns.stop - self.columns.start)

    def of(self, data: Any) -> Any:
        """Return the examples that are here, of an array of the whole minibatch, or of several."""
        if isinstance(data, tuple):
            return tuple(map(self.of, data))
        return None if data is None else np.ascontiguousarray(data[..., self.columns])

    def weights(self, w: Any, y: Any) -> Any:
        """Return weights of these examples, by which the gradients of all parts add up.

        That of a part is a mean over its own examples.

        Parameters
        ----------
        w : ndarray, or tuple of them, or None
            As `Cost.normalized` makes them.
        y : ndarray, or tuple of them
            The targets of these examples.
        """
        if w is not None:
            return each_array(lambda one: one * self.share, w)
        if self.share == 1:
            return None
        return each_array(lambda one: np.full(one.shape[-1], self.share), y)

    def drawn(self, draw: Callable[[Shape, Any], np.ndarray], shape: Shape, kind: Any) -> Any:
        """Return the columns of this part of what is drawn for the whole minibatch.

        The last axis of `shape` may be that of steps and examples, the steps of all examples one
        after another.
        """
        steps = shape[-1] // self.size
        whole = draw((*shape[:-1], steps * self.batch), kind)
        by_step = whole.reshape(*shape[:-1], steps, self.batch)
        return np.ascontiguousarray(by_step[..., self.columns]).reshape(shape)

    def totals(self, *numbers: Any) -> list[Any]:
        """Return arrays, or whole numbers, each added up over all parts; in float64."""
        flat = [np.asarray(one, np.float64).reshape(-1) for one in numbers]
        together = np.concatenate(flat)
        if self.stands_in:
            together[...] = 0
        self.join(together, "sum")
        found, start = [], 0
        for one, of_one in zip(numbers, flat, strict=True):
            total = together[start : start + of_one.size]
            start += of_one.size
            if isinstance(one, np.ndarray):
                found.append(total.reshape(one.shape).astype(one.dtype))
            else:
                found.append(round(total.item()))
        return found

    def ends(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the smallest of what is lowest in all parts, and the largest of the highest."""
        found = []
        for array, which, nothing in ((low, "min", np.inf), (high, "max", -np.inf)):
            whole = np.full(array.shape, nothing) if self.stands_in else array.astype(np.float64)
            self.join(whole, which)
            found.append(whole.astype(array.dtype))
        return found[0], found[1]

    def __reduce__(self) -> Any:
        return type(None), ()  # it is this process's: a copy, and a file, has none
