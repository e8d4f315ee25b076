"""The trainer: minibatch gradient descent through the four equations, and a record of it."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from backprop.clipping import clip_by_norm, clip_by_value
from backprop.core.checks import check_integer, check_number
from backprop.core.config import by_name
from backprop.kernels import memory
from backprop.kernels.threads import own_threads
from backprop.layers.base import Seed
from backprop.model import Model, default_metrics
from backprop.optimizers import Optimizer
from backprop.regularizers import Regularizer
from backprop.schedules import Schedule
from backprop.training.callback import Callback
from backprop.training.callbacks import ProgressBar
from backprop.training.history import History

Data = tuple[np.ndarray, np.ndarray]


class DivergenceError(ArithmeticError):
    """Training met NaN or infinity; the message says where it appeared first."""


class Trainer:
    """Trains a network by minibatch gradient descent, one optimizer step per minibatch.

    Every epoch visits every example once, in a new random order; the last, smaller minibatch is
    used like any other. The same seed on the same machine with the same number of threads gives
    the same bits.

    Parameters
    ----------
    network : Network or Graph
        With a cost.
    optimizer : Optimizer or str
    batch_size : int
    regularizer : Regularizer, optional
        Adds its gradient to that of the weights, not of the biases.
    schedule : Schedule, optional
        Sets the optimizer's eta before every minibatch, from the (fractional) epoch.
    clip_norm, clip_value : float, optional
        Clip the whole gradient to this norm, every component to this size, before the step.
    rng : numpy.random.Generator, int or None
        Where the order of the examples is drawn from, or its seed.
    callbacks : sequence of Callback
    metrics : dict of name to function of (a, y), optional
        Recorded for training and validation data beside the cost; accuracy, where the targets
        are classes, unless told.
    monitor_training : bool or int
        After every epoch, evaluate cost and metrics on all training examples (True), none
        (False) or the first so many.
    progress : bool
        Show a `ProgressBar`, where stderr is a terminal.
    shuffle : bool
        Draw a new order of the examples for every epoch. Layers that carry their state from batch
        to batch need False; they start every epoch from 0.

    Attributes
    ----------
    history : History
    epoch, step : int
        Whole epochs behind, and minibatches behind in the epoch under way.
    interrupted : bool
        Whether the last `fit` was ended early by Ctrl-C.
    stopping : str
        Why a callback asked to stop, or "".
    error : BaseException or None
        What ended the last `fit`, if an error did.
    """

    def __init__(
        self,
        network: Model,
        optimizer: Optimizer | str = "sgd",
        batch_size: int = 10,
        regularizer: Regularizer | None = None,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        rng: Seed = None,
        callbacks: Sequence[Callback] = (),
        metrics: dict[str, Callable[[np.ndarray, np.ndarray], float]] | None = None,
        monitor_training: bool | int = True,
        progress: bool = True,
        shuffle: bool = True,
    ) -> None:
        if not isinstance(network, Model):
            raise TypeError(f"Trainer: network must be a Network or Graph, got {network!r}")
        if network.cost is None:
            raise ValueError("the trainer needs a network with a cost")
        self.network = network
        self.optimizer = by_name(Optimizer, optimizer) if isinstance(optimizer, str) else optimizer
        self.batch_size = check_integer("Trainer: batch_size", batch_size)
        self.regularizer = regularizer
        self.schedule = schedule
        for name, kind in (
            ("optimizer", Optimizer),
            ("regularizer", Regularizer),
            ("schedule", Schedule),
        ):
            value = getattr(self, name)
            if not isinstance(value, kind) and (value is not None or name == "optimizer"):
                raise TypeError(f"Trainer: {name} must be a {kind.__name__}, got {value!r}")
        self.clip_norm = _positive_or_none("clip_norm", clip_norm)
        self.clip_value = _positive_or_none("clip_value", clip_value)
        self.rng = np.random.default_rng(rng)
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"Trainer: callbacks must be Callbacks, got {callback!r}")
        if metrics is not None and not isinstance(metrics, Mapping):
            raise TypeError(f"Trainer: metrics must be a dict of functions, got {metrics!r}")
        self.shuffle = bool(shuffle)
        self._carriers: list[Any] = [
            layer for _, layer in network.walk() if getattr(layer, "carry", False)
        ]
        if self.shuffle and self._carriers:
            raise ValueError(
                f"Trainer: {self._carriers[0]} carries its state from batch to batch: the order "
                "counts, give shuffle=False"
            )
        self.callbacks = [*([ProgressBar()] if progress else []), *callbacks]
        self.metrics = metrics
        self.monitor_training = sys.maxsize if monitor_training is True else 0
        if not isinstance(monitor_training, bool):
            self.monitor_training = check_integer("Trainer: monitor_training", monitor_training, 0)
        self.history = History()
        self.epoch = self.step = 0
        self.seconds = 0.0
        self.n_examples: int | None = None
        self.interrupted = False
        self.stopping = ""
        self.error: BaseException | None = None
        self.settings = self._describe()
        self._epoch_rng_state: Any = self.rng.bit_generator.state
        self._weights = network.weight_slices()

    def fit(
        self,
        x: np.ndarray,
        y: np.ndarray,
        epochs: int = 1,
        validation: Data | None = None,
    ) -> History:
        """Train for so many more epochs (an epoch that was interrupted is finished as the first).

        Parameters
        ----------
        x : ndarray, input shape x N
            In the network's dtype; best the transposed view of N rows in C order, which is what
            `datasets.to_columns` gives and costs no copy.
        y : ndarray
            Targets as the cost takes them, the examples on the last axis.
        epochs : int
        validation : (x, y), optional

        Returns
        -------
        History
            That of all epochs so far, `history`. Ctrl-C ends the training after the minibatch
            under way: the callbacks then run as at a regular end (so that `Checkpoint` saves),
            and `interrupted` is set. A second Ctrl-C is an ordinary KeyboardInterrupt.

        Raises
        ------
        TypeError, ValueError
            If the data do not fit the network, before anything has changed.
        DivergenceError
            If NaN or infinity appears; the network keeps the parameters it has then.
        """
        epochs = check_integer("fit: epochs", epochs, 0)
        self.network.check_data(x, y)
        if validation is not None:
            if not isinstance(validation, (tuple, list)) or len(validation) != 2:
                raise TypeError(
                    f"validation must be a pair (x, y), got {type(validation).__name__}"
                )
            self.network.check_data(*validation)
        for index, layer in enumerate(self.network.layers):
            if not _finite(layer.theta):
                raise ValueError(
                    f"layer {index}, {layer}, begins with parameters that are not finite"
                )
        if self.step and self.n_examples != x.shape[-1]:
            raise ValueError(
                f"an epoch over {self.n_examples} examples is under way, got {x.shape[-1]}"
            )
        self.n_examples = x.shape[-1]
        self.stopping, self.interrupted, self.error = "", False, None
        metrics = default_metrics(y) if self.metrics is None else self.metrics
        rows_x, rows_y = _rows(x), _rows(y)
        quiet = np.errstate(over="ignore", invalid="ignore")
        with _interrupt_asks(self), quiet, own_threads(self.network.shares_work):
            self._call("on_fit_start")
            try:
                last = self.epoch + epochs
                while self.epoch < last and not self._must_end():
                    self._train_epoch(rows_x, rows_y)
                    if self.step == 0:  # the epoch is complete
                        self.history.append(self._record(x, y, validation, metrics))
                        self._call("on_epoch_end")
            except BaseException as error:
                self.error = error
                raise
            finally:
                self._call("on_fit_end")
        return self.history

    def stop(self, reason: str) -> None:
        """Ask, from a callback, that `fit` ends after this minibatch."""
        self.stopping = reason

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in an epoch over the data of the last `fit`."""
        return -(-(self.n_examples or 0) // self.batch_size)

    def _train_epoch(self, rows_x: np.ndarray, rows_y: np.ndarray) -> None:
        """Go through the examples, from where the epoch stands, in this epoch's order."""
        if self.step == 0:
            self._epoch_rng_state = self.rng.bit_generator.state
            order = self._draw_order(len(rows_x))
            for layer in self._carriers:
                layer.reset_state()
        else:  # the order that the interrupted epoch was in
            after = self.rng.bit_generator.state
            self.rng.bit_generator.state = self._epoch_rng_state
            order = self._draw_order(len(rows_x))
            self.rng.bit_generator.state = after
        steps = self.steps_per_epoch
        each_step = [c for c in self.callbacks if c.wants_steps]
        started = time.perf_counter()
        for x, y in self._minibatches(rows_x, rows_y, order):
            if self.schedule is not None:
                self.optimizer.eta = self.schedule(self.epoch + self.step / steps)
            self._descend(x, y)
            self.step += 1
            for callback in each_step:
                callback.on_step_end(self)
            if self.interrupted or self.stopping:
                break
        self.seconds += time.perf_counter() - started
        if self.step == steps:
            self.step = 0
            self.epoch += 1

    def _minibatches(
        self, rows_x: np.ndarray, rows_y: np.ndarray, order: np.ndarray
    ) -> Iterator[Data]:
        """Yield the minibatches from where the epoch stands, gathered some at a time."""
        size = self.batch_size
        ahead = size * max(
            1, memory.GATHER_BYTES // (size * (rows_x[:1].nbytes + rows_y[:1].nbytes))
        )
        for first in range(self.step * size, len(order), ahead):
            chosen = order[first : first + ahead]
            x, y = rows_x.take(chosen, 0), rows_y.take(chosen, 0)
            for start in range(0, len(chosen), size):
                part = slice(start, start + size)
                yield _columns(x[part]), _columns(y[part])

    def _draw_order(self, n: int) -> np.ndarray:
        return self.rng.permutation(n) if self.shuffle else np.arange(n)

    def _descend(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take one step on one minibatch: forward, BP1 to BP4, regularisation, update."""
        network, self._y = self.network, y
        network._forward(x, True)
        start = network._bp1(y)
        if not math.isfinite(start.sum()):
            raise DivergenceError(self._diagnose())
        network._backward_from(start, input_gradient=False)
        theta, nabla = network.theta, network.nabla
        if self.regularizer is not None:
            for part in self._weights:
                self.regularizer.add_gradient(theta[part], nabla[part])
        if self.clip_value is not None:
            clip_by_value(nabla, self.clip_value)
        if self.clip_norm is not None:
            clip_by_norm(nabla, self.clip_norm)
        self.optimizer.step(theta, nabla, self._weights)

    def minibatch_cost(self) -> float:
        """Return C of the minibatch that was last trained on, before its update."""
        return float(self.network._cost_per_example(self._y).mean())

    def _record(
        self, x: np.ndarray, y: np.ndarray, validation: Data | None, metrics: dict[str, Callable]
    ) -> dict[str, Any]:
        network = self.network
        record: dict[str, Any] = {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "eta": float(self.optimizer.eta),
        }
        self.seconds = 0.0
        n = min(x.shape[-1], self.monitor_training)
        if n:
            found = network._evaluate(x[..., :n], y[..., :n], 1000, metrics)
            record.update({f"training_{name}": value for name, value in found.items()})
        if self.regularizer is not None:
            parts = (network.theta[part] for part in self._weights)
            record["penalty"] = float(sum(self.regularizer.value(w) for w in parts))
        if validation is not None:
            found = network._evaluate(*validation, 1000, metrics)
            record.update({f"validation_{name}": value for name, value in found.items()})
        if not math.isfinite(record.get("training_cost", 0.0)):
            raise DivergenceError(
                f"the training cost became {record['training_cost']} in epoch {self.epoch}: "
                f"{self._where()}; try a smaller eta"
            )
        return record

    def _must_end(self) -> bool:
        return self.interrupted or bool(self.stopping)

    def _call(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    # -- divergence --------------------------------------------------------------------------

    def _diagnose(self) -> str:
        with np.errstate(all="ignore"):
            cost = self.minibatch_cost()
        return (
            f"the cost became {cost} in epoch {self.epoch + 1}, minibatch {self.step + 1} of "
            f"{self.steps_per_epoch}: {self._where()}; try a smaller eta or clip_norm"
        )

    def _where(self) -> str:
        """Name the layer where NaN or infinity appeared first, in the order of computation.

        The gradients are still those of the step before: if the parameters are bad already, the
        backward pass of that step, which ran from the last layer down, is where to look.
        """
        layers = list(enumerate(self.network.layers))
        if not _finite(self.network.theta):
            for index, layer in reversed(layers):
                if not _finite(layer.nabla):
                    return f"first in the gradient of layer {index}, {layer}, one step before"
            for index, layer in layers:
                if not _finite(layer.theta):
                    return f"first in the update of layer {index}, {layer}, one step before"
        for index, layer in layers:
            # What is inside a container is computed before what the container makes of it.
            parts = sorted(layer.walk(str(index)), key=lambda part: bool(part[1].children))
            for place, part in parts:
                for name in ("z", "a"):
                    array = getattr(part, name)
                    if array is not None and not _finite(array):
                        return f"first in {name} of layer {place}, {part}"
        return "first in the cost itself, every layer's activation is finite"

    # -- description, for checkpoints --------------------------------------------------------

    def _describe(self) -> dict[str, Any]:
        parts = {"optimizer": self.optimizer, "regularizer": self.regularizer}
        parts["schedule"] = self.schedule
        described = {name: part and part.config() for name, part in parts.items()}
        described["batch_size"], described["shuffle"] = self.batch_size, self.shuffle
        described["clip_norm"], described["clip_value"] = self.clip_norm, self.clip_value
        return described


@contextmanager
def _interrupt_asks(trainer: Trainer) -> Iterator[None]:
    """Let the first Ctrl-C ask the trainer to end, and the second interrupt as usual.

    An exception raised anywhere could leave theta half updated. Only the main thread may handle
    signals; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # ignored on purpose, as under nohup, or not set from Python
        yield
        return

    def ask(signum: int, frame: Any) -> None:
        if trainer.interrupted:
            before(signum, frame)
        trainer.interrupted = True

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _rows(x: np.ndarray) -> np.ndarray:
    """Return x example-major, N x ..., in C order; a view where x is the transpose of that."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 0))


def _columns(rows: np.ndarray) -> np.ndarray:
    """Return the minibatch with the batch on the last axis: a view, or images as a copy.

    A matrix product takes rows as well as columns; a convolution would copy images in each pass.
    """
    return rows.T if rows.ndim <= 2 else np.ascontiguousarray(np.moveaxis(rows, 0, -1))


def _finite(x: np.ndarray) -> bool:
    return bool(np.isfinite(x).all())


def _positive_or_none(name: str, value: float | None) -> float | None:
    return None if value is None else check_number(f"Trainer: {name}", value, "(0, inf)")
