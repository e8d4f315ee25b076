"""Containers in C, masks of padded sequences, and parameters that stand in several places."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Network
from backprop.compiled import NoTwin, Program
from backprop.kernels.windows import Windows
from backprop.layers import (
    GRU,
    LSTM,
    Conv1d,
    ConvTranspose1d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool,
    Identity,
    LayerNorm,
    Masked,
    MaxPool1d,
    MultiHeadAttention,
    Parallel,
    PositionalEncoding,
    Residual,
    Sequential,
    Tanh,
    TimeDistributed,
    TimeStep,
)
from backprop.layers.masks import ends_moved, of_windows, only_real
from backprop.optimizers import SGD, Adam
from backprop.regularizers import L2
from tests.compiled.calls import Calls, by_kinds
from tests.compiled.support import assert_one, needs_compiler, train_both

pytestmark = needs_compiler

sizes = st.integers(1, 5)
batches = st.integers(1, 70)


@functools.lru_cache
def calls(dtype="f8"):
    functions = {
        "only_real": "nnppp",
        "zero_padding": "nnpp",
        "only_real_integers": "nnppp",
        "mask_of_numbers": "nnpp",
        "mask_of_tokens": "nnppp",
        "real_in_both": "nppp",
        "ends_moved": "nnnnnnpp",
        "sum_of_two": "nppp",
    }
    return Calls(["masks.h", "containers.h"], dtype, **by_kinds(functions))


def dense(n_in, n_out, sigma="tanh", seed=0):
    return Dense(n_in, n_out, sigma, dtype="f8", rng=seed)


# -- masks ------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(n=sizes, steps=sizes, batch=batches, seed=st.integers(0, 999))
def test_padding_is_0_whatever_stands_in_it(n, steps, batch, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, steps, batch))
    x[rng.random(x.shape) < 0.2] = np.nan
    mask = rng.random((steps, batch)) < 0.5
    real, found, m = mask.astype(np.uint8), np.empty_like(x), steps * batch
    expected = only_real(None, x, mask)
    calls()("only_real", n, m, real, x, found)
    np.testing.assert_array_equal(found, expected)
    found = x.copy()
    calls()("zero_padding", n, m, real, found)
    np.testing.assert_array_equal(found, expected)
    tokens = rng.integers(0, 9, x.shape).astype(np.int32)
    found = np.empty_like(tokens)
    calls()("only_real_integers", n, m, real, tokens, found)
    np.testing.assert_array_equal(found, only_real(None, tokens, mask))


@settings(max_examples=40)
@given(n=sizes, steps=sizes, batch=batches, seed=st.integers(0, 999))
def test_masks_come_with_the_data(n, steps, batch, seed):
    rng = np.random.default_rng(seed)
    m, mask = steps * batch, np.empty((steps, batch), np.uint8)
    rows = rng.choice([0, 0.5, 0.6, 1, np.nan], (n, steps, batch))
    calls()("mask_of_numbers", n, m, rows, mask)
    np.testing.assert_array_equal(mask, (rows > 0.5).all(axis=0))
    tokens = rng.integers(-1, 3, (n, steps, batch)).astype(np.int32)
    found = np.empty_like(tokens)
    calls()("mask_of_tokens", n, m, tokens, mask, found)
    np.testing.assert_array_equal(mask, (tokens != -1).all(axis=0))
    np.testing.assert_array_equal(found, np.where(tokens == -1, 0, tokens))
    both = np.empty_like(mask)
    calls()("real_in_both", m, mask, np.ones_like(mask), both)
    np.testing.assert_array_equal(both, mask)


@settings(max_examples=60)
@given(
    steps=st.integers(3, 12),
    batch=st.integers(1, 9),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    repeat=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_steps_after_windows(steps, batch, kernel, stride, padding, repeat, seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, steps + 1, batch)
    mask = np.arange(steps)[:, None] < lengths
    windows = Windows((kernel,), (stride,), (1,), (padding,))
    expected = of_windows(None, windows, mask)
    found, by = np.empty(expected.shape, np.uint8), 2 * padding - kernel + 1
    numbers = steps, batch, len(expected), 1, by, stride
    calls()("ends_moved", *numbers, mask.astype(np.uint8), found)
    np.testing.assert_array_equal(found, expected)
    expected = ends_moved(mask.repeat(repeat, axis=0), by)
    found = np.empty(expected.shape, np.uint8)
    numbers = steps, batch, len(expected), repeat, by, 1
    calls()("ends_moved", *numbers, mask.astype(np.uint8), found)
    np.testing.assert_array_equal(found, expected)


def sequences(rng, n, steps, batch):
    """Return padded sequences with a mask below them; one has no step at all."""
    x = rng.standard_normal((n + 1, steps, batch))
    x[-1] = rng.random((steps, batch)) < 0.7
    x[-1, :, 0] = 0
    x[:-1, x[-1] == 0] = 1e6  # what stands there changes nothing
    return x


def of_numbers():
    inner = [
        TimeDistributed(dense(3, 4)),
        PositionalEncoding(),
        Residual([LayerNorm(4, dtype="f8"), MultiHeadAttention(4, 2, True, dtype="f8", rng=1)]),
        Parallel([LSTM(4, 2, dtype="f8", rng=2), GRU(4, 2, reverse=True, dtype="f8", rng=3)]),
        Parallel([Identity(), Sequential([TimeDistributed(dense(4, 4)), Dropout(0.3)])], "sum"),
        TimeStep(-1),
        dense(4, 2, "identity"),
    ]
    return Network([Masked(inner)], "quadratic", input_shape=(4, 5), rng=4)


def test_a_chain_under_a_mask():
    rng = np.random.default_rng(0)
    x, y = sequences(rng, 3, 5, 11), rng.standard_normal((2, 11))
    numpy, compiled = train_both(of_numbers(), x, y, epochs=2)
    assert_one(numpy, compiled)
    found = numpy.network.predict(x, compiled=True)
    np.testing.assert_allclose(found, numpy.network.predict(x), 1e-11, 1e-12)


def test_layers_that_change_the_steps_under_a_mask():
    rng = np.random.default_rng(0)
    inner = [
        Conv1d(2, 3, 3, 2, 2, dtype="f8", rng=1, activation="tanh"),
        MaxPool1d(2, 1, 1),
        ConvTranspose1d(3, 2, 3, 2, 1, dtype="f8", rng=2, activation="tanh"),
        GRU(2, 3, dtype="f8", rng=3),
        GlobalAvgPool(),
        dense(3, 2),
    ]
    network = Network([Masked(inner)], "quadratic", input_shape=(3, 8))
    x = rng.standard_normal((3, 8, 9))
    x[-1] = np.arange(8)[:, None] < rng.integers(1, 9, 9)
    numpy, compiled = train_both(network, x, rng.standard_normal((2, 9)), epochs=2)
    assert_one(numpy, compiled)


def test_a_mask_in_the_middle_has_no_gradient():
    rng = np.random.default_rng(0)
    marked = Parallel([TimeDistributed(dense(3, 3)), TimeDistributed(dense(3, 1, "sigmoid"))])
    masked = Masked([GRU(3, 2, dtype="f8", rng=0)])
    network = Network([marked, masked], "quadratic", input_shape=(3, 4))
    x, y = rng.standard_normal((3, 4, 8)), rng.standard_normal((2, 4, 8))
    assert_one(*train_both(network, x, y, epochs=2))


def test_tokens_whose_padding_costs_nothing():
    rng = np.random.default_rng(0)
    inner = [Embedding(6, 3, dtype="f8", rng=0), LSTM(3, 4, dtype="f8", rng=1)]
    layers = [Masked(inner), TimeDistributed(dense(4, 5, "softmax"))]
    network = Network(layers, "softmax_cross_entropy", input_shape=(5,))
    x = rng.integers(-1, 6, (5, 12))
    y = np.where(x == -1, -1, rng.integers(0, 5, x.shape))
    y[0] = 1  # a sequence that costs something, at least
    assert_one(*train_both(network, x, y, epochs=2))


# -- containers ---------------------------------------------------------------------------------


def test_containers_in_containers():
    inner = Parallel([dense(4, 3, seed=1), Sequential([dense(4, 2), Tanh()])])
    network = Network(
        [
            Residual([dense(4, 4), Residual([dense(4, 4, "sigmoid")])]),
            Parallel([inner, Identity(), Residual([dense(4, 4, seed=2)])]),
            Parallel([dense(13, 3), dense(13, 3, "relu", 1), Sequential([dense(13, 3)])], "sum"),
            Sequential([Flatten(), Sequential([dense(3, 2, "softmax")])]),
        ],
        "softmax_cross_entropy",
        input_shape=(4,),
    )
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 11)), rng.integers(0, 2, 11)
    assert_one(*train_both(network, x, y, epochs=3, optimizer=Adam(0.01), regularizer=L2(0.1)))


def test_examples_as_rows_go_to_every_branch():
    branches = [dense(4, 3, seed=1), Residual([dense(4, 4)]), Identity()]
    network = Network([Parallel(branches)], "quadratic", input_shape=(4,))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 8)), rng.standard_normal((11, 8))
    assert_one(*train_both(network, x, y))


def test_what_the_program_cannot_do_is_told():
    class Mine(Tanh):
        pass

    network = Network([dense(3, 3), Residual([Mine()])], "quadratic")
    with pytest.raises(NoTwin, match="has no twin"):
        Program(network, 4, SGD(0.1))


# -- one parameter in several places --------------------------------------------------------------


def twice():
    layer = dense(3, 3)
    return [layer, Tanh(), layer, Residual([layer, dense(3, 3, "relu", 1)]), layer]


def twice_at_depth():
    block = Residual([dense(3, 3), dense(3, 3, "sigmoid", 1)])
    return [block, Parallel([block, dense(3, 3)], "sum"), Sequential([block])]


def transposed():
    encoder = dense(3, 5)
    return [encoder, dense(5, 3, "identity").tie("w", encoder, transposed=True)]


def transposed_across():
    encoder = dense(3, 5)
    decoder = dense(5, 3, "identity").tie("w", encoder, transposed=True)
    third = dense(3, 5).tie("w", decoder, transposed=True).tie("b", encoder)
    return [Residual([Sequential([encoder]), Sequential([decoder])]), third, dense(5, 3)]


@pytest.mark.parametrize("make", [twice, twice_at_depth, transposed, transposed_across])
def test_shared_parameters_add_up_their_gradients(make):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 8))
    settings = {"epochs": 3, "optimizer": Adam(0.01), "regularizer": L2(0.1), "clip_norm": 1.0}
    assert_one(*train_both(Network(make(), "quadratic"), x, y, **settings))


@pytest.mark.parametrize("frozen", ["the place", "the layer"])
def test_what_is_tied_to_a_frozen_layer(frozen):
    network = Network(transposed(), "quadratic")
    network[1 if frozen == "the place" else 0].trainable = False
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 8))
    assert_one(*train_both(network, x, y, epochs=3))


def test_tokens_in_and_out_by_one_matrix():
    embedding = Embedding(6, 4, dtype="f8", rng=0)
    out = Dense(4, 6, "softmax", dtype="f8", rng=1).tie("w", embedding, transposed=True)
    attention = MultiHeadAttention(4, 2, dtype="f8", rng=2)
    layers = [Masked([embedding, attention, attention]), TimeDistributed(out)]
    network = Network(layers, "softmax_cross_entropy", input_shape=(5,))
    rng = np.random.default_rng(0)
    x = rng.integers(-1, 6, (5, 8))
    y = np.where(x == -1, -1, rng.integers(0, 6, x.shape))
    y[0] = 1
    assert_one(*train_both(network, x, y, epochs=3))


def test_recurrent_layers_in_two_places():
    layer = LSTM(3, 3, dtype="f8", rng=0)
    gate = GRU(3, 3, dtype="f8", rng=1)
    other = LSTM(3, 3, reverse=True, dtype="f8", rng=2).tie("w_h", layer)
    network = Network(
        [layer, gate, layer, Residual([gate, other])], "quadratic", input_shape=(3, 4)
    )
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 4, 8))
    assert_one(*train_both(network, x, y, epochs=2))
