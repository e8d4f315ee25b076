"""The trainer: minibatch gradient descent through the four equations, and a record of it."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from backprop.core.checks import check_bool, check_integer
from backprop.core.config import made_of
from backprop.core.randomness import generator
from backprop.kernels.threads import own_threads
from backprop.layers.base import Seed
from backprop.metrics import Metric
from backprop.network import Network
from backprop.network.evaluation import metrics_of
from backprop.optimizers import Optimizer
from backprop.regularizers import Regularizer, check_regularizer
from backprop.schedules import Schedule
from backprop.training.callback import Callback
from backprop.training.checks import (
    carriers,
    check_callbacks,
    check_transform,
    describe_transform,
    positive_or_none,
)
from backprop.training.columns import declare_columns
from backprop.training.data import Data, data_of
from backprop.training.divergence import DivergenceError, check_finite  # noqa: F401
from backprop.training.history import History
from backprop.training.interrupts import interrupt_asks
from backprop.training.paths import warn_if_another
from backprop.training.processes import Alone, with_all
from backprop.training.progress import Progress, check_progress
from backprop.training.record import record_of
from backprop.training.state import put_state, state_of, take_back
from backprop.training.steps import Learnt


class Trainer:
    """Trains a network by minibatch gradient descent, one optimizer step per minibatch.

    Every epoch visits every example once, in a new random order; the last, smaller minibatch is
    used like any other. The same seed on the same machine with the same number of threads gives
    the same bits.

    Parameters
    ----------
    network : Network
        With a cost.
    optimizer : Optimizer or str
    batch_size : int
        Of minibatches that are made of arrays.
    regularizer : Regularizer, optional
        Adds its gradient to that of the weights, not of the biases.
    schedule : Schedule, optional
        Sets the optimizer's eta before every minibatch, from the (fractional) epoch. When `fit`
        ends, eta is what it was before.
    clip_norm, clip_value : float, optional
        Clip the whole gradient to this norm, every component to this size, before the step.
    rng : numpy.random.Generator, int or None
        Where the order of the examples is drawn from, or its seed.
    callbacks : sequence of Callback
    metrics : sequence of str or Metric, or dict of name to str or Metric, optional
        Recorded for training and validation data beside the cost, of all examples at once:
        ``["accuracy", "f1_macro"]``. Accuracy, where the targets are classes, unless told.
    monitor_training : bool or int
        After every epoch, evaluate cost and metrics on all training examples (True), none
        (False) or the first so many. Of minibatches that are yielded the first of the epoch are
        kept for it, 64 MiB at most.
    progress : True, False, "bar" or "lines"
        What every `fit` shows unless told otherwise.
    shuffle : bool
        Draw a new order of the examples for every epoch. Layers that carry their state from batch
        to batch need False; they start every epoch from 0.
    compiled : bool, optional
        Whether minibatches are gone through by a compiled program (see `Network.program`), which
        is much faster for small networks, and the same but for the last digits. Unless told, where
        an epoch takes NumPy a tenth of a second and more, this machine has a C compiler, and
        all has a twin in C; True demands it, False forbids it.
    transform : function of (x, rng), optional
        Changes the inputs of every minibatch, such as `datasets.Shift`. The generator it is given
        is another for every minibatch of every epoch, and the same when an epoch is gone on with.

    Attributes
    ----------
    history : History
    columns : list of str
        What the last `fit` records of every epoch, known before the first.
    epoch, step : int
        Whole epochs behind, which are those that have a record in the history, and minibatches
        behind in the epoch under way: all of them, while its record is still to come.
    seconds : float
        Spent on these minibatches.
    interrupted : bool
        Whether the last `fit` was ended early by Ctrl-C.
    stopping : str
        Why a callback asked to stop, or "".
    computed_by : str
        How minibatches are gone through: "compiled", or "NumPy: " and why. The history keeps it
        for every epoch.
    error : BaseException or None
        What ended the last `fit`, if an error did.
    epoch_rng : numpy.random.Generator
        As `rng` was when the order of the epoch under way was drawn.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer | str = "sgd",
        batch_size: int = 10,
        regularizer: Regularizer | None = None,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        rng: Seed = None,
        callbacks: Sequence[Callback] = (),
        metrics: Sequence[str | Metric] | Mapping[str, str | Metric] | None = None,
        monitor_training: bool | int = True,
        progress: bool | str = True,
        shuffle: bool = True,
        compiled: bool | None = None,
        transform: Callable[..., Any] | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"Trainer: network must be a Network, got {network!r}")
        if network.cost is None:
            raise ValueError(
                "Trainer: the network has no cost: set it, as network.cost = "
                '"softmax_cross_entropy"'
            )
        self.network = network
        self.optimizer = made_of(Optimizer, optimizer, "Trainer", "optimizer")
        self.batch_size = check_integer("Trainer: batch_size", batch_size)
        self.regularizer = regularizer
        self.schedule = schedule
        check_regularizer("Trainer", regularizer)
        if not (schedule is None or isinstance(schedule, Schedule)):
            raise TypeError(f"Trainer: schedule must be a Schedule, got {schedule!r}")
        self.clip_norm = positive_or_none("clip_norm", clip_norm)
        self.clip_value = positive_or_none("clip_value", clip_value)
        self.rng = generator("Trainer", rng)
        callbacks = check_callbacks("Trainer", callbacks)
        self.shuffle = check_bool("Trainer: shuffle", shuffle)
        self.compiled = compiled if compiled is None else check_bool("Trainer: compiled", compiled)
        self.transform = check_transform(transform)
        self._carriers = carriers(network, self.shuffle)
        self.callbacks = list(callbacks)
        self.progress = check_progress("Trainer", progress)
        self._progress: list[Callback] = []
        self.path: Any = None
        self.processes: Any = Alone()
        self.computed_by = ""
        self.minibatch: Any = None  # targets and weights of the last one
        self.metrics = None if metrics is None else metrics_of(network, "Trainer", metrics)
        self.monitor_training = sys.maxsize if monitor_training is True else 0
        if not isinstance(monitor_training, bool):
            self.monitor_training = check_integer("Trainer: monitor_training", monitor_training, 0)
        self.history = History()
        self.columns: list[str] = []
        self.under_way = (0, 0, 0.0)
        self.set_aside: Any = None  # see `backprop.training.state.show`
        self.data: Data | None = None  # of the `fit` that runs
        self.n_examples: int | None = None
        self.n_minibatches: int | None = None  # in an epoch of a stream, if that is known
        self.counted = 0  # and how many there were in the last
        self.weights: str | None = None  # what tells those of the last fit from others
        self.restored = False  # and not yet gone on from
        self.interrupted = False
        self.stopping = ""
        self.error: BaseException | None = None
        self.settings = self._describe()
        self.epoch_rng = copy.deepcopy(self.rng)
        self.learnt = Learnt(network.root, self.regularizer)

    def __repr__(self) -> str:
        size, epochs = f"batch_size={self.batch_size}", f"{self.epoch} epochs"
        return f"<Trainer of {self.network!r}, {self.optimizer!r}, {size}, after {epochs}>"

    def __getstate__(self) -> dict[str, Any]:
        of_this_process = {"path": None, "data": None, "processes": Alone()}
        return {**self.__dict__, **of_this_process}

    @with_all
    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int = 1,
        validation: Any = None,
        progress: bool | str | None = None,
        class_weight: Any = None,
        sample_weight: Any = None,
        steps: int | None = None,
    ) -> History:
        """Train for so many more epochs (an epoch that was interrupted is finished as the first).

        Parameters
        ----------
        x : ndarray, input shape x N, or tuple of them; or minibatches
            In the network's dtype, or mapped from a file, of any dtype, or a `datasets.Stored`:
            then a minibatch is read at a time, and scaled. Best the transposed view of N rows in
            C order, which is what `datasets.to_columns` gives and costs no copy.

            Without y: an iterable of minibatches (x, y) or (x, y, weights), the batch last, or a
            function that returns one, or yields them. An iterable is gone through, and a function
            called, once an epoch; the function is given the epoch's random generator if it must
            have an argument, or its first is called rng. What can be gone through only once, such
            as a generator, is for one epoch. Numbers of any dtype are cast, bytes divided by 255,
            and everything is checked. Weights are taken as they are: those with a mean of 1 are
            what `sample_weight` is. An epoch that was left under way is gone on with past the
            minibatches that were taken: those that come again must be the same.
        y : ndarray, optional
            Targets as the cost takes them, the examples on the last axis.
        epochs : int
        validation : (x, y) or (x, y, sample_weight), or minibatches, optional
            Minibatches are gone through after every epoch; a function of them is given the same
            generator every time.
        progress : True, False, "bar" or "lines", optional
            "lines" prints a line after every epoch to stdout: its number, cost and metrics (of
            the validation data in brackets), seconds, and eta where it changes. "bar" shows the
            epoch under way as well, in a notebook or on stderr. True is "bar" in a notebook and
            where stderr is a terminal, and "lines" elsewhere, as in a log file or a pipe. The
            trainer's own `progress` unless told. Nothing that cannot be shown ends a training.
        class_weight : "balanced", or dict of label to weight, optional
            By which an example counts, according to its class, in the gradient, and in cost and
            metrics of training and validation data. "balanced" is N / (K N_k); a class that a
            dict does not name weighs 1. Of several outputs one for all, or a tuple.
        sample_weight : ndarray of shape (N,), or T x N for sequences, optional
            By which each example, or each step, counts; 0 leaves it out. It multiplies the weight
            of its class. Of several outputs one for all, or a tuple.

            C is the weighted mean, sum of w C_x / sum of w, over all training examples; in a
            minibatch every column of BP1's delta is multiplied by w / (the mean of w over all
            training examples), so that the minibatches of an epoch add up to its gradient.
        steps : int, optional
            Of minibatches that are yielded, the most in an epoch. Without it an epoch goes on until
            there are no more, so that those without an end need it. Where neither it nor ``len()``
            says how many there are, a schedule sets eta once an epoch.

        Returns
        -------
        History
            That of all epochs so far, `history`. Ctrl-C ends the training after the minibatch
            under way: the callbacks then run as at a regular end (so that `Checkpoint` saves),
            and `interrupted` is set. A second Ctrl-C is an ordinary KeyboardInterrupt. Whatever is
            raised, another `fit` goes on from there: an epoch counts from its record on.

        Raises
        ------
        TypeError, ValueError
            If the data do not fit the network, before anything has changed.
        DivergenceError
            If NaN or infinity appears; the network keeps the parameters it has then.
        """
        epochs = check_integer("fit: epochs", epochs, 0)
        progress = self.progress if progress is None else check_progress("fit", progress)
        self.data = data = data_of(
            self, x, y, epochs, validation, class_weight, sample_weight, steps
        )
        self.columns = declare_columns(self, data.metrics, data.validation is not None)
        path = self.processes.path_for(self, data.rows, data.stream)
        if self.restored:
            warn_if_another(self.computed_by, str(path))
        self.go_by(path)
        self.n_examples, self.n_minibatches = data.n_examples, data.n_minibatches
        self.counted = 0
        self.weights, self.restored = data.weights, False
        self.stopping, self.interrupted, self.error = "", False, None
        self._progress = [Progress(progress, self.epoch + epochs)] if progress else []
        quiet = np.errstate(over="ignore", under="ignore", invalid="ignore")
        eta_stays = self.schedule is None
        self.optimizer.attach(self.network)
        with (
            interrupt_asks(self),
            quiet,
            own_threads(self.network.root.uses_threads),
            self.optimizer.training(self.network.theta, eta_stays),
        ):
            self._train(data, epochs)
        return self.history

    def _train(self, data: Data, epochs: int) -> None:
        """Train for so many epochs; whatever ends them, `_end` is called."""
        try:
            take_back(self)
            self._call("on_fit_start")
            last = self.epoch + epochs
            while self.epoch < last and not self._asked_to_stop():
                self._train_epoch(data)
                if not data.is_over(self, self.step):
                    check_finite(self)  # as it is now, it may be saved
                    break
                if data.stream is not None:
                    self.counted = self.step
                self.history.append(record_of(self), self.computed_by)  # which ends the epoch
                self._call("on_epoch_end")
        except BaseException as error:
            self.error = error
            raise
        finally:
            if not data.end(self.step > 0):
                self.data = None
            self._end()

    @property
    def epoch(self) -> int:
        """Whole epochs behind."""
        return len(self.history)

    @property
    def step(self) -> int:
        """Minibatches behind in the epoch under way."""
        epoch, step, _ = self.under_way
        return step if epoch == len(self.history) else 0

    @property
    def seconds(self) -> float:
        """Time spent on the minibatches of the epoch under way."""
        epoch, _, seconds = self.under_way
        return seconds if epoch == len(self.history) else 0.0

    def go_by(self, path: Any) -> None:
        """Go through the minibatches that come by another way; see `backprop.training.paths`."""
        self.path, self.computed_by = path, str(path)

    def _asked_to_stop(self) -> bool:
        return self.processes.asked_to_stop(self)  # type: ignore[no-any-return]

    def stop(self, reason: str) -> None:
        """Ask, from a callback, that `fit` ends after this minibatch."""
        self.stopping = reason

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in an epoch over the data of the last `fit`; 0 where that is not known.

        Of those that are yielded, in the last whole epoch where nobody said how many there are.
        """
        if self.n_examples is None:
            return self.n_minibatches or self.counted
        return -(-self.n_examples // self.batch_size)

    def epochs_behind(self, step: int) -> float:
        """Return how many epochs are behind, as a schedule takes them, after so many minibatches.

        They are whole where nobody knows how many minibatches an epoch has.
        """
        known = self.n_minibatches if self.n_examples is None else self.steps_per_epoch
        return self.epoch + (step / known if known else 0)

    def _train_epoch(self, data: Data) -> None:
        """Go through the examples, from where the epoch stands, in this epoch's order."""
        epoch, step, seconds = self.epoch, self.step, self.seconds
        if step == 0:
            self.epoch_rng = copy.deepcopy(self.rng)
            order = self._draw_order(self.rng)
            for layer in self._carriers:
                layer.reset_state()
        else:  # the order that the interrupted epoch was in, and the eta of its last minibatch
            order = self._draw_order(copy.deepcopy(self.epoch_rng))
            if self.schedule is not None:
                self.optimizer.eta = self.schedule(self.epochs_behind(step - 1))
        data.begin_epoch(self)
        each_step = [callback for callback in self._in_order() if callback.wants_steps]
        started = time.perf_counter()
        try:
            while not data.is_over(self, step) and not self._asked_to_stop():
                with closing(self.path.steps(order, step)) as stretches:
                    for behind in stretches:
                        step = behind
                        self.under_way = (epoch, step, seconds)
                        for callback in each_step:
                            callback.on_step_end(self)
                        if self._asked_to_stop():
                            break
        finally:
            self.under_way = (epoch, self.step, seconds + time.perf_counter() - started)

    def _draw_order(self, rng: np.random.Generator) -> np.ndarray | None:
        n = self.n_examples
        if n is None:  # minibatches come as they come
            return None
        return rng.permutation(n) if self.shuffle else np.arange(n)

    def minibatch_cost(self) -> float:
        """Return C of the minibatch that was last trained on, before its update."""
        return float(self.network.cost_per_example(*self.minibatch).mean())

    def _in_order(self) -> list[Callback]:
        callbacks = [*self._progress, *sorted(self.callbacks, key=lambda one: one.comes_last)]
        return list(filter(self.processes.calls, callbacks))

    def _call(self, event: str) -> None:
        for callback in self._in_order():
            getattr(callback, event)(self)
        self.processes.agree(self)

    def _end(self) -> None:
        """Call every `on_fit_end`, whichever of them raises; then raise what the first did."""
        errors: list[BaseException] = []
        for callback in self._in_order():
            try:
                callback.on_fit_end(self)
            except BaseException as error:
                errors.append(error)
        if errors:
            raise errors[0]
        if self.error is None:
            self.processes.agree(self)  # so that none ends before all is saved

    def state(self) -> dict[str, Any]:
        """Return all that a training goes on from, to the bit: `backprop.training.state`."""
        return state_of(self)

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned: the next `fit` goes on from there.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not the state of such a trainer; nothing has changed then.
        """
        put_state(self, state)

    def _describe(self) -> dict[str, Any]:
        parts = {"optimizer": self.optimizer, "regularizer": self.regularizer}
        parts["schedule"] = self.schedule
        described = {name: part and part.config() for name, part in parts.items()}
        described["batch_size"], described["shuffle"] = self.batch_size, self.shuffle
        described["clip_norm"], described["clip_value"] = self.clip_norm, self.clip_value
        if self.transform is not None:
            described["transform"] = describe_transform(self.transform)
        return described
