"""A recurrent layer step by step, and how gradients travel through time."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from backprop.layers import GRU, LSTM, RNN, ShapeError
from tests.cases import assert_unchanged, snapshot
from tests.layers.recurrent.support import CLOSE, draw, every_kind, make

# -- step by step ------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sequence_in_pieces_is_the_whole(kind, dtype):
    layer = make(kind).astype(dtype)
    x = draw(layer, steps=7)[0].astype(dtype)
    before = snapshot(layer)
    pieces, state = [], None
    for start, stop in [(0, 1), (1, 2), (2, 5), (5, 7)]:
        a, state = layer.step(x[:, start:stop].copy(), state)
        pieces.append(a)
    assert_unchanged(layer, before)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), layer.forward(x), strict=True)
    h = state[0] if kind is LSTM else state
    np.testing.assert_array_equal(h, pieces[-1][:, -1], strict=True)
    assert (isinstance(state, tuple), layer.states) == ((True, 2) if kind is LSTM else (False, 1))


def test_step_reads_the_state_only():
    layer = make(LSTM)
    x, _ = draw(layer)
    _, state = layer.step(x)
    for array in (x, *state):
        array.flags.writeable = False
    kept = [array.copy() for array in state]
    one, other = layer.step(x, state), layer.step(x, state)
    np.testing.assert_array_equal(one[0], other[0])
    for array, copied in zip(state, kept, strict=True):
        np.testing.assert_array_equal(array, copied)


def test_step_in_several_threads():
    layer = make(LSTM, 3, 8)
    inputs = [draw(layer, steps=20, seed=seed)[0] for seed in range(4)]
    expected = [layer.step(x)[0] for x in inputs]
    found: list[Any] = [None] * 4

    def work(j):
        state, pieces = None, []
        for t in range(20):
            a, state = layer.step(inputs[j][:, t : t + 1], state)
            pieces.append(a)
        found[j] = np.concatenate(pieces, axis=1)

    threads = [threading.Thread(target=work, args=(j,)) for j in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, right, **CLOSE)


def test_states_that_are_refused():
    layer, x = make(LSTM), np.zeros((3, 1, 4))
    h = np.zeros((2, 4))
    with pytest.raises(TypeError, match=r"^LSTM\(3 -> 2\): the state must be a tuple of 2 arrays"):
        layer.step(x, h)
    with pytest.raises(ShapeError, match=r"the state must have the shape \(2, 4\), got \(2, 3\)"):
        layer.step(x, (h, h[:, :3]))
    with pytest.raises(TypeError, match=r"^LSTM\(3 -> 2\), state: the input must be float64"):
        layer.step(x, (h, h.astype(np.float32)))
    with pytest.raises(ShapeError, match=r"expected input of shape \(3, T, B\), got \(4, 1, 4\)"):
        layer.step(np.zeros((4, 1, 4)))
    with pytest.raises(
        TypeError, match=r"^GRU\(3 -> 2\), state: the input must be a numpy array, got tuple"
    ):
        make(GRU).step(x, (h,))
    with pytest.raises(ValueError, match=r"^LSTM\(3 -> 2, reverse\): step goes forward in time"):
        make(LSTM, reverse=True).step(x)


# -- how gradients travel through time ---------------------------------------------------------


def test_the_gradient_of_an_rnn_vanishes_or_explodes_like_a_power():
    for factor in (0.5, 1.0, 2.0):
        layer = RNN(1, 1, "identity", dtype="float64", rng=0)
        layer.w_h = [[factor]]
        x, u = np.ones((1, 30, 1)), np.zeros((1, 30, 1))
        u[:, -1] = 1
        layer.forward(x, training=True)
        layer.backward(u)
        assert layer.delta.ravel().tolist() == [factor ** (29 - t) for t in range(30)]


def test_the_gradient_fades_in_an_rnn_and_stays_in_an_lstm():
    norms = {}
    for kind in (RNN, LSTM):
        layer = make(kind, 3, 10)
        if kind is LSTM:
            layer.b[10:20] = 8  # the forget gate stays open
        x, u = draw(layer, steps=40, batch=5)
        u[:, :-1] = 0
        layer.forward(x, training=True)
        layer.backward(u)
        norms[kind] = np.linalg.norm(layer.delta, axis=(0, 2))
    assert norms[RNN][0] < 1e-3 * norms[RNN][-1]
    assert norms[LSTM][0] > 0.05 * norms[LSTM][-1]


@every_kind
def test_large_inputs_saturate_and_nothing_overflows(kind):
    layer = kind(3, 2, rng=0)
    x = np.full((3, 4, 2), 1e30, np.float32)
    x[..., 1] *= -1
    a = layer.forward(x, training=True)
    assert np.isfinite(a).all()
    assert np.isfinite(layer.backward(np.ones_like(a))).all()
    assert np.abs(layer.delta[:, 1:]).max() < 1e-30
