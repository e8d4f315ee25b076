"""How far rounding puts a gradient off, measured: both passes again, from numbers a few bits off.

A gradient that is 0 but for rounding, such as that of a bias below a batch normalisation, or one
behind a saturated softmax, where 1 - a cancels, has no digit that is right. How large such errors
are depends on the sizes of the terms inside, which nothing outside sees; but they show when the
same passes are run from inputs, parameters and upstream gradients that differ in their last bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from backprop.core.shapes import each_array
from backprop.layers.base import Layer

EPS = float(np.finfo(np.float64).eps)
SAMPLES = 4
BITS = 4 * EPS  # how far the numbers are moved, relatively
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
                layer.watch()
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
    # By chance a number may have stood still in all samples: its neighbours tell as well.
    return {
        name: SAFETY * np.maximum(off, np.median(off)) for name, off in found.items() if off.size
    }


def _blur_a(layer: Any, rng: np.random.Generator) -> None:
    """Move the output by some of its own bits."""
    layer.a = each_array(lambda a: a * (1 + BITS * rng.uniform(-1, 1, a.shape)), layer.a)


def _blur_delta(layer: Any, rng: np.random.Generator) -> None:
    """Move delta by some bits of the upstream gradient."""
    above = layer.watch().nabla_a
    above = layer.delta if above is None else above
    size = max(_largest(one) for one in (above if isinstance(above, tuple) else (above,)))
    layer.delta = each_array(
        lambda delta: delta + BITS * size * rng.uniform(-1, 1, delta.shape), layer.delta
    )


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0))
