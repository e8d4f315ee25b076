"""What the estimators share: parameters, fitting, and the way from rows to a network and back."""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from backprop.core.callers import stacklevel
from backprop.interop.sklearn.networks import network_for
from backprop.interop.sklearn.rows import validated
from backprop.interop.sklearn.settings import Settings, generator_of, settings_of
from backprop.interop.sklearn.targets import Task
from backprop.interop.sklearn.thin import (
    ThinColumns,
    by_batches,
    columns_of,
    dense,
    dense_if_small,
    scaler_of,
)
from backprop.network import Network
from backprop.training.callbacks import EarlyStopping
from backprop.training.checks import check_callbacks
from backprop.training.history import History
from backprop.training.trainer import Trainer

BATCH_SIZE = 200  # unless told


class BackpropEstimator(BaseEstimator, ABC):
    """Base of `BackpropClassifier` and `BackpropRegressor`, which describe the parameters."""

    network_: Network
    history_: History
    x_scaler_: StandardScaler | None
    _task: Any  # a Task
    _rng: np.random.Generator

    def __init__(
        self,
        hidden_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        layers: Any = None,
        input_shape: Any = None,
        cost: Any = None,
        optimizer: Any = None,
        eta: Any = None,
        schedule: Any = None,
        batch_size: Any = None,
        epochs: Any = 200,
        regularizer: Any = None,
        clip_norm: Any = None,
        standardize: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        n_iter_no_change: Any = 10,
        tol: Any = 1e-4,
        metrics: Any = None,
        callbacks: Any = (),
        warm_start: Any = False,
        shuffle: Any = True,
        random_state: Any = None,
        verbose: Any = False,
        dtype: Any = None,
        compiled: Any = None,
    ) -> None:
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.layers = layers
        self.input_shape = input_shape
        self.cost = cost
        self.optimizer = optimizer
        self.eta = eta
        self.schedule = schedule
        self.batch_size = batch_size
        self.epochs = epochs
        self.regularizer = regularizer
        self.clip_norm = clip_norm
        self.standardize = standardize
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.metrics = metrics
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.shuffle = shuffle
        self.random_state = random_state
        self.verbose = verbose
        self.dtype = dtype
        self.compiled = compiled

    def __sklearn_clone__(self) -> Any:
        twin = super().__sklearn_clone__()
        # `clone` copies the layers of a list one by one, and what they share would be lost.
        twin.layers = copy.deepcopy(self.layers)
        return twin

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        return tags

    def _more_tags(self) -> dict[str, Any]:
        return {"X_types": ["2darray", "sparse"], "multioutput": True}

    # -- fitting -----------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train a network on rows X and their targets y.

        Parameters
        ----------
        X : array, sparse matrix or DataFrame, N x n
            Numbers; what is sparse is made dense, if that is large a minibatch at a time.
        y : array, (N,) or N x k
        sample_weight : array, (N,), optional
            By which each row counts; one of weight 0 is left out.

        Returns
        -------
        self
            If an error is raised, what was fitted before is still there.

        Raises
        ------
        TypeError, ValueError
            If a parameter, X, y or the weights are not what they may be.
        DivergenceError
            If NaN or infinity appears in the training.
        """
        with _all_or_nothing(self):
            again = bool(self.warm_start) and hasattr(self, "network_")
            settings = settings_of(self)
            X, y = self._rows(X, y, reset=not again)
            task = self._known_task(y) if again else self._task_of(y, y)
            if again:
                self._check_same_network(settings, task, X)
            self._train(settings, task, X, y, sample_weight, settings.optimizer, again)
        return self

    def _pass(self, X: Any, y: Any, classes: Any, sample_weight: Any) -> Any:
        """Do what `partial_fit` does: one epoch over these rows."""
        owner = type(self).__name__
        if self.early_stopping:
            raise ValueError(
                f"{owner}: partial_fit goes through the rows once, and cannot stop early: give "
                "early_stopping=False"
            )
        with _all_or_nothing(self):
            again = hasattr(self, "network_")
            settings = settings_of(self)._replace(epochs=1, monitor=None)
            X, y = self._rows(X, y, reset=not again)
            task = self._known_task(y, classes) if again else self._task_of(y, classes)
            optimizer = self._optimizer if again else settings.optimizer
            if again and self.eta is not None:
                optimizer = copy.deepcopy(optimizer)
                optimizer.eta = self.eta
            self._train(settings, task, X, y, sample_weight, optimizer, again)
        return self

    def _train(
        self,
        settings: Settings,
        task: Task,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: Any,
        optimizer: Any,
        again: bool,
    ) -> None:
        """Train a new network, or, `again`, a copy of the one there is; then keep all of it."""
        w = self._weights(X, y, sample_weight)
        if w is not None and not w.all():
            X, y, w = X[w > 0], y[w > 0], w[w > 0]
        if again:  # copies: what there is stays as it is until all has gone well
            network, optimizer, rng = copy.deepcopy((self.network_, optimizer, self._rng))
            x_scaler, history = self.x_scaler_, self.history_
        else:
            rng, history = generator_of(self.random_state), History()
        training, held_out = self._split(y, rng)
        x, y_t, w_t = X[training], y[training], None if w is None else w[training]
        if not again:
            network, x_scaler = self._new_network(settings, task, x, y_t, w_t, rng)
        trainer = self._trainer(settings, network, optimizer, rng, x.shape[0])
        validation = None
        if held_out is not None:
            x_v, w_v = X[held_out], () if w is None else (w[held_out],)
            x_v = columns_of(x_v, x_scaler, network)
            validation = (x_v, task.targets(y[held_out], network), *w_v)
        trainer.fit(
            columns_of(x, x_scaler, network),
            task.targets(y_t, network),
            settings.epochs,
            validation,
            sample_weight=w_t,
        )
        if trainer.interrupted:
            warnings.warn(
                f"{type(self).__name__}: interrupted after {trainer.epoch} of {settings.epochs} "
                "epochs: the network is the one of then",
                stacklevel=stacklevel(),
            )
        self.network_, self.x_scaler_, self._rng = network, x_scaler, rng
        self._keep_history(history, trainer)
        self._task, self._optimizer = task, optimizer
        self._keep(task)

    def _new_network(
        self, settings: Settings, task: Task, x: Any, y: np.ndarray, w: Any, rng: Any
    ) -> tuple[Network, Any]:
        """Return a network for these rows, and what standardizes them, or None."""
        x_scaler = None
        if self.standardize:
            x_scaler = scaler_of(type(self).__name__, "X", x, w)
        network = network_for(self, settings, task, x.shape[1], x.dtype, rng)
        if self.standardize:
            self._standardize_targets(task, network, y, w)
        return network, x_scaler

    def _keep_history(self, before: History, trainer: Trainer) -> None:
        """Set the history, and the epoch whose network was kept."""
        stops = [one for one in trainer.callbacks if isinstance(one, EarlyStopping)]
        best = stops[-1].best_epoch if stops else None
        self.best_epoch_ = None if best is None else len(before) + best
        self.history_ = _joined(before, trainer.history)

    def _keep(self, task: Task) -> None:
        """Set the attributes that a fitted estimator has."""
        self.n_outputs_ = len(task.n_outputs) if type(task.n_outputs) is tuple else task.n_outputs
        self.n_iter_ = len(self.history_)
        self.loss_curve_ = self.history_["training_cost"] if self.n_iter_ else []

    def _trainer(
        self, settings: Settings, network: Any, optimizer: Any, rng: Any, n: int
    ) -> Trainer:
        callbacks = list(check_callbacks(type(self).__name__, self.callbacks))
        metrics = self.metrics
        if settings.monitor is not None:
            restore_best = bool(self.early_stopping)
            callbacks.append(
                EarlyStopping(settings.patience, settings.monitor, float(self.tol), restore_best)
            )
        if isinstance(self.early_stopping, str) and self.early_stopping != "cost":
            metrics = _with(metrics, self.early_stopping)
        batch_size = min(BATCH_SIZE, n) if self.batch_size is None else self.batch_size
        return Trainer(
            network,
            optimizer,
            batch_size,
            self.regularizer,
            self.schedule,
            self.clip_norm,
            rng=rng,
            callbacks=callbacks,
            metrics=metrics,
            progress=settings.progress,
            shuffle=self.shuffle,
            compiled=self.compiled,
        )

    def _split(self, y: np.ndarray, rng: Any) -> tuple[Any, Any]:
        """Return which rows to train on, and which to hold out, if any are; both by number."""
        everything = np.arange(len(y))
        if not self.early_stopping:
            return everything, None
        if len(y) < 2:
            raise ValueError(
                f"{type(self).__name__}: early_stopping holds rows out, and X has only one sample"
            )
        by_class = None
        if is_classifier(self) and y.ndim == 1:
            _, counts = np.unique(y, return_counts=True)
            n_held_out = np.ceil(self.validation_fraction * len(y))
            if counts.min() > 1 and min(n_held_out, len(y) - n_held_out) >= len(counts):
                by_class = y
        training, held_out = train_test_split(
            everything,
            test_size=self.validation_fraction,
            random_state=int(rng.integers(2**31)),
            stratify=by_class,
        )
        return training, held_out

    @abstractmethod
    def _task_of(self, y: np.ndarray, classes: Any) -> Task:
        """Return what y is, of these classes; see `backprop.interop.sklearn.targets`."""

    def _known_task(self, y: np.ndarray, classes: Any = None) -> Task:
        """Return what y was before, if this one can go on with it."""
        self._task.check_y(type(self).__name__, y)
        return self._task

    def _check_same_network(self, settings: Settings, task: Task, X: np.ndarray) -> None:
        """Raise a ValueError if the parameters are those of another network than there is."""
        rng = np.random.default_rng(0)
        new = network_for(self, settings, task, X.shape[1], X.dtype, rng)
        if repr(new) != repr(self.network_):
            raise ValueError(
                f"{type(self).__name__}: the parameters describe another network than the one that "
                f"was fitted: {new!r} and not {self.network_!r}: give warm_start=False"
            )

    def _standardize_targets(self, task: Task, network: Any, y: np.ndarray, w: Any) -> None:
        """Standardize the targets, if they are numbers."""

    # -- rows --------------------------------------------------------------------------------

    def _rows(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y, checked, as dense arrays."""
        X, y = validated(
            self,
            X,
            y,
            reset=reset,
            dtype=self._dtypes,
            multi_output=True,
            y_numeric=not is_classifier(self),
        )
        return dense_if_small(X), dense(y)

    @property
    def _dtypes(self) -> Any:
        return (np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype)

    def _weights(self, X: Any, y: Any, sample_weight: Any) -> np.ndarray | None:
        """Return the weight of every row, or None where all count alike."""
        owner, w = type(self).__name__, self._class_weights(y)
        if sample_weight is not None:
            given = _check_sample_weight(sample_weight, X, dtype=np.float64)
            if given.min() < 0:
                raise ValueError(f"{owner}: sample_weight must be at least 0, got {given.min():g}")
            w = given if w is None else w * given
        if w is not None and not w.any():
            raise ValueError(f"{owner}: the weight of every row is zero: there is nothing to learn")
        return w  # type: ignore[no-any-return]

    def _class_weights(self, y: np.ndarray) -> Any:
        """Return the weight of every row by its class, or None."""
        return None

    def columns(self, X: Any) -> np.ndarray:
        """Return rows as the network takes them: standardized, an example a column.

        So ``estimator.network_.trace(estimator.columns(X[:1]), y)`` shows what the network does
        with the first row.
        """
        x = self._columns(X)
        return x[..., :] if isinstance(x, ThinColumns) else x

    def _columns(self, X: Any) -> Any:
        check_is_fitted(self, "network_")
        X = validated(self, X, reset=False, dtype=self._dtypes)
        return columns_of(dense_if_small(X), self.x_scaler_, self.network_)

    def _outputs(self, X: Any) -> Any:
        columns = self._columns(X)
        return by_batches(self.network_.predict, columns)

    def predict(self, X: Any) -> np.ndarray:
        """Return what is predicted for rows X, of y's shape.

        Raises
        ------
        NotFittedError
            If there was no `fit`.
        ValueError
            If X has other features than had that of `fit`.
        """
        a = self._outputs(X)
        return self._task.predicted(a)  # type: ignore[no-any-return]


def _with(metrics: Any, name: str) -> Any:
    """Return metrics with one more, unless it is there."""
    if metrics is None:
        return [name]
    if name in metrics:
        return metrics
    return {**metrics, name: name} if isinstance(metrics, dict) else [*metrics, name]


def _joined(before: History, more: History) -> History:
    """Return the records of one history after those of another, counted on."""
    history = History.from_state(before.state())
    for column, greater in more.directions.items():
        history.declare(column, greater, column in more.percents)
    for record, computed_by in zip(more, more.computed_by, strict=True):
        history.append({**record, "epoch": len(history) + 1}, computed_by)
    return history


@contextmanager
def _all_or_nothing(estimator: Any) -> Iterator[None]:
    """Let the estimator be as it was if anything is raised within."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
