"""Pooling in C does what the layers do: over all options, with ties, NaN and infinities."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Network
from backprop.compiled import Program
from backprop.compiled.twins.base import twin_of
from backprop.compiled.writer import Writer
from backprop.layers import (
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Dense,
    Flatten,
    GlobalAvgPool,
    Masked,
    MaxPool1d,
    MaxPool2d,
)
from tests.compiled.calls import Calls
from tests.compiled.support import assert_one, needs_compiler, relative, train_both

pytestmark = needs_compiler


@functools.lru_cache
def calls(dtype):
    """Return the functions of the headers, built with windows that nobody knows before."""
    fields = ", ".join(f"n[{k}]" for k in range(12))

    def call(text):
        return f"{{ const Pool k = {{{fields}}}; {text} }}"

    return Calls(
        ["pooling.h"],
        dtype,
        max_pool=call("max_pool(&k, p[12], NULL, p[13], p[14]);"),
        plain_max_pool=call("plain_max_pool(&k, p[12], NULL, p[13], p[14]);"),
        maxima=call("maxima(&k, p[12], p[13], p[14]);"),
        max_pool_downstream=call("max_pool_downstream(&k, p[12], p[13], p[14]);"),
        plain_max_pool_downstream=call("plain_max_pool_downstream(&k, p[12], p[13], p[14]);"),
        avg_pool=call("avg_pool(&k, p[12], p[13]);"),
        avg_pool_downstream=call("avg_pool_downstream(&k, p[12], p[13]);"),
    )


@st.composite
def pools(draw, kinds):
    """Draw a pooling layer, and the shape of its input."""
    axes = draw(st.integers(1, 2))
    size = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    stride = draw(st.sampled_from([None, *range(1, 4)]))
    padding = draw(st.sampled_from(["valid", "same", tuple(k // 2 for k in size)]))
    sizes = tuple(draw(st.integers(k, k + 5)) for k in size)
    if axes == 1:
        size, padding = size[0], padding[0] if isinstance(padding, tuple) else padding
    return kinds[axes - 1](size, stride, padding), (draw(st.integers(1, 3)), *sizes)


def numbers_of(layer, x):
    network = Network(layer, "quadratic", input_shape=x.shape[:-1])
    w = Writer(network, x.shape[-1], True)
    return twin_of(layer).numbers(w, layer, w.buffer("a_prev", x.shape)).values()


rest = {
    "batch": st.integers(1, 70),
    "seed": st.integers(0, 2**32),
    "dtype": st.sampled_from(["f4", "f8"]),
}


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(2, 75)),
    rows=st.integers(1, 3),
    step=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same", (0, 0), (1, 0)]),
    seed=st.integers(0, 99),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_maxima_of_pairs_in_one_example(size, rows, step, padding, seed, dtype):
    rows = min(rows, size[1])
    layer = MaxPool2d((rows, 2), (step, 2), padding if rows > 1 else "valid")
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (*size, 1)).astype(dtype)
    x[rng.random(x.shape) < 0.05] = np.nan
    numbers, a = numbers_of(layer, x), layer.forward(x)
    values = np.empty_like(a)
    calls(dtype)("maxima", *numbers, x, np.empty(size[2], dtype), values)
    np.testing.assert_array_equal(values, a)


@settings(max_examples=150, deadline=None)
@given(drawn=pools((MaxPool1d, MaxPool2d)), special=st.integers(0, 3), **rest)
def test_maxima_and_their_places_are_those_of_the_layer(drawn, special, batch, seed, dtype):
    layer, shape = drawn
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (*shape, batch)).astype(dtype)  # of which many are the same
    for value in ([], [np.nan], [-np.inf, np.inf], [-np.inf])[special]:
        x[rng.random(x.shape) < (0.9 if special == 3 else 0.2)] = value
    numbers = numbers_of(layer, x)
    a = layer.forward(x, training=True)
    nabla = rng.normal(size=a.shape).astype(dtype)
    below = layer.backward(nabla)
    c = calls(dtype)
    found, values, plain = np.empty_like(a), np.empty_like(a), np.empty_like(a)
    places, plain_places = np.empty(a.shape, np.int32), np.empty(a.shape, np.int32)
    c("max_pool", *numbers, x, found, places)
    c("plain_max_pool", *numbers, x, plain, plain_places)
    c("maxima", *numbers, x, np.empty(x.shape[-2:], dtype), values)
    for other in (found, values, plain):
        np.testing.assert_array_equal(other, a)
    np.testing.assert_array_equal(places, plain_places)
    for name in ("max_pool_downstream", "plain_max_pool_downstream"):
        found_below = np.full(x.shape, np.nan, dtype)
        c(name, *numbers, nabla, places, found_below)
        assert relative(found_below, below) <= (1e-6 if dtype == "f4" else 1e-12), name


@settings(max_examples=60, deadline=None)
@given(drawn=pools((AvgPool1d, AvgPool2d)), **rest)
def test_means_are_those_of_the_layer(drawn, batch, seed, dtype):
    layer, shape = drawn
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(*shape, batch)).astype(dtype)
    numbers = numbers_of(layer, x)
    a = layer.forward(x, training=True)
    nabla = rng.normal(size=a.shape).astype(dtype)
    below = layer.backward(nabla)
    found, found_below = np.empty_like(a), np.empty_like(x)
    calls(dtype)("avg_pool", *numbers, x, found)
    calls(dtype)("avg_pool_downstream", *numbers, nabla, found_below)
    tolerance = 1e-6 if dtype == "f4" else 1e-12
    assert relative(found, a) <= tolerance
    assert relative(found_below, below) <= tolerance


@pytest.mark.parametrize(
    "layer",
    [MaxPool1d(2), MaxPool1d(3, 1, 1), MaxPool1d(3, 2), AvgPool1d(2), AvgPool1d(3, 2, 1)],
    ids=str,
)
def test_sequences_of_several_lengths_are_pooled_in_the_same_way(layer):
    conv = Conv1d(2, 3, 1, activation="identity", dtype="float64", rng=1)
    network = Network([Masked([conv, layer, GlobalAvgPool()])], "quadratic", input_shape=(3, 9))
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(3, 9, 23)), rng.normal(size=(3, 23))
    x[-1] = np.arange(9)[:, None] < rng.integers(3, 10, 23)
    assert_one(*train_both(network, x, y, batch_size=10))


def test_what_a_network_predicts_by_maxima_alone_is_the_same():
    layers = [MaxPool2d(2), MaxPool2d((3, 2), 1, (1, 1)), Flatten()]
    shape = (2, 7, 6)
    network = Network(layers, "quadratic", input_shape=shape)
    dense = Dense(network.output_shape[0], 3, "tanh", dtype="float64", rng=1)
    network = Network([*network.layers, dense], "quadratic", input_shape=shape)
    x = np.random.default_rng(3).normal(size=(*shape, 70))
    assert "maxima(" in str(Program(network, 64))
    expected = network.predict(x, compiled=False)
    assert relative(network.predict(x, compiled=True), expected) <= 1e-12
