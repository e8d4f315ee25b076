"""Metrics by their names, and in the ways in which they may be given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from backprop.core.remedies import close_names
from backprop.metrics.base import Known, Metric
from backprop.metrics.classes import (
    accuracy,
    binary_accuracy,
    log_loss,
    subset_accuracy,
    top_k_accuracy,
)
from backprop.metrics.labels import holds_classes
from backprop.metrics.numbers import (
    mean_absolute_error,
    mean_squared_error,
    r2,
    root_mean_squared_error,
)
from backprop.metrics.scorers import (
    IN_PERCENT,
    Scorer,
    is_of_sklearn,
    own_name,
    scorer_named,
    scorer_names,
)

OURS: dict[str, Metric] = {
    str(metric.name): metric
    for metric in (
        accuracy,
        binary_accuracy,
        subset_accuracy,
        log_loss,
        mean_squared_error,
        root_mean_squared_error,
        mean_absolute_error,
        r2,
    )
}
SHORT = {
    "mse": mean_squared_error,
    "rmse": root_mean_squared_error,
    "mae": mean_absolute_error,
}
RESERVED = ("cost", "epoch", "eta", "penalty", "seconds")
"""What is recorded already, and no metric may be called."""


def metric_named(name: str) -> Metric:
    """Return the metric of that name: one of ours, or a scorer of scikit-learn.

    Case does not count, and a "-" is as good as a "_".

    Parameters
    ----------
    name : str
        "accuracy", "top_5_accuracy" (of any number), "binary_accuracy", "subset_accuracy",
        "log_loss", "mse", "rmse", "mae", "r2"; every other is a scorer's, "f1_macro", "roc_auc".

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    ImportError
        If it is none of ours, and scikit-learn is not installed.
    """
    found = _ours(name)
    if found is not None:
        return found
    if _spelling(name) in RESERVED:
        raise ValueError(f"{name!r} is no metric: it is recorded already, and needs no name here")
    known = [*OURS, *SHORT, "top_5_accuracy"]
    try:
        found = scorer_named(_spelling(name))
    except ImportError as error:
        close = close_names(_spelling(name), known)
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise ImportError(
            f"the metric {name!r} is none of {', '.join(known)}: {hint}All others are those of "
            "scikit-learn, which is not installed: pip install 'backprop[sklearn]'"
        ) from error
    if found is None:
        scorers = [scorer for scorer in scorer_names() if scorer not in known]
        close = close_names(_spelling(name), [*known, *scorers])
        hint = f": did you mean {' or '.join(map(repr, close))}?" if close else ":"
        raise ValueError(
            f"unknown metric {name!r}{hint} choose from {', '.join(known)}, and the scorers of "
            f"scikit-learn, {', '.join(scorers)}"
        )
    return found


def greater_is_better(name: str) -> bool | None:
    """Say whether more is better of the metric of that name, or None if the name is not known."""
    try:
        return metric_named(name).greater_is_better
    except (ImportError, ValueError):
        return None


def in_percent(name: str) -> bool:
    """Say whether the metric of that name is read in percent; of one that is not known, no."""
    known = _ours(name)
    return name in IN_PERCENT if known is None else known.in_percent


def as_metrics(owner: str, metrics: Any, n_outputs: int = 1) -> dict[str, Metric]:
    """Return metrics by the names of their columns.

    Parameters
    ----------
    owner : str
        Who was given them.
    metrics : sequence of str or Metric, or dict of name to str, Metric
        Scorers that `sklearn.metrics.make_scorer` made are metrics, too. With several outputs, a
        name stands for the metric of each of them, "accuracy" for "accuracy_0" and "accuracy_1",
        and a name with a number for that of one.
    n_outputs : int
        How many outputs the network has.

    Raises
    ------
    TypeError
        If something is neither, a bare function above all: nobody knows whether more is better.
    ValueError
        For an unknown name, one that is taken, or a known one whose values are good where this
        metric's are bad.
    ImportError
        If one is of scikit-learn, and that is not installed.
    """
    if isinstance(metrics, Mapping):
        pairs = list(metrics.items())
    elif isinstance(metrics, str) or not isinstance(metrics, Iterable):
        remedy = f", such as [{metrics!r}]" if isinstance(metrics, (str, Metric)) else ""
        raise TypeError(
            f"{owner}: metrics must be a sequence of names and Metrics{remedy}, or a dict of them, "
            f"got {metrics!r}"
        )
    else:
        pairs = [(None, metric) for metric in metrics]
    found: dict[str, Metric] = {}
    for name, metric in pairs:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"{owner}: the name of a metric must be a string, got {name!r}")
        for column, one in _columns_of(owner, name, metric, n_outputs):
            if column in found:
                raise ValueError(f"{owner}: two metrics are called {column!r}")
            found[column] = one
    return found


def default_metrics(y: Any, ndim: Any) -> dict[str, Metric]:
    """Return accuracy where y holds classes: labels, one-hot columns, or one row of 0 and 1.

    Parameters
    ----------
    y : ndarray, or tuple of them
        Targets. For those of several outputs it is the accuracy of each, "accuracy_0".
    ndim : int, or tuple of them
        The axes of the labels: 1, (B,), or 2 for sequences, T x B.
    """
    if isinstance(y, tuple):
        return {
            str(metric.name): metric
            for k, targets in enumerate(y)
            for metric in (accuracy.of_output(k),)
            if holds_classes(targets, ndim[k])
        }
    return {"accuracy": accuracy} if holds_classes(y, ndim) else {}


def _columns_of(
    owner: str, name: str | None, metric: Any, n_outputs: int
) -> Iterator[tuple[str, Metric]]:
    """Yield what one entry stands for, under the names of its columns."""
    if not isinstance(metric, str):
        found = _as_metric(owner, name, metric)
        yield _checked_name(owner, found.name if name is None else name, found), found
    elif n_outputs == 1:
        found = metric_named(metric)
        yield _checked_name(owner, _spelling(metric) if name is None else name, found), found
    else:
        one_of_them = re.fullmatch(r"(.+)_(\d+)", metric)
        plain, which = (metric, range(n_outputs))
        if one_of_them and int(one_of_them[2]) < n_outputs:
            plain, which = one_of_them[1], range(int(one_of_them[2]), int(one_of_them[2]) + 1)
        for k in which:
            found = metric_named(plain).of_output(k)
            column = f"{_spelling(plain) if name is None else name}_{k}"
            yield _checked_name(owner, column, found), found


def _as_metric(owner: str, name: str | None, value: Any) -> Metric:
    """Return a Metric that was given as such, or as a scorer of scikit-learn."""
    if isinstance(value, Metric):
        return value
    if not callable(value):
        raise TypeError(f"{owner}: a metric must be a name or a Metric, got {value!r}")
    if is_of_sklearn(type(value)):
        return Scorer(value, name or own_name(value))
    function = getattr(value, "__name__", type(value).__name__)
    if value is top_k_accuracy:
        remedy = 'give it by its name and k, "top_5_accuracy"'
    elif is_of_sklearn(value):
        remedy = 'give its scorer by name, as "f1_macro", or sklearn.metrics.make_scorer(...)'
    else:
        written = "f" if function.startswith("<") else function
        remedy = (
            f"give Metric({written}, greater_is_better=True), or False where less is better, as of "
            "an error"
        )
    raise TypeError(
        f"{owner}: of the metric {name or function!r}, a bare function, nobody knows whether more "
        f"is better: {remedy}"
    )


def _checked_name(owner: str, name: str | None, metric: Metric) -> str:
    """Return a name for a column, unless it is taken or says the opposite of the metric."""
    if name is None:
        raise ValueError(
            f"{owner}: a metric needs a name: Metric(f, greater_is_better=..., name=...)"
        )
    if not name or name in RESERVED:
        raise ValueError(
            f"{owner}: no metric can be called {name!r}: {', '.join(RESERVED)} are recorded "
            "already, choose another name"
        )
    known = _ours(name)
    if known is not None and known.greater_is_better != metric.greater_is_better:
        kind = "more" if known.greater_is_better else "less"
        raise ValueError(
            f"{owner}: of {name!r} {kind} is known to be better, and of this metric it is not: "
            "choose another name"
        )
    return name


def _ours(name: str) -> Metric | None:
    name = _spelling(name)
    top = re.fullmatch(r"top_([1-9]\d*)_accuracy", name)
    if top:
        return Known(partial(top_k_accuracy, k=int(top[1])), True, name, in_percent=True)
    return SHORT.get(name) or OURS.get(name)


def _spelling(name: str) -> str:
    return name.replace("-", "_").lower()
