"""Shapes in words, the error of one that does not fit, and copying that never broadcasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Shape = tuple[int, ...]  # where a layer takes any length, it also works with None there


class ShapeError(ValueError):
    """An array, or the output of the layer below, whose shape a layer cannot take.

    `expected` says in words what it takes, without the batch axis; it is empty where that cannot
    be said in a word, and the message itself has to.
    """

    def __init__(self, message: str, expected: str = "") -> None:
        super().__init__(message)
        self.expected = expected


def shape_text(shape: Sequence[int]) -> str:
    """Write a shape without its batch axis, ``(784,)``."""
    return str(tuple(shape))


def with_batch(expected: str) -> str:
    """Add the batch axis to a shape in words: ``(784,)`` becomes ``(784, B)``."""
    if not expected.endswith(")"):
        return expected
    return expected[:-1].rstrip(",") + ", B)"


def copy_into(view: np.ndarray, value: Any, name: str, owner: object = None) -> None:
    """Copy `value` into `view` if it has its very shape and can be cast to its dtype."""
    if value is view:  # what `layer.w += 1` ends with
        return
    array = np.asarray(value)
    fits = array.shape == view.shape
    if not fits or not np.can_cast(array.dtype, view.dtype, "same_kind"):
        what = name if owner is None else f"{owner}: {name}"
        if not fits:
            raise ShapeError(f"{what} has shape {view.shape}, got {array.shape}", str(view.shape))
        raise TypeError(f"{what} is {view.dtype}, got {array.dtype}")
    view[...] = array


def each_array(function: Callable[[Any], Any], arrays: Any) -> Any:
    """Return what `function` makes of an array, or of each of a tuple of them, in a tuple."""
    return tuple(map(function, arrays)) if isinstance(arrays, tuple) else function(arrays)


def as_tuple(arrays: Any) -> tuple[Any, ...]:
    """Return several arrays as they are, and one as a tuple of one."""
    return arrays if isinstance(arrays, tuple) else (arrays,)


def one_for_each(value: Any, n: int) -> tuple[Any, ...]:
    """Return the values of a tuple as they are, and one value n times."""
    return value if isinstance(value, tuple) else (value,) * n


def is_several(shape: Any) -> bool:
    """Say whether a shape, without the batch, is a tuple of shapes: that of several arrays."""
    return bool(shape) and isinstance(shape[0], tuple)


def count_examples(arrays: Any) -> int:
    """Return B, the length of the last axis, of an array or of the first of several."""
    return as_tuple(arrays)[0].shape[-1]  # type: ignore[no-any-return]
