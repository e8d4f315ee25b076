"""Graphs that the tests of this folder, and of others, try."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from backprop.costs import Quadratic, WeightedCosts
from backprop.graph import Graph, Input, Node, Variable, apply, concatenate, cos, exp, sin, sqrt
from backprop.layers import Dense, Layer, Sigmoid
from backprop.network import Network

ONE = np.ones((1, 1))


def composite() -> Network:
    """Return sqrt(x^2 + exp(x^2)) + cos(x^2 + exp(x^2))."""
    x = Input("x", shape=(1,))
    a = (x**2).named("a")
    b = exp(a).named("b")
    c = (a + b).named("c")
    d = sqrt(c).named("d")
    e = cos(c).named("e")
    return Network(Graph((d + e).named("f"))).astype("float64")


def layers_of(sizes: Any, activation: str = "tanh", dtype: str = "float64") -> list[Layer]:
    """Return dense layers of these sizes, one after another."""
    ends = itertools.pairwise(sizes)
    return [Dense(m, n, activation, dtype=dtype, rng=i) for i, (m, n) in enumerate(ends)]


def chain(layers: list[Layer], cost: Any = None, shape: Any = None) -> Network:
    """Return the layers one after another, as a graph."""
    node: Node = Input("x", shape or layers[0].input_shape)
    for layer in layers:
        node = apply(layer, node)
    return Network(Graph(node), cost)


def residual(dtype: str = "float64") -> Network:
    """Return softmax(w (x + Dense(Dense(x))))."""
    first, second, last = layers_of([4, 5, 4], dtype=dtype) + layers_of([4, 3], "softmax", dtype)
    x = Input("x", (4,))
    h = apply(second, apply(first, x))
    return Network(Graph(apply(last, (x + h).named("sum"))), "softmax_cross_entropy")


def two_branches(dtype: str = "float64") -> Network:
    """Return sin(Dense(x)) * exp(Dense(x) / 2) + w x + b, the input in three places."""
    left, right = layers_of([4, 3], dtype=dtype) + layers_of([4, 3], "sigmoid", dtype)
    x = Input("x", (4,))
    w = apply(Variable((3, 4), rng=1, dtype=dtype)).named("w")
    b = apply(Variable((3,), regularized=False, rng=2, dtype=dtype)).named("b")
    product = sin(apply(left, x).named("left")) * exp(apply(right, x).named("right") / 2)
    return Network(Graph((product + w @ x + b).named("y")), "quadratic")


def penalized(dtype: str = "float64") -> Network:
    """Return, of a stacked (x, t), (v sigma(w x) - t)^2 + 0.1 (|w|^2 + |v|^2): a cost as a node."""
    both = Input("both", (3,))
    x, t = both[:2].named("x"), both[2:].named("t")
    w = apply(Variable((4, 2), rng=1, dtype=dtype)).named("w")
    v = apply(Variable((1, 4), rng=2, dtype=dtype)).named("v")
    error = v @ apply(Sigmoid(), w @ x) - t
    return Network(Graph((error**2).sum() + 0.1 * ((w**2).sum() + (v**2).sum())))


GRAPHS = [composite, residual, two_branches, penalized]


def data(network: Network, batch: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return examples and targets that the network takes."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*network.input_shape, batch)).astype(network.dtype)
    if network.cost is not None and not isinstance(network.cost, Quadratic):
        return x, np.arange(batch) % network.output_shape[0]
    return x, rng.standard_normal((*network.output_shape, batch)).astype(network.dtype)


# -- several inputs and outputs ----------------------------------------------------------------


def heads(cost: Any = None, dtype: str = "float64", last: str = "tanh") -> Network:
    """Return two inputs and four outputs, the first of which the others are made of.

    ::

        h = tanh(w [u; v] + b),   p = softmax(w h + b),   q = sigma(w (h * sin h) + b),   s = h + q
    """
    u, v = Input("u", (3,)), Input("v", (2,))
    h = apply(Dense(5, 4, "tanh", dtype=dtype, rng=0), concatenate(u, v)).named("h")
    p = apply(Dense(4, 3, "softmax", dtype=dtype, rng=1), h).named("p")
    q = apply(Dense(4, 4, last, dtype=dtype, rng=2), h * sin(h)).named("q")
    return Network(Graph([h, p, q, (h + q).named("s")], [u, v]), cost)


def heads_data(n: int, dtype: str = "float64", seed: int = 0) -> tuple[Any, Any]:
    """Return inputs for `heads`, and targets that every cost takes."""
    rng = np.random.default_rng(seed)
    x = tuple(rng.standard_normal((k, n)).astype(dtype) for k in (3, 2))
    y = tuple(rng.random((k, n)) for k in (4, 3, 4, 4))
    return x, tuple((one / one.sum(axis=0)).astype(dtype) for one in y)


SOFTMAX = "softmax_cross_entropy"
HEADS = {  # the activation of the third output, and the costs
    "canonical, and not": ("sigmoid", ["quadratic", SOFTMAX, "cross_entropy", "quadratic"]),
    "no canonical pair": ("tanh", ["squared_error", "mean_squared_error"] + ["quadratic"] * 2),
    "identity": ("identity", ["mean_squared_error", SOFTMAX, "quadratic", "mean_squared_error"]),
    "weights": (
        "sigmoid",
        WeightedCosts(["quadratic", SOFTMAX, "cross_entropy", "quadratic"], [0.3, 2.0, 0.0, 1.5]),
    ),
}
