"""Layers of all kinds that are given padded sequences: those that take masks, those that refuse."""

import numpy as np

from backprop.graph import Graph, Input, apply, concatenate, exp, sin
from backprop.graph.operations import Variable
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    ChannelDropout,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalAvgPool,
    GroupNorm,
    Identity,
    Layer,
    LayerNorm,
    Masked,
    MaxPool1d,
    MaxPool2d,
    MultiHeadAttention,
    Parallel,
    PositionalEncoding,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    Softmax,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
    Transpose,
)

F8 = {"dtype": "float64"}
R8 = {**F8, "rng": 3}
LENGTHS = (6, 2, 4, 5)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


class Own(Layer):
    """A layer of a user's, which says nothing of steps."""

    def output(self, a_prev, mode):
        return a_prev.cumsum(axis=1)

    def downstream(self, delta):
        return delta[:, ::-1].cumsum(axis=1)[:, ::-1]


class OwnSum(Own):
    """One that heeds the mask: it may count on 0 where a step is padding."""

    takes_mask = True


class OwnScale(Layer):
    """One that treats every step by itself."""

    independent_steps = True

    def output(self, a_prev, mode):
        return 3 * a_prev

    def downstream(self, delta):
        return 3 * delta


class Heeding(OwnScale):
    """One that says it heeds the mask: `Masked` must hold one that does."""

    takes_mask = True


def masked(layer):
    """Return `Masked` of a layer."""
    return Masked([layer] if layer.takes_mask else [layer, Heeding()])


class _OwnSoftmax(Activation):
    """A softmax of a user's over the second axis, that of steps."""

    elementwise = False

    def sigma(self, z):
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    def prime(self, z, a):
        raise TypeError

    def times_prime(self, nabla_a, z, a):
        return a * (nabla_a - (nabla_a * a).sum(axis=1, keepdims=True))


def graph():
    x = Input("x", (4, 9))
    h = apply(GRU(4, 4, **R8), x)
    both = concatenate(sin(h) * 2.0, h)
    w = apply(Variable((3, 8), **R8))
    return Graph(
        apply(BatchNorm(3, **F8), w @ both + exp(apply(Conv1d(4, 3, 3, 1, "same", **R8), x)))
    )


