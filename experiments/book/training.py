"""One run: a row from one seed, trained to its end or as far as time goes, and its JSON file."""

from __future__ import annotations

import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

import backprop
from backprop import L2, SGD, Callback, Checkpoint, Network, Trainer, datasets
from backprop.compiled import NotBuilt, NoTwin
from backprop.core.storage import write_text
from backprop.training import checkpoint
from experiments.book.data import Book, expanded
from experiments.book.networks import network_of
from experiments.book.others import KINDS
from experiments.book.row import Row

DIGITS = 5  # significant ones, of what is kept
MONITORED = 5000  # training images that a convolutional net is evaluated on


class TimeIsUp(Exception):
    """A run was stopped between two epochs; its checkpoint goes on from there."""


class Evaluate(Callback):
    """Add to the record of an epoch what training does not look at: the figures of test data."""

    columns = {"test_cost": False, "test_accuracy": True}  # noqa: RUF012 - as in the base class

    def __init__(self, x: np.ndarray, y: np.ndarray, every: int) -> None:
        self.x, self.y, self.every = x, y, every

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.epoch % self.every == 0:
            found = trainer.network.evaluate(self.x, self.y)
            trainer.history.records[-1] |= {f"test_{name}": found[name] for name in found}


class Watch(Callback):
    """Say now and then how far a long run is, and stop it when time is up."""

    def __init__(self, title: str, epochs: int, deadline: float, period: float = 30.0) -> None:
        self.title, self.epochs, self.deadline, self.period = title, epochs, deadline, period
        self.said = time.monotonic()

    def on_epoch_end(self, trainer: Trainer) -> None:
        now = time.monotonic()
        if now - self.said > self.period:
            self.said = now
            print(f"  {self.title}: epoch {trainer.epoch} of {self.epochs}", flush=True)
        if now > self.deadline and trainer.epoch < self.epochs:
            trainer.stop("time is up")


def run(row: Row, seed: int, book: Book, path: Path, deadline: float = math.inf) -> None:
    """Make a run and write its JSON file; one that has a checkpoint beside it goes on from there.

    Raises
    ------
    TimeIsUp
        If the deadline, of `time.monotonic`, passed first.
    KeyboardInterrupt
        If Ctrl-C was pressed; the checkpoint has all minibatches up to then.
    """
    started = time.perf_counter()
    if row.kind == "train":
        found = train(row, seed, book, path.with_suffix(".npz"), deadline)
    else:
        found = KINDS[row.kind](row, seed, book)
        found["seconds"] = time.perf_counter() - started
    found["seconds"] = round(found["seconds"], 2)
    result = {
        "row": row.name,
        "seed": seed,
        "data": book.name,
        "setting": setting_of(row),
        "versions": versions(),
        **found,
    }
    write_text(path, json.dumps(result, ensure_ascii=False) + "\n")
    path.with_suffix(".npz").unlink(missing_ok=True)


def setting_of(row: Row) -> dict[str, Any]:
    """Return what a run of a row depends on, as plain data: of another one it is no result."""
    names = ("kind", "layers", "cost", "init", "eta", "lmbda", "epochs", "images", "validation",
             "expanded", "shuffle", "every", "x")  # fmt: skip
    return json.loads(json.dumps({name: getattr(row, name) for name in names}))  # type: ignore[no-any-return]


def versions() -> dict[str, str]:
    """Return the versions of what has a part in the numbers."""
    return {"backprop": backprop.__version__, "numpy": np.__version__,
            "python": platform.python_version()}  # fmt: skip


def train(row: Row, seed: int, book: Book, saved: Path, deadline: float) -> dict[str, Any]:
    """Train the network of a row as the book does; return its columns, its path and its time."""
    images = row.init == "network3"
    shape = datasets.to_images if images else datasets.to_columns
    x, labels = (part[: row.images] for part in book.training)
    if row.expanded:
        x, labels = expanded(x, labels)
    x = shape(x)
    validation = [part[: row.validation] for part in book.validation]
    network = network_of(row, x.shape[:-1], book.n_classes, seed)

    def targets(y: np.ndarray) -> np.ndarray:
        return y if images else datasets.one_hot(y, book.n_classes)

    watched = row.every == 1  # else only what comes out in the end is of interest
    callbacks: list[Callback] = [Evaluate(shape(book.test[0]), targets(book.test[1]), row.every)]
    callbacks.append(Watch(f"{row.what}, seed {seed}", row.epochs, deadline))
    callbacks.append(Checkpoint(saved, every=max(row.every // 4, 10 if row.epochs > 100 else 1)))
    trainer = Trainer(
        network,
        SGD(row.eta),
        10,
        L2.book(row.lmbda, len(labels)) if row.lmbda else None,
        rng=seed,
        callbacks=callbacks,
        monitor_training=(MONITORED if images else True) if watched else False,
        progress=False,
        shuffle=row.shuffle,
    )
    if saved.exists():
        checkpoint.restore(trainer, saved)
    evaluated = (shape(validation[0]), targets(validation[1]))
    _fit(trainer, (x, targets(labels)), row.epochs, evaluated if watched else None)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if trainer.stopping:
        raise TimeIsUp
    columns = _columns(trainer, watched)
    if not watched:
        last = network.evaluate(*evaluated)
        columns |= {f"validation_{name}": [_short(value)] for name, value in last.items()}
    found: dict[str, Any] = {"columns": columns, "path": trainer.computed_by}
    if images:
        found["test_wrong"] = wrong(network, shape(book.test[0]), book.test[1])
    return {**found, "seconds": sum(trainer.history["seconds"])}


def wrong(network: Network, x: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return the examples that a network gets wrong, [place, label, guess], and of how many."""
    guesses = network.predict(x).argmax(axis=0)
    places = np.flatnonzero(guesses != labels)
    listed = [[int(n), int(labels[n]), int(guesses[n])] for n in places]
    return {"of": len(labels), "guesses": listed}


def _fit(trainer: Trainer, data: Any, epochs: int, validation: Any) -> None:
    """Train to the end, by a compiled program wherever there can be one, however short an epoch."""
    left = epochs - trainer.epoch
    long = trainer.batch_size * 10 <= data[0].shape[-1] and epochs * data[0].shape[-1] > 200_000
    trainer.compiled = long or None
    try:
        trainer.fit(*data, left, validation)
    except (NotBuilt, NoTwin):
        trainer.compiled = None  # NumPy, and the history says why
        trainer.fit(*data, left, validation)


def _columns(trainer: Trainer, watched: bool) -> dict[str, list[Any]]:
    """Return the history by columns, of the last epoch alone where only that is of interest."""
    records = trainer.history.records if watched else trainer.history.records[-1:]
    names = [name for name in records[0] if name not in ("seconds", "eta")]
    return {name: [_short(record[name]) for record in records] for name in names}


def _short(value: Any) -> Any:
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")
