"""What the tests of several processes start by mpirun: trainings, whose ends are saved.

``python -m tests.interop.mpi_run FOLDER adam adam:compiled normalised:save ...``
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from backprop import (
    L1,
    L2,
    SGD,
    Adam,
    BatchNorm,
    Callback,
    Checkpoint,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    JSONLines,
    Momentum,
    Network,
    ReLU,
    Residual,
    TimeDistributed,
    Trainer,
)
from backprop.datasets import Noise
from backprop.layers import Embedding, GlobalAvgPool, Masked
from backprop.schedules import ExponentialDecay
from backprop.training import checkpoint
from backprop.training.divergence import DivergenceError

DOUBLE = {"dtype": "float64"}
KINDS = ("adam", "momentum", "normalised", "images", "sequences", "few", "transformed")


def dense(*sizes):
    return Dense(*sizes, **DOUBLE)


def case(kind):
    """Return a network, options of its trainer, data, and options of its fit."""
    rng = np.random.default_rng(5)
    x, labels = rng.standard_normal((8, 103)), rng.integers(0, 4, 103)
    validation = {"validation": (x[:, :21], labels[:21])}
    head = dense(16, 4, "softmax")
    if kind == "adam":
        layers = [dense(8, 16, "tanh"), Dropout(0.3), head]
        options = {"optimizer": Adam(0.01), "regularizer": L1(1e-3), "clip_norm": 0.5}
        options |= {
            "schedule": ExponentialDecay(0.01, 0.9),
            "metrics": ["accuracy", "top_3_accuracy"],
        }
        return layers, options, (x, labels), {"class_weight": "balanced", **validation}
    if kind == "momentum":
        layers = [dense(8, 16, "relu"), GaussianNoise(0.1), head]
        options = {"optimizer": Momentum(0.05, 0.9), "regularizer": L2(1e-3), "clip_value": 0.01}
        return layers, options, (x, labels), {"sample_weight": rng.random(103), **validation}
    if kind == "normalised":
        body = [dense(8, 16, "identity"), BatchNorm(16, **DOUBLE), ReLU(), Dropout(0.2)]
        layers = [*body, dense(16, 16, "identity"), BatchNorm(16, **DOUBLE), ReLU(), head]
        return layers, {"optimizer": Momentum(0.05, 0.9)}, (x, labels), validation
    if kind == "images":
        images = rng.standard_normal((2, 6, 6, 103))
        layers = [
            Conv2d(2, 4, 3, activation="tanh", **DOUBLE),
            BatchNorm(4, **DOUBLE),
            ReLU(),
            Flatten(),
        ]
        layers.append(dense(64, 4, "softmax"))
        return layers, {"optimizer": Adam(0.01)}, (images, labels), {}
    if kind == "sequences":
        tokens = rng.integers(0, 7, (5, 103))
        tokens[rng.integers(1, 6, 103) <= np.arange(5)[:, None]] = -1
        inner = [Embedding(7, 8, **DOUBLE), TimeDistributed(dense(8, 16, "tanh"))]
        inner += [BatchNorm(16, **DOUBLE), Dropout(0.2), GlobalAvgPool()]
        return [Masked(inner), head], {"optimizer": Adam(0.01)}, (tokens, labels), {}
    body = [dense(8, 16, "tanh"), BatchNorm(16, **DOUBLE), ReLU(), Dropout(0.2), head]
    if kind == "transformed":
        return body, {"optimizer": Adam(0.01), "transform": Noise(0.3)}, (x, labels), validation
    if kind == "extreme":  # features that are constant, far from 0, beyond the root of the largest
        scale = np.array([1, 0, 1e9, 1, 1e170, 1e-170, 1, 1])[:, None]
        x = x * scale + np.array([0, 7, 0, 1e12, 0, 0, -1e9, 0])[:, None]
        return [BatchNorm(8, **DOUBLE), dense(8, 4, "softmax")], {}, (x, labels), {}
    if kind == "diverging":
        x[3, 60] = 1e308  # z of the last layer is no number for this example, and for no other
        layers = [dense(8, 8, "identity"), Residual([BatchNorm(8, **DOUBLE)])]
        layers += [dense(8, 16, "identity"), head]
        return layers, {}, (x, labels), {}
    validation = {"validation": (x[:, :3], labels[:3])}  # fewer than processes
    return body, {"optimizer": Momentum(0.05, 0.9), "batch_size": 3}, (x, labels), validation


class Fails(Callback):
    """Fail after the first epoch: by an error, or as if killed; a file tells when."""

    def __init__(self, folder, how=""):
        self.folder, self.how = folder, how

    def on_epoch_end(self, trainer):
        if self.how == "kill":
            time.sleep(0.5)  # until the checkpoint of the first process is there
        if self.how:
            (Path(self.folder) / "failed").touch()
        if self.how == "raise":
            raise ValueError("this disk is full")
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


def go_astray(how, trainer, data):
    """Do, in one process, what the others do not: leave, or have other data or another trainer."""
    if how == "leave":
        sys.exit("no data here")
    if how == "nan":
        data[0][3, 5] = np.nan
    if how == "fewer":
        return tuple(one[..., 1:] for one in data)
    if how == "batch":
        trainer.batch_size = 50
    if how == "function":
        return (lambda rng: iter([data]),)
    return data


def run(job, folder, together=False):
    """Train, and save the end in the folder."""
    kind, *options = job.split(":")
    layers, settings, data, fit = case(kind)
    network = Network(layers, "softmax_cross_entropy", data[0].shape[:-1], rng=3)
    if kind == "diverging":
        network[2].w *= 30
    file = Path(folder) / "checkpoint.npz"
    callbacks = [Checkpoint(file)] if set(options) - {"compiled"} else []
    if kind == "momentum":
        callbacks.append(JSONLines(Path(folder) / f"{kind}.{len(options)}.jsonl"))
    settings = {"batch_size": 25, **settings, "compiled": "compiled" in options}
    if "optimizer" in options:
        from mpi4py import MPI

        settings["optimizer"] = SGD(0.1 * (1 + MPI.COMM_WORLD.rank))
    trainer = Trainer(network, rng=1, progress=False, callbacks=callbacks, **settings)
    rank = 0
    if together:
        from backprop.interop.mpi import DataParallel

        processes = DataParallel(trainer)
        rank, last = processes.rank, processes.size - 1
        if how := {"raise", "kill"} & set(options):
            trainer.callbacks.insert(0, Fails(folder, *(how if rank == last else ())))
        elif options and (rank == last or options[0] == "function"):
            data = go_astray(options[0], trainer, data)
    if "resume" in options and rank == 0:  # the others take over what the first has
        checkpoint.restore(trainer, file)
    try:
        history = trainer.fit(*data, epochs=1 if {"save", "resume"} & set(options) else 2, **fit)
    except DivergenceError as error:
        if rank == 0:
            np.savez(Path(folder) / f"{job.replace(':', '-')}.npz", error=str(error))
        return
    if rank == 0:
        records = [[v for name, v in one.items() if name != "seconds"] for one in history]
        end = {"records": records, "computed_by": trainer.computed_by, **network.state()}
        np.savez(Path(folder) / f"{job.replace(':', '-')}.npz", **end)


if __name__ == "__main__":
    for each in sys.argv[2:]:
        run(each, sys.argv[1], together=True)
