"""Outputs, costs and metrics of many examples, computed batch by batch and in several threads."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.shapes import count_examples, each_array
from backprop.kernels import memory
from backprop.kernels.threads import own_threads, run_all


def in_batches(
    compute: Callable[..., tuple], arrays: tuple, batch_size: int, threads: bool
) -> list[Any]:
    """Return what `compute` makes of the arrays, given them batch by batch.

    Where layers use threads, the batches are smaller, and shared among them.
    """
    batch_size = check_integer("network: batch_size", batch_size)
    if threads:
        batch_size = min(batch_size, memory.SHARED_BATCH_SIZE)
    if count_examples(arrays[0]) <= batch_size:
        if not threads:
            return list(compute(*arrays))
        with own_threads():
            return list(compute(*arrays))
    parts = list(zip(*(batches(array, batch_size) for array in arrays), strict=True))
    found: list[Any] = [None] * len(parts)

    def fill(index: int) -> None:
        found[index] = compute(*parts[index])

    with own_threads(threads):
        run_all(partial(fill, index) for index in range(len(parts)))
    return [_joined(pieces) for pieces in zip(*found, strict=True)]


def measure(
    outputs_and_costs: Callable[[Any, Any], tuple[Any, np.ndarray]],
    x: Any,
    y: Any,
    batch_size: int,
    metrics: dict[str, Callable[[Any, Any], float]],
    threads: bool,
) -> dict[str, float]:
    """Return the mean cost of all examples, and the mean of every metric over them."""
    totals = dict.fromkeys(("cost", *metrics), 0.0)
    counted = 0
    for batch, targets in zip(batches(x, batch_size), batches(y, batch_size), strict=True):
        a, c = in_batches(outputs_and_costs, (batch, targets), batch_size, threads)
        totals["cost"] += float(c.sum(dtype=np.float64))
        lost = any(bool(np.isnan(one).any()) for one in (a if isinstance(a, tuple) else (a,)))
        weight = count_targets(targets)
        counted += weight
        for name, metric in metrics.items():
            if weight:  # no metric has a meaning for NaN
                totals[name] += weight * (math.nan if lost else float(metric(a, targets)))
    cost = totals.pop("cost") / count_examples(x)
    return {"cost": cost, **{name: total / counted for name, total in totals.items()}}


def count_targets(y: Any) -> int:
    """Return how many examples there are; of labels T x B of sequences, how many are not -1."""
    if isinstance(y, tuple):
        return count_targets(y[0])
    if y.dtype.kind in "iu" and y.ndim > 1:
        return int((y != -1).sum())
    return y.shape[-1]  # type: ignore[no-any-return]


def batches(x: Any, batch_size: int) -> list[Any]:
    """Cut an array, or each of several, into batches along the last axis."""
    batch_size = check_integer("network: batch_size", batch_size)
    starts = range(0, count_examples(x), batch_size)
    return [each_array(partial(_part, slice(start, start + batch_size)), x) for start in starts]


def _part(examples: slice, array: np.ndarray) -> np.ndarray:
    return array[..., examples]


def _joined(pieces: tuple) -> Any:
    if isinstance(pieces[0], tuple):
        return tuple(_joined(of_one) for of_one in zip(*pieces, strict=True))
    return np.concatenate(pieces, axis=-1)


def not_view_of(x: Any, a: Any) -> Any:
    """Return the outputs, or copies of those that share memory with the input."""
    if isinstance(a, tuple):
        return tuple(not_view_of(x, one) for one in a)
    inputs = x if isinstance(x, tuple) else (x,)
    return a.copy() if any(np.may_share_memory(a, one) for one in inputs) else a
