"""Networks and rules that the tests of credit rules share."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import Network
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    LSTM,
    RNN,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Residual,
    TimeStep,
)
from backprop.research import (
    DRTP,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    KolenPollack,
    SignSymmetry,
    WeightMirror,
)

RULES = {
    "fa": lambda: FeedbackAlignment(rng=5),
    "dfa": lambda: DirectFeedbackAlignment(rng=5),
    "uniform": SignSymmetry,
    "batchwise": lambda: SignSymmetry("batchwise", rng=5),
    "fixed": lambda: SignSymmetry("fixed", rng=5),
    "kolen_pollack": lambda: KolenPollack(0.01, rng=5),
    "drtp": lambda: DRTP(rng=5),
    "mirror": lambda: WeightMirror(samples=5, rng=5),
}
every_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES)


def dense_network(dtype="float64", credit=None, rng=0) -> Network:
    layers = [
        Dense(5, 7, "tanh", dtype=dtype),
        Dropout(0.3),
        Dense(7, 6, "tanh", dtype=dtype),
        Dense(6, 3, "softmax", dtype=dtype),
    ]
    return Network(layers, "softmax_cross_entropy", rng=rng, credit=credit)


def conv_network(credit=None) -> Network:
    layers = [
        Conv2d(1, 3, 3, dtype="float64"),
        MaxPool2d(2),
        Residual([Conv2d(3, 3, 3, padding="same", dtype="float64"), BatchNorm(3, dtype="float64")]),
        Conv2d(3, 4, 2, groups=1, dtype="float64"),
        Flatten(),
        Dense(16, 3, "softmax", dtype="float64"),
    ]
    cost = "softmax_cross_entropy"
    return Network(layers, cost, input_shape=(1, 8, 8), rng=0, credit=credit)


def recurrent_network(credit=None) -> Network:
    layers = [
        LSTM(4, 5, dtype="float64"),
        RNN(5, 6, dtype="float64"),
        TimeStep(-1),
        Dense(6, 3, "softmax", dtype="float64"),
    ]
    cost = "softmax_cross_entropy"
    return Network(layers, cost, input_shape=(4, 7), rng=0, credit=credit)


NETWORKS = {"dense": dense_network, "conv": conv_network, "recurrent": recurrent_network}


def data(network, batch=11, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*network.input_shape, batch)).astype(network.dtype)
    return x, rng.integers(0, 3, batch)


def both_passes(network, x, y, **how):
    network.forward(x, training=True)
    return network.backward(y, **how)


def graph_network(credit=None):
    x = Input("x", shape=(4,))
    h = apply(Dense(4, 5, "tanh", dtype="float64"), x).named("h")
    left = apply(Dense(5, 3, "tanh", dtype="float64"), h).named("left")
    right = apply(Dense(5, 3, "tanh", dtype="float64"), h).named("right")
    a = apply(Dense(3, 2, "softmax", dtype="float64"), left * right).named("a")
    return Network(Graph(a), "softmax_cross_entropy", rng=0, credit=credit)
