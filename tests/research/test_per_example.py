"""Per-example quantities against loops over single examples, for every layer there is."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop.core.shapes import each_array
from backprop.gradients.numeric import relative_error
from backprop.graph import Graph, Input, Variable, apply
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    Layer,
    LayerNorm,
    Masked,
    MultiHeadAttention,
    RMSNorm,
    Sequential,
    ShapeError,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
)
from backprop.network import Network
from backprop.research import ExampleGradients, factors
from tests.cases import CASES, NETWORK_CASES, Case, NetworkCase, Scale, assert_unchanged, snapshot

SOFTMAX = "softmax_cross_entropy"


def network_of(layer: Layer, shape: tuple[int, ...]) -> Network:
    network = Network(layer, input_shape=shape)
    return network if network.dtype == np.float64 else network.astype(np.float64)


def loop(network: Network, nabla_a: np.ndarray) -> np.ndarray:
    """Return the gradient of each example, P x B, after a pass up: a pass back for each alone."""
    found = []
    for j in range(nabla_a.shape[-1]):
        only = np.zeros_like(nabla_a)
        only[..., j] = nabla_a[..., j]
        network.backpropagate(only, input_gradient=False)
        found.append(network.nabla.copy())
    return np.stack(found, axis=1)


def assert_right(found: ExampleGradients, expected: np.ndarray) -> None:
    """Compare every quantity with what the gradients themselves, P x B, give."""
    n = expected.shape[1]
    v = np.random.default_rng(3).standard_normal(len(expected))
    squares = (expected**2).sum(axis=0)
    for what, right in (
        (found.gradients(), expected),
        (found.mean(), expected.mean(axis=1)),
        (found.weighted_sum(np.full(n, 0.7)), 0.7 * expected.sum(axis=1)),
        (found.second_moment(), (expected**2).mean(axis=1)),
    ):
        assert what.shape == right.shape
        assert relative_error(what, right) <= 1e-12
    assert relative_error(found.products(v), v @ expected) <= 1e-10
    assert relative_error(found.norms(), np.sqrt(squares)) <= 1e-10
    by_parameter = found.squared_norms_by_parameter()
    assert list(by_parameter) == [part.name for part in found.parts]
    for part in found.parts:
        right = (expected[part.where] ** 2).sum(axis=0)
        assert relative_error(by_parameter[part.name], right) <= 1e-10
    scale = (expected**2).mean(axis=1).max(initial=1e-300)
    assert abs(found.variance() - expected.var(axis=1)).max(initial=0) <= 1e-12 * scale
    bound = float(np.median(np.sqrt(squares))) or 1.0
    ghost, explicit = found.clipped(bound), found.clipped_explicitly(bound)
    assert relative_error(ghost, explicit) <= 1e-12
    shortened = expected * np.minimum(1, bound / np.sqrt(np.where(squares > 0, squares, bound**2)))
    assert relative_error(explicit, shortened.mean(axis=1)) <= 1e-12


def check(layer: Layer, shape: tuple[int, ...], x: np.ndarray, nabla_a: np.ndarray) -> None:
    network = network_of(layer, shape)
    found = ExampleGradients.from_upstream(network, x, nabla_a)
    assert found.by_loop == ()
    network.forward(x, keep=True)
    network.backpropagate(nabla_a, input_gradient=False)
    whole = network.nabla.copy()
    assert relative_error(found.gradients().sum(axis=1), whole) <= 1e-12
    assert_right(found, loop(network, nabla_a))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_of_every_layer(case: Case, batch: int):
    layer, x, nabla_a = case.problem(batch)
    check(layer, case.input_shape, x, nabla_a)


def tokens(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 4, shape)


def padded(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    x = rng.standard_normal(shape)
    x[-1] = np.arange(shape[1])[:, None] < rng.integers(1, shape[1] + 1, shape[2])
    return x


RANDOM: dict[str, Callable[[st.DataObject], tuple]] = {}


def random_shape(make: Callable) -> Callable:
    RANDOM[make.__name__] = make
    return make


def number(data: st.DataObject, most: int = 4, least: int = 1) -> int:
    return data.draw(st.integers(least, most))


@random_shape
def dense(data):
    n, m = number(data, 6), number(data, 6)
    return Dense(n, m, "tanh", dtype="float64", rng=0), (n,)


def windows(data):
    """Draw channels, kernel, stride, padding and groups."""
    groups = number(data, 2)
    channels = groups * number(data, 2), groups * number(data, 2)
    return channels, number(data, 3), number(data, 2), number(data, 1, 0), groups


@random_shape
def conv1d(data):
    (n, m), k, s, p, g = windows(data)
    return Conv1d(n, m, k, s, p, 1, g, "tanh", dtype="float64", rng=0), (n, number(data, 7, 3))


@random_shape
def conv2d(data):
    (n, m), k, s, p, g = windows(data)
    layer = Conv2d(n, m, (k, 2), s, p, (1, number(data, 2)), g, "tanh", dtype="float64", rng=0)
    return layer, (n, number(data, 6, 3), number(data, 5, 3))


@random_shape
def conv_transpose1d(data):
    (n, m), k, s, _, g = windows(data)
    layer = ConvTranspose1d(n, m, k, s, groups=g, activation="tanh", dtype="float64", rng=0)
    return layer, (n, number(data, 5))


@random_shape
def conv_transpose2d(data):
    (n, m), k, s, _, g = windows(data)
    layer = ConvTranspose2d(n, m, (k, 2), s, groups=g, activation="tanh", dtype="float64", rng=0)
    return layer, (n, number(data), number(data))


@random_shape
def embedding(data):
    return Embedding(4, number(data), dtype="float64", rng=0), (number(data, 9),), tokens


@random_shape
def layer_norm(data):
    shape = (number(data), number(data))
    return LayerNorm(shape[: number(data, 2)], dtype="float64"), shape


@random_shape
def rms_norm(data):
    n = number(data)
    return RMSNorm(n, dtype="float64"), (n, number(data), number(data))


@random_shape
def group_norm(data):
    groups, each = number(data), number(data, 3)
    return GroupNorm(groups, groups * each, dtype="float64"), (groups * each, number(data, 3))


@random_shape
def batch_norm_that_predicts(data):
    n = number(data)
    return BatchNorm(n, dtype="float64"), (n, number(data, 3))


@random_shape
def recurrent(data):
    kind = data.draw(st.sampled_from([RNN, LSTM, GRU]))
    n, m = number(data), number(data)
    reverse = data.draw(st.booleans())
    return kind(n, m, reverse=reverse, dtype="float64", rng=0), (n, number(data, 6))


@random_shape
def masked(data):
    kind = data.draw(st.sampled_from([RNN, LSTM, GRU]))
    n, m = number(data), 2 * number(data, 2)
    layers = [kind(n, m, dtype="float64", rng=0), GroupNorm(2, m, dtype="float64")]
    attention = MultiHeadAttention(m, 2, b_init="normal", dtype="float64", rng=1)
    return Masked([*layers, attention]), (n + 1, number(data, 5)), padded


@random_shape
def masked_norm(data):
    groups, each = number(data, 3), number(data, 2)
    n = groups * each
    return Masked([GroupNorm(groups, n, dtype="float64")]), (n + 1, number(data, 5)), padded


@random_shape
def attention(data):
    heads, each = number(data, 2), number(data, 3)
    layer = MultiHeadAttention(
        heads * each, heads, data.draw(st.booleans()), b_init="normal", dtype="float64", rng=0
    )
    return layer, (heads * each, number(data, 5))


@random_shape
def convolution_over_time(data):
    (n, m), k, s, p, g = windows(data)
    layer = Conv1d(n, m, k, s, p, 1, g, "tanh", dtype="float64", rng=0)
    norm = LayerNorm(m, dtype="float64")
    return TimeDistributed(Sequential([layer, norm])), (n, number(data, 6, 3), number(data))


@pytest.mark.parametrize("name", RANDOM)
@given(data=st.data())
def test_at_random_shapes(name, data):
    layer, shape, *draw = RANDOM[name](data)
    batch = data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = draw[0](rng, (*shape, batch)) if draw else rng.standard_normal((*shape, batch))
    nabla_a = rng.standard_normal((*layer.output_shape(shape), batch))
    check(layer, shape, x, nabla_a)


@pytest.mark.parametrize("block", [1, 50, 2**21])
@pytest.mark.parametrize("shape", [(2, 12, 9), (2, 3, 2)], ids=["many places", "few places"])
def test_by_columns_and_by_gradients_block_by_block(monkeypatch, block, shape):
    monkeypatch.setattr(factors, "BLOCK", block)
    rng = np.random.default_rng(0)
    for layer in (
        Conv2d(2, 3, 2, padding=1, dtype="float64", activation="tanh", rng=0),
        Conv2d(2, 20, (3, 2), dtype="float64", activation="tanh", rng=0),
    ):
        x = rng.standard_normal((*shape, 7))
        check(layer, shape, x, rng.standard_normal((*layer.output_shape(shape), 7)))


# -- whole networks ----------------------------------------------------------------------------


def gradients_one_by_one(network: Network, x, y, **weights) -> np.ndarray:
    """Return grad C_x of each example, P x B, from a minibatch of that example alone."""
    twin, found = copy.deepcopy(network), []
    for j in range(x.shape[-1]):
        one = slice(j, j + 1)
        twin.forward(x[..., one], keep=True)
        twin.backward(each_array(lambda array, one=one: array[..., one], y))
        found.append(twin.nabla.copy())
    return np.stack(found, axis=1)


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_of_networks_by_minibatches_of_one_example(case: NetworkCase):
    network, x, y = case.problem(5)
    found = ExampleGradients(network, x, y)
    assert found.by_loop == ()
    assert_right(found, gradients_one_by_one(network, x, y))
    network.forward(x, keep=True)
    network.backward(y)
    assert relative_error(found.gradients().mean(axis=1), network.nabla) <= 1e-12


def data(n: int = 4, classes: int = 3, batch: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((n, batch)), rng.integers(0, classes, batch)


def dense64(n: int, m: int, sigma: str = "tanh", seed: int = 0) -> Dense:
    return Dense(n, m, sigma, dtype="float64", rng=seed)


def test_a_network_stays_as_it_is():
    network = Network([dense64(4, 4), Dropout(0.5, rng=1), dense64(4, 3, "softmax")], SOFTMAX)
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
    network = Network([dense64(4, 4), dense64(4, 3, "identity")], "quadratic")
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
    network = Network([dense64(4, 6), Dropout(0.5, rng=1), dense64(6, 3, "softmax")], SOFTMAX)
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
    "a layer that stands three times": lambda: (lambda one: [one, one, one])(dense64(4, 4)),
    "a convolution that stands twice": lambda: (lambda one: [one, one, Flatten(), dense64(16, 4)])(
        Conv1d(2, 2, 3, padding=1, activation="tanh", dtype="float64", rng=0)
    ),
    "a tied autoencoder": lambda: (
        lambda one: [one, dense64(2, 4, seed=1).tie("w", one, transposed=True)]
    )(dense64(4, 2)),
    "tied biases": lambda: (lambda one: [one, dense64(4, 4, seed=1).tie("b", one)])(dense64(4, 4)),
    "a tied shift of another kind": lambda: (
        lambda one: [one, LayerNorm(4, dtype="float64").tie("b", one)]
    )(dense64(4, 4)),
    "a block that stands twice": lambda: (lambda one: [one, one])(
        Sequential([dense64(4, 3), dense64(3, 4, seed=1)])
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_what_places_share_adds_up_before_any_norm(name):
    shape = (2, 8) if "convolution" in name else (4,)
    network = Network([*SHARED[name](), dense64(4, 3, "softmax", 9)], SOFTMAX, input_shape=shape)
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((*shape, 5)), rng.integers(0, 3, 5)
    found = ExampleGradients(network, x, y)
    assert len({part.name for part in found.parts}) == len(found.parts)
    assert_right(found, gradients_one_by_one(network, x, y))
    alone = sum(part.term.size for part in found.parts)
    assert alone == network.n_parameters


def test_an_embedding_whose_vectors_are_the_weights_of_the_output():
    embedding = Embedding(5, 3, dtype="float64", rng=0)
    end = dense64(3, 5, "softmax", 1).tie("w", embedding, transposed=True)
    layers = [embedding, RNN(3, 3, dtype="float64", rng=2), TimeStep(-1), end]
    network = Network(layers, SOFTMAX, input_shape=(4,))
    rng = np.random.default_rng(8)
    x, y = rng.integers(0, 5, (4, 6)), rng.integers(0, 5, 6)
    found = ExampleGradients(network, x, y)
    assert_right(found, gradients_one_by_one(network, x, y))


@pytest.mark.parametrize("frozen", ["0", "1", "1.0", "2"])
def test_frozen_layers_have_no_part(frozen):
    block = Sequential([dense64(4, 5), LayerNorm(5, dtype="float64"), dense64(5, 4)])
    network = Network([dense64(4, 4), block, dense64(4, 3, "softmax")], SOFTMAX)
    dict(network.walk())[frozen].trainable = False
    x, y = data()
    found = ExampleGradients(network, x, y)
    expected = gradients_one_by_one(network, x, y)
    assert (expected == 0).any()
    assert not any(part.name.startswith(frozen) for part in found.parts)
    assert_right(found, expected)


def test_a_frozen_place_freezes_all():
    one = dense64(4, 4)
    network = Network([one, dense64(4, 4, seed=1), one, dense64(4, 3, "softmax")], SOFTMAX)
    network[2].trainable = False
    found = ExampleGradients(network, *data())
    assert [part.name for part in found.parts] == ["1.w", "1.b", "3.w", "3.b"]
    assert_right(found, gradients_one_by_one(network, *data()))


def test_what_is_tied_to_a_frozen_layer_does_not_learn():
    one = dense64(4, 4)
    two = dense64(4, 4, seed=1).tie("w", one)
    network = Network([one, two, dense64(4, 3, "softmax")], SOFTMAX)
    one.trainable = False
    found = ExampleGradients(network, *data())
    assert [part.name for part in found.parts] == ["1.b", "2.w", "2.b"]
    network.forward(data()[0], keep=True)
    network.backward(data()[1])
    assert relative_error(found.mean(), network.nabla) <= 1e-12


@pytest.mark.parametrize("rule", ["direct_feedback_alignment", "sign_symmetry"])
def test_gradients_are_those_of_the_cost_whatever_the_credit_rule(rule, monkeypatch):
    network = Network([dense64(4, 5), dense64(5, 3, "softmax")], SOFTMAX)
    expected = gradients_one_by_one(network, *data())
    network.credit = rule
    monkeypatch.setattr(network.credit, "begin", lambda *_: pytest.fail("the rule was begun"))
    assert_right(ExampleGradients(network, *data()), expected)


def test_sample_weights():
    network = Network([dense64(4, 5), dense64(5, 3, "softmax")], SOFTMAX)
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
        TimeDistributed(dense64(4, 3, "softmax")),
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
    hidden = apply(Scale(3, "float64"), apply(dense64(3, 3), w @ x))
    network = Network(Graph(apply(dense64(3, 3, "softmax"), hidden)), SOFTMAX)
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
    inside = BothSigns([dense64(4, 4)])
    network = Network([dense64(4, 4, seed=1), inside, dense64(4, 3, "softmax", 2)], SOFTMAX)
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

    dense = Doubled(4, 4, dtype="float64", rng=0)
    network = Network([dense, dense64(4, 3, "softmax")], SOFTMAX)
    found = ExampleGradients(network, *data())
    assert found.by_loop == ("0",)
    assert_right(found, gradients_one_by_one(network, *data()))
    layers = [NoBias(1, 2, 2, dtype="float64", rng=0), Flatten(), dense64(6, 3, "softmax")]
    network = Network(layers, SOFTMAX, input_shape=(1, 4))
    x, y = data()
    found = ExampleGradients(network, x[None], y)
    assert found.by_loop == ("0",)
    assert_right(found, gradients_one_by_one(network, x[None], y))
    plain = Network([dense64(4, 3, "softmax")], SOFTMAX)
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
    network = Network([Sequential([dense64(4, 4), norm]), dense64(4, 3, "softmax")], SOFTMAX)
    x, y = data()
    with pytest.raises(ValueError, match=r"layer 0\.1, BatchNorm\(4\): in training every example"):
        ExampleGradients(network, x, y, training=True)
    network[0].children[1].trainable = False  # it goes by the running statistics then
    ExampleGradients(network, x, y, training=True)

    class Centred(Scale):
        independent_examples = False

        def output(self, a_prev, mode):
            return self.g * (a_prev - a_prev.mean(axis=1, keepdims=True))

    layers = [Centred(4, "float64"), dense64(4, 3, "softmax")]
    network = Network(layers, SOFTMAX, input_shape=(4,))
    with pytest.raises(ValueError, match=r"layer 0, .*: its examples meet"):
        ExampleGradients(network, x, y)


def test_a_carried_state_is_no_meeting():
    layers = [RNN(2, 4, carry=True, dtype="float64", rng=0), TimeStep(-1), dense64(4, 3, "softmax")]
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
    network = Network([dense64(4, 5), dense64(5, 3, "softmax")], SOFTMAX)
    x, y = data()
    with pytest.raises(ShapeError, match=r"did you mean x\.T"):
        ExampleGradients(network, x.T.copy(), y)
    with pytest.raises(ShapeError):
        ExampleGradients(network, x, y[:-1])
    with pytest.raises(RuntimeError, match="no cost"):
        ExampleGradients(Network([dense64(4, 3)]), x, y)
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


# -- statistics --------------------------------------------------------------------------------


def test_signal_to_noise():
    network = Network([dense64(4, 3, "softmax")], SOFTMAX)
    x, y = data()
    x[0] = 0
    network[0].trainable = True
    found = ExampleGradients(network, x, y)
    g = gradients_one_by_one(network, x, y)
    signal, noise = g.mean(axis=1) ** 2, g.var(axis=1)
    expected = np.divide(signal, noise, out=np.zeros_like(signal), where=noise > 0)
    np.testing.assert_allclose(found.signal_to_noise(), expected, rtol=1e-9, atol=1e-12)
    assert (expected == 0).any()
    alike = ExampleGradients(network, x[:, :1].repeat(4, axis=1), y[:1].repeat(4))
    assert alike.noise_scale() <= 1e-12


def test_the_noise_scale_is_that_of_its_estimates():
    network = Network([dense64(4, 5), dense64(5, 3, "softmax")], SOFTMAX)
    x, y = data(batch=40)
    g = gradients_one_by_one(network, x, y)
    mean, trace = g.mean(axis=1), g.var(axis=1, ddof=1).sum()
    signal = mean @ mean - trace / 40  # |grad C|^2 is too large by the noise in it
    found = ExampleGradients(network, x, y).noise_scale()
    assert found == pytest.approx(trace / signal, rel=1e-9)


def test_the_noise_scale_hides_nothing_where_the_minibatch_sees_no_signal():
    network = Network([Dense(1, 1, "identity", "zeros", "zeros", dtype="float64")], "quadratic")
    found = ExampleGradients(network, np.ones((1, 2)), np.array([[1.0, -1.0]]))
    assert found.noise_scale() == math.inf


def test_the_second_moment_is_not_the_square_of_the_mean():
    """Where gradients are noise, the latter is smaller by about B."""
    network = Network.from_sizes([20, 10], "sigmoid", "cross_entropy", dtype="float64", rng=0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 200)), 1.0 * (rng.random((10, 200)) < 0.5)
    found = ExampleGradients(network, x, y)
    ratio = found.second_moment().sum() / (found.mean() ** 2).sum()
    assert 50 < ratio < 200


def test_float32_stays_float32():
    network = Network.from_sizes([4, 5, 3], "relu", "softmax_cross_entropy", rng=0)
    x, y = data()
    found = ExampleGradients(network, x.astype(np.float32), y)
    for array in (found.gradients(), found.mean(), found.norms(), found.second_moment()):
        assert array.dtype == np.float32
    exact = ExampleGradients(network.astype("float64"), x.astype(np.float32).astype(float), y)
    np.testing.assert_allclose(found.norms(), exact.norms(), rtol=1e-5)
