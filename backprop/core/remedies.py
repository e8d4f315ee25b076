"""What to do about an argument that was refused, as an expression that can be run as it stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

Shape = tuple[int, ...]


def as_array(name: str, value: Any) -> str:
    """Write how to make a NumPy array of what is none: a list, a pandas object, a tensor."""
    from backprop.core.stored import Stored  # which only errors need

    if isinstance(value, Stored):
        return f"{name}[..., :1000]"
    if hasattr(value, "to_numpy"):  # pandas, polars
        return f"{name}.to_numpy()"
    if hasattr(value, "detach"):
        return f"{name}.detach().cpu().numpy()"
    if isinstance(value, np.ma.MaskedArray):
        return f"{name}.filled(...)"
    return f"np.asarray({name})"


def close_names(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Return the names that may have been meant.

    Those that it is the beginning of a word in come first, then those whose initials it is, "mse"
    those of "mean_squared_error", then those that are written alike.
    """
    import difflib  # which nothing else needs

    name, names = name.strip().lower(), list(dict.fromkeys(names))
    longer = [
        one
        for one in names
        if len(name) > 1 and any(word.startswith(name) for word in (one, *one.split("_")))
    ]
    longer.sort(key=lambda one: (not one.startswith(name), len(one)))
    alike = difflib.get_close_matches(name, names, most)
    initials = [one for one in names if name == "".join(word[:1] for word in one.split("_"))]
    return list(dict.fromkeys([*longer, *initials, *alike]))[:most]


def floating(expression: str, value: Any, dtype: np.dtype) -> str:
    """Write how to have `value`, which the expression stands for, in a floating-point dtype."""
    return expression if value.dtype == dtype else f"{expression}.astype(np.{dtype})"


def fits(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    """Say whether a shape is the expected one, None standing for any length."""
    return len(shape) == len(expected) and all(
        n == m or m is None for n, m in zip(shape, expected, strict=True)
    )


def turned(shape: Shape, expected: Sequence[int | None]) -> str:
    """Write what turns an x of this shape into examples of `expected` shape, the batch last.

    "" if nothing known does. An x of the right shape is "x".
    """
    for expression, change in _TURNS:
        got = change(shape)
        if got and fits(got[:-1], expected):
            return expression
    return ""


def scaled(shape: Shape, expected: Sequence[int | None], options: str = "") -> str:
    """Write what makes columns, or images, in [0, 1] of an x that holds pixels; "" if nothing."""
    for expression, change in _OF_PIXELS:
        got = change(shape)
        if got and fits(got[:-1], expected):
            return expression.format(options)
    return ""


def _rows(shape: Shape) -> Shape:
    return (math.prod(shape[1:]), shape[0]) if len(shape) > 1 else ()


def _images(shape: Shape) -> Shape:
    if len(shape) == 4:
        return (*shape[1:], shape[0])
    return (1, *shape[1:], shape[0]) if len(shape) == 3 else ()


def _last(shape: Shape) -> Shape:
    return (*shape[1:], shape[0]) if len(shape) > 2 else ()


_TURNS: list[tuple[str, Callable[[Shape], Shape]]] = [
    ("x", lambda shape: shape),
    ("x.T", lambda shape: shape[::-1] if len(shape) == 2 else ()),
    ("np.moveaxis(x, 0, -1)", _last),
    ("x.transpose(3, 1, 2, 0)", lambda s: (s[3], s[1], s[2], s[0]) if len(s) == 4 else ()),
    ("to_images(x)", _images),
    ("to_columns(x)", lambda shape: _rows(shape) if len(shape) > 2 else ()),
    ("x[np.newaxis]", lambda shape: (1, *shape) if len(shape) == 3 else ()),
    ("x.reshape(-1, x.shape[-1])", lambda s: (math.prod(s[:-1]), s[-1]) if len(s) > 2 else ()),
    ("x[..., np.newaxis]", lambda shape: (*shape, 1)),
]
_OF_PIXELS: list[tuple[str, Callable[[Shape], Shape]]] = [
    ("to_columns(x.T{})", lambda shape: shape if len(shape) == 2 else ()),
    ("to_columns(x{})", _rows),
    ("to_images(x{})", _images),
    ("to_images(np.moveaxis(x, -1, 0){})", lambda shape: shape if len(shape) == 4 else ()),
    (
        "to_images(x.transpose(0, 3, 1, 2){})",
        lambda s: (s[3], s[1], s[2], s[0]) if len(s) == 4 else (),
    ),
    ("to_columns(x[np.newaxis]{})", lambda shape: (math.prod(shape), 1)),
]
