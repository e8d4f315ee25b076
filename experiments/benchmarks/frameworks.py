"""The frameworks that are compared, and what each of them has to do."""

from __future__ import annotations

import importlib
import importlib.util
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from experiments.benchmarks.workloads import SEED, Workload


class CannotExpressError(Exception):
    """A framework has no words for the work; the message says what is missing."""


@dataclass(frozen=True)
class Framework:
    """A framework: how it is called, what is imported to use it, and where it is driven from."""

    title: str
    package: str
    statement: str
    module: str
    model: str

    @property
    def installed(self) -> bool:
        """Whether it can be imported."""
        return importlib.util.find_spec(self.package) is not None

    def make(
        self, work: Workload, x: np.ndarray, labels: np.ndarray, weights: Mapping[str, np.ndarray]
    ) -> Model:
        """Return the network of the work, ready to be trained from `weights`."""
        module = importlib.import_module(f"experiments.benchmarks.{self.module}")
        return getattr(module, self.model)(work, x, labels, weights)  # type: ignore[no-any-return]


OURS = "backprop"
FRAMEWORKS = {
    OURS: Framework("backprop", "backprop", "import backprop", "library", "Library"),
    "torch": Framework("PyTorch", "torch", "import torch", "peer_torch", "Eager"),
    "compile": Framework("torch.compile", "torch", "import torch", "peer_torch", "Compiled"),
    "jax": Framework("JAX", "jax", "import jax.numpy", "peer_jax", "Jax"),
    "sklearn": Framework(
        "scikit-learn", "sklearn", "import sklearn.neural_network", "peer_sklearn", "Sklearn"
    ),
}


class Model(ABC):
    """A network in one framework.

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


class Peer(Model):
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


def cut(n: int, size: int) -> Iterator[slice]:
    """Yield slices of `size`, up to n."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
