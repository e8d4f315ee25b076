"""Small networks drawn at random: layers of every kind, joined as their shapes allow."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop import Network
from backprop.core.shapes import ShapeError
from backprop.costs import WeightedCosts
from backprop.graph import Graph, Input, apply, concatenate
from backprop.graph.nodes import exp, sin
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
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
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    Masked,
    MaxPool1d,
    MaxPool2d,
    MultiHeadAttention,
    Parallel,
    PositionalEncoding,
    ReLU,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
    Transpose,
)

SIGMAS = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus")
COSTS = {
    "quadratic": ("tanh", False),
    "squared_error": ("identity", False),
    "mean_squared_error": ("softplus", False),
    "cross_entropy": ("sigmoid", False),
    "softmax_cross_entropy": ("softmax", True),
}


class Drawing:
    """What draws layers one after another, and knows what shape they have come to.

    Parameters
    ----------
    seed : int
    still : bool
        Whether to leave out what draws random numbers itself.
    """

    def __init__(self, seed: int, still: bool = False, dtype: Any = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype or self.one("f4", "f8")
        self.still = still
        self.labels = False  # whether targets are

    def one(self, *of: Any) -> Any:
        """Return one of these."""
        return of[int(self.rng.integers(len(of)))]

    def n(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))

    @property
    def made(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "rng": self.n(0, 10**6)}

    def dense(self, n_in: int, n_out: int, sigma: str = "") -> Dense:
        return Dense(n_in, n_out, sigma or self.one(*SIGMAS), "nielsen", "normal", **self.made)

    # -- one layer for a shape -----------------------------------------------------------------

    def layer(self, shape: tuple[int, ...]) -> Any:
        """Return a layer for examples of this shape; it may be one that does not fit."""
        return (self.of_vectors, self.of_sequences, self.of_images)[len(shape) - 1](*shape)

    def of_vectors(self, n: int) -> Any:
        return self.one(
            lambda: self.dense(n, self.n(1, 20)),
            lambda: self.dense(n, self.n(1, 20)),
            lambda: BatchNorm(n, dtype=self.dtype),
            lambda: self.one(LayerNorm, RMSNorm)(n, dtype=self.dtype),
            lambda: GroupNorm(self.one(1, n), n, dtype=self.dtype),
            lambda: Residual([self.dense(n, k := self.n(1, 5)), self.dense(k, n)]),
            lambda: Parallel([self.dense(n, self.n(1, 4)), self.dense(n, self.n(1, 4))]),
            lambda: Parallel([self.dense(n, n), Sequential([ReLU()])], "sum"),
            lambda: Reshape((n, 1)),
            lambda: Reshape((1, n)),
            lambda: Dropout(0.3, rng=0),
            lambda: GaussianNoise(0.1, rng=0),
            lambda: Graph(self.graph(n)),
        )()

    def graph(self, n: int) -> Any:
        x = Input("x", (n,))
        h = apply(self.dense(n, n, "tanh"), x)
        return self.one(
            lambda: h * x + 0.5,
            lambda: exp(h) / (2 + sin(x)) - h,
            lambda: concatenate(h, x),
            lambda: apply(self.dense(2 * n, 3), concatenate(x, h * 2)),
            lambda: (h - x) ** 2,
            lambda: h[: max(1, n // 2)],
        )()

    def of_sequences(self, d: int, steps: int) -> Any:
        heads = self.one(*(h for h in (1, 2, 3, 4) if d % h == 0))
        causal = bool(self.n(0, 1))
        recurrent = {"reverse": bool(self.n(0, 1)), **self.made}
        pooled = (self.n(1, 3), self.n(1, 2), self.one("valid", "same", 0))
        return self.one(
            lambda: self.one(RNN, GRU, LSTM)(d, self.n(1, 6), **recurrent),
            lambda: RNN(d, self.n(1, 4), self.one("relu", "sigmoid", "tanh"), **recurrent),
            lambda: Conv1d(d, self.n(1, 5), self.n(1, 3), self.n(1, 2),
                           self.one("valid", "same", 1), self.n(1, 2), 1, self.one(*SIGMAS),
                           **self.made),
            lambda: ConvTranspose1d(d, self.n(1, 4), self.n(1, 3), self.n(1, 3),
                                    activation=self.one(*SIGMAS), **self.made),
            lambda: self.one(MaxPool1d, AvgPool1d)(*pooled),
            lambda: TimeDistributed(self.dense(d, self.n(1, 6))),
            lambda: TimeDistributed(Residual([LayerNorm(d, dtype=self.dtype), self.dense(d, d)])),
            lambda: MultiHeadAttention(d, heads, causal, **self.made),
            lambda: TransformerBlock(d, heads, self.n(1, 6), causal, **self.made),
            lambda: PositionalEncoding(),
            lambda: BatchNorm(d, dtype=self.dtype),
            lambda: LayerNorm(self.one(d, (d, steps)), dtype=self.dtype),
            lambda: GroupNorm(self.one(1, d), d, dtype=self.dtype),
            lambda: Transpose((1, 0)),
            lambda: TimeStep(self.one(-1, 0)),
            lambda: GlobalAvgPool(),
            lambda: Flatten(),
            lambda: ChannelDropout(0.3, rng=0),
        )()  # fmt: skip

    def of_images(self, c: int, h: int, w: int) -> Any:
        groups = self.one(*(g for g in (1, 2, 3, c) if c % g == 0))
        kernel, stride = (self.n(1, 3), self.n(1, 3)), (self.n(1, 2), self.n(1, 2))
        return self.one(
            lambda: Conv2d(c, groups * self.n(1, 3), kernel, stride,
                           self.one("valid", "same", 1, (0, 2)), (self.n(1, 2), self.n(1, 2)),
                           groups, self.one(*SIGMAS), **self.made),
            lambda: Conv2d(c, self.n(1, 5), self.one(1, 3, 5), 1, "same", **self.made),
            lambda: ConvTranspose2d(c, groups * self.n(1, 2), kernel, stride, groups=groups,
                                    activation=self.one(*SIGMAS), **self.made),
            lambda: self.one(MaxPool2d, AvgPool2d)(kernel, stride, self.one("valid", "same")),
            lambda: MaxPool2d(2),
            lambda: BatchNorm(c, dtype=self.dtype),
            lambda: GroupNorm(groups, c, dtype=self.dtype),
            lambda: LayerNorm((c, h, w), dtype=self.dtype),
            lambda: Transpose(self.one((0, 2, 1), (1, 2, 0), (2, 0, 1))),
            lambda: Reshape((c, h * w)),
            lambda: GlobalAvgPool(),
            lambda: Flatten(),
            lambda: ChannelDropout(0.3, rng=0),
            lambda: Residual([Conv2d(c, c, 3, 1, "same", **self.made)]),
        )()  # fmt: skip

    # -- a chain -------------------------------------------------------------------------------

    def chain(self, shape: tuple[int, ...], length: int) -> tuple[list[Any], tuple[int, ...]]:
        """Return layers one after another, and the shape that comes out."""
        layers: list[Any] = []
        while len(layers) < length:
            try:
                layer = self.layer(shape)
                after = layer.output_shape(shape)
            except (ShapeError, ValueError):  # a window larger than the input, say
                continue
            if np.prod(after) > 400 or (self.still and getattr(layer, "rng", None) is not None):
                continue
            layers.append(layer)
            shape = tuple(map(int, after))
        return layers, shape

    def network(self) -> Network:
        """Return a network: of vectors, sequences, images, tokens, under a mask, of two inputs."""
        kind = self.one("vectors", "sequences", "images", "images", "tokens", "masked", "two")
        if kind == "two":
            return self.two()
        first: list[Any] = []
        if kind == "vectors":
            start: tuple[int, ...] = (self.n(1, 40),)
            shape = start
        elif kind == "images":
            shape = start = (self.n(1, 4), self.n(1, 9), self.n(1, 9))
        elif kind == "tokens":
            d = self.n(1, 6)
            start, shape = (steps := self.n(1, 7),), (d, steps)
            first = [Embedding(self.n(2, 9), d, **self.made)]
        elif kind == "masked":
            shape = start = (self.n(2, 4), self.n(1, 6))
            return self.masked(start)
        else:
            shape = start = (self.n(1, 6), self.n(1, 8))
        layers, shape = self.chain(shape, self.n(1, 4))
        return self.ended([*first, *layers], shape, start)

    def ended(self, layers: list[Any], shape: tuple[int, ...], start: tuple[int, ...]) -> Network:
        """Return a network of layers, and of a last one such as the cost takes."""
        cost = self.one(*COSTS)
        if len(shape) > 1:
            layers = [*layers, Flatten()]
        sigma, self.labels = COSTS[cost]
        last = self.dense(int(np.prod(shape)), self.n(2, 5), sigma)
        return Network([*layers, last], cost, input_shape=start)

    def masked(self, start: tuple[int, ...]) -> Network:
        d = start[0] - 1
        inner: list[Any] = [TimeDistributed(self.dense(d, 4))]
        inner += [
            self.one(
                lambda: LSTM(4, 4, **self.made),
                lambda: GRU(4, 4, reverse=True, **self.made),
                lambda: BatchNorm(4, dtype=self.dtype),
                lambda: TransformerBlock(4, 2, 3, True, **self.made),
            )()
        ]
        inner += [self.one(TimeStep(-1), GlobalAvgPool())]
        return self.ended([Masked(inner)], (4,), start)

    def two(self) -> Network:
        """Return a graph of two inputs and two outputs."""
        n, shape = self.n(1, 5), (self.n(1, 4), self.n(1, 4))
        x, other = Input("x", (n,)), Input("other", shape)
        both = concatenate(apply(self.dense(n, 4), x), apply(Flatten(), other))
        size = 4 + shape[0] * shape[1]
        ends = apply(self.dense(size, 3, "softmax"), both), apply(self.dense(size, 2, "tanh"), both)
        cost = WeightedCosts(["softmax_cross_entropy", "squared_error"], [0.5, 1.5])
        return Network(Graph(list(ends)), cost)

    # -- data ----------------------------------------------------------------------------------

    def data(self, network: Network, n: int) -> tuple[Any, Any]:
        """Return examples, and targets, of a network."""
        shapes = network.input_shape
        if isinstance(shapes[0], tuple):
            x = tuple(self.rng.standard_normal((*one, n)).astype(self.dtype) for one in shapes)
            y = self.rng.integers(0, 3, n), self.rng.standard_normal((2, n)).astype(self.dtype)
            return x, y
        if network.root.integer_input:
            x = self.rng.integers(0, network.layers[0].n, (*shapes, n))
        else:
            x = self.rng.standard_normal((*shapes, n)).astype(self.dtype)
            if isinstance(network.layers[0], Masked):
                real = np.arange(shapes[1])[:, None] < self.rng.integers(1, shapes[1] + 1, n)
                x[-1] = real
        classes = network.output_shape[0]
        if self.labels:
            return x, self.rng.integers(0, classes, n)
        return x, self.rng.random((classes, n)).astype(self.dtype)
