"""What can be hung on a training run: progress, checkpoints, an early end, anything."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from backprop.core.checks import check_integer
from backprop.training import checkpoint
from backprop.training.history import History

if TYPE_CHECKING:
    from backprop.training.trainer import Trainer


class Callback:
    """Base of the callbacks: override what you need, read and change the trainer as you like."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Run before the first minibatch of a `fit`."""

    def on_step_end(self, trainer: Trainer) -> None:
        """Run after every minibatch: z, a, delta and the gradients are all there to look at."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Run after every epoch, its record being the last in ``trainer.history``."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """Run when `fit` ends, also by Ctrl-C or an error."""

    @property
    def wants_steps(self) -> bool:
        """Whether `on_step_end` does anything: it is not called otherwise."""
        return type(self).on_step_end is not Callback.on_step_end


class ProgressBar(Callback):
    """A tqdm bar per epoch on stderr, with cost and accuracy; nothing where that is no terminal.

    The cost shown while an epoch runs is that of the current minibatch.
    """

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = seconds
        self._bar: Any = None
        self._shown = 0.0
        self._before = ""

    def on_step_end(self, trainer: Trainer) -> None:
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

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._close()

    def on_fit_end(self, trainer: Trainer) -> None:
        self._close()

    def _open(self, trainer: Trainer) -> None:
        from tqdm import tqdm  # not at import time: the core does without

        self._bar = tqdm(
            total=trainer.steps_per_epoch,
            initial=trainer.step,
            desc=f"epoch {trainer.epoch + 1}",
            unit="batch",
            leave=False,
        )
        epochs = describe_record(trainer.history)
        self._before = f"; epoch {trainer.epoch}: {epochs}" if epochs else ""

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Checkpoint(Callback):
    """Write the whole state of the training to `path`, every so many epochs and at the end.

    `checkpoint.restore` continues from such a file to the bit. A run that ends in NaN is not
    saved: the file keeps the last good state.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = path
        self.every = check_integer("Checkpoint: every", every)

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.epoch % self.every == 0:
            checkpoint.save(trainer, self.path)

    def on_fit_end(self, trainer: Trainer) -> None:
        if trainer.error is None:
            checkpoint.save(trainer, self.path)


class EarlyStopping(Callback):
    """Stop when `monitor` has had no better value for `patience` epochs.

    Source: the book, chapter 3, "no-improvement-in-n". It looks only at the history, so a resumed
    run decides as an uninterrupted one, and one that was stopped stays so.
    """

    def __init__(self, patience: int = 10, monitor: str = "validation_accuracy") -> None:
        self.patience = check_integer("EarlyStopping: patience", patience)
        self.monitor = monitor

    def on_fit_start(self, trainer: Trainer) -> None:
        if len(trainer.history):
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        best = trainer.history.best(self.monitor)
        if trainer.epoch - best["epoch"] >= self.patience:
            trainer.stop(
                f"{self.monitor} has not improved on {best[self.monitor]:.6g} "
                f"for {self.patience} epochs"
            )


class SaveBest(Callback):
    """Save the network to `path` whenever `monitor` has a new best value."""

    def __init__(self, path: str | os.PathLike[str], monitor: str = "validation_accuracy") -> None:
        self.path = path
        self.monitor = monitor

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.history.best(self.monitor)["epoch"] == trainer.epoch:
            trainer.network.save(self.path)


def describe_record(history: History) -> str:
    """Return cost and accuracy of the last epoch in words, "" before the first."""
    if not len(history):
        return ""
    record = history.records[-1]
    parts = []
    for data in ("training", "validation"):
        words = [
            f"{name} {record[f'{data}_{name}']:{form}}"
            for name, form in (("cost", ".4f"), ("accuracy", ".2%"))
            if f"{data}_{name}" in record
        ]
        if words:
            parts.append(f"{data}: {', '.join(words)}")
    return "; ".join(parts)
