"""What every framework has to do: train, tell the costs, predict."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from experiments.benchmarks.workloads import SEED

Way = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Takes examples and returns the outputs of each, answering one before it looks at the next."""


class CannotExpressError(Exception):
    """A framework has no words for the work; the message says what is missing."""


class Implementation(ABC):
    """A workload in one framework: its network, ready to be trained.

    Parameters
    ----------
    work : Workload
    x : ndarray, N x shape, float32
    labels : ndarray, N, int64
    weights : mapping of str to ndarray
        As `Files.parameters` returns them.
    """

    def warm_up(self) -> None:  # noqa: B027 - only what compiles has something to do
        """Compile; parameters and the order of the examples stay as they are."""

    @abstractmethod
    def train(self) -> float:
        """Train for one epoch and return its seconds."""

    @abstractmethod
    def costs(self) -> list[float]:
        """Train for one epoch and return the cost of every minibatch before its step."""

    @abstractmethod
    def predict(self, x: np.ndarray, size: int) -> list[np.ndarray]:
        """Return the outputs for the rows of x, `size` at a time, one after another."""

    def single(self) -> dict[str, Way]:
        """Return the ways of predicting examples one at a time, by name: the fastest counts."""
        return {"predict": lambda x: self.predict(x, 1)}


class Peer(Implementation):
    """A network that is trained by a loop of ours, in the order that our trainer takes."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.rng = np.random.default_rng(SEED)

    def order(self) -> np.ndarray:
        """Return the order of the next epoch, drawn as `backprop.Trainer` draws it."""
        return self.rng.permutation(self.n)

    def train(self) -> float:
        started = time.perf_counter()
        self.epoch(self.order())
        return time.perf_counter() - started

    @abstractmethod
    def epoch(self, order: np.ndarray) -> None:
        """Train for one epoch, and come back when it is finished."""


def slices(n: int, size: int) -> Iterator[slice]:
    """Yield slices of `size`, up to n."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
