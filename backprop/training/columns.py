"""What the record of an epoch will hold and which values are good, known before the first one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backprop.core.remedies import close_names
from backprop.core.shapes import count_examples
from backprop.metrics import Metric, greater_is_better
from backprop.network.evaluation import check_metrics, default_metrics_of
from backprop.training.weights import Weights, first


def metrics_for(
    trainer: Any, x: Any, y: Any, validation: Any, weights: Weights
) -> dict[str, Metric]:
    """Return the metrics that a `fit` computes: those asked for, else those of the targets.

    Raises
    ------
    TypeError, ValueError
        If one of those asked for cannot be had of these data.
    """
    network = trainer.network
    if trainer.metrics is None:
        found = default_metrics_of(network, y)
        of_both = found if validation is None else default_metrics_of(network, validation[1])
        return {name: metric for name, metric in found.items() if name in of_both}
    n = min(count_examples(x), trainer.monitor_training)
    if n:
        check_metrics(network, trainer.metrics, *first(n, x, y, weights.examples))
    if validation is not None:
        val_x, val_y = validation
        check_metrics(network, trainer.metrics, val_x, val_y, weights.validation)
    return trainer.metrics  # type: ignore[no-any-return]


def declare_columns(trainer: Any, metrics: Mapping[str, Metric], validation: bool) -> list[str]:
    """Return the columns that a `fit` records, and declare in the history how they are read.

    Raises
    ------
    ValueError
        If the history, or a callback, says the opposite of what a metric or callback says.
    """
    measured = ["training"] * (trainer.monitor_training > 0) + ["validation"] * validation
    columns = ["epoch", "seconds", "eta"]
    for data in measured:
        columns.append(f"{data}_cost")
        for name, metric in metrics.items():
            columns.append(f"{data}_{name}")
            trainer.history.declare(columns[-1], metric.greater_is_better, metric.in_percent)
    if trainer.regularizer is not None:
        columns.append("penalty")
    for callback in trainer.callbacks:
        for name, greater in callback.columns.items():
            columns.append(name)
            trainer.history.declare(name, greater)
    return columns


def monitored(callback: Any, trainer: Any) -> str:
    """Return the column that a callback looks at, if it will be recorded and has a direction.

    Parameters
    ----------
    callback : Callback
        Its `monitor` is the column, or None: "validation_accuracy" where that is recorded, else
        "validation_cost".
    trainer : Trainer
        In `on_fit_start`.

    Raises
    ------
    ValueError
        If there will be no such column, or not yet when the callback looks at it, or nobody knows
        whether more of it is better.
    """
    owner, monitor, columns = type(callback).__name__, callback.monitor, trainer.columns
    if monitor is None:
        monitor = "validation_cost"
        if "validation_accuracy" in columns:
            monitor = "validation_accuracy"
    if monitor in columns:
        trainer.history.greater_is_better(monitor)
        _check_order(callback, monitor, trainer)
        return monitor
    data, _, name = monitor.partition("_")
    if data == "validation" and "validation_cost" not in columns:
        remedy = "give fit(..., validation=(x, y))"
        if f"training_{name}" in columns:
            remedy += f", or monitor='training_{name}'"
    elif data == "training" and "training_cost" not in columns:
        remedy = "give Trainer(..., monitor_training=True)"
    elif data in ("training", "validation") and greater_is_better(name) is not None:
        remedy = f"give Trainer(..., metrics=[..., {name!r}]), or choose one of these"
    else:
        close = close_names(monitor, columns, 2)
        remedy = (
            f"did you mean {' or '.join(map(repr, close))}?" if close else "choose one of these"
        )
    raise ValueError(
        f"{owner}: there will be no column {monitor!r} to monitor, this training records "
        f"{', '.join(columns)}: {remedy}"
    )


def _check_order(callback: Any, monitor: str, trainer: Any) -> None:
    """Raise a ValueError if a column is recorded by callbacks alone, all of them after this one."""
    recorders = [one for one in trainer.callbacks if monitor in one.columns]
    if trainer.columns.count(monitor) > len(recorders):  # the trainer measures it, too
        return
    for one in trainer.callbacks:
        if monitor in one.columns:
            return
        if one is callback:
            raise ValueError(
                f"{type(callback).__name__}: {monitor!r} is recorded by {recorders[0]}, which is "
                "called after it: give callbacks=[...] in the other order"
            )
