"""Networks of graphs: chains, training, files, copies, hooks, summaries."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest

from backprop.core.storage import FileError, write_archive
from backprop.graph import Graph, Input, Variable, apply, exp, log
from backprop.layers import Dense, Dropout, Reshape, ShapeError, Sigmoid, Tanh
from backprop.network import Network
from backprop.optimizers import Adam
from backprop.regularizers import L2
from backprop.training import checkpoint
from backprop.training.trainer import DivergenceError, Trainer
from tests.graph.examples import (
    GRAPHS,
    ONE,
    chain,
    data,
    penalized,
    residual,
    two_branches,
)
from tests.training.support import assert_resumes

# -- a chain is a network --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("cost", "activation"),
                         [("cross_entropy", "sigmoid"), ("quadratic", "sigmoid"),
                          ("softmax_cross_entropy", "softmax")])  # fmt: skip
def test_a_chain_is_bit_identical_to_the_network(dtype, cost, activation):
    def layers():
        hidden = Dense(6, 5, "tanh", dtype=dtype, rng=1)
        return [hidden, Reshape((5,)), Tanh(), Dense(5, 3, activation, dtype=dtype, rng=2)]

    network, graph = Network(layers(), cost), chain(layers(), cost)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 23)).astype(dtype)
    y = np.eye(3, dtype=dtype)[:, np.arange(23) % 3].copy()
    np.testing.assert_array_equal(graph.theta, network.theta, strict=True)
    assert graph.root.weight_parts() == network.root.weight_parts()
    assert graph.evaluate(x, y) == network.evaluate(x, y)
    gradients = []
    for model in (network, graph):
        model.forward(x, training=True)
        gradients.append(model.backward(y))
    np.testing.assert_array_equal(*gradients, strict=True)
    np.testing.assert_array_equal(graph.nabla, network.nabla, strict=True)
    histories = []
    for model in (network, graph):
        trainer = Trainer(model, Adam(), 5, regularizer=L2(0.01), rng=3, progress=False)
        histories.append(trainer.fit(x, y, 3)["training_cost"])
    assert histories[0] == histories[1]
    np.testing.assert_array_equal(graph.theta, network.theta, strict=True)
    np.testing.assert_array_equal(graph.predict(x, 4), network.predict(x, 4), strict=True)
    graph.initialize(7)
    network.initialize(7)
    np.testing.assert_array_equal(graph.theta, network.theta)


def test_a_variable_and_a_product_are_a_dense_layer():
    dense = Dense(4, 3, "sigmoid", dtype="float64", rng=0)
    x = Input("x", (4,))
    w = apply(Variable((3, 4), "nielsen", dtype="float64")).named("w")
    b = apply(Variable((3,), regularized=False, dtype="float64")).named("b")
    graph = Network(Graph(apply(Sigmoid(), w @ x + b)), "cross_entropy")
    network = Network([dense], "cross_entropy")
    graph["w"].w, graph["b"].w = dense.w, dense.b[:, 0]
    rng = np.random.default_rng(0)
    at, y = rng.standard_normal((4, 7)), rng.random((3, 7))
    np.testing.assert_allclose(graph.forward(at, True), network.forward(at, True), 1e-13)
    np.testing.assert_allclose(graph.backward(y), network.backward(y), rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(graph["w"].nabla_w, dense.nabla_w, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(graph["b"].nabla_w, dense.nabla_b[:, 0], rtol=1e-12, atol=1e-16)
    assert graph.root.weight_parts() == [(slice(0, 12), 1.0)]


# -- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [residual, two_branches])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training(make, dtype):
    network = make(dtype)
    x, y = data(network, 60)
    before = network.evaluate(x, y)["cost"]
    trainer = Trainer(network, Adam(0.01), 10, rng=0, progress=False)
    after = trainer.fit(x, y, 30)["training_cost"][-1]
    assert after < 0.7 * before
    assert network.predict(x).dtype == dtype


def test_a_graph_that_ends_in_its_cost_descends():
    network = penalized()
    x, _ = data(network, 20)
    costs = []
    for _ in range(50):
        costs.append(network.forward(x, training=True).mean())
        network.backpropagate(np.full((1, 20), 1 / 20), input_gradient=False)
        network.theta -= 0.1 * network.nabla
    assert all(later < earlier for earlier, later in itertools.pairwise(costs))
    assert costs[-1] < 0.5 * costs[0]


def test_divergence_names_the_operation():
    x = Input("x", (2,))
    node = log(apply(Dense(2, 2, "identity", b_init="zeros"), x))
    network = Network(Graph(node), "quadratic")
    at = -np.ones((2, 3), np.float32)
    network.layers[0].w = [[1, 0], [0, 1]]
    with pytest.raises(DivergenceError, match=r"first in a of layer 1, Log\(\)"):
        Trainer(network, progress=False).fit(at, at)


# -- what a network does -----------------------------------------------------------------------


@pytest.mark.parametrize("make", GRAPHS)
def test_save_and_load(make, tmp_path):
    network = make()
    x, _ = data(network, 5)
    network.save(tmp_path / "graph.npz")
    loaded = Network.load(tmp_path / "graph.npz")
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x), strict=True)
    assert loaded.config() == network.config()
    assert loaded.root.names == network.root.names
    write_archive(tmp_path / "old.npz", network.state(), {"format": "backprop graph 1"})
    with pytest.raises(FileError, match="is not a saved network, but 'backprop graph 1'"):
        Network.load(tmp_path / "old.npz")


@pytest.mark.parametrize("make", GRAPHS)
def test_copies_have_their_own_parameters(make):
    network = make()
    x, _ = data(network, 5)
    expected = network.forward(x, training=True)
    upstream = np.ones_like(expected)
    for twin in (copy.deepcopy(network), copy.copy(network), pickle.loads(pickle.dumps(network))):
        np.testing.assert_array_equal(twin.backpropagate(upstream), network.backpropagate(upstream))
        twin.theta += 1
        np.testing.assert_array_equal(network.predict(x), expected)
        if network.n_parameters:
            assert not np.array_equal(twin.predict(x), expected)


def test_resuming_is_bit_exact(tmp_path):
    def trainer():
        x = Input("x", (4,))
        h = apply(Dropout(0.3, rng=5), apply(Dense(4, 4, rng=1), x))
        graph = Graph(apply(Dense(4, 3, "softmax", rng=2), x + h))
        network = Network(graph, "softmax_cross_entropy")
        return Trainer(network, Adam(), 7, rng=3, progress=False)

    assert_resumes(trainer, *data(trainer().network, 30), tmp_path / "checkpoint.npz")
    other = Trainer(residual("float32"), Adam(), 7, progress=False)
    with pytest.raises(ValueError, match="is a checkpoint of another network: "):
        checkpoint.restore(other, tmp_path / "checkpoint.npz")


def test_inference_keeps_no_state():
    network = two_branches()
    x, y = data(network, 5)
    network.predict(x)
    network.evaluate(x, y)
    assert all(layer.a is None for layer in network.layers)
    with pytest.raises(RuntimeError, match="needs a forward"):
        network.backward(y)


def test_hooks_by_name():
    network = two_branches()
    x, y = data(network, 5)
    seen = []
    first = network.root["left"].add_hook("forward", seen.append)
    middle = network["right"].add_hook("delta", seen.append)
    last = network.root[-1].add_hook("backward", seen.append)
    with first, middle, last:
        network.forward(x, training=True)
        network.backward(y)
    network.forward(x, training=True)
    assert seen == [network["left"], network.layers[-1], network["right"]]
    for name in ("q", "x"):
        with pytest.raises(KeyError, match=f"the graph has no node '{name}' with a layer"):
            network.root[name].add_hook("forward", print)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((4, 2), np.float32), TypeError, r"^graph: the input must be float64, got float32"),
        (np.ones((2, 4)), ShapeError, r"^graph: expected input x of shape \(4, B\), got \(2, 4\)"),
        (np.ones(4), ShapeError, r"got \(4,\); the batch is the last axis"),
        (np.ones((4, 0)), ShapeError, r"got \(4, 0\)"),
        (np.full((4, 1), np.nan), ValueError, r"^x\[0, 0\] is nan"),
        ((np.ones((4, 2)),), TypeError, r"^graph: the input must be a numpy array, got tuple"),
    ],
)
def test_bad_input(x, error, message):
    with pytest.raises(error, match=message):
        two_branches().forward(x)


def test_names_and_summary():
    network = two_branches()
    expected = "x left sin_1 right divide_1 exp_1 multiply_1 w matmul_1 add_1 b y"
    assert network.root.names == tuple(expected.split())
    assert network["left"] is network.root["left"] is network.layers[0] is network[0]
    assert repr(network) == "Network(Graph(x -> y, 12 nodes), Quadratic())"
    assert repr(network.root) == "Graph(x -> y, 12 nodes)"
    lines = network.summary().split("\n")
    assert "x           input                      4 x B" in lines
    assert (
        "left        Dense(4 -> 3, tanh)(x)     3 x B         15          w nielsen, b normal"
        in lines
    )
    assert "divide_1    right / 2                  3 x B         0" in lines
    assert "w           Variable(3 x 4)            3 x 4 x 1     12          normal" in lines
    assert lines[-1] == "45 parameters, float64, 0.00 MiB; cost Quadratic()"
    x = Input("x", (1,))
    assert Graph(exp((x + 1).named("exp_1")) + 1).names == ("x", "exp_1", "exp_2", "add_1")


def test_a_graph_without_parameters_is_float32_unless_told():
    network = Network(Graph(exp(Input("x", (1,)))))
    assert network.dtype == np.float32
    with pytest.raises(TypeError, match=r"^network: the input must be float32, got float64"):
        network.predict(ONE)
    assert network.astype("float64").predict(ONE).dtype == np.float64
    assert network.root.forward(ONE).dtype == np.float64  # as every layer without parameters
