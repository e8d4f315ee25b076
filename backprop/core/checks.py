"""Checks of single arguments, with errors that name the argument and say what it must be."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from backprop.core.remedies import as_array
from backprop.core.shapes import as_tuple

_KINDS = {"floating": ("fc", 4), "real floating": ("f", 4), "real": ("fiub", 1)}
"""The kinds of arrays that `check_array` knows: the letters of their dtypes, the fewest bytes."""


def check_number(name: str, value: Any, interval: str = "(-inf, inf)") -> float:
    """Return `value` as a Python float if it lies in `interval`, such as ``"[0, 1)"``.

    A Python float never turns a float32 array into a float64 one, as a NumPy scalar may.

    Raises
    ------
    TypeError, ValueError
        If `value` is not a real number, or is outside `interval` (NaN always is).
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {kind_of(value)}")
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
    number = None
    if not isinstance(value, (bool, np.bool_)):  # which older versions of NumPy take for integers
        with suppress(TypeError):
            number = operator.index(value)
    if number is None:
        raise TypeError(f"{name} must be an integer, got {kind_of(value)}")
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def check_bool(name: str, value: Any) -> bool:
    """Return `value` as a Python bool if it is True or False, of Python or of NumPy.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_dtype(owner: object, dtype: Any) -> np.dtype:
    """Return a real floating-point dtype, given as one or by its name, or raise a TypeError.

    None, of which NumPy makes float64, is not taken for one.
    """
    try:
        found = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.kind != "f":
        got = repr(dtype) if found is None else found
        raise TypeError(f"{owner}: dtype must be float32 or float64, got {got}")
    return found


def is_plain(array: Any) -> bool:
    """Return whether `*` and `@` mean for `array` what they mean for an ndarray."""
    return isinstance(array, np.ndarray) and not isinstance(array, (np.matrix, np.ma.MaskedArray))


def check_array(
    owner: object, what: str, array: Any, dtype: np.dtype | None, kind: str = "floating"
) -> None:
    """Check that `array` is a plain NumPy array of `dtype`, or of `kind` where `dtype` is None.

    Nothing is converted: an array of another dtype is an error, and the message says how to
    convert it.

    Parameters
    ----------
    owner, what
        Who asks, and for what: the message begins with ``f"{owner}: the {what} must be"``.
    array : Any
    dtype : numpy.dtype or None
    kind : {"floating", "real floating", "real"}
        "floating" is real or complex and of single precision at least, "real floating" is not
        complex, and "real" includes integers, bool and half precision.

    Raises
    ------
    TypeError
        If it is anything else; `numpy.matrix` and masked arrays are, see `is_plain`.
    """
    if type(array) is not np.ndarray and not is_plain(array):
        way = as_array(_variable(what), array) if _has_axes(array) else ""
        way += f".astype(np.{dtype})" if way and dtype is not None else ""
        then = f": give {way}" if way else ""
        kind = type(array).__name__
        raise TypeError(f"{owner}: the {what} must be a numpy array, got {kind}{then}")
    got = array.dtype
    if got == dtype:
        return
    letters, least_bytes = _KINDS[kind]
    if dtype is None and got.kind in letters and got.itemsize >= least_bytes:
        return
    message = f"{owner}: the {what} must be {kind if dtype is None else dtype}, got {got}"
    if got.kind in "SU":
        message += "; text has to be encoded as numbers first"
    elif what.startswith("input") and got == np.uint8:
        message += "; pixels are to become numbers in [0, 1]: give "
        message += f"x.astype(np.{_float(dtype)}) / 255, or to_columns(images)"
    elif dtype is not None or kind != "real":
        message += f"; convert it yourself: {_variable(what)}.astype(np.{_float(dtype)})"
    raise TypeError(message)


def _has_axes(value: Any) -> bool:
    """Say whether NumPy would make an array of it that has axes."""
    try:
        return np.ndim(value) > 0
    except ValueError:  # rows of several lengths, or several arrays, such as (x, y)
        return False


def _float(dtype: np.dtype | None) -> np.dtype:
    return dtype or np.dtype(np.float32)


def _variable(what: str) -> str:
    """Return the name of what an argument is called: "target y" is y, and the "input" x."""
    name = what.rpartition(" ")[2]
    return {"input": "x", "output": "a"}.get(name, name)


def check_vector(owner: object, what: str, array: Any) -> None:
    """Check that `array` is a vector, (P,), of real floating-point numbers.

    Raises
    ------
    TypeError, ValueError
        If it is anything else; if it has another number of axes.
    """
    check_array(owner, what, array, None, "real floating")
    if array.ndim != 1:
        raise ValueError(f"{owner}: the {what} must have one axis, got the shape {array.shape}")


def is_finite(array: np.ndarray) -> bool:
    """Return whether no element is NaN or infinite."""
    return bool(np.isfinite(array).all())


def check_finite(name: str, array: np.ndarray) -> None:
    """Check that every element of an array of numbers is finite.

    Raises
    ------
    ValueError
        If one is NaN or infinite; the message gives the first such one with its index, and their
        number: "x[1, 3] is nan: x must be finite, and 2 of 12 numbers are not". A `name`
        may begin with its owner and a colon, ``"Trainer: x"``.
    """
    finite = np.isfinite(array)
    if finite.all():
        return
    index = np.unravel_index(int(np.argmin(finite)), array.shape)
    place = f"[{', '.join(map(str, index))}]" if array.ndim else ""
    count = int(array.size - finite.sum())
    are = "is" if count == 1 else "are"
    raise ValueError(
        f"{name}{place} is {array[index]}: {name.rpartition(': ')[2]} must be finite, "
        f"and {count:,} of {array.size:,} numbers {are} not"
    )


def holds_nan(a: Any) -> bool:
    """Say whether an array, or one of several, holds NaN."""
    return any(bool(np.isnan(one.min(initial=0))) for one in as_tuple(a))  # no copy of many outputs


def check_sequence(owner: str, name: str, value: Any, of: str = "integers") -> tuple[Any, ...]:
    """Return the elements of a sequence as a tuple, or say that one is expected."""
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise TypeError(f"{owner}: {name} must be a sequence of {of}, got {value!r}")
    return tuple(value)


def kind_of(value: Any) -> str:
    """Say in a few words what was given: what is short as it is, arrays by their shapes."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"one array of shape {value.shape}, {value.dtype}"
    if _is_short(value):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape else "")


def _is_short(value: Any) -> bool:
    """Say whether it is a number, a word, a class, None, or a few of these in a sequence."""
    if isinstance(value, (tuple, list)):
        plain = len(value) < 10 and not any(isinstance(one, (tuple, list)) for one in value)
        return plain and all(map(_is_short, value))
    scalar = isinstance(value, (numbers.Number, str, type, np.generic, np.ndarray, type(None)))
    return scalar and not np.ndim(value) and len(repr(value)) <= 100
