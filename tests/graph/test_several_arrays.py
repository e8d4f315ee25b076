"""Graphs of several inputs and outputs: tuples in, tuples out, one cost for each output."""

from __future__ import annotations

import re

import numpy as np
import pytest

from backprop.costs import WeightedCosts
from backprop.gradients.check import assert_gradients
from backprop.gradients.contract import check_layer
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.graph import Graph, Input, Variable, apply, concatenate, exp, sin
from backprop.layers import (
    LSTM,
    Dense,
    Dropout,
    Masked,
    Parallel,
    Residual,
    ShapeError,
    TimeDistributed,
    TimeStep,
)
from backprop.network import Network
from backprop.training.trainer import Trainer
from tests.graph.examples import HEADS, heads, heads_data

cases = pytest.mark.parametrize("case", HEADS)


# -- gradients -------------------------------------------------------------------------------------


@pytest.mark.slow
@cases
@pytest.mark.parametrize("batch", [1, 5])
def test_gradients(case, batch):
    """An output that is an output and feeds others has the sum of both gradients."""
    last, costs = HEADS[case]
    network = heads(costs, last=last)
    x, y = heads_data(batch)
    weights = getattr(costs, "weights", (1.0,) * 4)

    def objective(model, at):  # written out, without `WeightedCosts`
        outputs = zip(model.cost.costs, weights, model.forward(at), y, strict=True)
        return sum(weight * cost.value(a, y) for cost, weight, a, y in outputs)

    network.forward(x, training=True)
    nabla_x, nabla = network.backward(y), network.nabla.copy()
    assert network.evaluate(x, y)["cost"] == pytest.approx(objective(network, x), rel=1e-13)
    assert relative_error(central_difference(lambda _: objective(network, x), network.theta),
                          nabla) <= 1e-7  # fmt: skip
    twin, z = network.astype(complex), tuple(one.astype(complex) for one in x)
    assert relative_error(complex_step(lambda _: objective(twin, z), twin.theta), nabla) <= 1e-12
    for k in range(2):
        numeric = central_difference(lambda _: objective(network, x), x[k])
        assert relative_error(numeric, nabla_x[k]) <= 1e-7
        exact = complex_step(lambda _: objective(twin, z), z[k])
        assert relative_error(exact, nabla_x[k]) <= 1e-12
    network.nabla[...] = 0
    network.forward(x, training=True)
    assert network.backward(y, input_gradient=False) is None
    np.testing.assert_array_equal(network.nabla, nabla)
    assert_gradients(network, x=x, y=y, exact_tolerance=1e-12)
    assert_gradients(network)


@cases
def test_any_upstream_gradient_goes_back(case):
    network = heads(last=HEADS[case][0])
    x, _ = heads_data(4)
    a = network.forward(x, training=True)
    rng = np.random.default_rng(1)
    upstream = tuple(rng.standard_normal(one.shape) for one in a)
    first = network.backpropagate(upstream)
    nabla = network.nabla.copy()
    for k in range(2):
        numeric = central_difference(
            lambda _: sum((g * one).sum() for g, one in zip(upstream, network.forward(x),
                                                            strict=True)), x[k])  # fmt: skip
        assert relative_error(numeric, first[k]) <= 1e-7
    parts = np.zeros_like(nabla)  # backward is linear: one output after the other
    for k in range(4):
        network.backpropagate(
            tuple(g if k == i else np.zeros_like(g) for i, g in enumerate(upstream))
        )
        parts += network.nabla
    np.testing.assert_allclose(parts, nabla, rtol=1e-12, atol=1e-14)


def test_the_graph_is_a_layer_by_itself():
    graph = heads().root
    x, _ = heads_data(3)
    a = graph.forward(x, training=True)
    z = graph.z  # below the activations; where there is none, the output itself
    np.testing.assert_array_equal(np.tanh(z[0]), a[0])
    np.testing.assert_array_equal(z[3], a[3])
    np.testing.assert_array_equal(graph["q"].z, z[2])
    upstream = tuple(np.cos(one) for one in a)
    first = graph.backward(upstream)
    nabla, delta = graph.nabla.copy(), graph.delta
    np.testing.assert_array_equal(delta[3], upstream[3])
    second = graph.backward_from(delta)
    np.testing.assert_array_equal(graph.nabla, nabla)
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
    assert graph.input_shape == ((3,), (2,))
    assert graph.output_shape(graph.input_shape) == ((4,), (3,), (4,), (4,))
    assert [type(sigma).__name__ for sigma in graph.output_activation] == [
        "Tanh", "Softmax", "Tanh", "NoneType"]  # fmt: skip


def test_a_delta_hook_on_the_graph_has_its_full_effect():
    network = heads(HEADS["identity"][1], last="identity")
    x, y = heads_data(3)
    network.forward(x, training=True)

    def only_the_second(layer):
        layer.delta = tuple(d if k == 1 else 0 * d for k, d in enumerate(layer.delta))

    with network.root.add_hook("delta", only_the_second):
        network.backward(y)
    nabla = network.nabla.copy()
    alone = heads(WeightedCosts(HEADS["identity"][1], [0, 1, 0, 0]), last="identity")
    alone.forward(x, training=True)
    alone.backward(y)
    np.testing.assert_allclose(nabla, alone.nabla, rtol=1e-13)
    assert np.abs(network["q"].nabla).max() == 0


