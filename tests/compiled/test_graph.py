"""Graphs in C: operations, several inputs and outputs, and values that several nodes use."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from backprop import Network, Trainer
from backprop.compiled import NoTwin, Program
from backprop.costs import Quadratic, SoftmaxCrossEntropy, WeightedCosts
from backprop.graph import (
    Cos,
    Divide,
    Exp,
    Graph,
    Input,
    Log,
    MatMul,
    Multiply,
    Node,
    Power,
    Sin,
    Slice,
    Sqrt,
    Sum,
    Variable,
    apply,
    concatenate,
    cos,
    exp,
    log,
    sin,
    sqrt,
)
from backprop.layers import GRU, LSTM, Dense, Masked, Residual, Sequential, TimeDistributed
from backprop.optimizers import SGD, Adam
from tests.compiled.calls import Calls
from tests.compiled.support import assert_one, needs_compiler, relative, train_both

pytestmark = needs_compiler

OPERATIONS = {
    "divide": Divide(),
    "multiply": Multiply(),
    "power": Power(),
    "exp": Exp(),
    "log": Log(),
    "sqrt": Sqrt(),
    "sin": Sin(),
    "cos": Cos(),
}


def dense(n_in, n_out, sigma="tanh", seed=0):
    return Dense(n_in, n_out, sigma, "glorot_uniform", "normal", dtype="f8", rng=seed)


# -- operations ---------------------------------------------------------------------------------


@functools.lru_cache
def calls(dtype):
    texts = {}
    for name, operation in OPERATIONS.items():
        texts[name] = f"graph_{name}(n[0], p[1], p[2], NULL, p[3])"
        for which in "uv"[: operation.n_inputs]:
            texts[f"{name}_by_{which}"] = (
                f"graph_{name}_by_{which}(n[0], p[1], p[2], p[3], p[4], p[5])"
            )
    return Calls(["graph.h"], dtype, **texts)


EDGES = [0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 0.5, 1e-30, 1e30, -1e30, 88.5, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_numpys_at_the_edges_of_their_domains(name, dtype):
    operation = OPERATIONS[name]
    u, v = (one.ravel().astype(dtype) for one in np.meshgrid(EDGES, EDGES))
    operands = (u, v)[: operation.n_inputs]
    nabla_a = np.random.default_rng(0).standard_normal(u.shape).astype(dtype)
    a, call = np.empty_like(u), calls(dtype)
    call(name, u.size, u, v, a)
    with np.errstate(all="ignore"):
        expected = operation.value(*operands)
        slopes = operation.local(expected, *operands)
        gradients = [nabla_a * slope for slope in slopes]
    np.testing.assert_allclose(a, expected, 10 * np.finfo(dtype).eps)
    for which, gradient in zip("uv", gradients, strict=False):
        found = np.empty_like(u)
        call(f"{name}_by_{which}", u.size, nabla_a, u, v, expected, found)
        limit = 20 * np.finfo(dtype).eps
        np.testing.assert_allclose(found, gradient, limit, err_msg=f"by {which}")


def all_operations():
    x = Input("x", (6,))
    u, v = apply(Slice(0, 3), x), apply(Slice(3, 6), x)
    positive = exp(0.3 * u) + 1.5
    shared = Node(Variable((3,), dtype="f8", rng=1), [])
    powers = positive ** (0.2 * v) + positive**2 + 1.3**v - sqrt(positive) / (2 + sin(u) * 0.5)
    logs = log(positive * (1.1 + cos(v) * 0.1)) / positive - 1.0 / positive
    w = Node(Variable((2, 3), dtype="f8", rng=2), [])
    scaled = shared * shared * 0.5 + 1.0  # the same for every example
    matrix = apply(MatMul(), w, powers * scaled)
    total = apply(Sum(), logs - shared)
    return Graph(concatenate(matrix, total, shared, u - 1.0))


def matrices():
    x, y = Input("x", (2, 3)), Input("y", (3,))
    w = Node(Variable((4, 2), dtype="f8", rng=1), [])
    of_all = apply(MatMul(), w, x)  # 4 x 3 of every example
    each = apply(MatMul(), of_all, y)  # a matrix of each by a vector of each
    fixed = Node(Variable((3,), dtype="f8", rng=2), [])
    by_one = apply(MatMul(), of_all, fixed)  # by one vector for all
    pairs = apply(MatMul(), x, apply(MatMul(), Node(Variable((3, 3), dtype="f8", rng=3), []),
                                     Node(Variable((3, 2), dtype="f8", rng=4), [])))  # fmt: skip
    return Graph([each + by_one, pairs], [x, y])


def test_all_operations_at_once():
    rng = np.random.default_rng(0)
    network = Network(all_operations(), "quadratic")
    x, y = rng.standard_normal((6, 11)), rng.standard_normal((9, 11))
    assert_one(*train_both(network, x, y, epochs=2, optimizer=SGD(0.01)))


def test_products_of_matrices_one_for_all_or_one_for_each():
    rng = np.random.default_rng(0)
    network = Network(matrices(), ["quadratic", "squared_error"])
    x = rng.standard_normal((2, 3, 8)), rng.standard_normal((3, 8))
    y = rng.standard_normal((4, 8)), rng.standard_normal((2, 2, 8))
    numpy, compiled = train_both(network, x, y, epochs=2, optimizer=SGD(0.01))
    assert_one(numpy, compiled)
    for found, expected in zip(network.predict(x, compiled=True), network.predict(x), strict=True):
        assert relative(found, expected) < 1e-12


def test_a_batch_of_one_is_no_value_for_all():
    rng = np.random.default_rng(0)
    network = Network(all_operations(), "quadratic")
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((9, 3))
    assert_one(*train_both(network, x, y, optimizer=SGD(0.01), batch_size=1))


# -- inputs, outputs and what lies between ------------------------------------------------------


def two_heads(cost=None):
    """Return a graph whose first output is used by the second, which ends in no activation."""
    x, y = Input("x", (3,)), Input("y", (2, 4))
    trunk = apply(dense(3, 4), x)
    steps = apply(LSTM(2, 4, dtype="f8", rng=1), y)
    ends = apply(Slice(0, 2), apply(TimeDistributed(dense(4, 4)), steps))
    classes = apply(dense(4, 3, "softmax", 2), trunk)
    mixed = concatenate(classes, trunk, apply(Sum(), ends))
    number = apply(Residual([dense(8, 8)]), mixed)
    of_steps = apply(TimeDistributed(dense(4, 3, "softmax", 3)), steps)
    cost = cost or ["softmax_cross_entropy", "quadratic", "softmax_cross_entropy"]
    return Network(Graph([classes, number, of_steps], [x, y]), cost)


def data(rng, n):
    x = rng.standard_normal((3, n)), rng.standard_normal((2, 4, n))
    labels, of_steps = rng.integers(0, 3, n), rng.integers(-1, 3, (4, n))
    of_steps[0] = 1
    return x, (labels, rng.standard_normal((8, n)), of_steps)


def test_several_inputs_and_outputs():
    rng = np.random.default_rng(0)
    costs = [SoftmaxCrossEntropy(0.1), Quadratic(), "softmax_cross_entropy"]
    network = two_heads(WeightedCosts(costs, [0.5, 1.0, 2.0]))
    x, y = data(rng, 11)
    settings = {"epochs": 3, "optimizer": Adam(0.01), "monitor_training": True}
    numpy, compiled = train_both(network, x, y, **settings)
    assert_one(numpy, compiled)
    one, other = (trainer.history["training_cost"] for trainer in (numpy, compiled))
    np.testing.assert_allclose(other, one, 1e-12)
    root, other = numpy.network.root, compiled.network.root
    for part in ("z", "a", "delta", "a_prev"):
        for found, expected in zip(getattr(other, part), getattr(root, part), strict=True):
            assert relative(found, expected) < 1e-12, part
    found, expected = (numpy.network.predict(x, compiled=way) for way in (True, False))
    for one, other in zip(found, expected, strict=True):
        assert relative(one, other) < 1e-12


def test_weights_of_every_output_and_of_every_step():
    rng = np.random.default_rng(0)
    x, y = data(rng, 8)
    sample_weight = (rng.random(8), None, rng.random((4, 8)))
    class_weight = ({0: 2.0, 1: 0.5}, None, None)
    settings = {"sample_weight": sample_weight, "class_weight": class_weight}
    assert_one(*train_both(two_heads(), x, y, epochs=2, **settings))
    settings = {"sample_weight": rng.random(8)}
    assert_one(*train_both(two_heads(), x, y, epochs=2, **settings))


def test_outputs_that_are_no_canonical_pairs():
    x = Input("x", (3,))
    trunk = apply(dense(3, 4, "relu"), x)
    ends = [apply(dense(4, 2, sigma), trunk) for sigma in ("sigmoid", "tanh", "softmax", "sigmoid")]
    costs = ["quadratic", "mean_squared_error", "squared_error", "cross_entropy"]
    network = Network(Graph(ends), costs)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 8)), tuple(rng.random((2, 8)) for _ in ends)
    assert_one(*train_both(network, x, y, epochs=2))


def test_a_graph_in_a_chain_and_in_a_graph():
    u = Input("u", (3,))
    shared = dense(3, 3, "tanh", 5)
    once = apply(shared, u)
    inner = Graph(apply(shared, once) + once * u)
    layers = [dense(4, 3), inner, Sequential([dense(3, 3, "relu", 2), two_in_one()])]
    network = Network(layers, "cross_entropy", input_shape=(4,))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 8)), rng.random((3, 8))
    assert_one(*train_both(network, x, y, epochs=3))


def two_in_one():
    """Return a graph of one input around one of two inputs and one output."""
    x = Input("x", (3,))
    p, q = Input("p", (3,)), Input("q", (3,))
    inner = Graph(apply(dense(3, 3, "sigmoid"), p * q), [p, q])
    return Graph(Node(inner, [x, exp(x * 0.1)]))


def test_masks_on_a_graph():
    x = Input("x", (2, 4))
    h = apply(LSTM(2, 3, dtype="f8", rng=0), x)
    g = apply(GRU(3, 3, reverse=True, dtype="f8", rng=1), h)
    graph = Graph(h * g + apply(TimeDistributed(dense(3, 3)), h) * 0.5)
    layers = [Masked([graph, GRU(3, 2, dtype="f8", rng=2)])]
    network = Network(layers, "quadratic", input_shape=(3, 4))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 4, 8)), rng.standard_normal((2, 4, 8))
    assert_one(*train_both(network, x, y, epochs=2))


def test_a_cost_of_ones_own_for_several_outputs_has_no_twin():
    class Mine(WeightedCosts):
        pass

    network = two_heads(Mine(["softmax_cross_entropy", "quadratic", "softmax_cross_entropy"]))
    with pytest.raises(NoTwin, match="Mine"):
        Program(network, 4, SGD(0.1), labels=(True, False, True))
    x, y = data(np.random.default_rng(0), 8)
    trainer = Trainer(network, "sgd", compiled=True, progress=False)
    with pytest.raises(NoTwin):
        trainer.fit(x, y)
