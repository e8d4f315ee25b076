"""How far rounding puts a gradient off, measured: both passes again, from numbers a few bits off.

A gradient that is 0 but for rounding, such as that of a bias below a batch normalisation, or one
behind a saturated softmax, where 1 - a cancels, has no digit that is right. How large such errors
are depends on the sizes of the terms inside, which nothing outside sees; but they show when the
same passes are run from inputs, parameters and upstream gradients that differ in their last bits.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple, each_array
from backprop.layers.base import Layer

EPS = float(np.finfo(np.float64).eps)
SAMPLES = 4
BITS = 4 * EPS  # how far the numbers are moved, relatively
ORDER = 6
SAFETY = 8  # what the largest deviation of so few samples is multiplied by

Results = dict[str, np.ndarray]


def measured_rounding(
    run: Callable[[], Results], arrays: Iterable[np.ndarray], layers: Iterable[Layer]
) -> Results:
    """Return how far rounding may put off each number that `run` returns.

    Parameters
    ----------
    run : callable
        Both passes, from the same state and random numbers every time: copies of what they give,
        by name.
    arrays : iterable of float64 ndarray
        What the passes start from; `run` reads them where they are. They are moved by some bits,
        and restored.
    layers : iterable of Layer
        Whose outputs and deltas, and those of the layers inside, are moved as well; the deltas by
        some bits of the upstream gradients: sigma' is known to bits of 1, and not of itself.

    Returns
    -------
    dict of str to ndarray
        A bound for every number; 0 where nothing moved, or the passes fail.
    """
    rng = np.random.default_rng(0)
    arrays = [array for array in arrays if array.dtype.kind == "f" and array.flags.writeable]
    base, again = run(), run()
    found = {name: np.zeros(array.shape) for name, array in base.items()}
    if not all(np.array_equal(again[name], array) for name, array in base.items()):
        return found  # what differs by itself is no rounding
    kept = [array.copy() for array in arrays]
    with contextlib.ExitStack() as stack, np.errstate(all="ignore"):
        stack.enter_context(
            contextlib.suppress(Exception)
        )  # what hooks find wrong is told elsewhere
        for top in layers:
            for _, layer in top.walk():
                stack.enter_context(_watched(layer))
                stack.enter_context(layer.add_hook("forward", lambda layer: _blur_a(layer, rng)))
                stack.enter_context(layer.add_hook("delta", lambda layer: _blur_delta(layer, rng)))
        for _ in range(SAMPLES):
            try:
                for array in arrays:
                    array *= 1 + BITS * rng.uniform(-1, 1, array.shape)
                moved = run()
            finally:
                for array, numbers in zip(arrays, kept, strict=True):
                    array[...] = numbers
            for name, deviation in found.items():
                off = np.abs(moved[name] - base[name])
                np.maximum(deviation, np.nan_to_num(off, nan=0, posinf=0), out=deviation)
    return _bounds(found)


def noise_of_differences(run: Callable[[], Results], arrays: Iterable[np.ndarray]) -> Results:
    """Return how far rounding may put off each number, from differences of high order.

    Along a line the numbers are smooth but for rounding: what is left of their sixth differences
    is all noise. It shows rounding that is the same in all samples of `measured_rounding`, such as
    that of a probability of nearly 1. But a function that computes in float32 inside is not told
    from one that loses digits because it must. Arguments as there. Source: More and Wild,
    "Estimating Computational Noise", SIAM Journal on Scientific Computing 33, 2011.
    """
    rng = np.random.default_rng(1)
    arrays = [array for array in arrays if array.dtype.kind == "f" and array.flags.writeable]
    kept = [array.copy() for array in arrays]
    directions = [rng.uniform(-1, 1, array.shape) for array in arrays]
    seen = []
    try:
        for step in range(1, ORDER + 4):
            for array, numbers, direction in zip(arrays, kept, directions, strict=True):
                array[...] = numbers * (1 + 1e-6 * step * direction)
            seen.append(run())
    finally:
        for array, numbers in zip(arrays, kept, strict=True):
            array[...] = numbers
    found = {}
    scale = math.sqrt(math.comb(2 * ORDER, ORDER))  # by which such a difference enlarges noise
    for name in seen[0]:
        differences = np.diff([results[name] for results in seen], ORDER, axis=0) / scale
        found[name] = np.nan_to_num(np.abs(differences).max(axis=0), nan=0, posinf=0)
    return _bounds(found)


def larger(one: Results, other: Results) -> Results:
    """Return the larger of two bounds, for every number of the first."""
    return {name: np.maximum(off, other.get(name, 0.0)) for name, off in one.items()}


def _bounds(found: Results) -> Results:
    """Return bounds from deviations.

    By chance a number may have stood still in all samples: its neighbours tell as well.
    """
    return {
        name: SAFETY * np.maximum(off, np.median(off)) for name, off in found.items() if off.size
    }


@contextlib.contextmanager
def _watched(layer: Any) -> Iterator[None]:
    """Have the layer watched, and no longer than before: a layer without hooks is faster."""
    free = layer._hooks is None
    layer.watch()
    hooks = layer._hooks
    try:
        yield
    finally:
        if free:
            hooks.watch = None
            hooks.settle(layer)


def _blur_a(layer: Any, rng: np.random.Generator) -> None:
    """Move the output by some of its own bits."""
    layer.a = each_array(lambda a: a * (1 + BITS * rng.uniform(-1, 1, a.shape)), layer.a)


def _blur_delta(layer: Any, rng: np.random.Generator) -> None:
    """Move delta by some bits of the upstream gradient."""
    above = layer.watch().nabla_a
    above = layer.delta if above is None else above
    size = max(_largest(one) for one in as_tuple(above))
    layer.delta = each_array(
        lambda delta: delta + BITS * size * rng.uniform(-1, 1, delta.shape), layer.delta
    )


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0))
