"""What fits a task: classes, several labels or numbers, their cost, outputs and metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from backprop.application.run_config import RunConfig
from backprop.core.config import by_name
from backprop.costs import Cost
from backprop.layers.outputs import Outputs
from backprop.metrics import Metric, in_percent, metric_named
from backprop.metrics.names import OURS, SHORT
from backprop.metrics.scorers import Scorer

COSTS = {
    "classification": "softmax_cross_entropy",
    "multi-label": "cross_entropy",
    "regression": "quadratic",
}
RECORDED = {
    "classification": ("accuracy",),
    "multi-label": ("binary_accuracy", "subset_accuracy"),
    "regression": ("r2", "rmse"),
}
"""The metrics that are recorded beside the cost."""

METRICS = {
    "classification": ("accuracy", "top_5_accuracy", "log_loss"),
    "multi-label": ("binary_accuracy", "subset_accuracy"),
    "regression": ("r2", "rmse", "mae", "mse"),
}
"""The metrics of our own that a task has; there are scikit-learn's scorers besides."""

HIDDEN = 100  # neurons of the one hidden layer that there is unless told
EPOCHS, OF_TABLES = 20, 100  # of images, and of tables, which most often have few rows


def fitted(config: RunConfig, source: Any) -> RunConfig:
    """Return a configuration in which what was left open is what fits the data.

    Images go by the book: a hidden layer of sigmoids, cross-entropy, and stochastic gradient
    descent. Tables, and all that `layers` describe, end in what the task asks for, and rectified
    linear units are below that; tables are learnt by Adam, in more epochs.

    Parameters
    ----------
    config : RunConfig
    source : Images or Rows
        See `backprop.application.run_data`.

    Raises
    ------
    ValueError
        If something was asked for that the task has not.
    """
    if source.of_images:
        source.check_labels()
    task, by_the_book = source.task, source.of_images and config.layers is None
    if config.class_weight is not None and task != "classification":
        raise ValueError(f"--class-weight weighs classes, and this is a {task}")
    sizes = config.sizes
    if sizes is None and config.layers is None:
        sizes = (source.n_inputs, HIDDEN, source.n_outputs)
    cost = config.cost
    if cost is None and not isinstance(config.layers, (dict, list)):
        cost = "cross_entropy" if by_the_book else COSTS[task]
    output = config.output_activation
    if output is None and task == "regression":
        output = "identity"
    # Of few rows many epochs are equally accurate, the first of them too.
    metric = config.metric or ("accuracy" if source.of_images else "cost")
    if metric != "cost":
        check_metric(metric, task)
    return replace(
        config,
        sizes=sizes,
        task=None if source.of_images else task,
        cost=cost,
        activation=config.activation or ("sigmoid" if by_the_book else "relu"),
        output_activation=output,
        optimizer=config.optimizer or ("sgd" if source.of_images else "adam"),
        dtype=config.number_type,
        epochs=config.epochs or (EPOCHS if source.of_images else OF_TABLES),
        metric=metric,
        data_sha256=source.sha256,
        data_parts=source.parts,
    )


def output_activation(config: RunConfig, cost: Cost) -> str:
    """Return the name of the activation in which a network ends."""
    if config.output_activation is not None:
        return config.output_activation
    ends = {Outputs.PROBABILITIES: "softmax", Outputs.UNIT_INTERVAL: "sigmoid"}
    return ends.get(cost.demands, "identity")


def cost_named(name: str) -> Cost:
    """Return the cost of a configuration."""
    return by_name(Cost, name)  # type: ignore[no-any-return]


# -- metrics ---------------------------------------------------------------------------------


def check_metric(name: str, task: str) -> Metric:
    """Return the metric of that name, if it is one for the task.

    Raises
    ------
    ValueError
        If there is none, or it is for another task; the message lists those there are.
    ImportError
        If it may be a scorer of scikit-learn, and that is not installed.
    """
    known = f"cost, {', '.join(METRICS[task])}, or a scorer of scikit-learn"
    try:
        found = metric_named(name)
    except ValueError as error:
        raise ValueError(f"--metric: {error}; of a {task} there are {known}") from None
    if isinstance(found, Scorer):
        fits = found.of_numbers == (task == "regression")
    else:
        fits = name in METRICS[task] or found in map(_ours, METRICS[task])
        fits = fits or (task == "classification" and name.startswith("top_"))
    if not fits:
        example = {"regression": "max_error", "multi-label": "f1_samples"}.get(task, "f1_macro")
        raise ValueError(f"--metric: {name} is not for a {task}: choose {known}, such as {example}")
    return found


def _ours(name: str) -> Metric | None:
    return SHORT.get(name) or OURS.get(name)


def metrics_of(task: str | None, metric: str | None, encoding: Any) -> dict[str, Metric] | None:
    """Return the metrics of a run, by the names of their columns; None for those by default.

    Of numbers they are in the units of the targets.

    Parameters
    ----------
    task : str or None
        That of the run; None for the one of the encoding, or a classification.
    metric : str or None
        By which the best epoch is found.
    encoding : Encoding or None
    """
    task = task or (encoding.task if encoding is not None else "classification")
    more = [] if metric in (None, "cost", *RECORDED[task]) else [str(metric)]
    if task == "classification" and not more:
        return None
    found = {name: metric_named(name) for name in (*RECORDED[task], *more)}
    if task == "regression" and encoding is not None and encoding.task == task:
        return {name: InUnits(one, encoding) for name, one in found.items()}
    return found


class InUnits(Metric):
    """A metric of numbers, in the units of the targets, while outputs are standardised ones."""

    def __init__(self, metric: Metric, encoding: Any) -> None:
        super().__init__(metric, metric.greater_is_better, metric.name, metric.in_percent)
        self.metric, self.takes_weights = metric, metric.takes_weights
        self.mean = np.array(encoding.mean)[:, np.newaxis]
        self.std = np.array(encoding.std)[:, np.newaxis]

    def __call__(self, a: Any, y: Any, sample_weight: Any = None) -> float:
        return self.metric(self._in_units(a), self._in_units(y), sample_weight)

    def check(self, a: Any, y: Any, sample_weight: Any = None) -> None:
        self.metric.check(self._in_units(a), self._in_units(y), sample_weight)

    def _in_units(self, standardised: np.ndarray) -> np.ndarray:
        return standardised * self.std + self.mean


# -- figures in words -------------------------------------------------------------------------


def figures_in_words(part: str, found: dict[str, float]) -> str:
    """Write cost and metrics of a part of the data: "test cost 0.1, test accuracy 97.00%"."""
    return ", ".join(
        f"{part} {name.replace('_', ' ')} {value_in_words(name, value)}"
        for name, value in found.items()
    )


def value_in_words(name: str, value: float) -> str:
    """Write the value of a metric, in percent where that is how it is read."""
    return f"{value:.2%}" if in_percent(name) else f"{value:.6g}"
