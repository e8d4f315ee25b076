"""The callbacks that come with the package: checkpoints, an early end, the best network."""

from __future__ import annotations

import os
from typing import Any

from backprop.core.checks import check_integer
from backprop.training import checkpoint
from backprop.training.callback import Callback
from backprop.training.columns import monitored


class Checkpoint(Callback):
    """Write the whole state of a training run to `path`, every few epochs and at the end.

    `checkpoint.restore` continues from such a file to the bit. A run that ends in NaN is not
    saved: the file keeps the last good state.

    Parameters
    ----------
    path : path-like
    every : int
        Epochs from one checkpoint to the next.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = os.fspath(path)
        self.every = check_integer("Checkpoint: every", every)

    def on_epoch_end(self, trainer: Any) -> None:
        if trainer.epoch % self.every == 0:
            checkpoint.save(trainer, self.path)

    def on_fit_end(self, trainer: Any) -> None:
        if trainer.error is None:
            checkpoint.save(trainer, self.path)


class EarlyStopping(Callback):
    """Stop training when a metric has not improved for `patience` epochs.

    It looks only at the history, so a resumed run decides as an uninterrupted one, and one that
    was stopped stays so.

    Source: Nielsen, Neural Networks and Deep Learning, chapter 3, "no-improvement-in-n".

    Parameters
    ----------
    patience : int
        Epochs without a better value.
    monitor : str, optional
        The column of the history, which knows whether more or less is better. Unless told it is
        "validation_accuracy" where that is recorded, else "validation_cost".
    """

    def __init__(self, patience: int = 10, monitor: str | None = None) -> None:
        self.patience = check_integer("EarlyStopping: patience", patience)
        self.monitor = monitor

    def on_fit_start(self, trainer: Any) -> None:
        self.monitor = monitored("EarlyStopping", self.monitor, trainer)
        if len(trainer.history):
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Any) -> None:
        best = trainer.history.best(self.monitor)
        if trainer.epoch - best["epoch"] >= self.patience:
            trainer.stop(
                f"{self.monitor} has not improved on {best[self.monitor]:.6g} "
                f"for {self.patience} epochs"
            )


class SaveBest(Callback):
    """Save the network whenever a metric has a new best value.

    Parameters
    ----------
    path : path-like
    monitor : str, optional
        The column of the history, which knows whether more or less is better. Unless told it is
        "validation_accuracy" where that is recorded, else "validation_cost".
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str | None = None) -> None:
        self.path = os.fspath(path)
        self.monitor = monitor

    def on_fit_start(self, trainer: Any) -> None:
        self.monitor = monitored("SaveBest", self.monitor, trainer)

    def on_epoch_end(self, trainer: Any) -> None:
        if trainer.history.best(self.monitor)["epoch"] == trainer.epoch:
            trainer.network.save(self.path)
