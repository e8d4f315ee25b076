"""What is measured: networks, costs and optimizers, in the terms of no framework.

A layer is a tuple, its kind and its numbers::

    ("dense", n_in, n_out, activation)      ("conv", channels_in, channels_out, kernel, activation)
    ("pool", size)                          ("flatten",)
    ("batchnorm", n)                        ("relu",)
    ("lstm", n_in, n)                       ("last",)       the last step of a sequence

An optimizer is ("sgd", eta), ("momentum", eta, mu) or ("adam", eta), all other numbers as in its
paper. A cost is "quadratic", "cross_entropy" (both of sigmoid outputs, and summed over them) or
"softmax" (the log-likelihood), always a mean over the minibatch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 2  # of ours; of a peer as many, or one, whichever it is faster with
SEED = 1
CHECKED_STEPS = 100


@dataclass(frozen=True)
class Workload:
    """One network, and how it is trained.

    Attributes
    ----------
    name, title : str
    layers : tuple of tuple
    cost : str
    optimizer : tuple
    batch, steps : int
        Examples in a minibatch, and minibatches in an epoch. No minibatch is smaller than the
        others: compiled programs want one shape.
    shape : tuple of int
        Of one example, as it is stored: a row, channels x height x width, or steps x features.
    decay : float
        What the regularisation adds to the gradient is this times w: the book's lambda / n.
    """

    name: str
    title: str
    layers: tuple[tuple, ...]
    cost: str
    optimizer: tuple
    batch: int
    steps: int
    shape: tuple[int, ...] = (784,)
    decay: float = 0.0

    @property
    def examples(self) -> int:
        """Examples in an epoch."""
        return self.batch * self.steps

    def of_size(self, examples: int) -> Workload:
        """Return the same work with epochs of at most so many examples, whole minibatches."""
        return replace(self, steps=max(1, min(self.steps, examples // self.batch)))

    def to_json(self) -> dict[str, Any]:
        """Return the work as `from_json` takes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Workload:
        """Return what `to_json` described."""
        layers = tuple(tuple(layer) for layer in fields["layers"])
        shape, optimizer = tuple(fields["shape"]), tuple(fields["optimizer"])
        return cls(**{**fields, "layers": layers, "shape": shape, "optimizer": optimizer})


def chain(sizes: Sequence[int], hidden: str, output: str) -> tuple[tuple, ...]:
    """Return fully connected layers of these sizes."""
    pairs = list(pairwise(sizes))
    inner = [("dense", n_in, n_out, hidden) for n_in, n_out in pairs[:-1]]
    return (*inner, ("dense", *pairs[-1], output))


def _normalised(n: int, depth: int) -> Iterator[tuple]:
    """Yield `depth` hidden layers of n neurons with batch normalisation, and a softmax."""
    for index in range(depth):
        yield from (
            ("dense", n if index else 784, n, "identity"),
            ("batchnorm", n),
            ("relu",),
        )
    yield ("dense", n, 10, "softmax")


_CONVOLUTIONS = (
    ("conv", 1, 20, 5, "relu"),
    ("pool", 2),
    ("conv", 20, 40, 5, "relu"),
    ("pool", 2),
    ("flatten",),
    ("dense", 640, 100, "relu"),
    ("dense", 100, 10, "softmax"),
)
_W5 = "20 5x5, pool, 40 5x5, pool, 100, 10; ReLU, softmax, SGD"
_LSTM = (("lstm", 28, 64), ("last",), ("dense", 64, 10, "softmax"))

# Some learning rates are small. In networks of ReLU two programs part sooner or later, when a
# weighted input rounds to either side of 0; how fast is a matter of the learning rate, and these
# keep any pair within 1e-3 for 100 minibatches. The time of a step does not depend on them.
WORKLOADS = {
    work.name: work
    for work in (
        Workload("W1", "784-30-10, sigmoid, quadratic, SGD, B = 10",
            chain([784, 30, 10], "sigmoid", "sigmoid"), "quadratic", ("sgd", 3.0), 10, 5000),
        Workload("W2", "784-100-10, sigmoid, cross-entropy, L2, SGD, B = 10",
            chain([784, 100, 10], "sigmoid", "sigmoid"), "cross_entropy", ("sgd", 0.5), 10, 5000,
            decay=5.0 / 50_000),
        Workload("W3", "784-512-512-10, ReLU, softmax, Adam, B = 128",
            chain([784, 512, 512, 10], "relu", "softmax"), "softmax", ("adam", 5e-5), 128, 390),
        Workload("W4", "784-2048-2048-10, ReLU, softmax, momentum, B = 256",
            chain([784, 2048, 2048, 10], "relu", "softmax"), "softmax",
            ("momentum", 0.005, 0.9), 256, 100),
        Workload("W5-10", f"{_W5}, B = 10",
            _CONVOLUTIONS, "softmax", ("sgd", 0.001), 10, 1000, (1, 28, 28)),
        Workload("W5-64", f"{_W5}, B = 64",
            _CONVOLUTIONS, "softmax", ("sgd", 0.001), 64, 156, (1, 28, 28)),
        Workload("W6", "ten hidden layers of 256, batch normalisation, ReLU, SGD, B = 128",
            tuple(_normalised(256, 10)), "softmax", ("sgd", 1e-4), 128, 390),
        Workload("W7", "LSTM 64 over 28 rows of 28 pixels, softmax, Adam, B = 64",
            _LSTM, "softmax", ("adam", 1e-3), 64, 156, (28, 28)),
    )
}  # fmt: skip

PREDICTED = ("W1", "W4", "W5-64")
"""The networks whose inference is measured, on `IMAGES` images, by these numbers at a time."""
IMAGES = 10_000
PREDICTED_BATCHES = (1, 1000)
SINGLE = ("W1", "W5-64")
"""The networks that predict single examples by the fastest way that each framework has."""
BESIDE = ("W1", "W3", "W5-64")
"""The networks that are trained beside a process that keeps a core busy."""
SHORT = 12_800
"""Examples of an epoch that is trained beside it, or to see how many threads are best."""


@dataclass(frozen=True)
class Files:
    """Where the arrays are that all processes read: examples, labels and first parameters.

    The first two are raw float32 and int64, so that reading a part takes no more memory than that.
    """

    x: str
    labels: str
    weights: str

    def examples(self, work: Workload, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first n examples, float32, n x shape, and their labels."""
        x = np.fromfile(self.x, np.float32, n * math.prod(work.shape))
        return x.reshape(n, *work.shape), np.fromfile(self.labels, np.int64, n)

    def parameters(self) -> Mapping[str, np.ndarray]:
        """Return the first parameters by "index.name", index being that of the layer.

        Each is read when it is asked for, so that they are not all in memory a second time.
        """
        return np.load(self.weights)  # type: ignore[no-any-return]


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Return N x 10, float32."""
    y = np.zeros((len(labels), 10), np.float32)
    y[np.arange(len(labels)), labels] = 1
    return y


def write_json(path: str | Path, content: Any) -> None:
    """Write for `read_json`."""
    Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read what `write_json` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
