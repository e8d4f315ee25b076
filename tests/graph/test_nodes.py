"""Writing nodes down: operators, constants, the order, and errors when the graph is built."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop.graph import (
    Add,
    Graph,
    Input,
    Slice,
    Variable,
    apply,
    concatenate,
    cos,
    exp,
    log,
    sin,
    sqrt,
    topological_order,
)
from backprop.layers import Dense, Embedding, ShapeError, Tanh
from backprop.network import Network


def test_topological_order():
    inputs = {"f": ["d", "e"], "d": ["c"], "e": ["c"], "c": ["a", "b"], "b": ["a"], "a": []}
    assert topological_order("f", inputs.__getitem__) == ["a", "b", "c", "d", "e", "f"]
    inputs["a"] = ["d"]
    with pytest.raises(ValueError, match=r"^the graph has a cycle: d -> a -> c -> d$"):
        topological_order("f", inputs.__getitem__)
    with pytest.raises(ValueError, match=r"^the graph has a cycle: g -> g$"):
        topological_order("g", lambda name: [name])


def test_operators_and_constants():
    x = Input("x", (1,))
    at = 0.7
    cases = [(x + 2, at + 2), (2 + x, 2 + at), (x - 2, at - 2), (2 - x, 2 - at), (x * 2, at * 2),
             (2 * x, 2 * at), (x / 2, at / 2), (2 / x, 2 / at), (x**2, at**2), (2**x, 2**at),
             (-x, -at), (np.float64(2) * x, 2 * at), (x**-1, 1 / at), (log(x), math.log(at)),
             (sqrt(x), math.sqrt(at)), (sin(x), math.sin(at)), (cos(x), math.cos(at)),
             (exp(x), math.exp(at)), (x.sum(), at), (x[0:1], at),
             (concatenate(x, x)[1:], at)]  # fmt: skip
    for node, expected in cases:
        network = Network(Graph(node)).astype("float64")
        assert network.predict(np.array([[at]])).item() == pytest.approx(expected, rel=1e-15)


X, Y = Input("x", (3,)), Input("y", (2,))
W = apply(Variable((2, 3))).named("w")
N = exp(X)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: X + Y, ShapeError, r"^node x \+ y: expected one shape, got x \(3,\) and y \(2,\)"),
        (lambda: exp(X) * Y, ShapeError, r"^node \(exp\) \* y: expected one shape, got \(exp\)"),
        (lambda: apply(Dense(4, 2), X), ShapeError,
         r"^node Dense\(4 -> 2, sigmoid\)\(x\): expected \(4,\), got x \(3,\)$"),
        (lambda: W @ Y, ShapeError,
         r"^node w @ y: expected \(m, n\) and \(n,\) or \(n, k\), got w \(2, 3\) and y \(2,\)$"),
        (lambda: apply(Slice(1, 4), X), ShapeError,
         r"^node x\[1:4\]: expected at least 4 features, got x \(3,\)"),
        (lambda: concatenate(X, W), ShapeError,
         r"^node \[x; w\]: expected shapes that differ in the first axis only, got x \(3,\) and w"),
        (lambda: concatenate(X), ValueError, r"^Concatenate: n_inputs must be at least 2, got 1$"),
        (lambda: concatenate(X, 2), ValueError, r"^node \[x; 2\]: a number cannot be concatenated"),
        (lambda: X / 0, ValueError, r"^node x / 0: a constant divisor must not be 0"),
        (lambda: (-2) ** X, ValueError, r"^node -2 \*\* x: a constant base must be positive"),
        (lambda: W @ 2, ValueError, r"^node w @ 2: a matrix product takes no number"),
        (lambda: 2 @ W, ValueError, r"^node 2 @ w: a matrix product takes no number"),
        (lambda: X + math.nan, ValueError, r"^a constant must be in "),
        (lambda: X + True, TypeError, r"^an operand is a node or a number, got bool"),
        (lambda: X * np.ones(3), TypeError, r"got ndarray: make arrays a Variable"),
        (lambda: np.ones(3) * X, TypeError, r"got ndarray: make arrays a Variable"),
        (lambda: apply(Dense(3, 2), 2.0), TypeError, r"at least one input must be a node, got 2"),
        (lambda: apply(Add(), 2.0, 3.0), TypeError, r"^node 2 \+ 3: at least one input must be"),
        (lambda: apply(Add(), X), TypeError, r"Add\(\) takes 2 inputs, got 1"),
        (lambda: apply(Dense(3, 2), X, X), TypeError, r"takes 1 inputs, got 2"),
        (lambda: apply("relu", X), TypeError, r"^expected a layer or an operation, got 'relu'"),
        (lambda: apply(Embedding(5, 2), X), TypeError, r"a graph takes no integers, use a Network"),
        (lambda: apply(Graph([exp(X), X.sum()]), X), TypeError,
         r"a node has one output, and Graph\(x -> exp_1, sum_1, 3 nodes\) has 2: concatenate them"),
        (lambda: X[0], TypeError, r"a slice of the first axis is u\[start:stop\], got 0"),
        (lambda: X[::2], TypeError, r"a slice of the first axis is u\[start:stop\]"),
        (lambda: X[3:], ValueError, r"^Slice: expected 0 <= start < stop, got 3 and 3"),
        (lambda: exp(X).named(3), TypeError, r"^the name of a node is a string, got 3"),
        (lambda: Input("x", ()), ValueError, r"^input x: shape must not be empty, got \(\)"),
        (lambda: Input("x", 3), TypeError, "^input x: shape must be a sequence of int"),
        (lambda: Input("x", (0,)), ValueError, r"^input x: every size in shape must be at least 1"),
        (lambda: Input("x", (3, None)), TypeError,
         r"^input x: shape must hold a number for every axis, got \(3, None\): .* Pad the"),
        (lambda: Graph("x"), TypeError, r"^the output of a graph is a node, got 'x'"),
        (lambda: Graph([]), TypeError, r"^the output of a graph is a node, got \[\]"),
        (lambda: Graph([exp(X), "x"]), TypeError, r"^the output of a graph is a node, got \["),
        (lambda: Graph(X), ValueError, r"^every output of a graph is another node, and none is an"),
        (lambda: Graph([W @ X, X]), ValueError, r"^every output of a graph is another node, and"),
        (lambda: Graph([W, W]), ValueError, r"^a graph has at least one input, got none"),
        (lambda: Graph([N, N]), ValueError, r"^every output of a graph is another node, and none"),
        (lambda: Graph(exp(W)), ValueError, r"^a graph has at least one input, got none"),
        (lambda: Graph(exp(X), Y), ValueError, r"^the inputs of the graph are x, got y$"),
        (lambda: Graph(exp(X), [X, Y]), ValueError, r"inputs of the graph are x, got x and y$"),
        (lambda: Graph(exp(X), [X, X]), ValueError, r"inputs of the graph are x, got x and x$"),
        (lambda: Graph(exp(X), "x"), ValueError, r"^the inputs of the graph are x, got x$"),
        (lambda: Graph(exp(exp(X).named("a")).named("a")), ValueError, r"^two nodes are called a$"),
        (lambda: Graph(exp(X).named("x")), ValueError, r"^two nodes are called x$"),
        (lambda: Graph(Input("u", (2,)) + Input("u", (2,))), ValueError,
         r"^two nodes are called u$"),
        (lambda: Network(Graph(apply(Tanh(), X)), "softmax_cross_entropy"), ValueError,
         r"takes probabilities that add up to 1, but the last layer, Tanh\(\), gives"),
    ],
)  # fmt: skip
def test_errors_name_the_nodes(build, error, message):
    with pytest.raises(error, match=message):
        build()
