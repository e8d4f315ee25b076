"""What is measured of minibatches for the record of an epoch, one after another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from backprop.core.checks import holds_nan
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import each_array
from backprop.costs import mean
from backprop.layers.mode import INFERENCE
from backprop.metrics import Metric
from backprop.network.evaluation import in_batches
from backprop.training.prepared import Minibatch, size_of

AT_ONCE = 1000  # examples


@underflow_is_0
def measure_minibatches(
    network: Any,
    minibatches: Iterable[Minibatch],
    metrics: Mapping[str, Metric],
    prediction: Any = None,
) -> dict[str, float]:
    """Return the mean cost of all examples, and every metric of all outputs at once.

    Of all minibatches outputs, targets and weights are kept where there is a metric, and else the
    costs alone. C is sum of w C_x / sum of w. Where they differ in shape, as sequences in length,
    metrics are those of all steps.

    Parameters
    ----------
    network : Network
    minibatches : iterable of (x, y, w)
        As `Preparation` makes them, one at least.
    metrics : mapping of str to Metric
    prediction : Prediction, optional
        What computes the outputs of those that have the shape it is for.
    """
    costs, weights, kept = [], [], []
    for x, y, w in minibatches:
        shape = each_array(lambda one: one.shape[:-1], x)
        fits = prediction is not None and prediction.program.input_shape == shape
        by = prediction if fits else None

        def compute(x: Any, y: Any, w: Any = None, by: Any = by) -> tuple:
            z, a = network.root.z_and_a(x, INFERENCE) if by is None else by.z_and_a(x)
            each = (network.with_cost(z, a, y, one)[1] for one in _one_by_one(w))
            return (a, *each)

        data = (x, y) if w is None else (x, y, w)
        threads = network.root.uses_threads and by is None
        a, *c = in_batches(compute, data, AT_ONCE, threads)
        costs.append(c)
        weights.append((size_of((x, y, w)), _mean_weights(network.cost, w)))
        if metrics:
            kept.append((a, y, w))
    total, n = 0.0, sum(size for size, _ in weights)
    for k, of_output in enumerate(zip(*costs, strict=True)):
        weight = sum(size * means[k] for size, means in weights) / n
        if not weight:
            raise ValueError("fit: all weights are 0: there is nothing to be measured")
        total += float(mean(np.concatenate(of_output))) / weight
    found = {"cost": total}
    if metrics:
        alike = len({repr(each_array(lambda one: one.shape[:-1], a)) for a, _, _ in kept}) == 1
        a, y, w = _joined(kept if alike else list(map(_steps, kept)))
        lost = holds_nan(a)  # no metric has a meaning for NaN
        for name, metric in metrics.items():
            found[name] = math.nan if lost else metric(a, y, w)
    return found


def _one_by_one(w: Any) -> list[Any]:
    """Return weights; of several outputs those of each, the others being 0."""
    if not isinstance(w, tuple):
        return [w]
    return [tuple(one if j == k else 0 * one for j, one in enumerate(w)) for k in range(len(w))]


def _mean_weights(cost: Any, w: Any) -> list[float]:
    """Return the mean weight of a minibatch, of every output that has its own."""
    if w is None:
        return [1.0]
    if not isinstance(w, tuple):
        return [cost.mean_weight(w)]
    return [one.mean_weight(of_output) for one, of_output in zip(cost.costs, w, strict=True)]


def _joined(parts: list[Any]) -> Any:
    """Return arrays side by side, each of several by itself."""
    if isinstance(parts[0], tuple):
        return tuple(_joined(list(several)) for several in zip(*parts, strict=True))
    return None if parts[0] is None else np.concatenate(parts, axis=-1)


def _steps(part: Minibatch) -> Minibatch:
    """Return outputs, targets and weights with every step as a column."""
    a, y, w = part
    if isinstance(a, tuple):
        given = (None,) * len(a) if w is None else w
        several = zip(*map(_steps, zip(a, y, given, strict=True)), strict=True)
        a, y, w = map(tuple, several)
        return a, y, None if given[0] is None else w
    steps = a.shape[1:]
    if w is not None:
        w = np.broadcast_to(w, steps).reshape(-1)
    return a.reshape(len(a), -1), y.reshape(*y.shape[: y.ndim - len(steps)], -1), w
