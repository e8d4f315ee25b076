"""Examples that stay where they are stored, and become inputs a minibatch at a time."""

from __future__ import annotations

import math
import mmap
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple, each_array

LOOKED_AT = 2**24  # bytes as they are stored, at a time: a file need not be in memory whole
READ_AT_ONCE = 2**24  # bytes of the inputs that are made of them
MAPPED = 2**28  # bytes: of a larger file, all may come to be in memory by rows here and there


class Rows:
    """Examples one after another, N x ..., of any dtype, in a file or in memory.

    Of a file that is mapped into memory each look maps it anew and lets go of it again, so that
    what has been read does not stay in this process's memory. Rows here and there of a large one
    are read: the system would map megabytes around each.

    Parameters
    ----------
    array : ndarray, N x ...
    dtype : dtype
        That they are given in.
    scale : float
        What they are divided by.

    Attributes
    ----------
    stored : ndarray
        The array itself.
    """

    def __init__(self, array: np.ndarray, dtype: Any, scale: float = 1.0) -> None:
        self.dtype, self.scale = np.dtype(dtype), scale
        self.shape, self.ndim = array.shape, array.ndim
        self.stored = array
        self._file = _place_in_file(array)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """The bytes that all of them would take."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self._numbers(self._mapped()[rows])

    def take(self, chosen: np.ndarray, axis: int = 0) -> np.ndarray:
        """Return some of them as numbers, scaled."""
        whole = axis == 0 and self.stored.flags.c_contiguous and hasattr(os, "pread")
        if whole and self._file and self.stored.nbytes > MAPPED:
            return self._numbers(self._read(chosen, *self._file[:4]))
        return self._numbers(self._mapped().take(chosen, axis))

    def _read(self, chosen: np.ndarray, path: Any, start: int, _: int, offset: int) -> np.ndarray:
        """Return rows as they are stored, each read from the file."""
        size = self.stored.nbytes // len(self)
        places = start + offset + size * chosen.astype(np.int64)
        with open(path, "rb", buffering=0) as file:
            number = file.fileno()
            read = b"".join([os.pread(number, size, place) for place in places.tolist()])
        if len(read) < size * len(chosen):
            raise OSError(f"{path} has become shorter while it was in use")
        return np.frombuffer(read, self.stored.dtype).reshape(len(chosen), *self.shape[1:])

    def _mapped(self) -> np.ndarray:
        if self._file is None:
            return self.stored
        path, start, size, offset, strides = self._file
        raw = np.memmap(path, np.uint8, "r", start, (size,))
        return np.ndarray(self.shape, self.stored.dtype, raw, offset, strides)

    def _numbers(self, raw: np.ndarray) -> np.ndarray:
        if self.scale == 1:
            return np.array(raw, self.dtype, order="C")
        wide = np.result_type(self.dtype, np.float32) if self.dtype.kind == "f" else self.dtype
        return np.divide(raw, self.scale, dtype=wide).astype(self.dtype, copy=False)


def _place_in_file(array: np.ndarray) -> tuple[Any, ...] | None:
    """Return where in a file an array lies that is mapped from it; None for any other array."""
    path = getattr(array, "filename", None)
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if path is None or not isinstance(base, mmap.mmap) or getattr(array, "mode", "c") == "c":
        return None
    root = np.frombuffer(base, np.uint8)
    offset = array.ctypes.data - root.ctypes.data
    start = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY  # type: ignore[attr-defined]
    return path, start, root.size, offset, array.strides


class Stored:
    """Examples on the last axis, as a network takes them, that stay where they are stored.

    ``Stored(images, maximum=255)`` holds N examples one after another, of any dtype, most often
    mapped from a file, as `numpy.load` does with ``mmap_mode="r"``. `Trainer.fit` and
    `Network.evaluate` take it as x, and read and scale what they need at the time.

    Parameters
    ----------
    array : ndarray, N x ...
    shape : tuple of int, optional
        Of one example as the network takes it, ``(784,)`` for images of 28 x 28; as it is stored,
        unless told.
    maximum : float, optional
        What becomes 1. Bytes (uint8) are divided by 255 unless told; of other integers it must be
        told, and numbers in floating-point stay as they are.
    dtype : dtype
        The network's.

    Raises
    ------
    TypeError, ValueError
        If the array holds no numbers, integers without a `maximum`, or examples of another size.
    """

    def __init__(
        self,
        array: np.ndarray,
        shape: tuple[int, ...] | None = None,
        maximum: float | None = None,
        dtype: Any = "float32",
    ) -> None:
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.ndim < 2:
            got = getattr(array, "dtype", type(array).__name__)
            raise TypeError(
                f"Stored: expected an array of numbers, N x ..., got {got} of shape "
                f"{np.shape(array)}"
            )
        if maximum is None and array.dtype.kind in "iu" and np.dtype(dtype).kind == "f":
            if array.dtype != np.uint8:
                raise ValueError(
                    f"Stored: nothing says what becomes 1 of {array.dtype}: give "
                    "datasets.Stored(array, maximum=...), or maximum=1 to keep the values"
                )
            maximum = 255
        shape = array.shape[1:] if shape is None else tuple(shape)
        if math.prod(shape) != math.prod(array.shape[1:]):
            raise ValueError(
                f"Stored: examples of shape {array.shape[1:]} do not have the shape {shape}"
            )
        self.rows = Rows(array.reshape(len(array), *shape), dtype, float(maximum or 1))
        self.shape, self.dtype = (*shape, len(array)), self.rows.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return ``x[..., some]`` as an array."""
        return np.moveaxis(self.rows[key[-1]], 0, -1)

    def part(self, some: slice) -> Stored:
        """Return some of the examples, stored as they are."""
        found = object.__new__(Stored)
        array, rows = self.rows.stored[some], self.rows
        found.rows = Rows(array, rows.dtype, rows.scale)
        found.shape, found.dtype, found.ndim = (*self.shape[:-1], len(array)), self.dtype, self.ndim
        return found


