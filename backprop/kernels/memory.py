"""Sizes at which memory is fast, scratch memory that is used again, and NumPy's own buffer.

All sizes here were found by measurement, and change no result: only how long it takes. Read them
as attributes, ``memory.PATCH_BYTES``, so that there is one place to change them in.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

UPDATE_BLOCK = 128 * 1024
"""Elements of theta that an optimizer or a penalty works on at a time.

A rule goes over them up to ten times, so they must stay in the cache; each time costs a
microsecond for the call, so they must not be few.
"""

PATCH_BYTES = 2**21
"""Bytes of the patch matrix of a convolution made at a time: about the cache of one core."""

GATHER_BYTES = 2**19
"""Bytes of examples that a trainer gathers at a time: about half the cache of one core.

Several small minibatches are gathered by one call, which costs as much as one of them would.
"""

SHARED_BATCH_SIZE = 64
"""Examples in a batch that one of several threads computes, where a network predicts."""

LEAST_SHARED_SIZE = 2**17
"""Numbers below which handing half of them to another thread takes as long as the work itself."""

SMALL_BUFFER = 256
"""Elements of the buffer that `small_ufunc_buffer` gives to NumPy's ufuncs; NumPy's has 8,192."""


def aligned(size: int, dtype: Any) -> np.ndarray:
    """Return an array of zeros that begins where a cache line does.

    Vectors of the processor then lie in one line each, and are read in half the time.
    """
    dtype, line = np.dtype(dtype), 64
    memory = np.zeros(size * dtype.itemsize + line, np.uint8)
    start = -memory.ctypes.data % line
    return memory[start : start + size * dtype.itemsize].view(dtype)


class ScratchMemory(threading.local):
    """Memory for results that nobody keeps, used again and again; every thread has its own.

    Fresh memory costs as much as what is computed in it: the system clears it page by page.

    Attributes
    ----------
    kept : dict of str to ndarray of uint8
        The memory by name, none of it larger than `PATCH_BYTES`.
    """

    def __init__(self) -> None:
        self.kept: dict[str, np.ndarray] = {}

    def array(self, name: str, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """Return an array of any content, good until this thread's next call with this name."""
        n_bytes = math.prod(shape) * dtype.itemsize
        memory = self.kept.get(name)
        if memory is None or memory.size < n_bytes:
            memory = np.empty(n_bytes, np.uint8)
            if n_bytes <= PATCH_BYTES:
                self.kept[name] = memory
        return memory[:n_bytes].view(dtype).reshape(shape)


scratch = ScratchMemory()


@contextmanager
def small_ufunc_buffer() -> Iterator[None]:
    """Let ufuncs work in place on the rows of a view that have a few hundred numbers or more.

    NumPy copies what does not lie in one piece through a buffer, as many rows as it holds, at
    three times the cost; a smaller buffer makes it do so for very short rows only. The size of
    the buffer belongs to the thread.
    """
    size = np.setbufsize(SMALL_BUFFER)
    try:
        yield
    finally:
        np.setbufsize(size)
