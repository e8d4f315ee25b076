"""Outputs, costs and metrics of many examples, computed batch by batch and in several threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from backprop.core.checks import check_integer, holds_nan
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import count_examples, each_array, is_several
from backprop.core.stored import most_read, sample_of
from backprop.costs import mean
from backprop.kernels import memory
from backprop.kernels.threads import own_threads, run_all
from backprop.layers import passes
from backprop.layers.mode import INFERENCE
from backprop.metrics import Metric, as_metrics, default_metrics
from backprop.network.checks import outputs_like
from backprop.network.programs import Programmed


class Evaluated(Programmed):
    """The part of a network that predicts, and measures what it predicts; see `Network`."""

    @underflow_is_0
    def predict(self, x: Any, batch_size: int = 1000, compiled: bool | None = None) -> Any:
        """Return the outputs for all of `x`, output shape x N, computed in batches.

        Keeps no state, and may be called from several threads.

        Parameters
        ----------
        x : ndarray, input shape x N, or `datasets.Stored`, or tuple of them
        batch_size : int
        compiled : bool, optional
            Whether a compiled program computes them (see `program`); unless told, where there are
            so many that this is worth while, and there can be one.

        Raises
        ------
        TypeError, ShapeError, ValueError
            As `forward`.
        NoTwin, NotBuilt
            If they must be `compiled`, and cannot be.
        """
        self.check_x(sample_of(x))
        prediction = self.prediction_for(x, compiled)

        def outputs(x: Any) -> tuple[Any]:
            a = self.root.run(x, INFERENCE) if prediction is None else prediction.z_and_a(x)[1]
            return (a,)

        threads = self.root.uses_threads and prediction is None
        (a,) = in_batches(outputs, (x,), batch_size, threads)
        return passes.apart(a, (x, self.root.theta))  # a reshaped x is the caller's

    def evaluate(
        self,
        x: Any,
        y: Any,
        batch_size: int = 1000,
        metrics: Any = None,
        sample_weight: Any = None,
        compiled: bool | None = None,
    ) -> dict[str, float]:
        """Return ``{"cost": C, ...}`` over all of x and y, computed in batches, keeping no state.

        Parameters
        ----------
        x, y : ndarray
            As `forward` and `backward` take them.
        batch_size : int
            Examples at a time; metrics are computed from the outputs for all of them at once.
        metrics : sequence of str or Metric, or dict of name to str or Metric, optional
            Such as ``["accuracy", "f1_macro"]``; accuracy where the targets are classes, unless
            told. One of outputs that hold NaN is NaN.
        sample_weight : ndarray of shape (N,), or T x N for sequences, optional
            How much each example, or step, counts in the cost, sum of w C / sum of w, and in the
            metrics: see `Cost.normalized`. Of several outputs one for all, or a tuple.
        compiled : bool, optional
            As of `predict`.

        Raises
        ------
        TypeError, ShapeError, ValueError
            As `forward` and `backward`; for a metric that is not known, or cannot be had of these
            targets; for weights that are none.
        NoTwin, NotBuilt
            As `predict`.
        """
        if metrics is not None:
            metrics = metrics_of(self, "evaluate", metrics)
        self.check_data(x, y)
        if metrics is None:
            metrics = default_metrics_of(self, y)
        prediction = self.prediction_for(x, compiled)
        return measure(self, x, y, batch_size, metrics, sample_weight, prediction)

    def normalized(self, sample_weight: Any, x: Any, y: Any) -> Any:
        """Return weights with which the plain mean of all w_x C_x is the weighted mean."""
        return self.need_cost().normalized(sample_weight, outputs_like(self, x), y)

    def output_and_cost(self, x: Any, y: Any, w: Any = None) -> tuple[Any, np.ndarray]:
        """Return a^L and C_x of every example, keeping no state; from z of a canonical pair.

        w are weights as `Cost.normalized` makes them, by which C_x is multiplied.
        """
        return self.with_cost(*self.root.z_and_a(x, INFERENCE), y, w)

    def with_cost(self, z: Any, a: Any, y: Any, w: Any) -> tuple[Any, np.ndarray]:
        """Return a, and C_x of every example; z is that of a canonical pair, or None."""
        cost, sigma = self.need_cost(), self.root.output_activation
        return a, cost.weighted_of_each(z, a, sigma, y, w)


def in_batches(
    compute: Callable[..., tuple], arrays: tuple, batch_size: int, threads: bool
) -> list[Any]:
    """Return what `compute` makes of the arrays, given them batch by batch.

    Where layers use threads, the batches are smaller, and shared among them.
    """
    batch_size = min(check_integer("network: batch_size", batch_size), most_read(arrays[0]))
    if threads:
        batch_size = min(batch_size, memory.SHARED_BATCH_SIZE)
    if count_examples(arrays[0]) <= batch_size:
        arrays = tuple(each_array(partial(_part, slice(None)), array) for array in arrays)
        if not threads:
            return list(compute(*arrays))
        with own_threads():
            return list(compute(*arrays))
    n = count_examples(arrays[0])
    starts = range(0, n, batch_size)
    found: list[Any] = []
    first = Lock()

    def fill(start: int) -> None:  # what is stored is read here
        some = partial(_part, slice(start, start + batch_size))
        results = compute(*(each_array(some, array) for array in arrays))
        with first:
            if not found:
                found.extend(each_array(partial(_room_for, n), result) for result in results)
        for whole, part in zip(found, results, strict=True):
            _fill_in(whole, part, start)

    with own_threads(threads):
        run_all(partial(fill, start) for start in starts)
    return found


def metrics_of(network: Any, owner: str, metrics: Any) -> dict[str, Metric]:
    """Return metrics by name, as `as_metrics` does, for all the outputs of a network."""
    shape = network.output_shape
    return as_metrics(owner, metrics, len(shape) if is_several(shape) else 1)


def default_metrics_of(network: Any, y: Any) -> dict[str, Metric]:
    """Return the metrics for targets where none are asked for: accuracy, of classes."""
    shape = network.output_shape
    return default_metrics(y, tuple(map(len, shape)) if is_several(shape) else len(shape))


def check_metrics(
    network: Any, metrics: Mapping[str, Metric], x: Any, y: Any, sample_weight: Any = None
) -> None:
    """Raise what a metric would raise for these data, from a few outputs and without any state."""
    few = each_array(partial(_part, slice(8)), x)
    with np.errstate(all="ignore"):
        a = network.root.run(few, INFERENCE)
    if not holds_nan(a):
        for metric in metrics.values():
            metric.check(a, y, sample_weight)


@underflow_is_0
def measure(
    network: Any,
    x: Any,
    y: Any,
    batch_size: int,
    metrics: Mapping[str, Metric],
    sample_weight: Any = None,
    prediction: Any = None,
    over: Callable[..., list[Any]] | None = None,
) -> dict[str, float]:
    """Return the mean cost of all examples, and every metric of all outputs at once.

    Outputs are kept where there is a metric, and of everything else one batch at a time. A metric
    of outputs that hold NaN is NaN. A `prediction` gives the outputs, if there is one.
    `over` goes through the batches, as `in_batches` does unless told.
    """

    def compute(x: Any, y: Any, w: Any = None) -> tuple:
        if prediction is None:
            a, c = network.output_and_cost(x, y, w)
        else:
            a, c = network.with_cost(*prediction.z_and_a(x), y, w)
        return (c, a) if metrics else (c,)

    data: tuple = (x, y)
    if sample_weight is not None:
        data = (x, y, network.normalized(sample_weight, x, y))
    threads = network.root.uses_threads and prediction is None
    c, *outputs = (over or in_batches)(compute, data, batch_size, threads)
    found = {"cost": float(mean(c))}
    if metrics:
        lost = holds_nan(outputs[0])  # no metric has a meaning for NaN
        a, y = each_array(_read_only, outputs[0]), each_array(_read_only, y)
        for name, metric in metrics.items():
            found[name] = math.nan if lost else metric(a, y, sample_weight)
    return found


def batches(x: Any, batch_size: int) -> list[Any]:
    """Cut an array, or each of several, into batches along the last axis."""
    batch_size = check_integer("network: batch_size", batch_size)
    starts = range(0, count_examples(x), batch_size)
    return [each_array(partial(_part, slice(start, start + batch_size)), x) for start in starts]


def _part(examples: slice, array: np.ndarray) -> np.ndarray:
    return array[..., examples]


def _read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that no metric can change: the next one, and the training, look at it too."""
    view = array.view()
    view.flags.writeable = False
    return view


def _room_for(n: int, of_first: np.ndarray) -> np.ndarray:
    return np.empty((*of_first.shape[:-1], n), of_first.dtype)


def _fill_in(whole: Any, part: Any, start: int) -> None:
    """Copy what was computed for a batch into its place: it may be a view of much more."""
    if isinstance(whole, tuple):
        for one, of_one in zip(whole, part, strict=True):
            _fill_in(one, of_one, start)
    else:
        whole[..., start : start + part.shape[-1]] = part
