"""Sequences as arrays: of different lengths, as `Masked` takes them, and one long one in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_integer


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
    if length is not None:
        length = check_integer("pad: length", length)
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
        signed = np.result_type(first.dtype, np.int8)
        signed = signed if signed.kind == "i" else np.dtype(np.int64)  # of uint64
        padded = np.full((length, len(arrays)), -1, signed)
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
    d = len(first) if first.ndim == 2 else "d"
    expected = "(T,)" if tokens else f"({d}, T)"
    fits = array.ndim == 1 if tokens else array.ndim == 2 and len(array) == d
    if not fits or not array.size:
        raise ValueError(f"pad: sequence {index} must have shape {expected}, got {array.shape}")
    if tokens and array.min() < 0:
        raise ValueError(f"pad: sequence {index} has a token {array.min()}, they begin at 0")


def chunks(sequence: np.ndarray, steps: int, batch_size: int) -> np.ndarray:
    """Cut one long sequence for layers that carry their state from batch to batch.

    It is cut into `batch_size` streams of one length, and every stream into chunks of `steps`
    steps. Batch k holds the k-th chunk of all streams, so that batch k + 1 goes on, column by
    column, where batch k ended.

    Parameters
    ----------
    sequence : ndarray, ... x T
        Tokens or labels (T,), or numbers d x T.
    steps, batch_size : int
        The batch size must be that of the trainer, whose order must be left as it is
        (``shuffle=False``).

    Returns
    -------
    ndarray, ... x steps x N
        N is a multiple of `batch_size`. What is left at the end of the sequence is cut off.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not positive integers, or a sequence too short for one batch.
    """
    steps = check_integer("chunks: steps", steps)
    batch_size = check_integer("chunks: batch_size", batch_size)
    sequence = np.asarray(sequence)
    count = sequence.shape[-1] // (steps * batch_size) if sequence.ndim else 0
    if not count:
        raise ValueError(
            f"chunks: {batch_size} streams of {steps} steps take {steps * batch_size} steps, the "
            f"sequence has shape {sequence.shape}"
        )
    streams = sequence[..., : count * steps * batch_size]
    streams = streams.reshape(*sequence.shape[:-1], batch_size, count, steps)
    return np.moveaxis(streams, (-1, -2, -3), (-3, -2, -1)).reshape(
        *sequence.shape[:-1], steps, count * batch_size
    )
