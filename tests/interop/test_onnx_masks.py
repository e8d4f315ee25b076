"""Sequences of several lengths in ONNX: what `Masked` does, padding anywhere."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from backprop import Network
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    AvgPool1d,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    Dense,
    Dropout,
    Embedding,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    Masked,
    MaxPool1d,
    MultiHeadAttention,
    Parallel,
    PositionalEncoding,
    Residual,
    Tanh,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
)
from tests.interop.onnx_runs import compare


def in_a_graph():
    x = Input("x", (3, 7))
    h = apply(LSTM(3, 3, rng=0), x)
    return Graph(apply(Tanh(), h * 2.0 + x))


ANYWHERE = {
    "rnn": lambda: [RNN(3, 2, rng=0)],
    "rnn gelu": lambda: [RNN(3, 2, "gelu", rng=0)],
    "lstm": lambda: [LSTM(3, 2, rng=0), TimeStep(-1)],
    "lstm reverse": lambda: [LSTM(3, 2, reverse=True, rng=0)],
    "gru": lambda: [GRU(3, 2, rng=0), GRU(2, 3, reverse=True, rng=1), TimeStep(2)],
    "attention": lambda: [MultiHeadAttention(3, 3, b_init="normal", rng=0)],
    "transformer": lambda: [
        PositionalEncoding(),
        TransformerBlock(3, 1, 5, causal=True, dropout=0.2, rng=0),
        LayerNorm(3),
        GlobalAvgPool(),
    ],
    "convolution": lambda: [Conv1d(3, 4, 3, padding="same", rng=0)],
    "dilation": lambda: [Conv1d(3, 4, 2, padding=1, dilation=3, rng=0), MaxPool1d(2, 1)],
    "transposed": lambda: [ConvTranspose1d(3, 2, 3, 2, 1, 1, rng=0), LSTM(2, 2, rng=1)],
    "cut off": lambda: [ConvTranspose1d(3, 2, 2, 1, 1, rng=0), RNN(2, 2, rng=1)],
    "mean pool": lambda: [AvgPool1d(3, 1, 1), GRU(3, 2, rng=0)],
    "batch norm": lambda: [BatchNorm(3), Dropout(0.5), TimeDistributed(Dense(3, 2, rng=0))],
    "group norm": lambda: [GroupNorm(1, 3), GroupNorm(3, 3), GlobalAvgPool()],
    "branches": lambda: [
        Residual([TimeDistributed(Dense(3, 3, "tanh", rng=0))]),
        Parallel([Conv1d(3, 2, 3, padding=1, rng=1), LSTM(3, 2, rng=2)]),
        Parallel([RNN(4, 2, rng=3), GRU(4, 2, reverse=True, rng=4)], "sum"),
        GlobalAvgPool(),
    ],
    "graph": lambda: [in_a_graph(), TimeStep(-2)],
}
AT_THE_END = {  # a stride takes real steps from the beginning
    "stride": lambda: [Conv1d(3, 4, 3, 2, 1, rng=0), LSTM(4, 2, rng=1)],
    "max pool": lambda: [MaxPool1d(2), RNN(3, 2, rng=0)],
    "max pool padded": lambda: [MaxPool1d(3, 2, 1), TimeStep(-1)],
}


def sequences(channels, steps, batch, at_the_end, seed=0):
    """Draw padded sequences with the row of their mask; one has no real step."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*channels, steps, batch)).astype(np.float32)
    mask = rng.random((steps, batch)) < 0.6
    if at_the_end:
        mask = np.arange(steps)[:, None] < rng.integers(0, steps + 1, batch)
    mask[:, 1:2] = False
    row = np.broadcast_to(mask, (1, *channels[1:], steps, batch))
    return np.concatenate([x, row.astype(np.float32)])


@pytest.mark.parametrize("name", [*ANYWHERE, *AT_THE_END])
def test_masked_layers_predict_the_same_in_onnxruntime(name):
    at_the_end = name in AT_THE_END
    network = Network([Masked({**ANYWHERE, **AT_THE_END}[name]())], input_shape=(4, 7))
    for _, layer in network.walk():
        if isinstance(layer, BatchNorm):
            layer.running_mean[...] = 0.3
    for batch in (1, 3, 7):
        compare(network, sequences((3,), 7, batch, at_the_end, seed=batch))
    compare(network, sequences((3,), 7, 4, at_the_end=True, seed=9))


def test_masked_layers_of_any_length():
    layers = [PositionalEncoding(), MultiHeadAttention(3, 1, True, rng=0), LSTM(3, 2, rng=1)]
    network = Network([Masked([*layers, TimeStep(-1)])], input_shape=(4, None))
    for steps in (3, 8):
        compare(network, sequences((3,), steps, 5, at_the_end=False, seed=steps))


def test_images_over_time():
    layers = [TimeDistributed(Conv2d(2, 3, 2, rng=0)), GroupNorm(3, 3), GlobalAvgPool()]
    network = Network([Masked(layers)], input_shape=(3, 3, 2, 5))
    compare(network, sequences((2, 3, 2), 5, 4, at_the_end=False))


def test_tokens():
    both = Parallel([GRU(4, 3, rng=1), GRU(4, 3, reverse=True, rng=2)])
    layers = [Masked([Embedding(6, 4, rng=0), both]), TimeDistributed(Dense(6, 2, rng=3))]
    network = Network(layers, input_shape=(None,))
    compare(network, np.random.default_rng(0).integers(-1, 6, (7, 5)))
