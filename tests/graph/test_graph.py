"""The graph: fan-out, order, errors at build time, and everything that a network does."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle

import numpy as np
import pytest

from backprop.core.storage import FileError
from backprop.costs import Quadratic
from backprop.gradients.check import assert_gradients
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.graph import (
    Add,
    Graph,
    Input,
    Node,
    Slice,
    Variable,
    apply,
    cos,
    exp,
    log,
    sin,
    sqrt,
    topological_order,
)
from backprop.layers import Dense, Dropout, Layer, Reshape, ShapeError, Sigmoid, Softmax, Tanh
from backprop.network import Network
from backprop.optimizers import Adam
from backprop.regularizers import L2
from backprop.training import checkpoint
from backprop.training.trainer import DivergenceError, Trainer

ONE = np.ones((1, 1))


def composite() -> Graph:
    """Return sqrt(x^2 + exp(x^2)) + cos(x^2 + exp(x^2))."""
    x = Input("x", shape=(1,))
    a = (x**2).named("a")
    b = exp(a).named("b")
    c = (a + b).named("c")
    d = sqrt(c).named("d")
    e = cos(c).named("e")
    return Graph((d + e).named("f")).astype("float64")


def layers_of(sizes, activation="tanh", dtype="float64") -> list[Layer]:
    ends = itertools.pairwise(sizes)
    return [Dense(m, n, activation, dtype=dtype, rng=i) for i, (m, n) in enumerate(ends)]


def chain(layers, cost=None, shape=None) -> Graph:
    node: Node = Input("x", shape or layers[0].input_shape)
    for layer in layers:
        node = apply(layer, node)
    return Graph(node, cost)


def residual(dtype="float64") -> Graph:
    """Return softmax(w (x + Dense(Dense(x))))."""
    first, second, last = layers_of([4, 5, 4], dtype=dtype) + layers_of([4, 3], "softmax", dtype)
    x = Input("x", (4,))
    h = apply(second, apply(first, x))
    return Graph(apply(last, (x + h).named("sum")), "softmax_cross_entropy")


def two_branches(dtype="float64") -> Graph:
    """Return sin(Dense(x)) * exp(Dense(x) / 2) + w x + b, the input in three places."""
    left, right = layers_of([4, 3], dtype=dtype) + layers_of([4, 3], "sigmoid", dtype)
    x = Input("x", (4,))
    w = apply(Variable((3, 4), rng=1, dtype=dtype)).named("w")
    b = apply(Variable((3,), regularized=False, rng=2, dtype=dtype)).named("b")
    product = sin(apply(left, x).named("left")) * exp(apply(right, x).named("right") / 2)
    return Graph((product + w @ x + b).named("y"), "quadratic")


def penalized(dtype="float64") -> Graph:
    """Return, of a stacked (x, t), (v sigma(w x) - t)^2 + 0.1 (|w|^2 + |v|^2): a cost as a node."""
    both = Input("both", (3,))
    x, t = both[:2].named("x"), both[2:].named("t")
    w = apply(Variable((4, 2), rng=1, dtype=dtype)).named("w")
    v = apply(Variable((1, 4), rng=2, dtype=dtype)).named("v")
    error = v @ apply(Sigmoid(), w @ x) - t
    return Graph((error**2).sum() + 0.1 * ((w**2).sum() + (v**2).sum()))


GRAPHS = [composite, residual, two_branches, penalized]


def data(graph: Graph, batch: int, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*graph.input_shape, batch)).astype(graph.dtype)
    if graph.cost is not None and not isinstance(graph.cost, Quadratic):
        return x, np.arange(batch) % graph.output_shape[0]
    return x, rng.standard_normal((*graph.output_shape, batch)).astype(graph.dtype)


# -- accumulation --------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.5, -1.1])
def test_the_composite_function_by_hand(x):
    graph = composite()
    trace = graph.trace(np.array([[x]]))
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
    graph = Graph((x * y).named("z")).astype("float64")
    trace = graph.trace(np.array([[0.4]]))
    u = 1.2
    dz_dx, dz_dy, dx_dw, dy_dw = u * u, math.sin(u), math.cos(u), 2 * u
    dz_dw = dy_dw * dz_dy + dx_dw * dz_dx
    assert trace["w"].upstream.item() == pytest.approx(dz_dw, rel=1e-14)
    assert trace["v"].upstream.item() == pytest.approx(3 * dz_dw, rel=1e-14)


def test_an_operand_that_occurs_twice():
    x = Input("x", (2,))
    graph = Graph(x * x).astype("float64")
    at = np.array([[3.0], [-2.0]])
    graph.forward(at, training=True)
    np.testing.assert_array_equal(graph.backpropagate(np.ones_like(at)), 2 * at)


class Counted(Add):
    """An addition that writes down its backward passes."""

    calls: list = []  # noqa: RUF012 - the test's

    def _backward(self, nabla_a, input_gradient):
        Counted.calls.append(self)
        return super()._backward(nabla_a, input_gradient)


def test_every_backward_runs_once_after_all_consumers():
    """60 doublings have 2^60 paths from the input to the output, and 60 nodes."""
    Counted.calls = []
    node: Node = Input("x", (1,))
    for _ in range(60):
        node = apply(Counted(), node, node)
    graph = Graph(node).astype("float64")
    graph.forward(ONE, training=True)
    assert graph.backpropagate(ONE) == 2.0**60
    assert Counted.calls == list(reversed(graph.layers))


def test_ten_thousand_nodes_in_a_row():
    x = Input("x", (1,))
    node: Node = x
    for _ in range(10_000):
        node = node + 0.5
    graph = Graph(node).astype("float64")
    assert graph.forward(ONE, training=True) == 5001
    assert graph.backpropagate(ONE) == 1
    for twin in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert twin.predict(ONE) == 5001
    assert Graph.from_config(graph.config()).config() == graph.config()
    assert len(graph) == 10_000


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
             (exp(x), math.exp(at)), (x.sum(), at), (x[0:1], at)]  # fmt: skip
    for node, expected in cases:
        graph = Graph(node).astype("float64")
        assert graph.predict(np.array([[at]])).item() == pytest.approx(expected, rel=1e-15)


# -- errors at build time ----------------------------------------------------------------------

X, Y = Input("x", (3,)), Input("y", (2,))
W = apply(Variable((2, 3))).named("w")


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
        (lambda: X[0], TypeError, r"a slice of the first axis is u\[start:stop\], got 0"),
        (lambda: X[::2], TypeError, r"a slice of the first axis is u\[start:stop\]"),
        (lambda: X[3:], ValueError, r"^Slice: expected 0 <= start < stop, got 3 and 3"),
        (lambda: exp(X).named(3), TypeError, r"^the name of a node is a string, got 3"),
        (lambda: Input("x", ()), ValueError, r"^input x: shape must be a tuple of sizes, got \(\)"),
        (lambda: Input("x", 3), ValueError, r"^input x: shape must be a tuple of sizes, got 3"),
        (lambda: Input("x", (0,)), ValueError, r"^input x: shape must be at least 1, got 0"),
        (lambda: Graph("x"), TypeError, r"^the output of a graph is a node, got 'x'"),
        (lambda: Graph(X), ValueError, r"needs at least one layer"),
        (lambda: Graph(exp(W)), ValueError, r"^a graph has one input, got none"),
        (lambda: Graph(X.sum() + Y.sum()), ValueError, r"^a graph has one input, got x and y"),
        (lambda: Graph(exp(exp(X).named("a")).named("a")), ValueError, r"^two nodes are called a$"),
        (lambda: Graph(exp(X).named("x")), ValueError, r"^two nodes are called x$"),
        (lambda: Graph(apply(Tanh(), X), "softmax_cross_entropy"), ValueError, r"."),
    ],
)  # fmt: skip
def test_errors_name_the_nodes(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_a_layer_belongs_to_one_place():
    layer = Dense(3, 3)
    with pytest.raises(ValueError, match="is the same object as layer 0"):
        Graph(apply(layer, apply(layer, X)))
    graph = Graph(apply(layer, X))
    with pytest.raises(ValueError, match="belongs to another network"):
        Graph(apply(layer, X))
    with pytest.raises(TypeError, match="a network has one dtype"):
        Graph(apply(Dense(3, 3, dtype="float64"), apply(Dense(3, 3), X)))
    assert graph.predict(np.ones((3, 2), np.float32)).shape == (3, 2)


def described() -> dict:
    return composite().config()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["nodes"].append(c["nodes"][1]), r"^two nodes are called a$"),
        (lambda c: c["nodes"][2].update(inputs=["q"]), r"^node b: there is no node q$"),
        (lambda c: c.update(output="q"), r"^there is no node q, which is to be the output$"),
        (lambda c: c.update(output="e"), r"^the output e does not use d, f$"),
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
        assert Graph.from_config(config).input_shape == (2,)
        return
    with pytest.raises((ValueError, TypeError), match=message):
        Graph.from_config(config)


def test_a_description_may_list_the_nodes_in_any_order():
    config = described()
    config["nodes"].reverse()
    assert Graph.from_config(config).config() == described()
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
    assert graph.weight_slices() == network.weight_slices()
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
    graph = Graph(apply(Sigmoid(), w @ x + b), "cross_entropy")
    network = Network([dense], "cross_entropy")
    graph["w"].w, graph["b"].w = dense.w, dense.b[:, 0]
    rng = np.random.default_rng(0)
    at, y = rng.standard_normal((4, 7)), rng.random((3, 7))
    np.testing.assert_array_equal(graph.forward(at, True), network.forward(at, True))
    np.testing.assert_allclose(graph.backward(y), network.backward(y), rtol=1e-14)
    np.testing.assert_allclose(graph["w"].nabla_w, dense.nabla_w, rtol=1e-14)
    np.testing.assert_allclose(graph["b"].nabla_w, dense.nabla_b[:, 0], rtol=1e-14)
    assert graph.weight_slices() == [slice(0, 12)]


# -- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("make", GRAPHS)
def test_gradients(make, batch):
    graph = make()
    x, y = data(graph, batch)
    if graph.cost is not None:
        graph.forward(x, training=True)
        nabla_x = graph.backward(y)

        def objective(model, at):
            return model.cost.value(model.forward(at), y)
    else:
        upstream = np.random.default_rng(1).standard_normal((*graph.output_shape, batch))
        graph.forward(x, training=True)
        nabla_x = graph.backpropagate(upstream)

        def objective(model, at):
            return (upstream * model.forward(at)).sum()

    nabla = graph.nabla.copy()
    numeric = central_difference(lambda v: objective(graph, v), x)
    assert relative_error(numeric, nabla_x) <= 1e-7
    numeric = central_difference(lambda _: objective(graph, x), graph.theta)
    assert relative_error(numeric, nabla) <= 1e-7
    twin, z = graph.astype(complex), x.astype(complex)
    assert relative_error(complex_step(lambda v: objective(twin, v), z), nabla_x) <= 1e-12
    assert relative_error(complex_step(lambda _: objective(twin, z), twin.theta), nabla) <= 1e-12


@pytest.mark.parametrize("make", [residual, two_branches, penalized])
def test_without_the_input_gradient_the_parameters_get_the_same(make):
    graph = make()
    x, _ = data(graph, 4)
    upstream = np.ones((*graph.output_shape, 4))
    graph.forward(x, training=True)
    graph.backpropagate(upstream)
    nabla = graph.nabla.copy()
    graph.nabla[...] = 0
    assert graph.backpropagate(upstream, input_gradient=False) is None
    np.testing.assert_array_equal(graph.nabla, nabla)


@pytest.mark.parametrize("make", [residual, two_branches])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training(make, dtype):
    graph = make(dtype)
    x, y = data(graph, 60)
    before = graph.evaluate(x, y)["cost"]
    trainer = Trainer(graph, Adam(0.01), 10, rng=0, progress=False)
    after = trainer.fit(x, y, 30)["training_cost"][-1]
    assert after < 0.7 * before
    assert graph.predict(x).dtype == dtype


def test_a_graph_that_ends_in_its_cost_descends():
    graph = penalized()
    x, _ = data(graph, 20)
    costs = []
    for _ in range(50):
        costs.append(graph.forward(x, training=True).mean())
        graph.backpropagate(np.full((1, 20), 1 / 20), input_gradient=False)
        graph.theta -= 0.1 * graph.nabla
    assert all(later < earlier for earlier, later in itertools.pairwise(costs))
    assert costs[-1] < 0.5 * costs[0]


def test_divergence_names_the_operation():
    x = Input("x", (2,))
    graph = Graph(log(apply(Dense(2, 2, "identity", b_init="zeros"), x)), "quadratic")
    at = -np.ones((2, 3), np.float32)
    graph.layers[0].w = [[1, 0], [0, 1]]
    with pytest.raises(DivergenceError, match=r"first in a of layer 1, Log\(\)"):
        Trainer(graph, progress=False).fit(at, at)


# -- what a network does -----------------------------------------------------------------------


@pytest.mark.parametrize("make", GRAPHS)
def test_save_and_load(make, tmp_path):
    graph = make()
    x, _ = data(graph, 5)
    graph.save(tmp_path / "graph.npz")
    loaded = Graph.load(tmp_path / "graph.npz")
    np.testing.assert_array_equal(loaded.predict(x), graph.predict(x), strict=True)
    assert loaded.config() == graph.config()
    assert loaded.names == graph.names
    with pytest.raises(FileError, match="is not a saved network, but 'backprop graph 1'"):
        Network.load(tmp_path / "graph.npz")


@pytest.mark.parametrize("make", GRAPHS)
def test_copies_have_their_own_parameters(make):
    graph = make()
    x, _ = data(graph, 5)
    expected = graph.forward(x, training=True)
    upstream = np.ones_like(expected)
    for twin in (copy.deepcopy(graph), copy.copy(graph), pickle.loads(pickle.dumps(graph))):
        np.testing.assert_array_equal(twin.backpropagate(upstream), graph.backpropagate(upstream))
        twin.theta += 1
        np.testing.assert_array_equal(graph.predict(x), expected)
        if graph.n_parameters:
            assert not np.array_equal(twin.predict(x), expected)


def test_resuming_is_bit_exact(tmp_path):
    def trainer():
        x = Input("x", (4,))
        h = apply(Dropout(0.3, rng=5), apply(Dense(4, 4, rng=1), x))
        graph = Graph(apply(Dense(4, 3, "softmax", rng=2), x + h), "softmax_cross_entropy")
        return Trainer(graph, Adam(), 7, rng=3, progress=False)

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
    graph = two_branches()
    x, y = data(graph, 5)
    graph.predict(x)
    graph.evaluate(x, y)
    assert all(layer.a is None for layer in graph.layers)
    with pytest.raises(RuntimeError, match="needs a forward"):
        graph.backward(y)


def test_hooks_by_name():
    graph = two_branches()
    x, y = data(graph, 5)
    seen = []
    first = graph.add_hook("forward", "left", lambda name, layer: seen.append((name, layer)))
    last = graph.add_hook("backward", -1, lambda index, layer: seen.append((index, layer)))
    with first, last:
        graph.forward(x, training=True)
        graph.backward(y)
    graph.forward(x, training=True)
    assert seen == [("left", graph["left"]), (len(graph) - 1, graph.layers[-1])]
    with pytest.raises(KeyError, match="the graph has no node 'q' with a layer"):
        graph.add_hook("forward", "q", print)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((4, 2), np.float32), TypeError, r"^graph: the input must be float64, got float32"),
        (np.ones((2, 4)), ShapeError, r"^graph: expected input x of shape \(4, B\), got \(2, 4\)"),
        (np.ones(4), ShapeError, r"got \(4,\); the batch is the last axis"),
        (np.ones((4, 0)), ShapeError, r"got \(4, 0\)"),
        (np.full((4, 1), np.nan), ValueError, r"^x\[0, 0\] is nan"),
    ],
)
def test_bad_input(x, error, message):
    with pytest.raises(error, match=message):
        two_branches().forward(x)


def test_names_and_summary():
    graph = two_branches()
    expected = "x left sin_1 right divide_1 exp_1 multiply_1 w matmul_1 add_1 b y"
    assert graph.names == tuple(expected.split())
    assert graph["left"] is graph.layers[0] is graph[0]
    assert repr(graph) == "Graph(x -> y, 12 nodes, Quadratic())"
    lines = graph.summary().split("\n")
    assert "x           input                      4 x B" in lines
    assert "left        Dense(4 -> 3, tanh)(x)     3 x B         15" in lines
    assert "divide_1    right / 2                  3 x B         0" in lines
    assert "w           Variable(3 x 4)            3 x 4 x 1     12" in lines
    assert lines[-1] == "45 parameters, float64, 0.00 MiB; cost Quadratic()"
    x = Input("x", (1,))
    assert Graph(exp((x + 1).named("exp_1")) + 1).names == ("x", "exp_1", "exp_2", "add_1")


# -- inspection --------------------------------------------------------------------------------


def test_the_trace_as_text():
    trace = composite().trace(np.array([[0.5]]))
    assert "c     a + b    1.53403    -0.595629  d/da 1          to a -0.595629\n" in str(trace)
    assert "| a | x ** 2 | 0.25 | -1.36043 | d/dx 1 | to x -1.36043 |\n" in trace.to_markdown()
    assert len(trace.to_markdown().splitlines()) == 9
    with pytest.raises(KeyError, match="the trace has no node 'q'"):
        trace["q"]
    with pytest.raises(RuntimeError, match="has no cost"):
        composite().trace(ONE, ONE)


def test_the_trace_of_layers():
    graph = residual()
    x, y = data(graph, 3)
    trace = graph.trace(x, y)
    first, last = trace.rows[1], trace.rows[-1]
    assert (first.labels, last.labels) == (("sigma'(z)",), ("delta",))
    assert last.upstream is None  # canonical: entered below the softmax
    assert graph.layers[0].a is None  # it was a copy
    graph.forward(x, training=True)
    np.testing.assert_array_equal(graph.backward(y), trace["x"].upstream)
    np.testing.assert_array_equal(first.local[0], 1 - graph.layers[0].a ** 2)
    np.testing.assert_array_equal(last.local[0], graph.layers[-1].delta)
    assert trace["sum"].upstream.shape == trace["sum"].value.shape == (4, 3)
    assert "4 x 3, norm" in str(trace)
    softmax = Graph(apply(Softmax(), exp(X)).sum())
    assert [row.local == () for row in softmax.trace(np.ones((3, 1), np.float32)).rows] == [
        True, False, True, True]  # fmt: skip
    assert "Jacobian" in str(softmax.trace(np.ones((3, 1), np.float32)))


def test_the_trace_leaves_constants_out():
    x = Input("x", (1,))
    row = Graph((2 / x).named("y")).trace(np.full((1, 1), 4, np.float32))["y"]
    assert row.inputs == ("2", "x")
    assert row.local[0] is row.downstream[0] is None
    assert row.local[1].item() == -0.125
    assert row.local[1].dtype == np.float32


@pytest.mark.parametrize("make", GRAPHS)
def test_tangents(make):
    """Forward and backward agree: <upstream, J v> = <J^T upstream, v>."""
    graph = make()
    x, _ = data(graph, 4)
    rng = np.random.default_rng(5)
    direction = rng.standard_normal(x.shape)
    tangents = graph.tangents(x, direction)
    a = graph.forward(x, training=True)
    upstream = rng.standard_normal(a.shape)
    back = (graph.backpropagate(upstream) * direction).sum()
    assert (upstream * tangents[graph.names[-1]]).sum() == pytest.approx(back, rel=1e-12)
    assert tuple(tangents) == graph.names
    np.testing.assert_allclose(tangents[graph.names[0]], direction, rtol=1e-15)


def test_tangents_refuse():
    graph = composite()
    with pytest.raises(ShapeError, match=r"the direction must have x's shape \(1, 1\), got"):
        graph.tangents(ONE, np.ones((1, 2)))
    with pytest.raises(TypeError, match="direction must be float64"):
        graph.tangents(ONE, ONE.astype(np.float32))
    with pytest.raises(TypeError, match="input must be float64, got float32"):
        graph.astype("float32").tangents(ONE.astype(np.float32), ONE)


@pytest.mark.parametrize("make", GRAPHS)
def test_the_gradient_check_takes_a_graph(make):
    assert_gradients(make())


def test_the_gradient_check_finds_a_fault_in_a_graph():
    graph = two_branches()
    graph["w"]._backward = lambda nabla_a, input_gradient: None
    with pytest.raises(AssertionError, match=r"Variable\(3 x 4\)"):
        assert_gradients(graph)