def test_tangents_in_a_direction_of_all_inputs():
    graph = heads().root
    x, _ = heads_data(4)
    rng = np.random.default_rng(2)
    direction = tuple(rng.standard_normal(one.shape) for one in x)
    tangents = graph.tangents(x, direction)
    a = graph.forward(x, training=True)
    upstream = tuple(rng.standard_normal(one.shape) for one in a)
    back = graph.backward(upstream)
    forwards = sum((g * tangents[name]).sum() for g, name in zip(upstream, "hpqs", strict=True))
    backwards = sum((g * d).sum() for g, d in zip(back, direction, strict=True))
    assert forwards == pytest.approx(backwards, rel=1e-12)
    with pytest.raises(TypeError, match="expected a tuple of 2 directions"):
        graph.tangents(x, direction[0])
    with pytest.raises(ShapeError, match=r"must have x's shape \(2, 4\), got \(3, 4\)"):
        graph.tangents(x, (direction[0], direction[0]))


def test_keep_goes_back_through_the_graph_that_predicts():
    u, v = Input("u", (3,)), Input("v", (3,))
    h = apply(Dropout(0.5, rng=0), apply(Dense(3, 3, "tanh", dtype="float64", rng=1), u) * v)
    network = Network(Graph([h, apply(Dense(3, 2, "tanh", dtype="float64", rng=2), h)]))
    x = tuple(np.random.default_rng(0).standard_normal((2, 3, 4)))
    a = network.forward(x, keep=True)
    for one, other in zip(a, network.predict(x), strict=True):
        np.testing.assert_array_equal(one, other)
    upstream = tuple(np.sin(one) for one in a)
    found = network.backpropagate(upstream)
    numeric = central_difference(
        lambda _: sum((g * one).sum() for g, one in zip(upstream, network.forward(x), strict=True)),
        x[1],
    )
    assert relative_error(numeric, found[1]) <= 1e-7
    assert_gradients(network, training=False)


# -- in chains ---------------------------------------------------------------------------------


def test_a_chain_may_begin_with_several_inputs_and_hand_several_on():
    u, v = Input("u", (3,)), Input("v", (3,))
    s, t = Input("s", (3,)), Input("t", (3,))
    first = Graph([apply(Dense(3, 3, "tanh", dtype="float64", rng=0), u) * v, u + v])
    second = Graph(s * sin(t))
    network = Network(
        [first, second, Dense(3, 2, "softmax", dtype="float64", rng=1)], "softmax_cross_entropy"
    )
    x = tuple(np.random.default_rng(0).standard_normal((2, 3, 5)))
    assert network.input_shape == ((3,), (3,))
    assert_gradients(network, x=x, y=np.arange(5) % 2)
    assert re.search("^ +input +3 x B and 3 x B$", network.summary(), re.MULTILINE)
    assert network.predict(x, 2).shape == (2, 5)
    again = Network.from_config(network.config())
    assert again.input_shape == network.input_shape
    with pytest.raises(TypeError, match="graph: expected a tuple of 2 arrays"):
        network.predict(x[0])
    with pytest.raises(TypeError, match="expected a tuple of 2 arrays"):
        network.forward(x[:1])


def test_a_mask_reaches_the_layers_of_several_sequences():
    u, v = Input("u", (2, 5)), Input("v", (3,))
    state = apply(LSTM(2, 3, dtype="float64", rng=0), u)
    graph = Graph(apply(TimeStep(), state) * v)
    rng = np.random.default_rng(0)
    x, mask = (rng.standard_normal((2, 5, 4)), rng.standard_normal((3, 4))), np.ones((5, 4), bool)
    mask[3:, 1:] = False
    masked = graph.forward(x, mask=mask)
    short = graph[0].forward(x[0][:, :3].copy())[:, -1] * x[1]
    np.testing.assert_allclose(masked[:, 1:], short[:, 1:], rtol=1e-13)
    np.testing.assert_allclose(masked[:, 0], graph.forward(x)[:, 0], rtol=1e-13)
    with pytest.raises(ShapeError, match="the mask must have the shape T x B of the sequences"):
        graph.forward(x, mask=mask[:4])
    with pytest.raises(TypeError, match="the mask must be an array of bool, got list"):
        graph.forward(x, mask=[True])


# -- what is refused ---------------------------------------------------------------------------


def pair() -> Graph:
    """Return two inputs of one shape, and two outputs of that shape."""
    u, v = Input("u", (2,)), Input("v", (2,))
    return Graph([u + v, u * v])


def test_checks_and_traces_of_one_array_say_so():
    for layer in (pair(), Graph(concatenate(Input("u", (2,)), Input("v", (2,))))):
        with pytest.raises(TypeError, match="several arrays, which only check_gradients tries"):
            check_layer(layer)
    x = Input("x", (2,))
    with pytest.raises(TypeError, match="several arrays, which only check_gradients tries"):
        check_layer(Graph([exp(x), sin(x)]))
    chain = Network([Dense(2, 2), Graph([exp(x), sin(x)]), pair()], ["quadratic"] * 2)
    one = np.ones((2, 1), np.float32)
    with pytest.raises(TypeError, match=r"^trace: layer 1, Graph.* takes or gives several arrays"):
        chain.trace(one, (one, one))


