"""The graph: fan-out, order, and everything that a network of one does."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle

import numpy as np
import pytest

from backprop.core.config import from_config
from backprop.core.storage import FileError, write_archive
from backprop.gradients.check import assert_gradients
from backprop.gradients.contract import check_layer
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.graph import Add, Graph, Input, Node, Variable, apply, exp, log, sin
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
    composite,
    data,
    penalized,
    residual,
    two_branches,
)

# -- accumulation --------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.5, -1.1])
def test_the_composite_function_by_hand(x):
    trace = composite().trace(np.array([[x]]))
    a = x * x
    b = math.exp(a)
    c = a + b
    values = {"x": x, "a": a, "b": b, "c": c, "d": math.sqrt(c), "e": math.cos(c)}
    values["f"] = values["d"] + values["e"]
    dc = 0.5 / values["d"] - math.sin(c)
    gradients = {"f": 1, "d": 1, "e": 1, "c": dc, "b": dc, "a": dc * (1 + b)}
    gradients["x"] = gradients["a"] * 2 * x
    assert [row.name for row in trace.rows] == list(values)
    for name in values:
        assert trace[name].value.item() == pytest.approx(values[name], rel=1e-14)
        assert trace[name].upstream.item() == pytest.approx(gradients[name], rel=1e-13)
    assert trace["b"].local[0].item() == pytest.approx(b, rel=1e-14)
    assert trace["b"].downstream[0].item() == pytest.approx(dc * b, rel=1e-13)


def test_upstream_gradients_meet_where_a_value_fans_out():
    """In v -> w -> (x, y) -> z it is dz/dw = dy/dw dz/dy + dx/dw dz/dx."""
    v = Input("v", (1,))
    w = (v * 3.0).named("w")
    x, y = sin(w).named("x"), (w**2).named("y")
    network = Network(Graph((x * y).named("z"))).astype("float64")
    trace = network.trace(np.array([[0.4]]))
    u = 1.2
    dz_dx, dz_dy, dx_dw, dy_dw = u * u, math.sin(u), math.cos(u), 2 * u
    dz_dw = dy_dw * dz_dy + dx_dw * dz_dx
    assert trace["w"].upstream.item() == pytest.approx(dz_dw, rel=1e-14)
    assert trace["v"].upstream.item() == pytest.approx(3 * dz_dw, rel=1e-14)


def test_an_operand_that_occurs_twice():
    x = Input("x", (2,))
    graph = Graph(x * x)
    at = np.array([[3.0], [-2.0]])
    graph.forward(at, training=True)
    np.testing.assert_array_equal(graph.backward(np.ones_like(at)), 2 * at)


class Counted(Add):
    """An addition that writes down its backward passes."""

    calls: list = []  # noqa: RUF012 - the test's

    def downstream(self, delta):
        Counted.calls.append(self)
        return super().downstream(delta)


def test_every_backward_runs_once_after_all_consumers():
    """60 doublings have 2^60 paths from the input to the output, and 60 nodes."""
    Counted.calls = []
    node: Node = Input("x", (1,))
    for _ in range(60):
        node = apply(Counted(), node, node)
    graph = Graph(node)
    graph.forward(ONE, training=True)
    assert graph.backward(ONE) == 2.0**60
    assert Counted.calls == list(reversed(graph.layers))


def test_ten_thousand_nodes_in_a_row():
    x = Input("x", (1,))
    node: Node = x
    for _ in range(10_000):
        node = node + 0.5
    network = Network(Graph(node)).astype("float64")
    assert network.forward(ONE, training=True) == 5001
    assert network.backpropagate(ONE) == 1
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert twin.predict(ONE) == 5001
    assert Network.from_config(network.config()).config() == network.config()
    assert len(network) == len(network.root) == 10_000


# -- built, and described ------------------------------------------------------------------------


def test_a_layer_of_a_graph_may_be_built_into_another():
    layer, x = Dense(3, 3), Input("x", (3,))
    at = np.ones((3, 2), np.float32)
    before = Network(Graph(apply(layer, x)))
    node = apply(layer, x)
    graph = Graph(node)
    assert graph.forward(at).shape == (3, 2)
    with pytest.raises(RuntimeError, match="has been built into another network since"):
        before.predict(at)
    again = Graph(node)  # as when the cell of a notebook is run twice
    with pytest.raises(RuntimeError, match="has been built into something else since"):
        graph.forward(at)
    with pytest.raises(TypeError, match=r"^Graph has one dtype, got float32 in .* and float64 in"):
        Graph(apply(Dense(3, 3, dtype="float64"), apply(layer, x)))
    assert again.forward(at).shape == (3, 2)  # what is refused has taken nothing


def described() -> dict:
    return composite().root.config()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["nodes"].append(c["nodes"][1]), r"^two nodes are called a$"),
        (lambda c: c["nodes"][2].update(inputs=["q"]), r"^node b: there is no node q$"),
        (lambda c: c.update(outputs=["q"]), r"^there is no node q, which is to be the output$"),
        (lambda c: c.update(outputs=["e"]), r"^the output e does not use d, f$"),
        (lambda c: c["nodes"].append({"name": "y", "input": [1]}), r"the output f does not use y$"),
        (lambda c: c["nodes"][1].update(inputs=["c", 2.0]), r"^the graph has a cycle: .*c -> a"),
        (lambda c: c["nodes"][0].update(input=[2]), None),
        (lambda c: c["nodes"][3].update(inputs=["a", "b", "a"]), r"^node c = .* takes 2 inputs"),
    ],
)
def test_descriptions_that_are_wrong(change, message):
    config = described()
    change(config)
    if message is None:
        assert from_config(config).input_shape == (2,)
        return
    with pytest.raises((ValueError, TypeError), match=message):
        from_config(config)


def test_a_description_may_list_the_nodes_in_any_order():
    config = described()
    config["nodes"].reverse()
    assert from_config(config).config() == described()
    assert json.loads(json.dumps(described())) == described()


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
    np.testing.assert_array_equal(graph.forward(at, True), network.forward(at, True))
    np.testing.assert_allclose(graph.backward(y), network.backward(y), rtol=1e-14)
    np.testing.assert_allclose(graph["w"].nabla_w, dense.nabla_w, rtol=1e-14)
    np.testing.assert_allclose(graph["b"].nabla_w, dense.nabla_b[:, 0], rtol=1e-14)
    assert graph.root.weight_parts() == [(slice(0, 12), 1.0)]


# -- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("make", GRAPHS)
def test_gradients(make, batch):
    network = make()
    x, y = data(network, batch)
    if network.cost is not None:
        network.forward(x, training=True)
        nabla_x = network.backward(y)

        def objective(model, at):
            return model.cost.value(model.forward(at), y)
    else:
        upstream = np.random.default_rng(1).standard_normal((*network.output_shape, batch))
        network.forward(x, training=True)
        nabla_x = network.backpropagate(upstream)

        def objective(model, at):
            return (upstream * model.forward(at)).sum()

    nabla = network.nabla.copy()
    numeric = central_difference(lambda v: objective(network, v), x)
    assert relative_error(numeric, nabla_x) <= 1e-7
    numeric = central_difference(lambda _: objective(network, x), network.theta)
    assert relative_error(numeric, nabla) <= 1e-7
    twin, z = network.astype(complex), x.astype(complex)
    assert relative_error(complex_step(lambda v: objective(twin, v), z), nabla_x) <= 1e-12
    assert relative_error(complex_step(lambda _: objective(twin, z), twin.theta), nabla) <= 1e-12


@pytest.mark.parametrize("make", [residual, two_branches, penalized])
def test_without_the_input_gradient_the_parameters_get_the_same(make):
    network = make()
    x, _ = data(network, 4)
    upstream = np.ones((*network.output_shape, 4))
    network.forward(x, training=True)
    network.backpropagate(upstream)
    nabla = network.nabla.copy()
    network.nabla[...] = 0
    assert network.backpropagate(upstream, input_gradient=False) is None
    np.testing.assert_array_equal(network.nabla, nabla)


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

    whole, part, rest = trainer(), trainer(), trainer()
    x, y = data(whole.network, 30)
    whole.fit(x, y, 4)
    part.fit(x, y, 2)
    checkpoint.save(part, tmp_path / "checkpoint.npz")
    checkpoint.restore(rest, tmp_path / "checkpoint.npz")
    rest.fit(x, y, 2)
    np.testing.assert_array_equal(rest.network.theta, whole.network.theta)
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
    assert "left        Dense(4 -> 3, tanh)(x)     3 x B         15" in lines
    assert "divide_1    right / 2                  3 x B         0" in lines
    assert "w           Variable(3 x 4)            3 x 4 x 1     12" in lines
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


# -- forward accumulation, and the checkers -------------------------------------------------------


@pytest.mark.parametrize("make", GRAPHS)
def test_tangents(make):
    """Forward and backward agree: <upstream, J v> = <J^T upstream, v>."""
    network = make()
    x, _ = data(network, 4)
    graph = network.root
    rng = np.random.default_rng(5)
    direction = rng.standard_normal(x.shape)
    tangents = graph.tangents(x, direction)
    a = graph.forward(x, training=True)
    upstream = rng.standard_normal(a.shape)
    back = (graph.backward(upstream) * direction).sum()
    assert (upstream * tangents[graph.names[-1]]).sum() == pytest.approx(back, rel=1e-12)
    assert tuple(tangents) == graph.names
    np.testing.assert_allclose(tangents[graph.names[0]], direction, rtol=1e-15)


def test_tangents_refuse():
    graph = composite().root
    with pytest.raises(ShapeError, match=r"the direction must have x's shape \(1, 1\), got"):
        graph.tangents(ONE, np.ones((1, 2)))
    with pytest.raises(TypeError, match="direction must be float64"):
        graph.tangents(ONE, ONE.astype(np.float32))
    with pytest.raises(TypeError, match="input must be float64, got float32"):
        graph.tangents(ONE.astype(np.float32), ONE)


@pytest.mark.parametrize("make", GRAPHS)
def test_the_gradient_check_takes_a_graph(make):
    network = make()
    assert_gradients(network)
    assert_gradients(network.root)


@pytest.mark.parametrize("make", GRAPHS)
def test_a_graph_keeps_the_contract_of_a_layer(make):
    x = np.random.default_rng(0).uniform(0.3, 0.8, (*make().input_shape, 3))
    assert "gradients" in check_layer(make().root, x=x)


def test_the_gradient_check_finds_a_fault_in_a_graph():
    network = two_branches()
    network["w"].parameter_gradients = lambda delta: None
    with pytest.raises(AssertionError, match=r"Variable\(3 x 4\)"):
        assert_gradients(network)
