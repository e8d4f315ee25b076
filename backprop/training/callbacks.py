"""The callbacks that come with the package: progress, checkpoints, an early end, the best net."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from backprop.core.checks import check_integer, check_number
from backprop.training import checkpoint
from backprop.training.callback import Callback


class ProgressBar(Callback):
    """Show a tqdm bar for each epoch on stderr, with cost and accuracy, if that is a terminal.

    The cost shown while an epoch runs is that of the current minibatch.

    Parameters
    ----------
    seconds : float
        The least time between two changes of the bar.
    """

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = check_number("ProgressBar: seconds", seconds, "[0, inf)")
        self._bar: Any = None
        self._shown = 0.0
        self._before = ""

    def on_step_end(self, trainer: Any) -> None:
        now = time.perf_counter()
        if now - self._shown < self.seconds:
            return
        self._shown = now
        if sys.stderr is None or not sys.stderr.isatty():
            return
        if self._bar is None:
            self._open(trainer)
        self._bar.n = trainer.step
        self._bar.set_postfix_str(f"cost {trainer.minibatch_cost():.4f}{self._before}")

    def on_epoch_end(self, trainer: Any) -> None:
        self._close()

    def on_fit_end(self, trainer: Any) -> None:
        self._close()

    def _open(self, trainer: Any) -> None:
        from tqdm import tqdm  # not at import time: the core does without

        self._bar = tqdm(
            total=trainer.steps_per_epoch,
            initial=trainer.step,
            desc=f"epoch {trainer.epoch + 1}",
            unit="batch",
            leave=False,
        )
        epochs = trainer.history.describe()
        self._before = f"; epoch {trainer.epoch}: {epochs}" if epochs else ""

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


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
    monitor : str
        The column of the history; whether large or small is better, `History.best` knows.
    """

    def __init__(self, patience: int = 10, monitor: str = "validation_accuracy") -> None:
        self.patience = check_integer("EarlyStopping: patience", patience)
        self.monitor = monitor

    def on_fit_start(self, trainer: Any) -> None:
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
    monitor : str
        The column of the history; whether large or small is better, `History.best` knows.
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str = "validation_accuracy") -> None:
        self.path = os.fspath(path)
        self.monitor = monitor

    def on_epoch_end(self, trainer: Any) -> None:
        if trainer.history.best(self.monitor)["epoch"] == trainer.epoch:
            trainer.network.save(self.path)
