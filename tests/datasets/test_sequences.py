"""Sequences of different lengths in one array."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from backprop import LSTM, SGD, Dense, Embedding, Network, TimeDistributed, Trainer
from backprop.datasets.sequences import chunks, pad


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


def test_they_come_with_the_data_sets():
    code = "from backprop import datasets; print(datasets.sequences.pad([[1, 2], [3]]).shape)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "(2, 2)\n"


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
        ([[1.0, 2.0]], None, ValueError, r"sequence 0 must have shape \(d, T\), got \(2,\)"),
        ([[[1], [2]]], None, ValueError, r"sequence 0 must have shape \(T,\), got \(2, 1\)"),
        ([np.zeros((2, 0))], None, ValueError, r"must have shape \(2, T\), got \(2, 0\)"),
        ([[3], [2, -1]], None, ValueError, "sequence 1 has a token -1, they begin at 0"),
        ([1.0], None, ValueError, r"sequence 0 must have shape \(d, T\), got \(\)"),
        ([[1, 2]], 2.5, TypeError, "pad: length must be an integer, got 2.5"),
        ([[1, 2, 3]], 2, ValueError, "a sequence has 3 steps, more than the length 2"),
    ],
)
def test_what_cannot_be_padded(sequences, length, error, message):
    with pytest.raises(error, match=message):
        pad(sequences, length)


def test_tokens_of_the_largest_integers_stay_integers():
    padded = pad([np.array([1, 2], np.uint64), np.array([3], np.uint64)])
    assert padded.dtype == np.int64
    np.testing.assert_array_equal(padded, [[1, 3], [2, -1]])


# -- one long sequence -------------------------------------------------------------------------


def test_batches_of_chunks_go_on_where_the_batch_before_ended():
    cut = chunks(np.arange(20), steps=3, batch_size=2)
    np.testing.assert_array_equal(cut[:, :2].T, [[0, 1, 2], [9, 10, 11]])
    np.testing.assert_array_equal(cut[:, 2:4].T, [[3, 4, 5], [12, 13, 14]])
    assert cut.shape == (3, 6)
    numbers = chunks(np.stack([np.arange(20), -np.arange(20)]), 3, 2)
    np.testing.assert_array_equal(numbers, [cut, -cut])


def test_what_cannot_be_cut():
    with pytest.raises(ValueError, match=r"2 streams of 3 steps take 6 steps, .* shape \(5,\)"):
        chunks(np.arange(5), 3, 2)
    with pytest.raises(TypeError, match=r"chunks: steps must be an integer, got 1\.5"):
        chunks(np.arange(5), 1.5, 2)


def carrying(rng=1):
    layers = [Embedding(4, 3), LSTM(3, 5, carry=True), TimeDistributed(Dense(5, 4, "softmax"))]
    return Network(layers, "softmax_cross_entropy", input_shape=(None,), rng=rng)


def test_a_trainer_carries_the_state_through_an_epoch_and_no_further():
    text = np.random.default_rng(0).integers(0, 4, 61)
    x, y = chunks(text[:-1], 5, 2), chunks(text[1:], 5, 2)
    network = carrying()
    trainer = Trainer(network, SGD(0.0), batch_size=2, rng=0, progress=False, shuffle=False)
    for _ in range(2):
        trainer.fit(x, y, epochs=1)
        carried = network[1].carried
        whole = network[0].forward(chunks(text[:-1], 30, 2))
        _, (h, c) = network[1].step(whole)
        np.testing.assert_allclose(carried, [h, c], atol=1e-6)


def test_a_state_that_is_carried_needs_the_order():
    with pytest.raises(ValueError, match=r"LSTM.* carries its state .* give shuffle=False"):
        Trainer(carrying(), SGD(0.1))


def test_without_shuffling_the_examples_stay_in_order():
    class Order(Dense):
        seen = []  # noqa: RUF012

        def output(self, a_prev, mode):
            if mode.training:
                self.seen.append(a_prev[0].tolist())
            return super().output(a_prev, mode)

    network = Network([Order(1, 1)], "quadratic", rng=0)
    x = np.arange(5, dtype=np.float32)[np.newaxis]
    Trainer(network, SGD(0.0), batch_size=2, rng=0, progress=False, shuffle=False).fit(x, x, 2)
    assert Order.seen == [[0, 1], [2, 3], [4]] * 2
