"""Networks of all kinds of containers, and how a delta of 0 spreads in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from backprop.core.shapes import as_tuple
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    LSTM,
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Layer,
    LayerNorm,
    Masked,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    Softmax,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
)
from backprop.layers.containers.sequential import Chain
from backprop.network import Network
from tests.support import dense

MOMENTS = ("forward", "delta", "backward")


def data(network: Network, batch: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    shape = (*network.input_shape, batch)
    return rng.standard_normal(shape), rng.random((*network.output_shape, batch))


def run(network: Network) -> np.ndarray:
    x, y = data(network)
    network.forward(x, training=True)
    return network.backward(y)


def in_place(layer: Layer) -> None:
    for delta in as_tuple(layer.delta):
        delta[...] = 0


def assigned(layer: Layer) -> None:
    several = isinstance(layer.delta, tuple)
    layer.delta = tuple(map(np.zeros_like, layer.delta)) if several else np.zeros_like(layer.delta)


def sequences(*layers: Layer, shape=(4, 3)) -> Network:
    chain = [*layers, TimeStep(-1), dense(4, 2, "sigmoid", 9)]
    return Network(chain, "cross_entropy", input_shape=shape)


def graph() -> Network:
    """Return a chain in which a graph of two branches stands, of which one goes past the other."""
    x = Input("x", (4,))
    u = apply(dense(4, 4, rng=1), x).named("u")
    out = apply(dense(4, 4, rng=2), u) + x * 0.5
    return Network([dense(4, 4), Graph(out), dense(4, 2, "sigmoid", 3)], "cross_entropy")


NETWORKS: dict[str, Callable[[], Network]] = {
    "chain": lambda: Network([dense(4, 5), dense(5, 4), dense(4, 2, "sigmoid")], "cross_entropy"),
    "any cost": lambda: Network([dense(4, 5), dense(5, 4), dense(4, 2, "sigmoid")], "quadratic"),
    "no sigma": lambda: Network(
        [dense(4, 4), LayerNorm(4, dtype="float64"), BatchNorm(4, dtype="float64"), ReLU(),
         Dropout(0.3, rng=0), Identity(), dense(4, 2, "identity"), Softmax()],
        "quadratic"),
    "sequential": lambda: Network(
        [dense(4, 4), Sequential([dense(4, 4, rng=1), Sequential([dense(4, 4, rng=2)])]),
         Sequential([dense(4, 3, rng=3), dense(3, 2, "sigmoid", 4)])], "cross_entropy"),
    "residual": lambda: Network(
        [dense(4, 4), Residual([dense(4, 4, rng=1), Residual([dense(4, 4, rng=2)])]),
         dense(4, 2, "sigmoid", 3)], "cross_entropy"),
    "concat": lambda: Network(
        [dense(4, 4), Parallel([dense(4, 2, rng=1), Sequential([dense(4, 3, rng=2)])]),
         dense(5, 2, "sigmoid", 3)], "cross_entropy"),
    "sum": lambda: Network(
        [dense(4, 4), Parallel([dense(4, 3, rng=1), dense(4, 3, rng=2), dense(4, 3)], "sum"),
         dense(3, 2, "sigmoid", 3)], "cross_entropy"),
    "every step": lambda: sequences(
        TimeDistributed(dense(4, 4)), TimeDistributed(Sequential([dense(4, 4, rng=1)]))),
    "masked": lambda: sequences(
        TimeDistributed(dense(4, 4)),
        Masked([LSTM(3, 4, dtype="float64", rng=0), LSTM(4, 4, dtype="float64", rng=1)])),
    "transformer": lambda: sequences(
        TimeDistributed(dense(4, 4)), TransformerBlock(4, 2, 3, dtype="float64", rng=0)),
    "convolution": lambda: Network(
        [Conv2d(1, 2, 2, activation="tanh", dtype="float64", rng=0),
         Conv2d(2, 2, 2, padding="same", activation="tanh", dtype="float64", rng=1), Flatten(),
         dense(8, 2, "sigmoid")], "cross_entropy", input_shape=(1, 3, 3)),
    "graph": graph,
}  # fmt: skip

EVERYWHERE = [(name, place) for name, make in NETWORKS.items() for place, _ in make().root.walk()]


def around(root: Layer, place: str) -> tuple[set[str], set[str], bool]:
    """Return where the gradient is 0 if no delta goes below `place`, and where it stays as it is.

    Last, whether nothing reaches the input.
    """
    layers = dict(root.walk())
    zero, same, no_way_past = {n for n, _ in layers[place].walk(place)}, set(), True
    while place:
        above, _, index = place.rpartition(".")
        parent = layers[above]
        for number, child in enumerate(parent.children):
            names = {n for n, _ in child.walk(f"{above}.{number}" if above else str(number))}
            if isinstance(parent, Chain) and number < int(index):
                zero |= names if no_way_past else set()
            elif isinstance(parent, (Chain, Parallel)) and number != int(index):
                same |= names
        at_the_top = isinstance(parent, Graph) and parent.output_layers == [parent[int(index)]]
        no_way_past &= at_the_top or isinstance(parent, (Sequential, Masked, TimeDistributed))
        place = above
    return zero, same, no_way_past
