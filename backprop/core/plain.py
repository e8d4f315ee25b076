"""Plain data as strict JSON, which knows no NaN and no infinity: they are written as strings."""

from __future__ import annotations

import json
import math
import numbers
from typing import Any

import numpy as np

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(data: Any, indent: int | None = None) -> str:
    """Return numbers, strings, lists and dicts as JSON that every parser takes.

    A number that is not finite becomes the string "NaN", "Infinity" or "-Infinity", which
    Python's `float`, JavaScript's `Number` and the JSON of Protocol Buffers all read as that
    number. A NumPy scalar becomes the number that it holds, and a fraction or a number of more
    digits than a float has the nearest float.

    Raises
    ------
    TypeError
        If something else is in it.
    """
    return json.dumps(strict(data), indent=indent, allow_nan=False)


def numbers_from_json(text: str | bytes) -> Any:
    """Return the data that `to_json` wrote, every string that stands for a number being one.

    Raises
    ------
    ValueError, RecursionError
        If `text` is no JSON.
    """
    return numbers_of(from_json(text))


def from_json(text: str | bytes) -> Any:
    """Return the data in text that is JSON, in UTF-8, which knows no NaN and no infinity.

    Raises
    ------
    ValueError, RecursionError
        If it is none.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    return json.loads(text, parse_constant=_refuse, parse_float=_float)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text:.80} is beyond what a float can hold")
    return number


def _refuse(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


def strict(data: Any) -> Any:
    """Return plain data with a string in the place of every number that is not finite."""
    if isinstance(data, np.generic):
        data = data.item()
    if not isinstance(data, int) and isinstance(data, numbers.Real):
        data = float(data)
    if isinstance(data, float) and not math.isfinite(data):
        return next(name for name, number in _NOT_FINITE.items() if number == data or data != data)
    if isinstance(data, dict):
        return {key: strict(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [strict(value) for value in data]
    return data


def number_of(name: str) -> float:
    """Return the number that is not finite that `strict` called so, or Python, as in older files.

    Raises
    ------
    KeyError, TypeError
        If there is none of that name.
    """
    return {**_NOT_FINITE, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}[name]


def numbers_of(data: Any) -> Any:
    """Return what `strict` was given: a number in the place of every string that stands for one."""
    if isinstance(data, str):
        return _NOT_FINITE.get(data, data)
    if isinstance(data, dict):
        return {key: numbers_of(value) for key, value in data.items()}
    if isinstance(data, list):
        return [numbers_of(value) for value in data]
    return data
