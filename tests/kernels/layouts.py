"""One array in several layouts in memory, as the kernels must take it."""

from __future__ import annotations

import numpy as np


def in_fortran_order(array: np.ndarray) -> np.ndarray:
    """Return the array with its first axis the one that lies in one piece."""
    return np.asfortranarray(array)


def strided(array: np.ndarray) -> np.ndarray:
    """Return the array as every second element of a larger one, along its last axis."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


def backwards(array: np.ndarray) -> np.ndarray:
    """Return the array as a view that runs backwards along its first axis."""
    return array[::-1].copy()[::-1]


LAYOUTS = [np.ascontiguousarray, in_fortran_order, strided, backwards]
DTYPES = ["float32", "float64", "complex128"]


def normal(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Return random numbers of any dtype, complex ones with both parts."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)
