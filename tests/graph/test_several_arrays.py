"""Graphs of several inputs and outputs: tuples in, tuples out, one cost for each output."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

from backprop.costs import WeightedCosts
from backprop.gradients.check import assert_gradients
from backprop.gradients.contract import check_layer
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.graph import Graph, Input, Variable, apply, concatenate, exp, sin
from backprop.kernels import threads
from backprop.layers import (
    LSTM,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Masked,
    Parallel,
    Residual,
    ShapeError,
    TimeDistributed,
    TimeStep,
)
from backprop.metrics import accuracy
from backprop.network import Network
from backprop.optimizers import Adam
from backprop.training import checkpoint
from backprop.training.health import GradientHealth
from backprop.training.trainer import DivergenceError, Trainer


def heads(cost=None, dtype: str = "float64", last: str = "tanh") -> Network:
    """Return two inputs and four outputs, the first of which the others are made of.

    ::

        h = tanh(w [u; v] + b),   p = softmax(w h + b),   q = sigma(w (h * sin h) + b),   s = h + q
    """
    u, v = Input("u", (3,)), Input("v", (2,))
    h = apply(Dense(5, 4, "tanh", dtype=dtype, rng=0), concatenate(u, v)).named("h")
    p = apply(Dense(4, 3, "softmax", dtype=dtype, rng=1), h).named("p")
    q = apply(Dense(4, 4, last, dtype=dtype, rng=2), h * sin(h)).named("q")
    return Network(Graph([h, p, q, (h + q).named("s")], [u, v]), cost)


def data(n: int, dtype: str = "float64", seed: int = 0):
    """Return inputs for `heads`, and targets that every cost takes."""
    rng = np.random.default_rng(seed)
    x = tuple(rng.standard_normal((k, n)).astype(dtype) for k in (3, 2))
    y = tuple(rng.random((k, n)) for k in (4, 3, 4, 4))
    return x, tuple((one / one.sum(axis=0)).astype(dtype) for one in y)


SOFTMAX = "softmax_cross_entropy"
CASES = {  # the activation of the third output, and the costs
    "canonical, and not": ("sigmoid", ["quadratic", SOFTMAX, "cross_entropy", "quadratic"]),
    "no canonical pair": ("tanh", ["squared_error", "mean_squared_error"] + ["quadratic"] * 2),
    "identity": ("identity", ["mean_squared_error", SOFTMAX, "quadratic", "mean_squared_error"]),
    "weights": (
        "sigmoid",
        WeightedCosts(["quadratic", SOFTMAX, "cross_entropy", "quadratic"], [0.3, 2.0, 0.0, 1.5]),
    ),
}
cases = pytest.mark.parametrize("case", CASES)


# -- gradients -------------------------------------------------------------------------------------


@cases
@pytest.mark.parametrize("batch", [1, 5])
def test_gradients(case, batch):
    """An output that is an output and feeds others has the sum of both gradients."""
    last, costs = CASES[case]
    network = heads(costs, last=last)
    x, y = data(batch)
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
    network = heads(last=CASES[case][0])
    x, _ = data(4)
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
    x, _ = data(3)
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
    network = heads(CASES["identity"][1], last="identity")
    x, y = data(3)
    network.forward(x, training=True)

    def only_the_second(layer):
        layer.delta = tuple(d if k == 1 else 0 * d for k, d in enumerate(layer.delta))

    with network.root.add_hook("delta", only_the_second):
        network.backward(y)
    nabla = network.nabla.copy()
    alone = heads(WeightedCosts(CASES["identity"][1], [0, 1, 0, 0]), last="identity")
    alone.forward(x, training=True)
    alone.backward(y)
    np.testing.assert_allclose(nabla, alone.nabla, rtol=1e-13)
    assert np.abs(network["q"].nabla).max() == 0


def test_tangents_in_a_direction_of_all_inputs():
    graph = heads().root
    x, _ = data(4)
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


# -- training, prediction, evaluation --------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_with_tuples(dtype):
    network = heads(CASES["canonical, and not"][1], dtype, "sigmoid")
    x, y = data(90, dtype)
    validation = data(20, dtype, seed=1)
    labels = y[1].argmax(axis=0)
    y = y[0], labels, y[2], y[3]
    validation = validation[0], (validation[1][0], labels[:20], *validation[1][2:])
    trainer = Trainer(network, Adam(0.01), 8, rng=0, callbacks=[GradientHealth(every=2)],
                      progress=False)  # fmt: skip
    history = trainer.fit(x, y, 20, validation)
    assert history["training_cost"][-1] < 0.8 * history["training_cost"][0]
    evaluated = network.evaluate(x, y)
    assert history["training_cost"][-1] == evaluated["cost"]
    assert history["training_accuracy_1"][-1] == evaluated["accuracy_1"]
    assert evaluated["accuracy_1"] == accuracy(network.predict(x)[1], labels)
    assert "validation_cost" in history.records[-1]
    assert all(one.dtype == dtype for one in network.predict(x))


def test_a_step_on_a_minibatch_is_backward_and_the_optimizer():
    network = heads(CASES["weights"][1], last="sigmoid")
    twin = copy.deepcopy(network)
    x, y = data(7)
    Trainer(network, "sgd", 7, shuffle=False, progress=False, monitor_training=False).fit(x, y)
    twin.forward(x, training=True)
    twin.backward(y)
    twin.theta -= 0.1 * twin.nabla  # not what the default eta is: only the direction is compared
    step, expected = network.theta - heads().theta, twin.theta - heads().theta
    np.testing.assert_allclose(step / np.linalg.norm(step),
                               expected / np.linalg.norm(expected), atol=1e-12)  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 4, 7, 1000])
def test_prediction_and_evaluation_in_batches(batch_size):
    network = heads(CASES["canonical, and not"][1], last="sigmoid")
    x, y = data(11)
    whole = network.forward(x)
    for one, other in zip(network.predict(x, batch_size), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)
    found = network.evaluate(x, y, batch_size, {"mean": lambda a, y: float(a[2].mean())})
    assert found["cost"] == pytest.approx(network.evaluate(x, y)["cost"], rel=1e-14)
    assert found["mean"] == pytest.approx(whole[2].mean(), rel=1e-14)
    assert network.root.a is None  # nothing was kept


def images(cost=None) -> Network:
    """Return an image and a vector, of which two outputs are made, with convolutions."""
    image, extra = Input("image", (1, 6, 6)), Input("extra", (2,))
    maps = apply(Conv2d(1, 2, 3, activation="tanh", dtype="float64", rng=0), image)
    flat = concatenate(apply(Flatten(), maps), extra)
    classes = apply(Dense(34, 3, "softmax", dtype="float64", rng=1), flat)
    return Network(Graph([maps, classes]), cost)


def test_several_threads_give_the_same_bits(monkeypatch):
    class Library:
        count = 3

        def get_num_threads(self):
            return self.count

        def set_num_threads(self, count):
            self.count = count

    network = images(["quadratic", "softmax_cross_entropy"])
    assert network.root.uses_threads
    rng = np.random.default_rng(0)
    x = rng.random((1, 6, 6, 150)), rng.random((2, 150))
    y = rng.random((2, 4, 4, 150)), rng.integers(3, size=150)
    found = []
    for libraries in ((), (Library(),)):
        monkeypatch.setattr(threads, "_blas", lambda libraries=libraries: libraries)
        twin = copy.deepcopy(network)
        Trainer(twin, "sgd", 32, rng=0, progress=False).fit(x, y, 2)
        found.append((twin.theta, *twin.predict(x), twin.evaluate(x, y)["cost"]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_output_that_shows_its_input_is_the_callers_own():
    u, v = Input("u", (4,)), Input("v", (4,))
    network = Network(Graph([u[:2], u * v]))
    x = tuple(np.ones((2, 4, 3), np.float32))
    assert not any(np.shares_memory(one, other) for one in network.predict(x) for other in x)


def test_divergence_is_seen_in_any_output():
    u, v = Input("u", (2,)), Input("v", (2,))
    fine = apply(Dense(2, 2, rng=0), u)
    network = Network(Graph([fine, exp(apply(Dense(2, 2, "identity", rng=1), v * 1e3))]),
                      ["quadratic"] * 2)  # fmt: skip
    x = tuple(np.full((2, 2, 5), 10, np.float32))
    with pytest.raises(DivergenceError, match=r"first in a of layer \d, Exp\(\)"):
        Trainer(network, progress=False).fit(x, x)


# -- files and copies ------------------------------------------------------------------------------


@cases
def test_save_load_and_copies(case, tmp_path):
    last, costs = CASES[case]
    network = heads(costs, last=last)
    x, y = data(5)
    network.theta += 0.1
    network.save(tmp_path / "network.npz")
    loaded = Network.load(tmp_path / "network.npz")
    assert loaded.config() == network.config()
    assert loaded.root.names == network.root.names
    assert loaded.root.input_names == ("u", "v")
    network.forward(x, training=True)
    network.backward(y)
    for twin in (loaded, copy.deepcopy(network), copy.copy(network),
                 pickle.loads(pickle.dumps(network)), network.astype("float64")):  # fmt: skip
        assert twin.evaluate(x, y) == network.evaluate(x, y)
        for one, other in zip(twin.predict(x), network.predict(x), strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
        twin.forward(x, training=True)
        twin.backward(y)
        np.testing.assert_array_equal(twin.nabla, network.nabla)
        twin.theta += 1
        assert twin.evaluate(x, y) != network.evaluate(x, y)
    single = network.astype("float32")
    assert [one.dtype for one in single.predict(data(5, "float32")[0])] == [np.float32] * 4


def test_the_inputs_keep_the_order_they_were_given_in(tmp_path):
    u, v = Input("u", (2,)), Input("v", (2,))
    network = Network(Graph(u - v, [v, u]))
    x = np.full((2, 1), 5, np.float32), np.full((2, 1), 3, np.float32)
    network.save(tmp_path / "network.npz")
    for one in (network, Network.load(tmp_path / "network.npz"), copy.deepcopy(network)):
        np.testing.assert_array_equal(one.predict(x), np.full((2, 1), -2))
    assert Graph(u - v).input_names == ("u", "v")


def test_resuming_is_bit_exact(tmp_path):
    def trainer():
        network = heads(CASES["weights"][1], last="sigmoid")
        return Trainer(network, Adam(), 4, rng=3, progress=False)

    whole, part, rest = trainer(), trainer(), trainer()
    x, y = data(18)
    whole.fit(x, y, 4)
    part.fit(x, y, 2)
    checkpoint.save(part, tmp_path / "checkpoint.npz")
    checkpoint.restore(rest, tmp_path / "checkpoint.npz")
    rest.fit(x, y, 2)
    np.testing.assert_array_equal(rest.network.theta, whole.network.theta)


def test_the_summary_lists_the_inputs_and_what_the_costs_are():
    lines = heads(CASES["weights"][1], last="sigmoid").summary().split("\n")
    assert "u              input                               3 x B" in lines
    assert "v              input                               2 x B" in lines
    assert "concatenate_1  [u; v]                              5 x B         0" in lines
    assert lines[-1].endswith(
        "cost WeightedCosts(0.3 Quadratic() + 2 SoftmaxCrossEntropy() + 0 CrossEntropy() + "
        "1.5 Quadratic())"
    )


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
        (X, TypeError, r"^graph: expected a tuple of 2 arrays, got array"),
        ([X, Y], TypeError, r"^graph: expected a tuple of 2 arrays, got \["),
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
    network = heads(CASES["canonical, and not"][1], last="sigmoid")
    x, y = data(2)
    a = network.forward(x, training=True)
    with pytest.raises(TypeError, match="the target y must be a tuple of 4 arrays, got 3 of them"):
        network.backward(y[:3])
    with pytest.raises(TypeError, match="the target y must be a tuple of 4 arrays, got array"):
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
        (lambda: heads(["cross_entropy"] * 4), ValueError, r"takes outputs in \[0, 1\], but the"),
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
