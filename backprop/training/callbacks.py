"""The callbacks that come with the package: checkpoints, an early end, the best network."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from backprop.core.checks import check_bool, check_integer, check_number
from backprop.core.storage import check_no_folder
from backprop.training import checkpoint
from backprop.training.callback import Callback
from backprop.training.columns import monitored
from backprop.training.divergence import DivergenceError
from backprop.training.state import Arrays, show, take_back


class Checkpoint(Callback):
    """Write the whole state of a training run to `path`, every few epochs and at the end.

    `checkpoint.restore` continues from such a file to the bit. A run that ends in NaN is not
    saved: the file keeps the last good state. It comes after all other callbacks, wherever it
    stands among them, so that what they record and remember of an epoch is in its checkpoint.

    Parameters
    ----------
    path : path-like
    every : int
        Epochs from one checkpoint to the next.
    """

    comes_last = True
    writes = True

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = os.fspath(path)
        self.every = check_integer("Checkpoint: every", every)

    def on_fit_start(self, trainer: Any) -> None:
        check_no_folder("Checkpoint", self.path, "checkpoint.npz")

    def on_epoch_end(self, trainer: Any) -> None:
        if trainer.epoch % self.every == 0:
            checkpoint.save(trainer, self.path)

    def on_fit_end(self, trainer: Any) -> None:
        if trainer.error is None:
            checkpoint.save(trainer, self.path)


class EarlyStopping(Callback):
    """Stop training when a metric has not improved for `patience` epochs.

    It looks at the history, so a resumed run decides as an uninterrupted one, and one that was
    stopped stays so.

    With `restore_best` the network is, after every `fit` and however that ended, the one of the
    best epoch: its parameters and its running statistics. Another `fit`, or one that goes on from
    a checkpoint, begins all the same where training was, or after a `DivergenceError` from the
    best. Of several that do so the last one has its way.

    Source: Nielsen, Neural Networks and Deep Learning, chapter 3, "no-improvement-in-n".

    Parameters
    ----------
    patience : int
        Epochs without a better value.
    monitor : str, optional
        The column of the history, which knows whether more or less is better. Unless told it is
        "validation_accuracy" where that is recorded, else "validation_cost".
    min_delta : float
        The least improvement: better is what is so by more than this. Not negative.
    restore_best : bool
        Whether the network is that of the best epoch in the end.

    Attributes
    ----------
    best_epoch : int or None
        Whose network is kept, with `restore_best`.
    """

    def __init__(
        self,
        patience: int = 10,
        monitor: str | None = None,
        min_delta: float = 0.0,
        restore_best: bool = False,
    ) -> None:
        self.patience = check_integer("EarlyStopping: patience", patience)
        self.monitor = _name_or_none("EarlyStopping", monitor)
        self.min_delta = check_number("EarlyStopping: min_delta", min_delta, "[0, inf)")
        self.restore_best = check_bool("EarlyStopping: restore_best", restore_best)
        self._trainer: Any = None
        self._column = ""
        self._forget()

    def _forget(self) -> None:
        self.best_epoch: int | None = None
        self._best: Arrays = {}  # the network of that epoch
        self._start = sys.maxsize  # the epochs behind when it was first called

    def on_fit_start(self, trainer: Any) -> None:
        self._column = monitored(self, trainer)
        known = _has_any_value(trainer, self._column)
        if self._trainer is not trainer or not known:
            self._forget()
            self._trainer = trainer
        if known:
            if self.restore_best:
                self._check_best_is_known(trainer)
            self._judge(trainer)
        self._start = trainer.epoch

    def on_epoch_end(self, trainer: Any) -> None:
        self._keep(trainer)
        if _has_any_value(trainer, self._column):
            self._judge(trainer)

    def on_fit_end(self, trainer: Any) -> None:
        if self._trainer is not trainer:  # an error before this one was called
            return
        self._keep(trainer)
        if self.best_epoch is None:
            return
        if trainer.epoch == self.best_epoch and trainer.step == 0:
            take_back(trainer)  # from another one that shows the network of its own best epoch
        elif isinstance(trainer.error, DivergenceError):
            trainer.network.set_state(self._best)
        else:
            show(trainer, self._best)

    def _keep(self, trainer: Any) -> None:
        """Keep the network, if it is that of an epoch just recorded, the best so far.

        Where an error came between record and `on_epoch_end`, this is done later.
        """
        at_an_end = self.restore_best and trainer.epoch > self._start and trainer.step == 0
        if at_an_end and trainer.epoch != self.best_epoch and _is_best(trainer, self._column):
            self.best_epoch, self._best = trainer.epoch, trainer.network.state()

    def _judge(self, trainer: Any) -> None:
        """Stop training, if the history says so."""
        history = trainer.history
        improved = history.improved(self._column, self.min_delta)
        if len(improved) - max(_numbers_of(improved), default=0) >= self.patience:
            best = history.best(self._column)[self._column]
            by = f" by more than {self.min_delta:g}" if self.min_delta else ""
            trainer.stop(
                f"{self._column} has not improved on {best:.6g}{by} for {self.patience} epochs"
            )

    def _check_best_is_known(self, trainer: Any) -> None:
        best = trainer.history.best(self._column)["epoch"]
        if best != self.best_epoch:
            raise ValueError(
                f"EarlyStopping: the network of epoch {best}, the best so far, was not kept: give "
                "restore_best=True from the first epoch on, or leave it out"
            )

    def state(self) -> dict[str, Any]:
        """Return the best network."""
        if self._trainer is not None:
            self._keep(self._trainer)
        if self.best_epoch is None:
            return {}
        arrays = {f"best/{name}": array for name, array in self._best.items()}
        return {"best_epoch": self.best_epoch, **arrays}

    def set_state(self, state: dict[str, Any], trainer: Any) -> None:
        """Take over what `state` returned; see `Callback`."""
        best, epoch = {**state}, None
        if best:
            epoch = check_integer("EarlyStopping: best_epoch", best.pop("best_epoch"))
            best = {name.removeprefix("best/"): array for name, array in best.items()}
            if _forms(best) != _forms(trainer.network.state()):
                raise ValueError("EarlyStopping: its best network is not one of this kind")
        self._forget()
        self._trainer, self.best_epoch, self._best = trainer, epoch, best


class ReduceOnPlateau(Callback):
    """Make eta smaller whenever a metric has not improved for `patience` epochs.

    It becomes factor * eta each time, and training ends when it has come down to `end` of what it
    was in the first epoch: by default it is halved, until it is 1/128. It looks only at the
    history and the optimizer's eta, so a resumed run goes on as an uninterrupted one.

    Source: Nielsen, Neural Networks and Deep Learning, chapter 3, the exercise on a learning
    schedule that halves eta by the no-improvement-in-10 rule.

    Parameters
    ----------
    patience : int
        Epochs without a better value, counted from the last better one or the last reduction.
    factor : float
        In (0, 1).
    end : float or None
        In (0, 1); None never ends training.
    monitor : str, optional
        The column of the history, which knows whether more or less is better. Unless told it is
        "validation_accuracy" where that is recorded, else "validation_cost".
    min_delta : float
        The least improvement: better is what is so by more than this. Not negative.

    Raises
    ------
    ValueError
        From `Trainer.fit`, together with a schedule, which would undo what it does.
    """

    def __init__(
        self,
        patience: int = 10,
        factor: float = 0.5,
        end: float | None = 1 / 128,
        monitor: str | None = None,
        min_delta: float = 0.0,
    ) -> None:
        self.patience = check_integer("ReduceOnPlateau: patience", patience)
        self.factor = check_number("ReduceOnPlateau: factor", factor, "(0, 1)")
        self.end = None if end is None else check_number("ReduceOnPlateau: end", end, "(0, 1)")
        self.monitor = _name_or_none("ReduceOnPlateau", monitor)
        self.min_delta = check_number("ReduceOnPlateau: min_delta", min_delta, "[0, inf)")
        self._column = ""

    def on_fit_start(self, trainer: Any) -> None:
        self._column = monitored(self, trainer)
        if trainer.schedule is not None:
            raise ValueError(
                f"ReduceOnPlateau: the schedule {trainer.schedule} sets eta before every "
                "minibatch and would undo it: leave one of the two out"
            )
        if len(trainer.history):
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Any) -> None:
        if not _has_value(trainer, self._column):
            return
        history, optimizer = trainer.history, trainer.optimizer
        improved, etas = history.improved(self._column, self.min_delta), history["eta"]
        reductions = self._reductions(improved)
        # A checkpoint may have been written before eta was made smaller, or after it.
        if len(improved) in reductions and optimizer.eta == etas[-1]:
            optimizer.eta = self.factor * optimizer.eta
        end = 0.0 if self.end is None else self.end * (1 + 1e-9) * etas[0]
        if reductions and optimizer.eta <= end:
            trainer.stop(f"eta has come down from {etas[0]:.6g} to {optimizer.eta:.6g}")

    def _reductions(self, improved: list[bool]) -> list[int]:
        """Return after how many epochs eta becomes smaller."""
        since, found = 0, []
        for epoch, better in enumerate(improved, 1):
            if better:
                since = epoch
            elif epoch - since >= self.patience:
                since = epoch
                found.append(epoch)
        return found


class SaveBest(Callback):
    """Save the network whenever a metric has a new best value.

    Parameters
    ----------
    path : path-like
    monitor : str, optional
        The column of the history, which knows whether more or less is better. Unless told it is
        "validation_accuracy" where that is recorded, else "validation_cost".
    """

    writes = True

    def __init__(self, path: str | os.PathLike[str], monitor: str | None = None) -> None:
        self.path = os.fspath(path)
        self.monitor = _name_or_none("SaveBest", monitor)
        self._column = ""

    def on_fit_start(self, trainer: Any) -> None:
        check_no_folder("SaveBest", self.path, "best.npz")
        self._column = monitored(self, trainer)

    def on_epoch_end(self, trainer: Any) -> None:
        if _is_best(trainer, self._column):
            trainer.network.save(self.path)


def _numbers_of(improved: list[bool]) -> list[int]:
    """Return which ones are better, counted from 1."""
    return [number for number, better in enumerate(improved, 1) if better]


def _name_or_none(owner: str, monitor: Any) -> str | None:
    if not isinstance(monitor, (str, type(None))):
        raise TypeError(f"{owner}: monitor must be the name of a column, got {monitor!r}")
    return monitor


def _has_value(trainer: Any, column: str) -> bool:
    """Say whether the last record has a value in a column, which some callbacks seldom have."""
    return trainer.history.records[-1].get(column) is not None


def _has_any_value(trainer: Any, column: str) -> bool:
    return any(record.get(column) is not None for record in trainer.history)


def _is_best(trainer: Any, column: str) -> bool:
    """Say whether the last record has the best value so far."""
    if not _has_value(trainer, column):
        return False
    return bool(trainer.history.best(column) is trainer.history.records[-1])


def _forms(arrays: Arrays) -> dict[str, Any]:
    return {name: (np.shape(array), np.asarray(array).dtype) for name, array in arrays.items()}