X, Y = np.ones((3, 2)), np.ones((2, 2))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X, TypeError, r"^graph: expected a tuple of 2 arrays, got one array of shape"),
        ([X, Y], TypeError, "^graph: expected a tuple of 2 arrays, got a list of 2"),
        ((X,), TypeError, r"^graph: expected a tuple of 2 arrays"),
        ((X, Y, Y), TypeError, r"^graph: expected a tuple of 2 arrays"),
        ((X, [1.0]), TypeError, r"^graph: the input must be a numpy array, got list"),
        ((X, Y.astype("f4")), TypeError, r"^graph: the input must be float64, got float32"),
        ((Y, X), ShapeError, r"^graph: expected input u of shape \(3, B\), got \(2, 2\)"),
        ((X, X), ShapeError, r"^graph: expected input v of shape \(2, B\), got \(3, 2\)"),
        ((X, Y[:, :1]), ShapeError, r"all inputs hold as many examples, got 2 of u and 1 of v$"),
        ((X[:, :0], Y[:, :0]), ShapeError, r"expected input u of shape \(3, B\), got \(3, 0\)"),
        ((X, np.full((2, 2), np.inf)), ValueError, r"^x\[0, 0\] is inf"),
    ],
)
def test_inputs_that_do_not_fit(x, error, message):
    with pytest.raises(error, match=message):
        heads().forward(x)


def test_inputs_of_two_dtypes_are_refused_without_parameters_too():
    with pytest.raises(TypeError, match="graph: the input must be float32, got float64"):
        pair().forward((Y.astype(np.float32), Y))


def test_targets_and_gradients_that_do_not_fit():
    network = heads(HEADS["canonical, and not"][1], last="sigmoid")
    x, y = heads_data(2)
    a = network.forward(x, training=True)
    with pytest.raises(TypeError, match="must be a tuple of 4 arrays, got a tuple of 3"):
        network.backward(y[:3])
    with pytest.raises(TypeError, match="the target y must be a tuple of 4 arrays, got one array"):
        network.backward(y[0])
    with pytest.raises(ShapeError, match="y must have the output's shape"):
        network.backward((y[1], *y[1:]))
    with pytest.raises(ValueError, match="nan"):
        network.backward((y[0] * np.nan, *y[1:]))
    with pytest.raises(ShapeError, match="2 examples but y has 1 targets"):
        network.evaluate(x, (y[0][:, :1], *y[1:]))
    with pytest.raises(TypeError, match="nabla_a must be a tuple of 4 arrays"):
        network.backpropagate(a[0])
    with pytest.raises(ShapeError, match=r"nabla_a\[1\] must have the shape of the activation"):
        network.backpropagate((a[0], a[0], *a[2:]))
    with pytest.raises(TypeError, match="the target y must be a tuple"):
        Trainer(network, progress=False).fit(x, y[0])
    with pytest.raises(TypeError, match="expected a tuple of 2 arrays"):
        Trainer(network, progress=False).fit(x[0], y)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: heads("quadratic"), ValueError,
         r"^Quadratic\(\) is for one output, and there are 4: give a cost for each$"),
        (lambda: heads("cross_entropy"), ValueError, r"^CrossEntropy\(\) is for one output, and"),
        (lambda: heads(["quadratic"] * 3), ValueError, r" is for 3 outputs, and there are 4$"),
        (lambda: heads(["cross_entropy"] * 4), ValueError, r"takes numbers in \[0, 1\], each by"),
        (lambda: Network([Dense(2, 2)], ["quadratic"] * 2), ValueError,
         r" is for several outputs, and there is one: give one cost$"),
        (lambda: Network(pair(), []), TypeError, r"^WeightedCosts: expected a sequence of costs"),
        (lambda: Network([pair(), Dense(2, 2)]), (ShapeError, TypeError), r"."),
        (lambda: Residual([pair()]).output_shape(((2,), (2,))), ShapeError,
         r"takes and gives one array, got several, \(2,\) and \(2,\)$"),
        (lambda: Network(Residual([pair()])), ShapeError, r"takes and gives one array"),
        (lambda: Network(Parallel([pair(), pair()], "sum")), ShapeError, r"takes and gives one"),
        (lambda: Network(Parallel([pair(), pair()])), ShapeError, r"takes and gives one array"),
        (lambda: Network(TimeDistributed(pair()), input_shape=(2, 5)), ShapeError, r"."),
        (lambda: Network(Masked([LSTM(2, 2), pair()]), input_shape=(3, 5)), ShapeError, r"."),
        (lambda: Graph([exp(Input("x", (2,))), apply(Variable((2,))).named("w")]), ValueError,
         r"^the output w depends on no input$"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_when_it_is_built(build, error, message):
    with pytest.raises(error, match=message):
        build()
