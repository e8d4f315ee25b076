"""Per-example quantities of whole networks, by a loop where it must be, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop.gradients.numeric import relative_error
from backprop.graph import Graph, Input, Variable, apply
from backprop.layers import (
    LSTM,
    RNN,
    BatchNorm,
    Conv1d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    Masked,
    Sequential,
    ShapeError,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
)
from backprop.network import Network
from backprop.research import ExampleGradients
from tests.cases import NETWORK_CASES, NetworkCase, Scale, assert_unchanged, snapshot
from tests.research.per_example.one_by_one import (
    SOFTMAX,
    assert_right,
    data,
    gradients_one_by_one,
    padded,
)
from tests.support import dense

# -- whole networks ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_of_networks_by_minibatches_of_one_example(case: NetworkCase):
    network, x, y = case.problem(5)
    found = ExampleGradients(network, x, y)
    assert found.by_loop == ()
    assert_right(found, gradients_one_by_one(network, x, y))
    network.forward(x, keep=True)
    network.backward(y)
    assert relative_error(found.gradients().mean(axis=1), network.nabla) <= 1e-12


def test_a_network_stays_as_it_is():
    network = Network([dense(4, 4), Dropout(0.5, rng=1), dense(4, 3, "softmax")], SOFTMAX)
    x, y = data()
    network.forward(x[:, ::-1].copy(), training=True)
    network.backward(y)
    nabla = network.nabla.copy()
    before = [snapshot(layer) for _, layer in network.walk()]
    with network[0].add_hook("forward", lambda layer: pytest.fail("a hook was called")):
        ExampleGradients(network, x, y, training=True).norms()
    for (_, layer), held in zip(network.walk(), before, strict=True):
        assert_unchanged(layer, held)
    np.testing.assert_array_equal(network.nabla, nabla)


def test_what_was_given_may_be_changed_afterwards():
    network = Network([dense(4, 4), dense(4, 3, "identity")], "quadratic")
    x, _ = data()
    nabla_a = np.random.default_rng(1).standard_normal((3, 6))
    y = nabla_a.copy()
    found = [ExampleGradients(network, x, y), ExampleGradients.from_upstream(network, x, nabla_a)]
    expected = [ExampleGradients(network, x, y).norms()]
    expected += [ExampleGradients.from_upstream(network, x, nabla_a).norms()]
    for array in (x, y, nabla_a):
        array[...] = 7
    for one, norms in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.norms(), norms)


def test_in_training_the_masks_are_those_that_are_drawn_next():
    network = Network([dense(4, 6), Dropout(0.5, rng=1), dense(6, 3, "softmax")], SOFTMAX)
    x, y = data()
    found = ExampleGradients(network, x, y, training=True)
    a = network.forward(x, training=True)
    network.backward(y)
    assert relative_error(found.mean(), network.nabla) <= 1e-12
    nabla_a = (a - np.eye(3)[:, y]) / 6
    per_example = []
    for j in range(6):
        only = np.where(np.arange(6) == j, nabla_a, 0)
        network.root.backward_from(only)
        per_example.append(6 * network.nabla)
    assert relative_error(found.gradients(), np.stack(per_example, axis=1)) <= 1e-12


SHARED = {
    "a layer that stands three times": lambda: (lambda one: [one, one, one])(dense(4, 4)),
    "a convolution that stands twice": lambda: (lambda one: [one, one, Flatten(), dense(16, 4)])(
        Conv1d(2, 2, 3, padding=1, activation="tanh", dtype="float64", rng=0)
    ),
    "a tied autoencoder": lambda: (
        lambda one: [one, dense(2, 4, rng=1).tie("w", one, transposed=True)]
    )(dense(4, 2)),
    "tied biases": lambda: (lambda one: [one, dense(4, 4, rng=1).tie("b", one)])(dense(4, 4)),
    "a tied shift of another kind": lambda: (
        lambda one: [one, LayerNorm(4, dtype="float64").tie("b", one)]
    )(dense(4, 4)),
    "a block that stands twice": lambda: (lambda one: [one, one])(
        Sequential([dense(4, 3), dense(3, 4, rng=1)])
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_what_places_share_adds_up_before_any_norm(name):
    shape = (2, 8) if "convolution" in name else (4,)
    network = Network([*SHARED[name](), dense(4, 3, "softmax", 9)], SOFTMAX, input_shape=shape)
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((*shape, 5)), rng.integers(0, 3, 5)
    found = ExampleGradients(network, x, y)
    assert len({part.name for part in found.parts}) == len(found.parts)
    assert_right(found, gradients_one_by_one(network, x, y))
    alone = sum(part.term.size for part in found.parts)
    assert alone == network.n_parameters


def test_an_embedding_whose_vectors_are_the_weights_of_the_output():
    embedding = Embedding(5, 3, dtype="float64", rng=0)
    end = dense(3, 5, "softmax", 1).tie("w", embedding, transposed=True)
    layers = [embedding, RNN(3, 3, dtype="float64", rng=2), TimeStep(-1), end]
    network = Network(layers, SOFTMAX, input_shape=(4,))
    rng = np.random.default_rng(8)
    x, y = rng.integers(0, 5, (4, 6)), rng.integers(0, 5, 6)
    found = ExampleGradients(network, x, y)
    assert_right(found, gradients_one_by_one(network, x, y))


@pytest.mark.parametrize("frozen", ["0", "1", "1.0", "2"])
def test_frozen_layers_have_no_part(frozen):
    block = Sequential([dense(4, 5), LayerNorm(5, dtype="float64"), dense(5, 4)])
    network = Network([dense(4, 4), block, dense(4, 3, "softmax")], SOFTMAX)
    dict(network.walk())[frozen].trainable = False
    x, y = data()
    found = ExampleGradients(network, x, y)
    expected = gradients_one_by_one(network, x, y)
    assert (expected == 0).any()
    assert not any(part.name.startswith(frozen) for part in found.parts)
    assert_right(found, expected)


def test_a_frozen_place_freezes_all():
    one = dense(4, 4)
    network = Network([one, dense(4, 4, rng=1), one, dense(4, 3, "softmax")], SOFTMAX)
    network[2].trainable = False
    found = ExampleGradients(network, *data())
    assert [part.name for part in found.parts] == ["1.w", "1.b", "3.w", "3.b"]
    assert_right(found, gradients_one_by_one(network, *data()))


def test_what_is_tied_to_a_frozen_layer_does_not_learn():
    one = dense(4, 4)
    two = dense(4, 4, rng=1).tie("w", one)
    network = Network([one, two, dense(4, 3, "softmax")], SOFTMAX)
    one.trainable = False
    found = ExampleGradients(network, *data())
    assert [part.name for part in found.parts] == ["1.b", "2.w", "2.b"]
    network.forward(data()[0], keep=True)
    network.backward(data()[1])
    assert relative_error(found.mean(), network.nabla) <= 1e-12


@pytest.mark.parametrize("rule", ["direct_feedback_alignment", "sign_symmetry"])
def test_gradients_are_those_of_the_cost_whatever_the_credit_rule(rule, monkeypatch):
    network = Network([dense(4, 5), dense(5, 3, "softmax")], SOFTMAX)
    expected = gradients_one_by_one(network, *data())
    network.credit = rule
    monkeypatch.setattr(network.credit, "begin", lambda *_: pytest.fail("the rule was begun"))
    assert_right(ExampleGradients(network, *data()), expected)


def test_sample_weights():
    network = Network([dense(4, 5), dense(5, 3, "softmax")], SOFTMAX)
    x, y = data()
    w = np.random.default_rng(9).random(6)
    found = ExampleGradients(network, x, y, sample_weight=w)
    alone = gradients_one_by_one(network, x, y)
    assert_right(found, alone * (6 * w / w.sum()))
    network.forward(x, keep=True)
    network.backward(y, sample_weight=w)
    assert relative_error(found.mean(), network.nabla) <= 1e-12


def test_sequences_with_labels_for_every_step_and_padding():
    layers = [
        Masked([LSTM(2, 4, dtype="float64", rng=0), TransformerBlock(4, 2, 3, dtype="float64")]),
        TimeDistributed(dense(4, 3, "softmax")),
    ]
    network = Network(layers, SOFTMAX, input_shape=(3, 5))
    rng = np.random.default_rng(10)
    x = padded(rng, (3, 5, 4))
    y = np.where(x[-1] > 0.5, rng.integers(0, 3, (5, 4)), -1)
    found = ExampleGradients(network, x, y)
    network.forward(x, keep=True)
    start = network.bp1(y)[0]
    expected = []
    for j in range(4):
        network.go_back(np.where(np.arange(4) == j, start, 0), True, False)
        expected.append(4 * network.nabla)
    assert_right(found, np.stack(expected, axis=1))


# -- by a loop ---------------------------------------------------------------------------------


def test_a_layer_of_ones_own_and_a_variable_go_by_a_loop():
    x = Input("x", (4,))
    w = apply(Variable((3, 4), dtype="float64", rng=0)).named("w")
    hidden = apply(Scale(3, "float64"), apply(dense(3, 3), w @ x))
    network = Network(Graph(apply(dense(3, 3, "softmax"), hidden)), SOFTMAX)
    x, y = data()
    network.forward(x, keep=True)
    network.backward(y)
    nabla = network.nabla.copy()
    found = ExampleGradients(network, x, y)
    assert [type(dict(network.walk())[name]) for name in found.by_loop] == [Variable, Scale]
    assert_right(found, gradients_one_by_one(network, x, y))
    np.testing.assert_array_equal(network.nabla, nabla)


class BothSigns(Sequential):
    """The mean of what a chain makes of a_prev and of -a_prev, which go up side by side."""

    def output(self, a_prev, mode):
        both = super().output(np.concatenate([a_prev, -a_prev], axis=-1), mode)
        return np.split(both, 2, axis=-1)[0] / 2 + np.split(both, 2, axis=-1)[1] / 2

    def delta_of(self, nabla_a):
        return nabla_a

    def descend_inside(self, delta, input_gradient):
        both = np.concatenate([delta, delta], axis=-1) / 2
        found = self.children[-1].go_back(both, True)
        one, other = np.split(found, 2, axis=-1)
        return one - other

    @property
    def output_activation(self):
        return None


def test_a_layer_that_is_given_another_batch_goes_by_a_loop():
    inside = BothSigns([dense(4, 4)])
    network = Network([dense(4, 4, rng=1), inside, dense(4, 3, "softmax", 2)], SOFTMAX)
    found = ExampleGradients(network, *data())
    assert found.by_loop == ("1.0",)
    assert_right(found, gradients_one_by_one(network, *data()))


def test_what_has_been_written_anew_is_not_taken_for_what_it_was():
    class Doubled(Dense):
        def parameter_gradients(self, delta):
            super().parameter_gradients(2 * delta)

    class NoBias(Conv1d):
        def bias_gradient(self, delta):
            self.nabla_b[...] = 0

    doubled = Doubled(4, 4, dtype="float64", rng=0)
    network = Network([doubled, dense(4, 3, "softmax")], SOFTMAX)
    found = ExampleGradients(network, *data())
    assert found.by_loop == ("0",)
    assert_right(found, gradients_one_by_one(network, *data()))
    layers = [NoBias(1, 2, 2, dtype="float64", rng=0), Flatten(), dense(6, 3, "softmax")]
    network = Network(layers, SOFTMAX, input_shape=(1, 4))
    x, y = data()
    found = ExampleGradients(network, x[None], y)
    assert found.by_loop == ("0",)
    assert_right(found, gradients_one_by_one(network, x[None], y))
    plain = Network([dense(4, 3, "softmax")], SOFTMAX)
    fill = plain[0].parameter_gradients
    plain[0].parameter_gradients = lambda delta: fill(3 * delta)
    found = ExampleGradients(plain, *data())
    assert found.by_loop == ("0",)
    plain.forward(x, keep=True)
    plain.backward(y)
    assert relative_error(found.mean(), plain.nabla) <= 1e-12


# -- what is refused ---------------------------------------------------------------------------


def test_layers_in_which_examples_meet_are_refused_with_the_reason():
    norm = BatchNorm(4, dtype="float64")
    network = Network([Sequential([dense(4, 4), norm]), dense(4, 3, "softmax")], SOFTMAX)
    x, y = data()
    with pytest.raises(ValueError, match=r"layer 0\.1, BatchNorm\(4\): in training every example"):
        ExampleGradients(network, x, y, training=True)
    network[0].children[1].trainable = False  # it goes by the running statistics then
    ExampleGradients(network, x, y, training=True)

    class Centred(Scale):
        independent_examples = False

        def output(self, a_prev, mode):
            return self.g * (a_prev - a_prev.mean(axis=1, keepdims=True))

    layers = [Centred(4, "float64"), dense(4, 3, "softmax")]
    network = Network(layers, SOFTMAX, input_shape=(4,))
    with pytest.raises(ValueError, match=r"layer 0, .*: its examples meet"):
        ExampleGradients(network, x, y)


def test_a_carried_state_is_no_meeting():
    layers = [RNN(2, 4, carry=True, dtype="float64", rng=0), TimeStep(-1), dense(4, 3, "softmax")]
    network = Network(layers, SOFTMAX, input_shape=(2, 3))
    rng = np.random.default_rng(11)
    x, y = rng.standard_normal((2, 3, 5)), rng.integers(0, 3, 5)
    network.forward(x, training=True)
    carried = network[0].carried.copy()
    found = ExampleGradients(network, x, y, training=True)
    np.testing.assert_array_equal(network[0].carried, carried)
    network.forward(x, training=True)
    network.backward(y)
    assert relative_error(found.mean(), network.nabla) <= 1e-12


def test_bad_arguments():
    network = Network([dense(4, 5), dense(5, 3, "softmax")], SOFTMAX)
    x, y = data()
    with pytest.raises(ShapeError, match=r"did you mean x\.T"):
        ExampleGradients(network, x.T.copy(), y)
    with pytest.raises(ShapeError):
        ExampleGradients(network, x, y[:-1])
    with pytest.raises(RuntimeError, match="no cost"):
        ExampleGradients(Network([dense(4, 3)]), x, y)
    with pytest.raises(ShapeError):
        ExampleGradients.from_upstream(network, x, np.ones((2, 6)))
    found = ExampleGradients(network, x, y)
    with pytest.raises(ShapeError, match=r"weighted_sum: .* 6 examples"):
        found.weighted_sum([1.0])
    with pytest.raises(ShapeError, match=r"products: .* theta"):
        found.products(np.ones(3))
    for bound in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match="bound"):
            found.clipped(bound)
    with pytest.raises(ValueError, match="two examples"):
        ExampleGradients(network, x[:, :1], y[:1]).noise_scale()
    assert "6 examples" in repr(found)
