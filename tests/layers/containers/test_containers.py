"""Containers: what they compute, whom the parameters belong to, and what they refuse."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

from backprop import SGD, DivergenceError, Network, SoftmaxCrossEntropy, Trainer
from backprop.datasets.sequences import pad
from backprop.gradients.check import check_gradients
from backprop.gradients.contract import check_layer
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    GRU,
    Conv1d,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    LayerNorm,
    Masked,
    MaxPool2d,
    MultiHeadAttention,
    Parallel,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    ShapeError,
    TimeDistributed,
    TimeStep,
)
from backprop.training import checkpoint
from tests.cases import assert_unchanged, snapshot
from tests.support import dense

# -- what they compute -------------------------------------------------------------------------


def test_a_chain_in_a_network_is_the_network_of_its_layers():
    def layers():
        return [dense(4, 5, rng=1), dense(5, 3, "relu", 2), dense(3, 2, "softmax", 3)]

    flat = Network(layers(), "softmax_cross_entropy")
    first, *rest = layers()
    nested = Network([Sequential([first]), Sequential(rest)], "softmax_cross_entropy")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 6)), rng.integers(0, 2, 6)
    np.testing.assert_array_equal(nested.forward(x, True), flat.forward(x, True))
    np.testing.assert_array_equal(nested.backward(y), flat.backward(y))
    np.testing.assert_array_equal(nested.theta, flat.theta)
    np.testing.assert_array_equal(nested.nabla, flat.nabla)
    assert nested.evaluate(x, y) == flat.evaluate(x, y)
    assert nested.root.weight_parts() == flat.root.weight_parts()
    last = nested[1].children[-1]
    np.testing.assert_array_equal(last.delta, flat[2].delta)
    np.testing.assert_array_equal(nested[1].delta, flat[2].delta)


def test_the_input_of_a_residual_reaches_its_output_and_the_gradient_its_input():
    """With f = 0 the layer is the identity, in both directions."""
    layer = Residual([dense(3, 3, "identity")])
    layer.theta[...] = 0
    x, u = np.random.default_rng(1).standard_normal((2, 3, 4))
    np.testing.assert_array_equal(layer.forward(x, training=True), x)
    np.testing.assert_array_equal(layer.backward(u), u)
    np.testing.assert_allclose(layer.children[0].nabla_w, u @ x.T)


def test_branches_add_up_or_stand_above_each_other():
    x, u = np.random.default_rng(1).standard_normal((2, 3, 4))
    one, two = dense(rng=1), dense(rng=2)
    total = Parallel([copy.deepcopy(one), copy.deepcopy(two)], "sum")
    stack = Parallel([copy.deepcopy(one), copy.deepcopy(two)])
    a, b = one.forward(x, training=True), two.forward(x, training=True)
    np.testing.assert_array_equal(total.forward(x, training=True), a + b)
    np.testing.assert_array_equal(stack.forward(x, training=True), np.vstack([a, b]))
    down = one.backward(u) + two.backward(u)
    np.testing.assert_allclose(total.backward(u), down, rtol=1e-14)
    np.testing.assert_array_equal(total.nabla, np.concatenate([one.nabla, two.nabla]))
    down = one.backward(u) + two.backward(-u)
    np.testing.assert_allclose(stack.backward(np.vstack([u, -u])), down, rtol=1e-14)
    np.testing.assert_array_equal(stack.nabla, np.concatenate([one.nabla, two.nabla]))


def test_a_value_that_fans_out_three_times_has_three_gradients():
    layer = Parallel([Identity(), Identity(), Identity()], "sum")
    x, u = np.random.default_rng(1).standard_normal((2, 3, 4))
    np.testing.assert_allclose(layer.forward(x, training=True), 3 * x)
    np.testing.assert_allclose(layer.backward(u), 3 * u)


def test_every_step_goes_through_the_same_layer():
    layer, alone = TimeDistributed(dense(3, 2)), dense(3, 2)
    rng = np.random.default_rng(1)
    x, u = rng.standard_normal((3, 4, 5)), rng.standard_normal((2, 4, 5))
    a, nabla = layer.forward(x, training=True), np.zeros(8)
    down = layer.backward(u)
    assert layer.z.shape == layer.a.shape == layer.delta.shape == (2, 4, 5)
    for t in range(4):
        np.testing.assert_allclose(a[:, t], alone.forward(x[:, t], training=True), rtol=1e-14)
        np.testing.assert_allclose(down[:, t], alone.backward(u[:, t]), rtol=1e-14)
        np.testing.assert_allclose(layer.delta[:, t], alone.delta, rtol=1e-14)
        nabla += alone.nabla
    np.testing.assert_allclose(layer.nabla, nabla, rtol=1e-13)


def test_images_over_time():
    layer = TimeDistributed(Sequential([Flatten(), dense(6, 2)]))
    x = np.random.default_rng(2).standard_normal((2, 3, 1, 4, 5))
    a = layer.forward(x)
    assert a.shape == (2, 4, 5)
    for t in range(4):
        np.testing.assert_allclose(a[:, t], layer.layer.forward(x[..., t, :]), rtol=1e-14)


def test_a_deep_network_of_containers_passes_the_gradient_check():
    def block(n, seed):
        return Residual([dense(n, 2, "tanh", seed), dense(2, n, "identity", seed + 1)])

    branches = Parallel([block(3, 1), Sequential([block(3, 3), dense(3, 2, rng=5)])])
    network = Network([branches, block(5, 6), dense(5, 4, "softmax", 8)], SoftmaxCrossEntropy())
    report = check_gradients(network, np.random.default_rng(0).standard_normal((3, 2)))
    assert report.passed, str(report)


# -- masks ------------------------------------------------------------------------------------


def tokens_of_three_lengths():
    rng = np.random.default_rng(0)
    x = pad([rng.integers(0, 5, n) for n in (2, 5, 3)])
    return x, np.where(x >= 0, 1, -1)


@pytest.mark.parametrize("kind", ["gru", "attention", "last step"])
def test_the_mask_reaches_what_the_cost_is_evaluated_from(kind):
    """The chain ends in a canonical activation, so that evaluation enters it at z."""
    steps = TimeDistributed(dense(4, 3, "softmax"))
    inner = {
        "gru": [GRU(4, 4, reverse=True, dtype="f8", rng=1), steps],
        "attention": [Sequential([MultiHeadAttention(4, 2, dtype="f8", rng=1), steps])],
        "last step": [GRU(4, 4, dtype="f8", rng=1), TimeStep(-1), dense(4, 3, "softmax")],
    }[kind]
    layers = [Embedding(5, 4, dtype="f8", rng=2), Sequential(inner)]
    network = Network([Masked(layers)], "softmax_cross_entropy", (None,))
    x, y = tokens_of_three_lengths()
    y = y[1] if kind == "last step" else y
    network.forward(x, training=True)
    trained = network.cost_per_example(y).mean()
    assert network.evaluate(x, y)["cost"] == pytest.approx(trained, rel=1e-12)


def test_above_a_layer_that_changes_the_steps_the_mask_is_that_of_its_output():
    convolution, gru = Conv1d(3, 4, 2, dtype="f8", rng=0), GRU(4, 2, dtype="f8", rng=1)
    masked = Masked([convolution, Sequential([gru])])
    assert masked.output_shape((4, 5)) == (2, 4)
    x = np.random.default_rng(0).standard_normal((4, 5, 3))
    x[-1] = np.arange(5)[:, None] < [5, 4, 2]
    a = masked.forward(x)[:, -1]  # the state after the last window of each
    for j, windows in enumerate((4, 3, 1)):
        alone = gru.forward(convolution.forward(x[:-1, :, j : j + 1].copy())[:, :windows])
        np.testing.assert_allclose(a[:, j], alone[:, -1, 0], rtol=1e-12)


def test_a_forgotten_mask_row_is_recognised():
    with pytest.raises(ShapeError, match=r"the last row of \(2, 4\) is the mask, and the layers"):
        Masked([GRU(2, 3)]).forward(np.ones((2, 4, 5), np.float32))


def test_masked_needs_somebody_to_mask_and_lets_the_layers_go():
    layers = [dense()]
    for refused in (layers, [TimeDistributed(GRU(2, 3))]):
        with pytest.raises(ValueError, match="no layer takes a mask; use Sequential"):
            Masked(refused)
    Sequential(layers)


def test_accuracy_is_over_the_labels_that_count():
    x, y = tokens_of_three_lengths()
    y[:, 1] = -1  # the longest is not labelled
    y[0] = [0, -1, 2]
    layers = [Embedding(5, 4, rng=0), GRU(4, 4, rng=1)]
    network = Network(
        [Masked(layers), TimeDistributed(Dense(4, 3, "softmax", rng=2))],
        "softmax_cross_entropy",
        (None,),
    )
    right = (network.predict(x).argmax(axis=0) == y)[y >= 0]
    for batch_size in (1, 2, 3):
        found = network.evaluate(x, y, batch_size)["accuracy"]
        assert found == pytest.approx(right.mean())
    with pytest.raises(ValueError, match="all labels are -1"):
        network.evaluate(x, np.full_like(y, -1))


# -- tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (Parallel([Embedding(9, 2), Embedding(5, 2)]), [[7]], "token 7 at \\[0, 0\\] is not in"),
        (Sequential([Embedding(5, 3), GRU(3, 4)]), np.zeros((2, 3, 4), int), "layer 1, GRU"),
        (Sequential([Embedding(5, 3), Flatten(), Dense(9, 2)]), [[1, 1]] * 4, "layer 2, Dense"),
    ],
)
def test_tokens_that_do_not_fit(layer, x, message):
    with pytest.raises(ValueError, match=message):
        layer.forward(np.array(x))


def test_tokens_come_first():
    for make in (Sequential, Network):
        with pytest.raises(TypeError, match=r"layer 1, Embedding.* takes integers, which no layer"):
            make([Dense(3, 4), Embedding(5, 2)]).output_shape((3,))
    with pytest.raises(TypeError, match="a graph takes no integers"):
        apply(Embedding(4, 3), Input("x", shape=(4,)))
    with pytest.raises(ValueError, match="either all branches take integers, or none"):
        Parallel([Embedding(4, 3), Dense(4, 3)])


@pytest.mark.parametrize("above", [LayerNorm(3), Dropout(0.3, rng=0), Residual([LayerNorm(3)])])
def test_chains_of_tokens_conform(above):
    x = np.array([[0, 1, 2], [2, 1, 3]])
    check_layer(Sequential([Embedding(4, 3, rng=1), copy.deepcopy(above)]), x=x)


# -- whom the parameters belong to -------------------------------------------------------------


def test_all_parameters_are_one_vector_of_the_network():
    inner = dense(3, 2, rng=1)
    layer = Sequential([Residual([dense(rng=2)]), inner])
    network = Network([dense(4, 3, rng=3), layer])
    assert list(layer.parameters) == ["0.0.w", "0.0.b", "1.w", "1.b"]
    for array in (layer.theta, inner.theta, inner.w, layer.parameters["0.0.b"]):
        assert np.shares_memory(array, network.theta)
    for array in (layer.nabla, inner.nabla_w, layer.gradients["0.0.b"]):
        assert np.shares_memory(array, network.nabla)
    network.theta[...] = 7
    assert (inner.b == 7).all()
    inner.w = np.zeros((2, 3))
    assert network.theta[-8:].tolist() == [0] * 6 + [7] * 2
    assert [name for name, _ in network.walk()] == ["0", "1", "1.0", "1.0.0", "1.1"]
    weights = [slice(0, 12), slice(15, 24), slice(27, 33)]
    assert network.root.weight_parts() == [(part, 1.0) for part in weights]


def test_a_network_seed_initialises_the_children():
    networks = [Network([Residual([dense(rng=s)]), dense(rng=s)], rng=5) for s in (1, 2)]
    np.testing.assert_array_equal(networks[0].theta, networks[1].theta)
    flat = Network([dense(), dense()], rng=5)
    np.testing.assert_array_equal(networks[0].theta, flat.theta)


def test_copies_are_independent_and_whole():
    layer = Sequential([Residual([dense(rng=1)]), dense(rng=2)])
    x, u = np.random.default_rng(1).standard_normal((2, 3, 4))
    layer.forward(x, training=True)
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(twin.backward(u), layer.backward(u))
        assert np.shares_memory(twin.children[0].children[0].w, twin.theta)
        assert not np.shares_memory(twin.theta, layer.theta)
        Network([twin])  # it belongs to nobody


def test_what_took_a_layer_last_has_it_and_the_other_says_so():
    shared = dense()
    x = np.ones((3, 2))
    container = Sequential([shared])
    for make in (lambda: Residual([shared]), lambda: Network([shared])):
        taken = make()
        assert taken.forward(x).shape == (3, 2)
        with pytest.raises(RuntimeError, match=r"Dense\(3 -> 3, tanh\) has been built into somet"):
            container.forward(x)
    network = Network([container])
    assert network.forward(x).shape == (3, 2)  # and has them back
    Sequential([*network.layers])
    with pytest.raises(RuntimeError, match=r"^network: its layer .* copies, copy.deepcopy\(lay"):
        network.forward(x)


def test_what_has_lost_its_layers_cannot_change_them():
    layers = [dense(rng=1), dense(rng=2)]
    old = Network(layers, "quadratic")
    new = Network(layers, "quadratic")
    theta = new.theta.copy()
    for change in (
        lambda: old.initialize(7),
        lambda: old.root.initialize(7),
        lambda: old.set_state(new.state()),
        lambda: old.root.set_state(new.state()),
        lambda: setattr(old, "theta", 0 * theta),
    ):
        with pytest.raises(RuntimeError, match="has been built into"):
            change()
    np.testing.assert_array_equal(new.theta, theta)


class Halved(Sequential):
    """Sends half of the gradient down."""

    def downstream(self, delta):
        return 0.5 * super().downstream(delta)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sequential([dense(rng=1)]),
        lambda: Residual([dense(rng=1)]),
        lambda: Parallel([dense(rng=1), dense(rng=2)], "sum"),
        lambda: Graph(apply(dense(rng=1), Input("x", (3,)))),
    ],
    ids=["sequential", "residual", "parallel", "graph"],
)
def test_what_is_sent_down_can_be_replaced_in_containers_too(make):
    container = make()
    network = Network([dense(rng=3), container, dense(rng=4)], "quadratic")
    x, y = np.random.default_rng(0).random((2, 3, 5))
    network.forward(x, training=True)
    network.backward(y)
    plain = network.nabla.copy()
    container.downstream = lambda delta: np.zeros((3, 5))
    network.forward(x, training=True)
    network.backward(y)
    assert not network[0].nabla.any()
    n = network[0].n_parameters
    np.testing.assert_array_equal(network.nabla[n:], plain[n:])


def test_an_overridden_downstream_of_a_container_counts():
    x, u = np.random.default_rng(0).random((2, 3, 5))
    whole, half = Sequential([dense(rng=1)]), Halved([dense(rng=1)])
    for layer in (whole, half):
        layer.forward(x, training=True)
    np.testing.assert_array_equal(half.backward(u), 0.5 * whole.backward(u))
    np.testing.assert_array_equal(half.nabla, whole.nabla)
    assert half.backward(u, input_gradient=False) is None


def test_saving_warns_of_what_it_cannot_write_down(tmp_path):
    network = Network([dense(rng=1), Residual([dense(rng=2)])], "quadratic")
    network[1].children[0].downstream = lambda delta: delta
    with pytest.warns(UserWarning, match=r"^layer 1\.0, Dense.*: the downstream assigned to"):
        network.save(tmp_path / "n.npz")


def test_a_refused_layer_stays_free():
    layer = dense()
    before = snapshot(layer)
    with pytest.raises(TypeError, match="Residual: layer 1 is no Layer but 'relu'"):
        Residual([layer, "relu"])
    with pytest.raises(TypeError, match=r"Sequential has one dtype, got .*float64"):
        Sequential([layer, Dense(3, 3)])
    with pytest.raises(ShapeError):
        Network([dense(4, 5), layer])
    assert_unchanged(layer, before)
    Network([layer])


# -- what they refuse --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            Sequential([dense(4, 3), dense(2, 2)]),
            (4,),
            "layer 1, Dense(2 -> 2, tanh), expects shape (2,), got (3,) from layer 0, Dense(4 -> 3",
        ),
        (Residual([dense(3, 2)]), (3,), "turn (3,) into (2,), to which the input cannot be added"),
        (Parallel([dense(3, 2), dense(4, 2)]), (3,), "branch 1: Dense(4 -> 2, tanh): expected"),
        (Parallel([dense(3, 2), dense(3, 4)], "sum"), (3,), "must give one shape, they give (2,)"),
        (Parallel([Identity(), Reshape((6,))]), (2, 3), "one shape but for the first axis"),
        (TimeDistributed(dense()), (3,), "expected input of shape (..., T), got (3,)"),
        (TimeDistributed(dense()), (4, 2), "expected input of shape (3, T), got (4, 2)"),
    ],
)
def test_shapes_that_do_not_fit(layer, shape, message):
    with pytest.raises(ShapeError, match=re.escape(message)):
        layer.output_shape(shape)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sequential([]), "Sequential needs at least one layer"),
        (lambda: Parallel([]), "Parallel needs at least one layer"),
        (lambda: Parallel([dense()], "stack"), "join must be 'concat' or 'sum', got 'stack'"),
    ],
)
def test_arguments_that_mean_nothing(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_one_layer_is_no_sequence_of_layers():
    for make, what in ((Residual, "layers"), (Sequential, "layers"), (Parallel, "branches")):
        with pytest.raises(TypeError, match=f"expected a sequence of {what}, got Dense"):
            make(dense())


def test_a_network_names_the_place_inside_a_container():
    with pytest.raises(ShapeError, match=r"layer 1, Sequential.* cannot take \(3,\) .* layer 1, "):
        Network([dense(), Sequential([dense(), dense(4, 2)])])


# -- with the rest -----------------------------------------------------------------------------


def test_summary_shows_what_is_inside():
    network = Network([Residual([dense(), ReLU()]), Parallel([dense(3, 2), Identity()])])
    assert network.summary().split("\n")[:9] == [
        "     layer                  output shape  parameters  initializers",
        "-------------------------------------------------------------------------",
        "     input                  3 x B",
        "0    Residual               3 x B                 12",
        "0.0    Dense(3 -> 3, tanh)  3 x B                 12  w nielsen, b normal",
        "0.1    ReLU()               3 x B                  0",
        "1    Parallel, concat       5 x B                  8",
        "1.0    Dense(3 -> 2, tanh)  2 x B                  8  w nielsen, b normal",
        "1.1    Identity()           3 x B                  0",
    ]


def test_saved_and_loaded_it_predicts_the_same_bits(tmp_path):
    layers = [Residual([dense(), Sequential([Dropout(0.2, rng=1), dense()])]), dense(3, 2)]
    network = Network(layers, "quadratic")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 20)), rng.standard_normal((2, 20))
    Trainer(network, SGD(0.1), batch_size=5, rng=0).fit(x, y, epochs=1)
    network.save(tmp_path / "model.npz")
    loaded = Network.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x))
    assert loaded.config() == network.config()


def test_a_run_with_dropout_inside_resumes_to_the_bit(tmp_path):
    def trainer():
        layers = [Residual([dense(), Dropout(0.5, rng=1)]), dense(3, 2)]
        return Trainer(Network(layers, "quadratic"), SGD(0.1), batch_size=5, rng=0)

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 20)), rng.standard_normal((2, 20))
    whole, first, second = trainer(), trainer(), trainer()
    whole.fit(x, y, epochs=4)
    first.fit(x, y, epochs=2)
    checkpoint.save(first, tmp_path / "c.npz")
    checkpoint.restore(second, tmp_path / "c.npz")
    second.fit(x, y, epochs=2)
    np.testing.assert_array_equal(second.network.theta, whole.network.theta)


def test_where_numbers_ceased_to_be_finite_is_told_inside_a_container():
    network = Network([Residual([dense(rng=1), dense(sigma="identity", rng=2)])], "quadratic")
    network[0].children[0].b[...] = 100  # so that the next layer adds up three ones
    network[0].children[1].w[...] = 1e308
    x = np.ones((3, 4))
    trainer = Trainer(network, SGD(0.1), batch_size=4, rng=0)
    message = r"first in z of layer 0\.1, Dense"
    with pytest.raises(DivergenceError, match=message), np.errstate(all="ignore"):
        trainer.fit(x, x, epochs=1)


def test_the_rule_of_a_size_is_shown_through_containers_and_graphs():
    rule = r"height \(28 \+ 2\*0 - 5\) // 1 \+ 1 = 24"
    chain = [Sequential([Conv2d(1, 8, 5), MaxPool2d(2)]), Flatten(), Dense(100, 10)]
    with pytest.raises(ShapeError, match=rule):
        Network(chain, input_shape=(1, 28, 28))
    branches = Parallel([Conv2d(1, 2, 3), Conv2d(1, 2, 5)])
    with pytest.raises(ShapeError, match=r"\(2, 6, 6\) \(height \(8 .* and \(2, 4, 4\) \(height"):
        branches.output_shape((1, 8, 8))
    with pytest.raises(ShapeError, match=r"into \(1, 6, 6\) \(height .* to which the input cannot"):
        Residual([Conv2d(1, 1, 3)]).output_shape((1, 8, 8))
    x = Input("x", shape=(1, 28, 28))
    below = apply(Conv2d(1, 8, 5), x)
    with pytest.raises(ShapeError, match=r"the kernel does not fit .* = -5"):
        apply(Conv2d(8, 8, 30), below)
    with pytest.raises(ShapeError, match=rule):
        apply(Dense(100, 10), apply(Flatten(), below))


def test_layers_are_described_only_where_something_is_wrong(monkeypatch):
    """Not in every pass, and not in every copy, which takes longer than all the rest."""
    chain = Sequential([Dense(3, 4, rng=0), Residual([Dense(4, 4, rng=1)])])
    described = []
    monkeypatch.setattr(Dense, "__repr__", lambda layer: described.append(layer) or "Dense")
    copy.deepcopy(chain).astype("float64")
    chain.forward(np.ones((3, 2), np.float32), training=True)
    assert not described
    with pytest.raises(ShapeError, match="Dense"):
        chain.forward(np.ones((4, 2), np.float32))
    assert described
