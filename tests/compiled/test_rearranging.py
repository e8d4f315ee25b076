"""Shapes, dropout, embeddings and positions in C: what moves numbers, or draws some."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Network, Trainer
from backprop.compiled import Program
from backprop.layers import (
    BatchNorm,
    ChannelDropout,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAvgPool,
    Masked,
    PositionalEncoding,
    ReLU,
    Reshape,
    Tanh,
    TimeDistributed,
    TimeStep,
    Transpose,
)
from backprop.layers.positions import positions
from backprop.optimizers import SGD, Adam
from backprop.training.divergence import DivergenceError
from tests.compiled.calls import Calls, by_kinds
from tests.compiled.support import assert_one, needs_compiler, relative, train_both

pytestmark = needs_compiler

sizes = st.integers(1, 5)
batches = st.integers(1, 70)
seeds = st.integers(0, 2**32)


@functools.lru_cache
def calls(dtype="f8"):
    functions = {
        "dropout_mask": "nxxpp",
        "times_mask": "nnnppp",
        "add_noise": "nxpppp",
        "permute": "nnnpppp",
        "time_step": "nnnnpp",
        "time_step_downstream": "nnnnpp",
        "picked_steps": "nnnpp",
        "picked_step": "nnnppp",
        "picked_step_downstream": "nnnppp",
        "embedding": "nnnppp",
        "embedding_gradient": "nnnppp",
        "positional_encoding": "nnnppp",
        "positional_encoding_of_real": "nnnpppp",
    }
    headers = ["dropout.h", "reshape.h", "embedding.h", "positions.h"]
    return Calls(headers, dtype, **by_kinds(functions))


# -- dropout and noise -------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    shape=st.lists(sizes, min_size=1, max_size=3),
    batch=batches,
    seed=seeds,
    p=st.floats(0, 0.99),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_masks_are_the_same_to_the_bit(shape, batch, seed, p, dtype):
    x = np.random.default_rng(seed).standard_normal((*shape, batch)).astype(dtype)
    call = calls(dtype)
    for layer in (Dropout(p, rng=seed), ChannelDropout(p, rng=seed)):
        drawn = copy.deepcopy(layer).draw(layer.mask_shape(x.shape), x.dtype.type)
        mask, a = np.empty_like(drawn), np.empty_like(x)
        call("dropout_mask", mask.size, p, 1 / (1 - p), drawn, mask)
        call("times_mask", mask.size // batch, x.size // mask.size, batch, mask, x, a)
        expected = layer.forward(x, training=True)
        np.testing.assert_array_equal(mask, layer.mask, strict=True)
        np.testing.assert_array_equal(a, expected, strict=True)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_noise_is_the_same_to_the_bit(dtype):
    x = np.random.default_rng(0).standard_normal((3, 5, 33)).astype(dtype)
    layer = GaussianNoise(0.3, rng=4)
    drawn = copy.deepcopy(layer).draw(x.shape, x.dtype.type)
    noise, a = np.empty_like(x), np.empty_like(x)
    calls(dtype)("add_noise", x.size, 0.3, drawn, x, noise, a)
    expected = layer.forward(x, training=True)
    np.testing.assert_array_equal(noise, layer.noise, strict=True)
    assert relative(a, expected) < 2 * np.finfo(dtype).eps


def small(n_in, n_out, sigma="tanh", seed=0):
    return Dense(n_in, n_out, sigma, dtype="f8", rng=seed)


def disturbed():
    layers = [
        GaussianNoise(0.1),
        small(6, 5),
        Dropout(0.4),
        Reshape((5, 1)),
        ChannelDropout(0.3),
        Flatten(),
        Dropout(0.2),
        small(5, 2),
    ]
    return Network(layers, "quadratic", input_shape=(6,), rng=5)


def test_every_layer_draws_from_its_own_stream_step_by_step():
    network = disturbed()
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 12)), rng.standard_normal((2, 12))
    numpy, compiled = train_both(network, x, y, epochs=4)
    assert_one(numpy, compiled)
    for one, other in zip(numpy.network.layers, compiled.network.layers, strict=True):
        for name in ("mask", "noise"):
            if getattr(one, name, None) is not None:
                np.testing.assert_array_equal(getattr(other, name), getattr(one, name))
        if one.rng is not None:
            assert other.rng.bit_generator.state == one.rng.bit_generator.state
    assert "mask" not in str(Program(network, 4))
    np.testing.assert_allclose(
        network.predict(x, compiled=True), network.predict(x, compiled=False), 1e-12
    )


def noisy(wrong, optimizer):
    """Return trainers of a network that draws, of which example 30 of 40 is of another size."""
    layers = [Dense(3, 4, "identity", rng=0), Dropout(0.4), Dense(4, 1, "identity", rng=1)]
    network = Network(layers, "quadratic", rng=5)
    x, y = np.random.default_rng(0).standard_normal((2, 3, 40)).astype("f4")
    x[:, 30] = np.float32(wrong) * np.sign(x[:, 30])
    found = []
    for compiled in (False, True):
        twin, rule = copy.deepcopy(network), copy.deepcopy(optimizer)
        trainer = Trainer(twin, rule, 2, rng=3, shuffle=False, compiled=compiled, progress=False)
        try:
            trainer.fit(x, y[:1], epochs=1)
        except DivergenceError:
            trainer.diverged = True
        found.append(trainer)
    return found


@pytest.mark.parametrize(("wrong", "rule"), [(1e38, SGD(0.1)), (1e18, Adam(0.01))], ids=str)
def test_what_was_drawn_for_steps_that_were_not_taken_is_drawn_again(wrong, rule):
    numpy, compiled = noisy(wrong, rule)
    ends = wrong == 1e38  # whose sums are infinite; of 1e18 the squares of gradients are
    assert hasattr(numpy, "diverged") == hasattr(compiled, "diverged") == ends
    one, other = (trainer.network[1].rng.bit_generator.state for trainer in (numpy, compiled))
    assert one == other
    if not ends:
        assert str(compiled.path) != "compiled"
        assert relative(compiled.network.theta, numpy.network.theta) < 1e-5


# -- shapes ------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(data=st.data(), shape=st.lists(sizes, min_size=1, max_size=5), batch=batches)
def test_axes_in_any_order(data, shape, batch):
    axes = data.draw(st.permutations(range(len(shape))))
    x = np.random.default_rng(0).standard_normal((*shape, batch))
    lengths = np.array([shape[axis] for axis in axes], np.int32)
    apart = np.array([np.prod(shape[axis + 1 :]) for axis in axes], np.int32)
    y = np.empty((*lengths, batch))
    calls()("permute", x.size // batch, batch, len(axes), lengths, apart, x, y)
    np.testing.assert_array_equal(y, Transpose(axes).forward(x))


@settings(max_examples=50)
@given(d=sizes, steps=sizes, batch=batches, t=st.integers(-5, 4), seed=seeds)
def test_one_step_of_every_sequence(d, steps, batch, t, seed):
    rng = np.random.default_rng(seed)
    x, nabla_a = rng.standard_normal((d, steps, batch)), rng.standard_normal((d, batch))
    call, a, below = calls(), np.empty_like(nabla_a), np.full_like(x, 7)
    layer = TimeStep(t)
    if -steps <= t < steps:
        call("time_step", d, steps, batch, t % steps, x, a)
        call("time_step_downstream", d, steps, batch, t % steps, nabla_a, below)
        np.testing.assert_array_equal(a, layer.forward(x, training=True))
        np.testing.assert_array_equal(below, layer.backward(nabla_a))
        mask, picked = rng.random((steps, batch)) < 0.6, np.empty(batch, np.int32)
        call("picked_steps", steps, batch, t, mask.view(np.uint8), picked)
        call("picked_step", d, steps, batch, picked, x, a)
        call("picked_step_downstream", d, steps, batch, picked, nabla_a, below)
        np.testing.assert_array_equal(a, layer.forward(x, training=True, mask=mask))
        np.testing.assert_array_equal(below, layer.backward(nabla_a))


def test_another_shape_is_no_code():
    layers = [Flatten(), small(12, 6), Reshape((2, 3)), Flatten(), small(6, 2)]
    network = Network(layers, "quadratic", input_shape=(2, 3, 2))
    text = str(Program(network, 5, SGD(0.1)))
    calls_of = [line.split("(")[0].strip() for line in text.splitlines() if "(" in line]
    assert "dense_weighted_input_of_rows" in calls_of  # the rows of the network's input
    assert calls_of.count("transpose") == 1  # of y
    assert "permute" not in calls_of
    assert "identity" not in calls_of


SHAPES = {
    "flatten": (lambda: [Flatten(), small(24, 2)], (2, 3, 4)),
    "in-between": (
        lambda: [Reshape((4, -1)), Transpose((1, 0)), Tanh(), Transpose((1, 0)), TimeStep(2),
                 ReLU(), Reshape((2, 2)), Flatten(), small(4, 2)],
        (2, 3, 4),
    ),
    "first": (lambda: [Transpose((2, 0, 1)), BatchNorm(4, dtype="f8"), Flatten(), small(24, 2)],
              (2, 3, 4)),
    "both": (lambda: [Reshape((6, 4)), TimeStep(-1), small(6, 2)], (2, 3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_in_a_network(name):
    make, shape = SHAPES[name]
    network = Network(make(), "quadratic", input_shape=shape)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((*shape, 8)), rng.standard_normal((2, 8))
    assert_one(*train_both(network, x, y, epochs=2))


# -- tokens and positions ----------------------------------------------------------------------


@settings(max_examples=40)
@given(
    n=st.integers(1, 9),
    d=sizes,
    steps=sizes,
    batch=batches,
    seed=seeds,
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_tokens(n, d, steps, batch, seed, dtype):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, n, (steps, batch)).astype(np.int32)
    layer = Embedding(n, d, dtype=dtype, rng=1)
    a, nabla_w = np.empty((d, steps, batch), dtype), np.full((d, n), 7, dtype)
    call, count = calls(dtype), tokens.size
    call("embedding", d, n, count, layer.w, tokens, a)
    np.testing.assert_array_equal(a, layer.forward(tokens, training=True))
    nabla_a = rng.standard_normal(a.shape).astype(dtype)
    layer.backward(nabla_a)
    call("embedding_gradient", d, n, count, nabla_a, tokens, nabla_w)
    assert relative(nabla_w, layer.nabla_w) < 50 * np.finfo(dtype).eps


@settings(max_examples=40)
@given(d=sizes, steps=st.integers(1, 9), batch=batches, seed=seeds)
def test_positions(d, steps, batch, seed):
    rng = np.random.default_rng(seed)
    x, mask = rng.standard_normal((d, steps, batch)), rng.random((steps, batch)) < 0.6
    p = np.ascontiguousarray(positions(d, steps, "f8"))
    a, layer = np.empty_like(x), PositionalEncoding()
    calls()("positional_encoding", d, steps, batch, p, x, a)
    np.testing.assert_array_equal(a, layer.forward(x))
    x = np.where(mask, x, 0)
    calls()("positional_encoding_of_real", d, steps, batch, p, mask.view(np.uint8), x, a)
    np.testing.assert_array_equal(a, layer.forward(x, mask=mask))


def embedded():
    return Embedding(7, 4, dtype="f8", rng=2)


@pytest.mark.parametrize("masked", [False, True])
def test_sequences_of_tokens_in_a_network(masked):
    inner = [embedded(), PositionalEncoding(), TimeDistributed(small(4, 4, seed=1)), TimeStep(-1)]
    layers = [Masked(inner) if masked else inner[0], *([] if masked else inner[1:]), small(4, 2)]
    network = Network(layers, "quadratic", input_shape=(5,))
    rng = np.random.default_rng(1)
    x, y = rng.integers(-1 if masked else 0, 7, (5, 12)), rng.standard_normal((2, 12))
    numpy, compiled = train_both(network, x, y, epochs=3)
    assert_one(numpy, compiled)
    expected = numpy.network.predict(x, compiled=False)
    assert relative(compiled.network.predict(x, compiled=True), expected) < 1e-12


def test_vectors_that_are_weights_as_well():
    tokens = embedded()
    layers = [tokens, Transpose((1, 0)), Flatten(), small(12, 4), small(4, 7, "softmax")]
    layers[-1].tie("w", tokens, transposed=True)
    network = Network(layers, "softmax_cross_entropy", input_shape=(3,))
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 7, (3, 12)), rng.integers(0, 7, 12)
    assert_one(*train_both(network, x, y, epochs=3))


def test_means_over_real_steps_of_what_is_disturbed():
    inner = [Dropout(0.3), TimeDistributed(small(3, 4)), GaussianNoise(0.1), GlobalAvgPool()]
    network = Network([Masked(inner), small(4, 2)], "quadratic", input_shape=(4, 5), rng=3)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((4, 5, 12)), rng.standard_normal((2, 12))
    x[-1] = rng.random((5, 12)) < 0.6
    assert_one(*train_both(network, x, y, epochs=3))
