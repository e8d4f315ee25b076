"""Attention in C."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Network
from backprop.compiled import Program
from backprop.layers import Dense, Masked, MultiHeadAttention, TimeDistributed, TransformerBlock
from backprop.layers.mode import TRAINING
from backprop.optimizers import SGD
from tests.compiled.calls import Calls, by_kinds
from tests.compiled.support import assert_one, needs_compiler, relative, train_both

pytestmark = needs_compiler

CALLS = {
    "examples_first": "nnnpp",
    "steps_first": "nnnpp",
    "attention_qkv": "nnppppp",
    "attention_heads": "nnnnnxnppppppp",
    "attention_heads_back": "nnnnxppppppppp",
}


@functools.lru_cache
def calls(dtype):
    return Calls(["attention.h"], dtype, **by_kinds(CALLS))


class Heads:
    """The heads of a layer, computed by the functions in C."""

    def __init__(self, layer, x, mask):
        d, steps, batch = x.shape
        self.layer, self.sizes = layer, (d // layer.heads, layer.heads, steps, batch)
        self.factor, m = float(layer._scale), steps * batch
        self.by_example = np.empty((d, batch, steps), x.dtype)
        self.call = calls(str(x.dtype))
        self.call("examples_first", d, steps, batch, x, self.by_example)
        self.qkv = np.empty((3, d, batch, steps), x.dtype)
        w_qkv = np.concatenate([layer.w_q, layer.w_k, layer.w_v])
        self.call("attention_qkv", d, m, w_qkv, layer.b_q, layer.b_v, self.by_example, self.qkv)
        self.A = np.empty((layer.heads, batch, steps, steps), x.dtype)
        self.o, room = np.empty_like(self.by_example), np.empty(2 * steps, x.dtype)
        real = None if mask is None else mask.astype(np.uint8)
        real = np.ones((steps, batch), np.uint8) if real is None else real
        keep, causal = 1, int(layer.causal)
        self.call(
            "attention_heads", *self.sizes, causal, self.factor, keep, real, *self.qkv, self.A,
            self.o, room,
        )  # fmt: skip

    def back(self, nabla_o):
        """Return delta of q, k and v."""
        delta, steps = np.empty_like(self.qkv), self.sizes[2]
        room = np.empty(steps + steps**2, nabla_o.dtype)
        self.call(
            "attention_heads_back", *self.sizes, self.factor, *self.qkv, self.A, nabla_o, *delta,
            room,
        )  # fmt: skip
        return delta


@settings(max_examples=50)
@given(
    d_h=st.integers(1, 5),
    heads=st.integers(1, 3),
    steps=st.integers(1, 40),
    batch=st.integers(1, 9),
    causal=st.booleans(),
    masked=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 999),
)
def test_heads_are_those_of_the_layer(d_h, heads, steps, batch, causal, masked, dtype, seed):
    rng = np.random.default_rng(seed)
    d = d_h * heads
    layer = MultiHeadAttention(d, heads, causal, b_init="normal", dtype=dtype, rng=seed)
    x = 2 * rng.standard_normal((d, steps, batch)).astype(dtype)
    mask = rng.random((steps, batch)) < 0.7 if masked else None
    layer.run(x, TRAINING.masked(mask))
    heads_in_c = Heads(layer, layer.a_prev, mask)
    tolerance = 50 * np.finfo(dtype).eps
    q, k, v = np.split(layer.z[: 3 * d], 3)
    for found, expected in zip(heads_in_c.qkv, (q, k, v), strict=True):
        assert relative(found.swapaxes(1, 2), expected) <= tolerance
    assert relative(heads_in_c.A, layer._attention) <= 10 * tolerance
    assert relative(heads_in_c.o.swapaxes(1, 2), layer.o) <= 10 * tolerance
    nabla_a = rng.standard_normal(x.shape).astype(dtype)
    delta = layer.delta_of(nabla_a)
    nabla_o = np.ascontiguousarray(np.einsum("ij,itb->jbt", layer.w_o, nabla_a))
    for found, expected in zip(heads_in_c.back(nabla_o), np.split(delta, 4), strict=False):
        scale = np.abs(delta).max()
        assert np.abs(found.swapaxes(1, 2) - expected).max() <= 100 * tolerance * scale


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_beyond_all_bounds(dtype):
    layer = MultiHeadAttention(2, 1, causal=True, dtype=dtype, rng=0)
    rng = np.random.default_rng(0)
    x = (1e15 * rng.standard_normal((2, 4, 3))).astype(dtype)
    with np.errstate(all="ignore"):
        layer.run(x, TRAINING)
    found = Heads(layer, x, None)
    np.testing.assert_allclose(found.A, layer._attention, rtol=1e-5)
    x[:, 1, 0] = np.nan
    layer.run(x, TRAINING)
    found = Heads(layer, x, None)
    np.testing.assert_array_equal(np.isnan(found.A), np.isnan(layer._attention))


def block(causal, **settings):
    return TransformerBlock(
        4, 2, 6, causal, b_init="normal", dtype="f8", rng=3, **settings
    )  # fmt: skip


@pytest.mark.parametrize("masked", [False, True], ids=["all-steps", "masked"])
def test_trainings_are_one(masked):
    rng = np.random.default_rng(1)
    attention = MultiHeadAttention(4, 4, b_init="normal", dtype="f8", rng=2)
    layers = [block(True, activation="tanh"), attention, block(False, dropout=0.3)]
    layers.append(TimeDistributed(Dense(4, 2, "identity", dtype="f8", rng=4)))
    x, y = rng.standard_normal((4, 5, 11)), rng.standard_normal((2, 5, 11))
    if masked:
        mask = rng.random((1, 5, 11)) < 0.7
        mask[:, :, 0] = False
        x, layers = np.concatenate([x, mask]), [Masked(layers)]
    network = Network(layers, "quadratic", input_shape=x.shape[:-1], rng=5)
    numpy, compiled = train_both(network, x, y, epochs=2, optimizer=SGD(0.003))
    assert_one(numpy, compiled)
    for (_, one), (_, other) in zip(numpy.network.walk(), compiled.network.walk(), strict=True):
        if isinstance(one, MultiHeadAttention):
            assert relative(other.attention, one.attention) < 1e-12
            assert relative(other.o, one.o) < 1e-12
            assert relative(other.delta_k, one.delta_k) < 1e-12
    found = compiled.network.predict(x, compiled=True)
    np.testing.assert_allclose(found, numpy.network.predict(x), 1e-11, 1e-12)


def test_shared_and_tied_matrices():
    attention = MultiHeadAttention(4, 2, dtype="f8", rng=0)
    other = MultiHeadAttention(4, 1, dtype="f8", rng=1).tie("w_k", attention, "w_q", True)
    network = Network([attention, other, attention], "quadratic", input_shape=(4, 3))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 4, 3, 8))
    assert_one(*train_both(network, x, y, epochs=2))


def test_a_program_that_predicts_has_room_for_one_matrix_of_weights():
    network = Network([MultiHeadAttention(4, 2)], input_shape=(4, 7))
    assert "/* 7 x 7 */" in str(Program(network, 5))
    network.cost = "quadratic"
    assert "/* 2 x 5 x 7 x 7 */" in str(Program(network, 5, SGD(0.1)))
