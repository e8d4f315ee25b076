"""The work in backprop, used as its users do: a Network, a Trainer, predict, to_c."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backprop import L2, SGD, Adam, Callback, Momentum, Network, Trainer, layers
from backprop.compiled import NotBuilt, NoTwin, builder
from backprop.training.minibatches import rows_of
from backprop.training.paths import path_for
from experiments.benchmarks.frameworks.base import CannotExpressError, Implementation, Way, slices
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


class Ours(Implementation):
    """A `Network` and its `Trainer`, by compiled programs."""

    compiled = True

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
            compiled=self.compiled,
        )
        self._predictions: dict[bool, Any] = {}  # for one at a time, or for more

    def warm_up(self) -> None:
        """Build the program; `fit` finds it then."""
        try:
            path_for(self.trainer, (rows_of(self.x), rows_of(self.y), None))
        except (NoTwin, NotBuilt) as error:
            raise CannotExpressError(str(error)) from error

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
        """Fit one minibatch after another: within an epoch, a program tells no costs."""
        trainer, found = self.trainer, []
        order = trainer.rng.permutation(self.x.shape[-1])
        trainer.shuffle = False
        for part in slices(len(order), self.work.batch):
            chosen = order[part]
            trainer.fit(columns(rows_of(self.x)[chosen]), self.y[..., chosen])
            found.append(trainer.minibatch_cost())
        trainer.shuffle = True
        return found

    def predict(self, x: np.ndarray, size: int) -> list[np.ndarray]:
        x, one = columns(self._rows(x)), size == 1
        if one not in self._predictions:
            try:
                found = self.network.prediction_for(x[..., :size], compiled=True)
            except (NoTwin, NotBuilt) as error:
                raise CannotExpressError(str(error)) from error
            self._predictions[one] = found
        z_and_a = self._predictions[one].z_and_a
        return [z_and_a(x[..., part])[1].T for part in slices(x.shape[-1], size)]

    def single(self) -> dict[str, Way]:
        """Return the function in the C that is exported, called with an example's address."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                source = self.network.to_c(Path(folder) / "net.c")
                predict = shared_library(source).net_predict
            except (NoTwin, NotBuilt) as error:
                raise CannotExpressError(str(error)) from error
        predict.argtypes, predict.restype = [ctypes.c_void_p, ctypes.c_void_p], None

        def answers(x: np.ndarray) -> np.ndarray:
            rows = np.ascontiguousarray(self._rows(x))
            outputs = np.empty((len(rows), *self.network.output_shape), np.float32)
            places = (
                range(array.ctypes.data, array.ctypes.data + array.nbytes, array[0].nbytes)
                for array in (rows, outputs)
            )
            for example, output in zip(*places, strict=True):
                predict(example, output)
            return outputs

        return {"exported C": answers}


class InNumPy(Ours):
    """The same by the layers, in NumPy."""

    compiled = False

    def predict(self, x: np.ndarray, size: int) -> list[np.ndarray]:
        x, predict = columns(self._rows(x)), self.network.predict
        return [predict(x[..., part], compiled=False).T for part in slices(x.shape[-1], size)]

    def single(self) -> dict[str, Way]:
        return {"predict": lambda x: self.predict(x, 1), "forward": self._forward}

    def _forward(self, x: np.ndarray) -> list[np.ndarray]:
        x, forward = columns(self._rows(x)), self.network.forward
        return [forward(x[..., part]).T for part in slices(x.shape[-1], 1)]


def shared_library(source: Path) -> ctypes.CDLL:
    """Have the machine's compiler make a library of a C file, as it builds programs.

    Raises
    ------
    NotBuilt
        If there is no compiler, or it refuses.
    """
    library, said = source.with_suffix(".so"), ""
    for native in builder.FOR_THIS_MACHINE:
        options = [*builder.flags(double=False), *[native] * bool(native)]
        command = [*builder.compiler(), *options, "-o", str(library), str(source), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return ctypes.CDLL(str(library))
        said = done.stderr
    raise NotBuilt(f"the compiler refuses the exported C: {said.strip()[:200]}")
