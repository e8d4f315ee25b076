"""What is wrong with targets that a cost does not take, and what would make them right."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.checks import is_plain
from backprop.core.remedies import as_array, floating
from backprop.core.shapes import ShapeError
from backprop.layers.outputs import Outputs


def check_targets_like(owner: object, a: np.ndarray, y: Any, takes_labels: bool = False) -> None:
    """Raise unless y has the dtype and the shape of the outputs a, which it is to be a target for.

    The message ends in what makes such a target of y: labels as text, as bool or as floats,
    one-hot in integers, rows for columns, a list or a pandas object. A cost that `takes_labels`
    has accepted integers of the right shape before.

    Raises
    ------
    TypeError
        If y is no array, or one of another type.
    ShapeError
        If its shape differs; nothing is broadcast.
    """
    dtype = np.dtype(np.float64) if a.dtype.kind == "c" else a.dtype
    if is_plain(y) and y.dtype == dtype and y.shape == a.shape:
        return
    array, start = (y, "y") if is_plain(y) else (_array_of(y), as_array("y", y))
    bounded = getattr(owner, "demands", None) not in (None, Outputs.ANYTHING)
    known = array is not None and array.size
    remedy = _remedy(a.shape, dtype, array, start, takes_labels, bounded) if known else None
    then = "" if remedy is None else f": give {remedy}"
    if not is_plain(y):
        kind = type(y).__name__
        if known and remedy is None:  # of the array there is then more to say
            then = f": give {start}"
        raise TypeError(f"{owner}: the target y must be a numpy array, got {kind}{then}")
    kind = "text" if y.dtype.kind in "SU" else str(y.dtype)
    if y.shape == a.shape or (remedy is None and y.dtype.kind not in "biufSU"):
        raise TypeError(f"{owner}: the target y must be {dtype}, got {kind}{then}")
    is_labels = y.shape == a.shape[1:] and (
        remedy is not None or y.dtype.kind in "biuSU" or _is_whole(y)
    )
    if is_labels and remedy is None and (classes := len(np.unique(y))) > max(2, a.shape[0]):
        then = f": for {classes} classes the last layer needs as many units"
    if is_labels and not takes_labels:
        error = ShapeError if y.dtype == dtype else TypeError
        raise error(
            f"{owner} takes targets of the output's shape {a.shape}, got labels of shape "
            f"{y.shape}, {kind}{then}"
        )
    got = str(y.shape) if y.dtype == dtype else f"{kind} of shape {y.shape}"
    if is_labels:
        got = f"{kind} of shape {y.shape}"
        raise TypeError(f"{owner}: the target y must be integer labels, got {got}{then}")
    if remedy is None and y.ndim == a.ndim and y.shape[1:] == a.shape[1:]:
        one = len(y) == 1
        targets, units = ("1 target", "1 unit") if one else (f"{len(y)} targets", "as many units")
        then = f": for {targets} an example the last layer needs {units}"
    elif remedy is None and (y.ndim == 0 or y.shape[-1] != a.shape[-1]):
        counted = y.shape[-1] if y.ndim else "no"
        then = f": x holds {a.shape[-1]} examples but y has {counted} targets: the batch is the "
        then += "last axis"
    expected = f"y must have the output's shape {a.shape}"
    if takes_labels and y.dtype.kind in "biu":
        expected = f"expected labels of shape {a.shape[1:]} or targets of shape {a.shape}"
    raise ShapeError(f"{owner}: {expected}, got {got}{then}")


def _is_whole(y: np.ndarray) -> bool:
    """Say whether floating-point numbers are whole ones, as labels are."""
    return bool(y.dtype.kind == "f" and y.size and (y == np.round(y)).all())


def _array_of(y: Any) -> np.ndarray | None:
    """Return a list, or a pandas object, as an array, unless it makes none."""
    try:
        array = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)
    except Exception:  # rows of several lengths, or an object that is no sequence
        return None
    return array if array.dtype.kind in "biufSUO" and array.ndim else None


def _remedy(
    shape: tuple[int, ...],
    dtype: np.dtype,
    y: Any,
    expression: str,
    takes_labels: bool,
    bounded: bool,
) -> str | None:
    """Write what makes a target for outputs of this shape of y; None if nothing known does."""
    if y.dtype == object and all(isinstance(one, str) for one in y.ravel()):
        y, expression = y.astype(str), f"{expression}.astype(str)"
    if y.dtype.kind == "O":
        try:
            y, expression = y.astype(dtype), f"{expression}.astype(np.{dtype})"
        except (TypeError, ValueError):
            return None
    if y.dtype.kind in "SU":
        if y.size != np.prod(shape[1:]):
            return None
        kinds, y = np.unique(y), np.unique(y, return_inverse=True)[1].reshape(y.shape)
        if len(kinds) > max(2, shape[0]):
            return None
        expression = f"np.unique({expression}, return_inverse=True)[1]"
        if y.ndim > 1:
            expression += f".reshape({y.shape})"
    if y.dtype.kind not in "biuf":
        return None
    if y.shape == shape:  # one-hot, or numbers, of another dtype
        return floating(expression, y, dtype)
    if y.shape == shape[::-1] and len(shape) == 2:
        return floating(f"{expression}.T", y, dtype)
    if y.ndim == 2 and len(shape) == 2 and 1 in y.shape and y.size == shape[-1]:
        y, expression = y.ravel(), f"{expression}.ravel()"
    if y.shape != shape[1:]:
        return None
    if shape[0] == 1 and not (takes_labels and y.dtype.kind in "biu"):
        return _of_one_output(y, expression, dtype, bounded)
    return _of_labels(shape, dtype, y, expression, takes_labels)


def _of_one_output(y: np.ndarray, expression: str, dtype: np.dtype, bounded: bool) -> str | None:
    """Write what makes a row of y, one target an example: 0 or 1, where targets are `bounded`."""
    if bounded and y.dtype.kind != "b" and not (y.min() >= 0 and y.max() <= 1):
        kinds = np.unique(y)
        if len(kinds) != 2:  # more classes than one output tells apart
            return None
        return f"({expression} == {kinds[1]})[np.newaxis].astype(np.{dtype})"  # of 1 and 2, say
    return floating(f"{expression}[np.newaxis]", y, dtype)


def _of_labels(
    shape: tuple[int, ...], dtype: np.dtype, y: np.ndarray, expression: str, takes_labels: bool
) -> str | None:
    """Write what makes labels, or one-hot columns of them, of one label an example."""
    if y.dtype.kind == "f":
        if not _is_whole(y):
            return None
        y, expression = y.astype(int), f"{expression}.astype(int)"
    elif y.dtype.kind == "b":
        y, expression = y.astype(int), f"{expression}.astype(int)"
    n, least, most = shape[0], int(y.min()), int(y.max())
    if most >= n and least >= 1 and most - least < n:  # counted from 1
        expression, least, most = f"{expression} - {least}", 0, most - least
    elif least < 0 and y.ndim == 1 and len(np.unique(y)) <= n:  # -1 and 1, say
        expression, least, most = f"np.unique({expression}, return_inverse=True)[1]", 0, 0
    if most >= n or least < 0:
        return None
    if takes_labels:
        return expression
    if y.ndim == 1:
        return f"one_hot({expression}, {n}{'' if dtype == np.float32 else f', np.{dtype}'})"
    return f"np.eye({n}, dtype=np.{dtype})[:, {expression}]"
