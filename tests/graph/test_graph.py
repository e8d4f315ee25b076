"""The graph as a layer: fan-out, order, description, gradients both ways."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest

from backprop.core.config import from_config
from backprop.gradients.check import assert_gradients
from backprop.gradients.contract import check_layer
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.graph import Add, Graph, Input, Node, apply, sin
from backprop.layers import Dense, ShapeError
from backprop.network import Network
from tests.graph.examples import (
    GRAPHS,
    ONE,
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("make", GRAPHS)
def test_a_graph_keeps_the_contract_of_a_layer(make):
    x = np.random.default_rng(0).uniform(0.3, 0.8, (*make().input_shape, 3))
    assert "gradients" in check_layer(make().root, x=x)


def test_the_gradient_check_finds_a_fault_in_a_graph():
    network = two_branches()
    network["w"].parameter_gradients = lambda delta: None
    with pytest.raises(AssertionError, match=r"Variable\(3 x 4\)"):
        assert_gradients(network)
