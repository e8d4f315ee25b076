"""One array in several places: a layer that stands twice, and parameters tied to another's."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop.gradients.check import check_gradients
from backprop.gradients.numeric import central_difference, relative_error
from backprop.layers import LSTM, Dense, Embedding, Parallel, ReLU, Sequential, ShapeError, TimeStep
from backprop.network import Network
from backprop.optimizers import SGD, Adam, AdamW, Momentum
from backprop.regularizers import L1, L2
from tests.cases import CASES, Case
from tests.layers.shared import (
    a_batch_norm,
    a_dropout_and_a_relu,
    assert_shared,
    data,
    dense,
    end,
    sharing,
    step,
    tied_convolutions,
    tied_densely,
    trainer_of,
    twice_in_a_chain,
)

# -- gradients ---------------------------------------------------------------------------------


@sharing
@pytest.mark.parametrize("training", [True, False])
def test_gradients_add_up_over_the_places(make, training):
    network = make()
    x, y = data(network, 2)
    assert_shared(network)
    report = check_gradients(network, x, y, training=training)
    assert report.passed, str(report)
    # And here, not in the copy that is checked: nabla itself, in some directions of theta.
    step(network, x, y, training=False)
    theta, rng, h = network.theta.copy(), np.random.default_rng(1), 1e-6
    for _ in range(5):
        v = rng.standard_normal(theta.shape)
        costs = []
        for sign in (1, -1):
            network.theta = theta + sign * h * v
            costs.append(network.evaluate(x, y)["cost"])
        numeric = (costs[0] - costs[1]) / (2 * h)
        assert numeric == pytest.approx(network.nabla @ v, rel=1e-6, abs=1e-8)
    network.theta = theta
    nabla = network.nabla.copy()
    network.nabla[...] = np.nan  # it is overwritten, in every pass
    step(network, x, y, training=False)
    np.testing.assert_array_equal(network.nabla, nabla)
    step(network, x, y, training=False)
    network.forward(x, keep=True)
    assert network.backward(y, input_gradient=False) is None
    np.testing.assert_array_equal(network.nabla, nabla)


def test_a_place_has_z_a_and_delta_of_its_own():
    network = twice_in_a_chain()
    x, y = data(network)
    step(network, x, y)
    first, second = network[0], network[2]
    for name in ("a_prev", "z", "a", "delta"):
        one, other = getattr(first, name), getattr(second, name)
        assert not np.array_equal(one, other)
    total = first.delta @ first.a_prev.T + second.delta @ second.a_prev.T
    np.testing.assert_allclose(first.nabla_w, total, rtol=1e-13)
    np.testing.assert_array_equal(second.nabla_w, second.delta @ second.a_prev.T)
    assert (first.n_parameters, second.n_parameters) == (20, 0)
    assert (second.parameters, second.gradients) == ({}, {})
    second.w = first.w + 1  # which is one array
    np.testing.assert_array_equal(first.w, second.w)
    assert first.place_of is None
    assert second.place_of is first


@pytest.mark.parametrize("case", [case for case in CASES if not case.draw], ids=str)
def test_every_layer_in_two_places(case: Case):
    """Side by side both places are given the same, so that the gradient is that of twice nabla."""
    layer, x, _ = case.problem(3)
    alone = copy.deepcopy(layer)
    both = Parallel([layer, layer], "sum")
    assert both.n_parameters == alone.n_parameters
    a = alone.forward(x, keep=True)
    nabla_a = np.random.default_rng(1).standard_normal(a.shape)
    np.testing.assert_allclose(both.forward(x, keep=True), 2 * a, rtol=1e-14)
    downstream = alone.backward(2 * nabla_a)
    found = both.backward(nabla_a)
    np.testing.assert_allclose(both.nabla, alone.nabla, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found, downstream, rtol=1e-10, atol=1e-13)


def test_running_statistics_are_those_of_all_places():
    network = a_batch_norm()
    first, second = network[1], network[3]
    x, y = data(network)
    expected = np.zeros((4, 1))
    for _ in range(3):
        step(network, x, y)
        for layer in (first, second):
            expected = 0.9 * expected + 0.1 * layer.mu
    np.testing.assert_allclose(first.running_mean, expected, rtol=1e-13)
    assert second.running_mean is first.running_mean


def test_places_draw_from_one_generator_a_mask_each():
    network = a_dropout_and_a_relu()
    x, y = data(network)
    step(network, x, y)
    assert network[2].rng is network[5].rng
    assert not np.array_equal(network[2].mask, network[5].mask)


def test_an_embedding_tied_to_the_output_layer():
    """The vectors of the tokens are the rows of the output layer's weights: one array, 5 x 4."""
    embedding = Embedding(5, 4, dtype="float64", rng=0)
    output = dense(4, 5, "softmax").tie("w", embedding, transposed=True)
    network = Network(
        [embedding, LSTM(4, 4, dtype="float64", rng=1), TimeStep(-1), output],
        "softmax_cross_entropy", input_shape=(3,))  # fmt: skip
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, (3, 6)), rng.integers(0, 5, 6)
    np.testing.assert_array_equal(output.w, embedding.w.T)
    assert np.shares_memory(output.w, embedding.w)
    report = check_gradients(network, x, y)
    assert report.passed, str(report)
    step(network, x, y)
    numeric = central_difference(lambda _: network.cost.value(network.forward(x), y), network.theta)
    assert relative_error(numeric, network.nabla, floor=0.01) <= 1e-7
    before = network.evaluate(x, y)["cost"]
    trainer_of(network, Adam(0.05)).fit(x, y, 10)
    assert network.evaluate(x, y)["cost"] < before / 2
    np.testing.assert_array_equal(output.w, embedding.w.T)


