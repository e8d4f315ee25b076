"""Checks of single arguments, with errors that name the argument and say what it must be."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np


def check_number(name: str, value: Any, interval: str = "(-inf, inf)") -> float:
    """Return `value` as a Python float if it lies in `interval`, such as ``"[0, 1)"``.

    A Python float never turns a float32 array into a float64 one, as a NumPy scalar may.

    Raises
    ------
    TypeError, ValueError
        If `value` is not a real number, or is outside `interval` (NaN always is).
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        raise ValueError(f"{name} must be in {interval}, got {value!r}")
    return number


def check_integer(name: str, value: Any, least: int | None = 1) -> int:
    """Return `value` as a Python int if it is a whole number and at least `least`.

    Integers are those of Python and of NumPy; True and False are none.

    Raises
    ------
    TypeError, ValueError
        If `value` is not an integer, or is less than `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def check_array(owner: object, what: str, array: Any, dtype: np.dtype | None) -> None:
    """Refuse anything but a floating NumPy array of `dtype`, by a TypeError that names `owner`."""
    if type(array) is np.ndarray or is_plain(array):
        got = array.dtype
        if got == dtype or (dtype is None and got.kind in "fc" and got.itemsize >= 4):
            return
        wanted = dtype or np.dtype(np.float32)
        raise TypeError(
            f"{owner}: the {what} must be {dtype or 'floating'}, got {got}; "
            f"convert it yourself: x.astype(np.{wanted})"
        )
    raise TypeError(f"{owner}: the {what} must be a numpy array, got {type(array).__name__}")


def is_plain(array: Any) -> bool:
    """Say whether `*` and `@` mean on `array` what they mean on an ndarray."""
    return isinstance(array, np.ndarray) and not isinstance(array, (np.matrix, np.ma.MaskedArray))


def check_sequence(owner: str, name: str, value: Any) -> tuple[Any, ...]:
    """Return a list or tuple of numbers as a tuple, or say that one is expected."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{owner}: {name} must be a sequence of integers, got {value!r}")
    return tuple(value)


def check_finite(name: str, array: np.ndarray) -> None:
    """Raise a ValueError that names the first number that is not finite, and how many are not."""
    finite = np.isfinite(array)
    if not finite.all():
        index = np.unravel_index(int(np.argmin(finite)), array.shape)
        place = ", ".join(map(str, index))
        raise ValueError(
            f"{name}[{place}] is {array[index]}: {name} must be finite, and holds "
            f"{int(array.size - finite.sum())} numbers that are not"
        )
