"""The arrays of a page: each once, base64, and cut or pooled where they are large.

An array that differs from example to example is kept with the examples first, so that one example
is one run of numbers. Numbers are float32, or float64 where there are few or float32 cannot hold
them.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

BUDGET = 1_750_000
"""Characters that all arrays may take: with the scripts a page stays below 2 MB."""

OF_ALL = 0.65  # of the budget, that parameters and their gradients may take

LARGEST = 131_072
"""Numbers that an array may have before it is pooled; of one example, if it differs by example."""

MOST_IMAGES = 256
"""Images of one array that are kept: maps of a convolution, or its kernels."""

FEW = 4_096  # numbers that are kept in float64


@dataclass(frozen=True)
class _Kept:
    """An array, as it is kept: the examples first if it differs by example."""

    array: np.ndarray
    by_example: bool
    image_shape: tuple[int, ...]


class Arrays:
    """What is shown on a page, each array once: `add` gives the place where it stands.

    Parameters
    ----------
    batch : int
        The examples of the trace.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self._kept: list[_Kept] = []
        self._places: dict[Any, int] = {}

    def add(self, array: np.ndarray, by_example: bool, image_shape: tuple[int, ...] = ()) -> int:
        """Return the place of an array; equal arrays have one place.

        Parameters
        ----------
        array : ndarray
            The batch last, if it differs by example.
        by_example : bool
        image_shape : (height, width), optional
            Of the numbers of the last axis, or by example of the only one, if they are an image.
        """
        array = np.asarray(array)
        array = np.ascontiguousarray(np.moveaxis(array, -1, 0) if by_example else array)
        key = (array.dtype.str, array.shape, by_example, image_shape, array.tobytes())
        if key not in self._places:
            self._places[key] = len(self._kept)
            self._kept.append(_Kept(array, by_example, image_shape))
        return self._places[key]

    def packed(self) -> tuple[list[dict[str, Any]], int]:
        """Return all arrays as plain data, and how many examples they are of: the first ones."""
        of_all = [kept for kept in self._kept if not kept.by_example]
        each = [kept for kept in self._kept if kept.by_example]
        limit_of_all = _limit(of_all, OF_ALL * BUDGET)
        left = BUDGET - sum(_size(kept, limit_of_all) for kept in of_all)
        limit_of_each = _limit(each, left)
        of_one = sum(_size(kept, limit_of_each) for kept in each)
        examples = max(1, min(self.batch, int(left) // max(of_one, 1)))
        packed = [
            _packed(kept, limit_of_each if kept.by_example else limit_of_all, examples)
            for kept in self._kept
        ]
        return packed, examples


def _limit(several: list[_Kept], room: float) -> int:
    """Return how many numbers an array may have, so that all of them have room."""
    limit = LARGEST
    while limit > 64 and sum(_size(kept, limit) for kept in several) > room:
        limit //= 2
    return limit


def _packed(kept: _Kept, limit: int, examples: int) -> dict[str, Any]:
    """Return an array as plain data, of the first examples, pooled to the limit."""
    shape = kept.array.shape[1:] if kept.by_example else kept.array.shape
    found: dict[str, Any] = {"shape": list(shape)}
    values = kept.array
    if kept.by_example:
        found["byExample"], values = True, values[:examples]
    if kept.image_shape:
        found["image"] = list(kept.image_shape)
    if math.prod(shape) > limit:
        images, factor = _pooling(shape, limit)
        values = pooled(values.reshape(-1, *_as_images(shape)), images, factor)
        found |= {"pool": factor, "images": images}
    found["type"], found["data"] = _encoded(values)
    return found


def _as_images(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return a shape as images, rows and columns; a vector is one row."""
    rows, columns = (1, 1, *shape)[-2:]
    return math.prod(shape[:-2]), rows, columns


def _pooling(shape: tuple[int, ...], limit: int) -> tuple[int, list[int]]:
    """Return how many images to keep, and the size of the blocks of which one number is kept."""
    images, rows, columns = _as_images(shape)
    images, factor = min(images, MOST_IMAGES), 1
    while images > 1 and images * min(rows, 16) * min(columns, 16) > limit:
        images //= 2
    while images * -(-rows // factor) * -(-columns // factor) > limit:
        factor += 1
    return images, [min(factor, rows), min(factor, columns)]


def pooled(values: np.ndarray, images: int, factor: list[int]) -> np.ndarray:
    """Return, for every block of numbers, the one of the largest absolute value.

    Parameters
    ----------
    values : ndarray, B x images x rows x columns
    images : int
        How many are kept, the first ones.
    factor : [int, int]
        Rows and columns of a block.
    """
    values = values[:, :images]
    n, _, rows, columns = values.shape
    down, across = -(-rows // factor[0]), -(-columns // factor[1])
    room = np.zeros((n, images, down * factor[0], across * factor[1]), values.dtype)
    room[:, :, :rows, :columns] = values
    blocks = room.reshape(n, images, down, factor[0], across, factor[1]).swapaxes(3, 4)
    blocks = blocks.reshape(n, images, down, across, -1)
    largest = np.abs(blocks).argmax(axis=-1)[..., np.newaxis]
    return np.take_along_axis(blocks, largest, axis=-1)[..., 0]


def _size(kept: _Kept, limit: int) -> int:
    """Return the characters that an array takes, of one example if it differs by example."""
    shape = kept.array.shape[1:] if kept.by_example else kept.array.shape
    n = math.prod(shape)
    if n > limit:
        images, factor = _pooling(shape, limit)
        _, rows, columns = _as_images(shape)
        n = images * -(-rows // factor[0]) * -(-columns // factor[1])
    bytes_ = 4 if kept.array.dtype == np.float32 or n > FEW else 8
    return bytes_ * 4 * n // 3 + 90


def _encoded(values: np.ndarray) -> tuple[str, str]:
    """Return the type of numbers and the numbers in base64, the lowest byte first."""
    as_float = values.astype(np.float64)
    kind = "f4"
    with np.errstate(over="ignore", under="ignore"):
        small = as_float.astype("<f4")
    if values.dtype != np.float32 and (values.size <= FEW or not _holds(small, as_float)):
        kind = "f8"
    numbers = small if kind == "f4" else as_float.astype("<f8")
    return kind, base64.b64encode(numbers.tobytes()).decode("ascii")


def _holds(small: np.ndarray, values: np.ndarray) -> bool:
    """Say whether float32 has every number to its last digit or so."""
    finite = np.isfinite(values)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        error = np.abs(small.astype(np.float64) - values)[finite]
    return bool((error <= 1e-6 * np.abs(values[finite])).all())