def test_the_transposed_convolution_of_a_convolution_is_its_way_back():
    network = tied_convolutions()
    conv, transposed = network[:2]
    assert np.shares_memory(conv.w, transposed.w)
    x, y = data(network)
    step(network, x, y)
    linear = copy.deepcopy(conv)
    linear.forward(x, training=True)
    transposed.b[...] = 0
    np.testing.assert_allclose(
        np.arctanh(transposed.forward(conv.a)), linear.backward_from(conv.a), rtol=1e-10
    )


# -- what goes over theta ----------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [SGD(0.1), Momentum(0.1), Adam(0.1), AdamW(0.1)], ids=str)
@pytest.mark.parametrize("penalty", [None, L2(0.1), L1(0.1)], ids=str)
def test_regularizers_and_optimizers_see_a_shared_array_once(optimizer, penalty):
    """One step is one of the rule, with the gradient that is the sum."""
    network = tied_densely()
    x, y = data(network, 4)
    twin = copy.deepcopy(network)
    trainer = trainer_of(network, copy.deepcopy(optimizer), regularizer=penalty)
    trainer.fit(x, y, 1)
    x, y = (array[..., np.random.default_rng(0).permutation(4)] for array in (x, y))
    step(twin, x, y)
    weights = np.zeros(twin.n_parameters, bool)
    for part, factor in twin.root.weight_parts():
        assert factor == 1
        weights[part] = True
    marked = copy.deepcopy(twin)
    marked.theta[...] = 0
    for layer in (marked[0], marked[1], marked[3]):
        layer.w[...] = 1
    np.testing.assert_array_equal(weights, marked.theta == 1)
    nabla = twin.nabla
    if penalty is not None:
        own = nabla[weights]
        penalty.add_gradient(twin.theta[weights], own)
        nabla[weights] = own
    copy.deepcopy(optimizer).step(twin.theta, nabla, twin.root.weight_parts())
    np.testing.assert_allclose(network.theta, twin.theta, rtol=1e-12)


def test_freezing_one_place_freezes_all():
    network = twice_in_a_chain()
    x, y = data(network)
    step(network, x, y)
    before = network.nabla.copy()
    network[2].trainable = False
    assert not network[0].trainable
    assert network.summary().count("frozen") == 2
    assert not network[0].nabla.any()  # that of the pass before is no gradient any more
    step(network, x, y)
    assert not network[0].nabla.any()
    np.testing.assert_array_equal(network.nabla[20:], before[20:])
    network[0].trainable = True
    step(network, x, y)
    np.testing.assert_array_equal(network.nabla, before)
    network[0].eta_factor = 3
    assert network[2].eta_factor == 3
    with network[0].add_hook("backward", lambda layer: None):
        network[0].trainable = False
        step(network, x, y)  # asked for, so it is all of it
        np.testing.assert_array_equal(network.nabla, before)


