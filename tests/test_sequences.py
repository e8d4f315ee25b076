"""Sequences of different lengths in one array."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.sequences import pad


def test_numbers_get_a_row_that_says_which_steps_are_real():
    short, long = np.array([[1, 2], [3, 4]], np.float32), np.arange(6, dtype=np.float32)
    padded = pad([short, long.reshape(2, 3)])
    assert padded.dtype == np.float32
    np.testing.assert_array_equal(padded[..., 0], [[1, 2, 0], [3, 4, 0], [1, 1, 0]])
    np.testing.assert_array_equal(padded[..., 1], [[0, 1, 2], [3, 4, 5], [1, 1, 1]])


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_tokens_are_minus_one_where_there_is_none(dtype):
    padded = pad([np.array([7, 0, 200], dtype), np.array([5], dtype)], length=4)
    np.testing.assert_array_equal(padded.T, [[7, 0, 200, -1], [5, -1, -1, -1]])


def test_lists_are_sequences_too():
    np.testing.assert_array_equal(pad([[1, 2], [3]]), [[1, 3], [2, -1]])


@pytest.mark.parametrize(
    ("sequences", "length", "error", "message"),
    [
        ([], None, ValueError, "no sequences"),
        ([["a"]], None, TypeError, "sequence 0 must be of floats or integers, got <U1"),
        ([[1], [1.5]], None, TypeError, "sequence 1 is float64, sequence 0 is int64"),
        ([[1], []], None, TypeError, "sequence 1 is float64, sequence 0 is int64"),
        ([[[1.0]], [[1.0], [2.0]]], None, ValueError, r"sequence 1 must have shape \(1, T\)"),
        ([[1.0, 2.0]], None, ValueError, r"sequence 0 must have shape \(2, T\), got \(2,\)"),
        ([[[1], [2]]], None, ValueError, r"sequence 0 must have shape \(T,\), got \(2, 1\)"),
        ([np.zeros((2, 0))], None, ValueError, r"must have shape \(2, T\), got \(2, 0\)"),
        ([[3], [2, -1]], None, ValueError, "sequence 1 has a token -1, they begin at 0"),
        ([[1, 2, 3]], 2, ValueError, "a sequence has 3 steps, more than the length 2"),
    ],
)
def test_what_cannot_be_padded(sequences, length, error, message):
    with pytest.raises(error, match=message):
        pad(sequences, length)