TAKEN = {
    "identity": Identity,
    "softmax": Softmax,
    "rnn": lambda: RNN(4, 3, **R8),
    "lstm": lambda: LSTM(4, 3, **R8),
    "lstm reversed": lambda: LSTM(4, 3, reverse=True, **R8),
    "gru": lambda: GRU(4, 3, **R8),
    "gru truncated": lambda: GRU(4, 3, truncate=2, **R8),
    "gru reversed and truncated": lambda: GRU(4, 3, reverse=True, truncate=2, **R8),
    "rnn truncated to one step": lambda: RNN(4, 3, truncate=1, **R8),
    "attention": lambda: MultiHeadAttention(4, 2, b_init="normal", **R8),
    "attention causal": lambda: MultiHeadAttention(4, 2, True, b_init="normal", **R8),
    "transformer": lambda: TransformerBlock(4, 2, 5, **R8),
    "positions": PositionalEncoding,
    "step -1": lambda: TimeStep(-1),
    "step -3": lambda: TimeStep(-3),
    "step 1": lambda: TimeStep(1),
    "global mean": GlobalAvgPool,
    "max": lambda: MaxPool1d(2),
    "max overlapping": lambda: MaxPool1d(3, 1),
    "max padded": lambda: MaxPool1d(3, 2, 1),
    "max same": lambda: MaxPool1d(3, 1, "same"),
    "mean": lambda: AvgPool1d(2),
    "mean padded": lambda: AvgPool1d(3, 2, 1),
    "convolution": lambda: Conv1d(4, 3, 3, activation="tanh", **R8),
    "convolution same": lambda: Conv1d(4, 3, 3, padding="same", activation="tanh", **R8),
    "convolution even same": lambda: Conv1d(4, 3, 4, padding="same", activation="tanh", **R8),
    "convolution stride": lambda: Conv1d(4, 3, 3, 2, activation="tanh", **R8),
    "convolution stride padded": lambda: Conv1d(4, 3, 3, 2, 1, activation="tanh", **R8),
    "convolution far padded": lambda: Conv1d(4, 3, 2, 1, 3, activation="tanh", **R8),
    "convolution dilated": lambda: Conv1d(4, 6, 2, dilation=2, groups=2, activation="tanh", **R8),
    "transposed": lambda: ConvTranspose1d(4, 3, 3, activation="tanh", **R8),
    "transposed stride": lambda: ConvTranspose1d(4, 3, 2, 3, activation="tanh", **R8),
    "transposed cropped": lambda: ConvTranspose1d(4, 3, 4, 2, 1, 1, activation="tanh", **R8),
    "batch norm": lambda: BatchNorm(4, **F8),
    "group norm": lambda: GroupNorm(2, 4, **F8),
    "instance norm": lambda: GroupNorm(4, 4, **F8),
    "layer norm": lambda: LayerNorm(4, **F8),
    "rms norm": lambda: RMSNorm(4, **F8),
    "dropout": lambda: Dropout(0.0),
    "channel dropout": lambda: ChannelDropout(0.0),
    "noise": lambda: GaussianNoise(0.0),
    "time distributed": lambda: TimeDistributed(Dense(4, 3, "softmax", **R8)),
    "time distributed flatten": lambda: TimeDistributed(Flatten()),
    "residual": lambda: Residual([GroupNorm(2, 4, **F8), Conv1d(4, 4, 3, padding=1, **R8)]),
    "parallel": lambda: Parallel([GRU(4, 2, **R8), GRU(4, 2, reverse=True, **R8), Identity()]),
    "parallel of one column": lambda: Parallel([GlobalAvgPool(), TimeStep(-1)]),
    "chain": lambda: Sequential(
        [
            BatchNorm(4, **F8),
            Conv1d(4, 2, 3, 2, 1, activation="tanh", **R8),
            RNN(2, 2, reverse=True, **R8),
            GlobalAvgPool(),
            Dense(2, 1, **R8),
        ]
    ),
    "own sum": OwnSum,
    "own scale": OwnScale,
}
IMAGES = {
    "convolution": lambda: Conv2d(2, 3, 3, (2, 1), "valid", activation="tanh", **R8),
    "convolution stride": lambda: Conv2d(2, 3, 2, (1, 2), activation="tanh", **R8),
    "transposed": lambda: ConvTranspose2d(2, 3, (3, 2), (2, 3), activation="tanh", **R8),
    "max": lambda: MaxPool2d((2, 3), 1),
    "mean": lambda: AvgPool2d(2, padding=1),
    "global mean": GlobalAvgPool,
    "batch norm": lambda: BatchNorm(2, **F8),
    "group norm": lambda: GroupNorm(1, 2, **F8),
    "transpose": lambda: Transpose((1, 0, 2)),
    "convolution of every step": lambda: TimeDistributed(Conv1d(2, 3, 2, **R8)),
}
REFUSED = {
    "flatten": (Flatten, r"TimeDistributed\(...\) of it does so step by step"),
    "reshape": (lambda: Reshape((2, -1)), "puts all steps together"),
    "transpose": (lambda: Transpose((1, 0)), "moves the steps away"),
    "layer norm over steps": (lambda: LayerNorm((4, 6)), "one size, that of the features"),
    "rms norm over steps": (lambda: RMSNorm((4, 6)), "one size, that of the features"),
    "convolution by length": (lambda: Conv1d(4, 3, 3, 2, "same"), "give the padding as a number"),
    "pool by length": (lambda: MaxPool1d(2, padding="same"), "give the padding as a number"),
    "examples meet": (lambda: TimeDistributed(BatchNorm(4)), "put a BatchNorm"),
    "own": (Own, "independent_steps = True"),
    "own activation": (_OwnSoftmax, "independent_steps = True"),
    "masked": (lambda: Masked([GRU(3, 3)]), "brings a mask of its own"),
    "inside": (lambda: Residual([Parallel([Own()], "sum")]), r"^Masked: Own\(\) does not say"),
    "sum in a graph": (
        lambda: Graph(Input("x", (4, 6)).__mul__(1.0).sum()),
        "may put steps together",
    ),
}


def batch(shape, extra, garbage, front=False, seed=0):
    """Return sequences with `extra` more steps of padding, and the mask."""
    rng = np.random.default_rng(seed)
    steps = max(LENGTHS) + extra
    x = np.full((*shape, steps, len(LENGTHS)), garbage)
    mask = np.zeros((steps, len(LENGTHS)), bool)
    for j, length in enumerate(LENGTHS):
        at = slice(steps - length, None) if front else slice(length)
        x[..., at, j] = rng.standard_normal((*shape, length))
        mask[at, j] = True
    return x, mask


def with_row(x, mask):
    """Return the sequences as `Masked` takes them: the mask in a last row, or channel."""
    return np.concatenate([x, np.broadcast_to(mask, (1, *x.shape[1:]))])
