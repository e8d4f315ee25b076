"""The callbacks that come with the package: checkpoints, an early end, the best network."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from backprop.core.checks import check_bool, check_integer, check_number
from backprop.training import checkpoint
from backprop.training.callback import Callback
from backprop.training.columns import monitored

Arrays = dict[str, np.ndarray]


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

    It looks at the history, so a resumed run decides as an uninterrupted one, and one that was
    stopped stays so.

    With `restore_best` the network is, after every `fit` and however that ended, the one of the
    best epoch: its parameters and its running statistics. Another `fit`, or one that goes on from
    a checkpoint, begins all the same where training was.

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
        self.monitor = monitor
        self.min_delta = check_number("EarlyStopping: min_delta", min_delta, "[0, inf)")
        self.restore_best = check_bool("EarlyStopping: restore_best", restore_best)
        self._trainer: Any = None
        self._column = ""
        self._forget()

    def _forget(self) -> None:
        self.best_epoch: int | None = None
        self._best: Arrays = {}  # the network of that epoch
        self._last: Arrays = {}  # where training was, while the network is the best one

    def on_fit_start(self, trainer: Any) -> None:
        self._column = monitored("EarlyStopping", self.monitor, trainer)
        if self._trainer is not trainer:
            self._forget()
            self._trainer = trainer
        if self._column in trainer.history:
            if self.restore_best:
                self._check_best_is_known(trainer)
            self._judge(trainer)
        if self._last and _same(self._best, trainer.network.state()):
            trainer.network.set_state(self._last)
        self._last = {}

    def on_epoch_end(self, trainer: Any) -> None:
        if self.restore_best and trainer.history.best(self._column)["epoch"] == trainer.epoch:
            self.best_epoch, self._best = trainer.epoch, trainer.network.state()
        self._judge(trainer)

    def on_fit_end(self, trainer: Any) -> None:
        is_best = trainer.epoch == self.best_epoch and trainer.step == 0
        if self._best and not self._last and not is_best:
            self._last = trainer.network.state()
            trainer.network.set_state(self._best)

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
        """Return the best network, and where training was while the network is the best one."""
        if self.best_epoch is None:
            return {}
        parts = {"best": self._best, "last": self._last}
        arrays = {f"{k}/{name}": one for k, part in parts.items() for name, one in part.items()}
        return {"best_epoch": self.best_epoch, **arrays}

    def set_state(self, state: dict[str, Any], trainer: Any) -> None:
        """Take over what `state` returned; see `Callback`."""
        parts: dict[str, Arrays] = {"best": {}, "last": {}}
        for name, array in state.items():
            part, _, rest = name.partition("/")
            if part in parts:
                parts[part][rest] = array
        epoch = state.get("best_epoch")
        if epoch is not None:
            check_integer("EarlyStopping: best_epoch", epoch)
        wanted = _forms(trainer.network.state())
        for part, arrays in parts.items():
            missing = part == "best" and epoch is not None
            if (arrays or missing) and _forms(arrays) != wanted:
                raise ValueError(f"EarlyStopping: its {part} network is not one of this kind")
        self._trainer, self.best_epoch = trainer, epoch
        self._best, self._last = parts["best"], parts["last"]


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
        self.monitor = monitor
        self.min_delta = check_number("ReduceOnPlateau: min_delta", min_delta, "[0, inf)")
        self._column = ""

    def on_fit_start(self, trainer: Any) -> None:
        self._column = monitored("ReduceOnPlateau", self.monitor, trainer)
        if trainer.schedule is not None:
            raise ValueError(
                f"ReduceOnPlateau: the schedule {trainer.schedule} sets eta before every "
                "minibatch and would undo it: leave one of the two out"
            )
        if self._column in trainer.history:
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Any) -> None:
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

    def __init__(self, path: str | os.PathLike[str], monitor: str | None = None) -> None:
        self.path = os.fspath(path)
        self.monitor = monitor
        self._column = ""

    def on_fit_start(self, trainer: Any) -> None:
        self._column = monitored("SaveBest", self.monitor, trainer)

    def on_epoch_end(self, trainer: Any) -> None:
        if trainer.history.best(self._column)["epoch"] == trainer.epoch:
            trainer.network.save(self.path)


def _numbers_of(improved: list[bool]) -> list[int]:
    """Return which ones are better, counted from 1."""
    return [number for number, better in enumerate(improved, 1) if better]


def _same(one: Arrays, other: Arrays) -> bool:
    """Say whether two networks have the same numbers, to the bit."""
    return _forms(one) == _forms(other) and all(
        one[name].tobytes() == other[name].tobytes() for name in one
    )


def _forms(arrays: Arrays) -> dict[str, Any]:
    return {name: (np.shape(array), np.asarray(array).dtype) for name, array in arrays.items()}
