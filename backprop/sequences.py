"""Sequences of different lengths as one array, as `backprop.layers.Masked` takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def pad(sequences: Sequence[Any], length: int | None = None) -> np.ndarray:
    """Return the sequences side by side, the shorter ones filled up at their end.

    Parameters
    ----------
    sequences : sequence of N arrays
        Numbers, d x T_i, all of one floating dtype; or tokens or labels, T_i integers from 0 up.
    length : int, optional
        T, at least the longest T_i, which it is unless told.

    Returns
    -------
    ndarray
        (d + 1) x T x N, whose last row is 1 where a step is real and 0, as all above it, where it
        is not; or T x N integers, -1 where a step is not real. As labels they cost nothing there
        (`SoftmaxCrossEntropy`).

    Raises
    ------
    TypeError, ValueError
        If there are none, or one is empty, or of another kind, dtype or d than the first, or
        longer than `length`; the message gives its place.
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    if not arrays:
        raise ValueError("pad: there are no sequences")
    first = arrays[0]
    tokens = first.dtype.kind in "iu"
    if not tokens and first.dtype.kind != "f":
        raise TypeError(f"pad: sequence 0 must be of floats or integers, got {first.dtype}")
    for index, array in enumerate(arrays):
        _check(index, array, first, tokens)
    longest = max(array.shape[-1] for array in arrays)
    if length is None:
        length = longest
    elif length < longest:
        raise ValueError(f"pad: a sequence has {longest} steps, more than the length {length}")
    if tokens:
        padded = np.full((length, len(arrays)), -1, np.result_type(first.dtype, np.int8))
    else:
        padded = np.zeros((len(first) + 1, length, len(arrays)), first.dtype)
    for index, array in enumerate(arrays):
        steps = array.shape[-1]
        if tokens:
            padded[:steps, index] = array
        else:
            padded[:-1, :steps, index] = array
            padded[-1, :steps, index] = 1
    return padded


def _check(index: int, array: np.ndarray, first: np.ndarray, tokens: bool) -> None:
    if array.dtype != first.dtype:
        raise TypeError(f"pad: sequence {index} is {array.dtype}, sequence 0 is {first.dtype}")
    expected = "(T,)" if tokens else f"({len(first)}, T)"
    fits = array.ndim == 1 if tokens else array.ndim == 2 and len(array) == len(first)
    if not fits or not array.size:
        raise ValueError(f"pad: sequence {index} must have shape {expected}, got {array.shape}")
    if tokens and array.min() < 0:
        raise ValueError(f"pad: sequence {index} has a token {array.min()}, they begin at 0")
