"""Convolutions in C do what the layers do: over all options, fast and plain, in networks."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Network, Trainer
from backprop.compiled import Program
from backprop.compiled.twins import pooled_convolution
from backprop.compiled.twins.base import twin_of
from backprop.compiled.writer import Writer
from backprop.core.shapes import as_tuple
from backprop.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Flatten,
    GlobalAvgPool,
    LeakyReLU,
    Masked,
    MaxPool1d,
    MaxPool2d,
    Parallel,
    TimeDistributed,
)
from backprop.optimizers import SGD, Adam
from backprop.training.divergence import DivergenceError
from tests.compiled.calls import Calls
from tests.compiled.support import assert_one, needs_compiler, relative, train_both

pytestmark = needs_compiler

TOLERANCE = {"f4": 2e-5, "f8": 1e-12}


@functools.lru_cache
def calls(dtype):
    """Return the functions of the headers, built with windows that nobody knows before."""
    fields = ", ".join(f"n[{k}]" for k in range(14))

    def call(text):
        return f"{{ const Windows these = {{{fields}}}; k = these; {text} }}"

    edges = "n[14], n[15], n[16], n[17], n[18]"
    one_group = "p[14], p[15], p[16]"
    return Calls(
        ["transposed_convolution.h"],
        dtype,
        "static Windows k;\nROW_OF_Z(k)\nLINE_BELOW(k)\nSOME_WEIGHTS(k)",
        lay_out=call(f"lay_out(&k, {edges}, p[19], p[20]);"),
        take_back=call(f"take_back(&k, {edges}, p[19], p[20]);"),
        weighted=call(
            "convolution_weighted_input(&k, k_row_of_z, p[14], p[15], p[16], p[17], p[18]);"
        ),
        weights=call(
            "convolution_weight_gradient(&k, k_some_weights, p[14], p[15], p[16], p[17]);"
        ),
        downstream=call("convolution_downstream(&k, k_line_below, p[14], p[15], p[16], p[17]);"),
        biases=("convolution_bias_gradient(n[0], n[1], p[2], p[3])"),
        transposed_biases=("transposed_biases(n[0], n[1], p[2], p[3])"),
        plain_weighted=call("plain_weighted_input(&k, p[14], p[15], p[16], p[17]);"),
        plain_weights=call(f"plain_weight_gradient(&k, {one_group});"),
        plain_downstream=call(f"plain_downstream(&k, {one_group});"),
    )


class Equations:
    """The equations of a convolution in C, fast or plain, for the windows of one layer."""

    def __init__(self, layer, a_prev, dtype, plain):
        network = Network(layer, "quadratic", input_shape=a_prev.shape[:-1])
        w = Writer(network, a_prev.shape[-1], True)
        self.windows = twin_of(layer).windows(w, layer, w.buffer("a_prev", a_prev.shape))
        self.numbers = tuple(self.windows.numbers.values())
        self.call, self.dtype, self.plain = calls(dtype), dtype, plain
        self.room = np.full(max(1, self.windows.room_size), np.nan, dtype)
        self.maps = self.windows.numbers["maps"] * layer.groups

    def lay_out(self, array):
        if not self.windows.laid:
            return array
        laid = np.full(self.windows.shape, np.nan, self.dtype)
        self.call("lay_out", *self.numbers, *self.windows.edges, array, laid)
        return laid

    def take_back(self, laid, shape):
        if not self.windows.laid:
            return laid.reshape(shape)
        array = np.full(shape, np.nan, self.dtype)
        self.call("take_back", *self.numbers, *self.windows.edges, laid, array)
        return array

    def of_groups(self, name, *arrays):
        """Call a plain function for every group; it fills the last array."""
        groups = self.numbers[0]
        parts = [a.reshape(groups, -1) for a in arrays]
        for group in range(groups):
            self.call(name, *self.numbers, *(part[group] for part in parts))

    def weighted(self, w, b, a, shape):
        z = np.full(shape, np.nan, self.dtype)
        if self.plain:
            self.of_groups("plain_weighted", w, b, a, z)
        else:
            self.call("weighted", *self.numbers, w, b, a, self.room, z)
        return z

    def weights(self, delta, a, shape):
        nabla_w = np.full(shape, np.nan, self.dtype)
        if self.plain:
            self.of_groups("plain_weights", delta, a, nabla_w)
        else:
            self.call("weights", *self.numbers, delta, a, self.room, nabla_w)
        return nabla_w

    def downstream(self, w, delta):
        nabla = np.full(self.windows.shape, np.nan, self.dtype)
        if self.plain:
            self.of_groups("plain_downstream", w, delta, nabla)
        else:
            self.call("downstream", *self.numbers, w, delta, self.room, nabla)
        return nabla


@st.composite
def convolutions(draw):
    """Draw a convolution, or a transposed one, and the shape of its input."""
    axes, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    transposed = draw(st.booleans())

    def of_axes(least, most):
        one = draw(st.tuples(*[st.integers(least, most)] * axes))
        return one if axes == 2 else one[0]

    channels = (groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 9)))
    if draw(st.booleans()):
        channels = channels[::-1]
    kernel, stride, dilation = of_axes(1, 4), of_axes(1, 3), of_axes(1, 2)
    options = {"stride": stride, "dilation": dilation, "groups": groups, "b_init": "normal"}
    if transposed:
        options["padding"] = of_axes(0, 1)
        options["output_padding"] = (
            tuple(min(1, s - 1) for s in stride) if axes == 2 else min(1, stride - 1)
        )
        kind = (ConvTranspose1d, ConvTranspose2d)[axes - 1]
        least = 3
    else:
        options["padding"] = draw(st.sampled_from(["valid", "same", of_axes(0, 2)]))
        kind = (Conv1d, Conv2d)[axes - 1]
        spans = [(k - 1) * d + 1 for k, d in zip(as_tuple(kernel), as_tuple(dilation), strict=True)]
        least = max(spans)
    layer = kind(*channels, kernel, activation="identity", dtype="float64", rng=1, **options)
    sizes = tuple(draw(st.integers(least, least + 5)) for _ in range(axes))
    return layer, (channels[0], *sizes)


@settings(max_examples=150, deadline=None)
@given(
    drawn=convolutions(),
    batch=st.integers(1, 70),
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(["f4", "f8"]),
    plain=st.booleans(),
)
def test_the_equations_are_those_of_the_layer(drawn, batch, seed, dtype, plain):
    layer, shape = drawn
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(*shape, batch)).astype(dtype)
    layer = layer.astype(dtype)
    z = layer.forward(x, training=True)
    delta = rng.normal(size=z.shape).astype(dtype)
    below = layer.backward(delta)
    c = Equations(layer, x, dtype, plain)
    tolerance = TOLERANCE[dtype]
    b, found_b = layer.b.reshape(-1).copy(), np.empty(layer.channels_out, dtype)
    if isinstance(layer, (ConvTranspose1d, ConvTranspose2d)):
        found_z = c.take_back(c.downstream(layer.w, x), z.shape)
        c.call("transposed_biases", len(b), z[0].size, b, found_z)
        seen = c.lay_out(delta)
        found_w = c.weights(x, seen, layer.w.shape)
        found_below = c.weighted(layer.w, np.zeros(layer.channels_in, dtype), seen, x.shape)
    else:
        seen = c.lay_out(x)
        found_z = c.weighted(layer.w, b, seen, z.shape)
        found_w = c.weights(delta, seen, layer.w.shape)
        found_below = c.take_back(c.downstream(layer.w, delta), x.shape)
    c.call("biases", len(b), z[0].size, delta, found_b)
    # The same of absolute values: how large the terms are of which each number is the sum.
    sizes = copy.deepcopy(layer)
    sizes.w[...], sizes.b[...] = np.abs(layer.w), np.abs(layer.b)
    size_z = sizes.forward(np.abs(x), training=True)
    size_below = sizes.backward(np.abs(delta))
    for found, expected, size in [
        (found_z, z, size_z),
        (found_w, layer.nabla_w, sizes.nabla_w),
        (found_b, layer.nabla_b.reshape(-1), sizes.nabla_b.reshape(-1)),
        (found_below, below, size_below),
    ]:
        assert np.all(np.abs(found - expected) <= tolerance * size)


# -- in networks -------------------------------------------------------------------------------

NETWORKS = {
    "as in the book": ((1, 12, 12), lambda: [Conv2d(1, 5, 5), MaxPool2d(2), Conv2d(5, 7, 3)]),
    "same, strides, groups": (
        (4, 9, 8),
        lambda: [
            Conv2d(4, 6, 3, 2, "same", groups=2, activation="tanh"),
            Conv2d(6, 6, (3, 2), (1, 2), (1, 0), groups=6),
        ],
    ),
    "dilations and lines": (
        (2, 7, 9),
        lambda: [Conv2d(2, 3, (1, 3), 1, (0, 1), (1, 2)), Conv2d(3, 4, (3, 1)), Conv2d(4, 3, 1)],
    ),
    "one place": ((3, 4, 4), lambda: [Conv2d(3, 5, 3), Conv2d(5, 8, 2, activation="sigmoid")]),
    "strides of points": ((3, 6, 5), lambda: [Conv2d(3, 4, 1, 2), Conv2d(4, 4, 2, (2, 1))]),
    "larger again": (
        (2, 4, 5),
        lambda: [
            ConvTranspose2d(2, 4, 3, 2, 1, 1),
            ConvTranspose2d(4, 3, (2, 3), groups=1, activation="tanh"),
        ],
    ),
    "signals": (
        (2, 17),
        lambda: [Conv1d(2, 5, 3, 2, 1), ConvTranspose1d(5, 3, 4, 2, dilation=2), Conv1d(3, 2, 2)],
    ),
    "side by side": (
        (2, 6, 6),
        lambda: [Parallel([Conv2d(2, 3, 3, padding="same"), Conv2d(2, 2, 1), MaxPool2d(3, 1, 1)])],
    ),
    "every step": ((1, 5, 5, 3), lambda: [TimeDistributed(Conv2d(1, 4, 3, padding=1))]),
}


def problem(shape, outputs, n, dtype="float64"):
    rng = np.random.default_rng(4)
    return rng.normal(size=(*shape, n)).astype(dtype), rng.normal(size=(outputs, n)).astype(dtype)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_in_the_same_way(name):
    shape, layers = NETWORKS[name]
    made = [layer.astype("float64") for layer in layers()]
    network = Network([*made, Flatten()], "quadratic", input_shape=shape, rng=2)
    (outputs,) = network.output_shape
    dense = Dense(outputs, 3, "sigmoid", dtype="float64", rng=3)
    network = Network([*network.layers, dense], "quadratic", input_shape=shape)
    assert_one(*train_both(network, *problem(shape, 3, 23), batch_size=10))


def test_sequences_of_several_lengths_train_in_the_same_way():
    layers = [
        Conv1d(2, 4, 3, padding=1, activation="tanh", dtype="float64", rng=1),
        MaxPool1d(2),
        Conv1d(4, 3, 2, activation="tanh", dtype="float64", rng=2),
        ConvTranspose1d(3, 3, 3, 2, 1, dtype="float64", rng=3, b_init="normal"),
        GlobalAvgPool(),
    ]
    network = Network([Masked(layers)], "quadratic", input_shape=(3, 11))
    x, y = problem((3, 11), 3, 23)
    lengths = np.random.default_rng(1).integers(5, 12, 23)
    x[-1] = np.arange(11)[:, None] < lengths
    assert_one(*train_both(network, x, y, batch_size=10))


def test_in_float32_the_costs_of_many_minibatches_agree():
    def layers():
        return [
            *(Conv2d(1, 5, 5, rng=1), MaxPool2d(2), Conv2d(5, 8, 3, rng=2), MaxPool2d(2)),
            *(Flatten(), Dense(8 * 2 * 2, 4, "softmax", rng=3)),
        ]

    network = Network(layers(), "softmax_cross_entropy", input_shape=(1, 16, 16))
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 250)
    x = rng.normal(size=(1, 16, 16, 250)) + labels * 0.3
    both = train_both(
        network, x.astype("f4"), labels, epochs=4, batch_size=10, monitor_training=True
    )
    one, other = (
        np.array([record["training_cost"] for record in trainer.history.records])
        for trainer in both
    )
    assert relative(other, one) <= 1e-4


# -- some maps at a time -----------------------------------------------------------------------


@pytest.fixture
def few_at_a_time(monkeypatch):
    """Let a few maps at a time be what stays in the cache."""
    monkeypatch.setattr(pooled_convolution, "NEAR", 1)


def pooled(activation="relu", first=None, **options):
    layers = [
        first or Conv2d(2, 8, 3, activation=activation, dtype="float64", rng=1, **options),
        MaxPool2d(2),
        Conv2d(8, 12, 3, activation="tanh", padding="same", dtype="float64", rng=2),
        MaxPool2d((2, 1), (3, 1)),
        Flatten(),
    ]
    network = Network(layers, "quadratic", input_shape=(2, 10, 11))
    dense = Dense(*network.output_shape, 3, "sigmoid", dtype="float64", rng=3)
    return Network([*network.layers, dense], "quadratic", input_shape=(2, 10, 11))


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", LeakyReLU(0.2)], ids=str)
def test_some_maps_at_a_time_train_in_the_same_way(few_at_a_time, activation):
    network = pooled(activation)
    assert str(Program(network, 10, SGD(0.1))).count("4 maps at a time") == 4
    assert_one(*train_both(network, *problem((2, 10, 11), 3, 93), batch_size=10, epochs=2))


@pytest.mark.parametrize("frozen", [0, 2])
def test_layers_that_do_not_learn_go_together_too(few_at_a_time, frozen):
    network = pooled()
    network[frozen].trainable = False
    assert_one(*train_both(network, *problem((2, 10, 11), 3, 43), batch_size=10))


def test_what_cannot_go_together_goes_one_after_the_other(few_at_a_time):
    for network in (
        pooled("gelu"),
        pooled(first=Conv2d(2, 8, 3, groups=2, dtype="float64", rng=1)),
        pooled(LeakyReLU(-0.5)),
    ):
        assert str(Program(network, 10, SGD(0.1))).count("4 maps at a time") == 2
        assert_one(*train_both(network, *problem((2, 10, 11), 3, 23), batch_size=10))


def fitted(network, optimizer, y, compiled):
    options = {"batch_size": 10, "monitor_training": False, "compiled": compiled}
    trainer = Trainer(copy.deepcopy(network), optimizer, rng=3, **options)
    x, _ = problem((2, 10, 11), 3, y.shape[-1])
    trainer.fit(x, y, epochs=3)
    return trainer


def test_a_step_that_ends_in_nan_is_shown_whole(few_at_a_time):
    _, y = problem((2, 10, 11), 3, 100)
    network = pooled("relu")
    network.layers[-1].activation = "identity"
    messages = []
    for compiled in (False, True):
        with pytest.raises(DivergenceError) as raised:
            fitted(network, SGD(1e30), y, compiled)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


def test_an_optimizer_that_goes_by_roots_sees_the_whole_step(few_at_a_time):
    _, y = problem((2, 10, 11), 3, 100)
    network = pooled("tanh")
    network.layers[-1].activation = "identity"
    y[:, 50] = 1e160  # whose gradient's squares are beyond all numbers
    one, other = (fitted(network, Adam(1e-3), y, compiled) for compiled in (False, True))
    assert str(one.path) == "NumPy: compiled=False"
    assert "by roots" in str(other.path)
    assert relative(other.network.theta, one.network.theta) <= 1e-11
