"""Containers: what they compute, of tokens too, and what they refuse."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

from backprop import SGD, DivergenceError, Network, SoftmaxCrossEntropy, Trainer
from backprop.gradients.check import check_gradients
from backprop.gradients.contract import check_layer
from backprop.graph import Input, apply
from backprop.layers import (
    GRU,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    LayerNorm,
    MaxPool2d,
    Parallel,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    ShapeError,
    TimeDistributed,
)
from tests.support import dense
from tests.training.support import assert_resumes

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
    assert_resumes(trainer, x, y, tmp_path / "c.npz")


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
