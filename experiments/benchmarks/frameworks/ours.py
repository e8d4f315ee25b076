"""The work in backprop, used as its users do: a Network, a Trainer, predict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from backprop import L2, SGD, Adam, Callback, Momentum, Network, Trainer, layers
from experiments.benchmarks.frameworks.base import Implementation, slices
from experiments.benchmarks.workloads import SEED, Workload, one_hot

COSTS = {
    "quadratic": "quadratic",
    "cross_entropy": "cross_entropy",
    "softmax": "softmax_cross_entropy",
}
OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "adam": Adam}


# How weights and biases start, by activation: the book's way, He's, and plain 1/n.
STARTS = {"sigmoid": ("nielsen", "normal"), "relu": ("he_normal", "zeros")}


def make_layer(kind: str, *arguments: Any) -> layers.Layer:
    """Return the layer of one tuple."""
    if kind == "dense":
        n_in, n_out, activation = arguments
        w_init, b_init = STARTS.get(activation, ("lecun_normal", "zeros"))
        return layers.Dense(n_in, n_out, activation, w_init, b_init)
    if kind == "conv":
        n_in, n_out, kernel, activation = arguments
        return layers.Conv2d(n_in, n_out, kernel, activation=activation)
    kinds: dict[str, Any] = {
        "pool": layers.MaxPool2d,
        "flatten": layers.Flatten,
        "batchnorm": layers.BatchNorm,
        "relu": layers.ReLU,
        "lstm": layers.LSTM,
        "last": layers.TimeStep,
    }
    return kinds[kind](*arguments)  # type: ignore[no-any-return]


def make_network(work: Workload) -> Network:
    """Return the network of the work, its parameters drawn from `SEED`."""
    shape = work.shape[::-1] if work.layers[0][0] == "lstm" else work.shape
    return Network([make_layer(*layer) for layer in work.layers], COSTS[work.cost], shape, rng=SEED)


def first_parameters(work: Workload) -> dict[str, np.ndarray]:
    """Return the parameters from which all frameworks start, by "index.name"."""
    named = enumerate(make_network(work).layers)
    return {
        f"{index}.{name}": array
        for index, layer in named
        for name, array in layer.parameters.items()
    }


def columns(x: np.ndarray) -> np.ndarray:
    """Return rows with the batch last: n x N, C x H x W x N, or sequences d x T x N; a view."""
    return np.moveaxis(x, 0, -1)


class Clock(Callback):
    """Takes the time from one epoch's end to the next, and nothing within an epoch."""

    def on_fit_start(self, trainer: Trainer) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.seconds = time.perf_counter() - self.started


class Costs(Callback):
    """Takes down the cost of every minibatch."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_step_end(self, trainer: Trainer) -> None:
        self.values.append(trainer.minibatch_cost())


class Ours(Implementation):
    """A `Network` and its `Trainer`."""

    def __init__(
        self, work: Workload, x: np.ndarray, labels: np.ndarray, weights: Mapping[str, np.ndarray]
    ) -> None:
        self.work = work
        self.network = make_network(work)
        for name, array in weights.items():
            index, parameter = name.split(".")
            setattr(self.network[int(index)], parameter, array)
        self.x = columns(self._rows(x))
        self.y = labels if work.cost == "softmax" else one_hot(labels).T
        kind, *numbers = work.optimizer
        self.trainer = Trainer(
            self.network,
            OPTIMIZERS[kind](*numbers),
            work.batch,
            regularizer=L2(work.decay / 2) if work.decay else None,
            rng=SEED,
            monitor_training=False,
            progress=False,
        )

    def _rows(self, x: np.ndarray) -> np.ndarray:
        """Return the rows as the library stores them: a sequence is features x steps."""
        sequences = self.work.layers[0][0] == "lstm"
        return np.ascontiguousarray(x.transpose(0, 2, 1)) if sequences else x

    def train(self) -> float:
        clock = Clock()
        self.trainer.callbacks = [clock]
        self.trainer.fit(self.x, self.y)
        return clock.seconds

    def costs(self) -> list[float]:
        costs = Costs()
        self.trainer.callbacks = [costs]
        self.trainer.fit(self.x, self.y)
        return costs.values

    def predict(self, x: np.ndarray, size: int) -> list[np.ndarray]:
        x = columns(self._rows(x))
        return [self.network.predict(x[..., part]).T for part in slices(x.shape[-1], size)]
