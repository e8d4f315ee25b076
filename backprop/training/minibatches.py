"""Minibatches, gathered from examples that lie one after another in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple, each_array
from backprop.core.stored import Stored
from backprop.kernels import memory


def rows_of(x: Any) -> Any:
    """Return x example-major, N x ..., in C order; a view where x is the transpose of that."""
    return each_array(
        lambda one: (
            one.rows if isinstance(one, Stored) else np.ascontiguousarray(np.moveaxis(one, -1, 0))
        ),
        x,
    )


def in_memory(y: Any) -> Any:
    """Return targets as plain arrays: those mapped from a file are read."""
    return each_array(lambda one: np.array(one) if isinstance(one, np.memmap) else one, y)


def minibatches(
    rows_x: Any,
    rows_y: Any,
    order: np.ndarray,
    first: int,
    size: int,
    rows_w: Any = None,
    views: bool = False,
) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the minibatches in this order, from the one of number `first` on.

    Parameters
    ----------
    rows_x, rows_y : ndarray, N x ..., or tuple of them
        What `rows_of` made of the examples and the targets.
    order : ndarray of int, (N,)
    first, size : int
        Where to begin, in minibatches, and how many examples there are in one; the last has what
        is left.
    rows_w : ndarray, N x ..., or tuple of them, optional
        What `rows_of` made of weights; None is yielded where there are none.
    views : bool
        Whether images stay one after another in memory.
    """
    bytes_each = sum(
        rows.nbytes // max(1, len(rows)) for data in (rows_x, rows_y) for rows in as_tuple(data)
    )
    ahead = size * max(1, memory.GATHER_BYTES // max(1, size * bytes_each))
    for begin in range(first * size, len(order), ahead):
        chosen = order[begin : begin + ahead]
        x, y = (each_array(partial(_take, chosen), rows) for rows in (rows_x, rows_y))
        cut_x, cut_y = _columns_of(x, views), _columns_of(y, views)
        cut_w = rows_w is not None and _columns_of(
            each_array(partial(_take, chosen), rows_w), views
        )
        for start in range(0, len(chosen), size):
            part = slice(start, start + size)
            yield cut_x(part), cut_y(part), cut_w(part) if cut_w else None
        del x, y, cut_x, cut_y, cut_w  # before as much is gathered again


def _take(chosen: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return rows.take(chosen, 0)


def _columns_of(rows: Any, views: bool) -> Callable[[slice], Any]:
    """Return what gives some of the examples with the batch on the last axis.

    A matrix product takes the transposed view as well; a convolution would copy images in each
    pass, so that it is given them as a copy.
    """
    if isinstance(rows, tuple):
        several = [_columns_of(one, views) for one in rows]
        return lambda part: tuple(cut(part) for cut in several)
    if rows.ndim <= 2:
        return lambda part: rows[part].T
    if views:
        return lambda part: np.moveaxis(rows[part], 0, -1)
    return lambda part: np.ascontiguousarray(np.moveaxis(rows[part], 0, -1))