def cut(x: Any, some: slice) -> Any:
    """Return some of the examples of an array, or of each of several; stored ones are not read."""
    return each_array(lambda one: one.part(some) if isinstance(one, Stored) else one[..., some], x)


def sample_of(x: Any) -> Any:
    """Return an example of those that are stored, and all of an array; of each of several."""
    return each_array(lambda one: one[..., :1] if isinstance(one, Stored) else one, x)


def most_read(x: Any) -> int:
    """Return how many of the examples that are stored are read at a time; of others all."""
    several = [one.rows for one in as_tuple(x) if isinstance(one, Stored)]
    each = sum(rows.nbytes // len(rows) for rows in several)
    return max(1, READ_AT_ONCE // each) if each else sys.maxsize


def is_mapped(x: Any) -> bool:
    """Say whether an array is mapped from a file."""
    return isinstance(x, np.memmap) and x.filename is not None


def pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the examples of an array, N x ..., some at a time; what was mapped is let go of."""
    rows = Rows(array, array.dtype) if is_mapped(array) else array
    each = max(1, LOOKED_AT // max(1, array[:1].nbytes))
    for start in range(0, len(array), each):
        yield rows[start : start + each]


def as_stored(x: Any, dtype: np.dtype, integers: bool) -> Any:
    """Return examples mapped from a file as `Stored`, each of several, and anything else as it is.

    Parameters
    ----------
    x : ndarray, features x N, or tuple of them
    dtype : dtype
        The network's.
    integers : bool
        Whether the network takes integers as they are.
    """
    if isinstance(x, tuple):
        return tuple(as_stored(one, dtype, integers) for one in x)
    if not is_mapped(x) or x.ndim < 2 or x.dtype.kind not in "biuf":
        return x
    keep = integers and x.dtype.kind in "iu"
    return Stored(np.moveaxis(x, -1, 0), None, None, x.dtype if keep else dtype)