def test_what_is_tied_learns_with_the_layer_whose_it_is():
    network = tied_densely()
    x, y = data(network)
    step(network, x, y)
    before = network.nabla.copy()
    encoder, decoder = network[0], network[2]
    decoder.trainable = False
    assert encoder.trainable
    step(network, x, y)
    np.testing.assert_array_equal(encoder.nabla, before[:24])  # the gradient is the true one
    assert not decoder.nabla_b.any()
    assert check_gradients(network, x, y).passed
    hook = decoder.add_hook("forward", lambda layer: None)
    step(network, x, y)
    np.testing.assert_array_equal(encoder.nabla, before[:24])  # also where somebody looks
    hook.remove()
    decoder.trainable, encoder.trainable = True, False
    w, b = encoder.w.copy(), decoder.b.copy()
    step(network, x, y)
    assert not encoder.nabla.any()
    trainer_of(network, AdamW(0.1), regularizer=L2(0.1)).fit(x, y, 2)
    np.testing.assert_array_equal(decoder.w, w.T)
    assert not np.array_equal(decoder.b, b)


# -- errors of tie -----------------------------------------------------------------------------


def test_what_cannot_be_tied_is_refused_and_nothing_changes():
    a, b, inside = dense(5, 4), dense(4, 5, seed=1), dense(4, 5, seed=2)
    network = Network([inside])
    c = dense(4, 5, seed=3).tie("w", a, transposed=True)
    values = [layer.theta.copy() for layer in (a, b, c)]
    for error, match, tie in [
        (ValueError, r"tie: Dense\(4 -> 5, tanh\) has no parameter 'v'", lambda: b.tie("v", a)),
        (ValueError, r"tie: Dense\(5 -> 4.* has no parameter 'v'", lambda: b.tie("w", a, "v")),
        (ValueError, r"tie: ReLU\(\) has no parameter 'w'", lambda: b.tie("w", ReLU())),
        (ValueError, "tie: 3 has no parameter 'w'", lambda: b.tie("w", 3)),
        (ValueError, "w cannot be tied to itself", lambda: b.tie("w", b)),
        (ValueError, "w cannot be tied to another: it stands in a network",
         lambda: inside.tie("w", a, transposed=True)),
        (ValueError, r"w is tied to Dense\(5 -> 4, tanh\) already", lambda: c.tie("w", b)),
        (ValueError, r"Dense\(4 -> 5, tanh\) is tied to its w: tie this one first",
         lambda: a.tie("w", b, transposed=True)),
        (ShapeError, r"w has shape \(5, 4\), and w of Dense\(5 -> 4, tanh\) is \(4, 5\)",
         lambda: b.tie("w", a)),
        (ShapeError, r"b has shape \(5, 1\), and w of .*, transposed, is \(5, 4\)",
         lambda: b.tie("b", a, "w", transposed=True)),
        (TypeError, r"w is float64, and w of .* is float32",
         lambda: b.tie("w", Dense(4, 5, rng=0))),
        (ValueError, "w cannot be tied to itself", lambda: a.tie("w", c, transposed=True)),
        (ValueError, "tie: Sequential", lambda: Sequential([dense()]).tie("w", a)),
    ]:  # fmt: skip
        with pytest.raises(error, match=match):
            tie()
    for layer, theta in zip((a, b, c), values, strict=True):
        np.testing.assert_array_equal(layer.theta, theta)
    assert b.ties == {}
    assert a.ties == {}
    assert network[0].ties == {}


def test_a_tie_to_a_tie_is_one_to_where_the_numbers_are():
    a = dense(5, 4)
    b = dense(4, 5).tie("w", a, transposed=True)
    c = dense(5, 4, seed=2).tie("w", b, transposed=True)
    d = dense(4, 5, seed=3).tie("w", c, transposed=True)
    for layer, transposed in ((b, True), (c, False), (d, True)):
        tie = layer.ties["w"]
        assert (tie.layer, tie.name, tie.transposed) == (a, "w", transposed)
        assert np.shares_memory(layer.w, a.w)
    network = Network([d, c, b, a, end()], "quadratic")
    assert network.n_parameters == 20 + 4 + 5 + 4 + 5 + 15
    assert_shared(network)
    assert check_gradients(network, *data(network)).passed


def test_a_tied_layer_used_alone_gives_its_own_gradient():
    a = dense(5, 4)
    b = dense(4, 5).tie("w", a, transposed=True)
    x, nabla_a = np.ones((4, 3)), np.ones((5, 3))
    b.forward(x, training=True)
    b.backward(nabla_a)
    np.testing.assert_allclose(b.nabla_w, b.delta @ x.T, rtol=1e-14)
    assert not a.nabla.any()
    assert (list(b.parameters), b.n_parameters) == (["b"], 5)
    b.w = np.full((5, 4), 2.0)
    np.testing.assert_array_equal(a.w, np.full((4, 5), 2.0))
