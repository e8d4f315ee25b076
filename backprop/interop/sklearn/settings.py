"""The parameters of an estimator, checked: scikit-learn has that done by `fit`."""

from __future__ import annotations

import copy
import numbers
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from backprop.core.checks import (
    check_bool,
    check_dtype,
    check_integer,
    check_number,
    check_sequence,
)
from backprop.core.config import made_of
from backprop.core.randomness import generator
from backprop.layers.activations import Activation
from backprop.optimizers import Adam, Optimizer

ETA = 0.003  # unless told; few epochs of few minibatches have to do


class Settings(NamedTuple):
    """What the parameters of an estimator say, where that needs more than a look."""

    hidden_sizes: tuple[int, ...]
    activation: Activation
    input_shape: tuple[int, ...] | None
    optimizer: Optimizer
    epochs: int
    patience: int
    monitor: str | None
    progress: bool | str


def settings_of(estimator: Any) -> Settings:
    """Return the settings of an estimator; nothing has changed if that raises.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not what it may be; those that a `Trainer` has are checked there.
    """
    owner = type(estimator).__name__
    sizes, patience = estimator.hidden_sizes, estimator.n_iter_no_change
    if isinstance(sizes, numbers.Integral):
        sizes = (sizes,)
    sizes = check_sequence(owner, "hidden_sizes", sizes)
    shape = estimator.input_shape
    if shape is not None:
        shape = check_sequence(owner, "input_shape", shape)
        shape = tuple(check_integer(f"{owner}: input_shape", n) for n in shape)
    for name in ("standardize", "warm_start"):
        check_bool(f"{owner}: {name}", getattr(estimator, name))
    if not isinstance(estimator.early_stopping, str):
        check_bool(f"{owner}: early_stopping", estimator.early_stopping)
    check_number(f"{owner}: validation_fraction", estimator.validation_fraction, "(0, 1)")
    check_number(f"{owner}: tol", estimator.tol, "[0, inf)")
    if estimator.batch_size is not None:
        check_integer(f"{owner}: batch_size", estimator.batch_size)
    if estimator.dtype is not None:
        check_dtype(owner, estimator.dtype)
    optimizer: Any = Adam(ETA)
    if estimator.optimizer is not None:
        optimizer = copy.deepcopy(made_of(Optimizer, estimator.optimizer, owner, "optimizer"))
    if estimator.eta is not None:
        optimizer.eta = check_number(f"{owner}: eta", estimator.eta, "[0, inf)")
    epochs = check_integer(f"{owner}: epochs", estimator.epochs)
    if patience is None:  # then no epochs are too many, and the best may be wanted all the same
        patience = epochs
    patience = check_integer(f"{owner}: n_iter_no_change", patience)
    return Settings(
        hidden_sizes=tuple(check_integer(f"{owner}: hidden_sizes", n) for n in sizes),
        activation=made_of(Activation, estimator.activation, owner, "activation"),
        input_shape=shape,
        optimizer=optimizer,
        epochs=epochs,
        patience=patience,
        monitor=_monitored(estimator),
        progress=_progress(owner, estimator.verbose),
    )


def generator_of(random_state: Any) -> np.random.Generator:
    """Return a generator for a `random_state` as scikit-learn has them, or for one of NumPy's."""
    if isinstance(random_state, np.random.Generator):
        return generator("random_state", int(random_state.integers(2**31)))
    return np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))


def _monitored(estimator: Any) -> str | None:
    """Return the column of the history by which a training is ended, if it is ended at all."""
    if not estimator.early_stopping:
        return None if estimator.n_iter_no_change is None else "training_cost"
    name = "cost" if estimator.early_stopping is True else str(estimator.early_stopping)
    return f"validation_{name}"


def _progress(owner: str, verbose: Any) -> bool | str:
    """Return what a trainer is to show: scikit-learn has `verbose` as a number, too."""
    if isinstance(verbose, str):
        return verbose
    if isinstance(verbose, numbers.Real):
        return "lines" if verbose else False
    raise TypeError(f'{owner}: verbose must be True, False, "bar" or "lines", got {verbose!r}')
