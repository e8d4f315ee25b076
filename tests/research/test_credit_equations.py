"""What goes down by a credit rule, against its equations written out."""

import copy
from itertools import pairwise

import numpy as np
import pytest

from backprop import Network, Trainer
from backprop.core.shapes import ShapeError
from backprop.layers import (
    LSTM,
    RNN,
    Conv2d,
    Dense,
    Embedding,
    GlobalAvgPool,
    Parallel,
    TimeDistributed,
    TimeStep,
)
from backprop.layers.hooks import Feedback
from backprop.optimizers import SGD
from backprop.regularizers import L2
from backprop.research import (
    DRTP,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    KolenPollack,
    SignSymmetry,
    WeightMirror,
)
from tests.cases import CASES
from tests.research.credit_networks import (
    RULES,
    both_passes,
    conv_network,
    data,
    dense_network,
    graph_network,
)

# -- feedback weights ------------------------------------------------------------------------


class SeenAs(Feedback):
    """Other arrays in the place of all weights."""

    def __init__(self, arrays):
        self.arrays = arrays

    def delta_of(self, layer, nabla_a):
        with layer.seen_with(**self.arrays):
            return layer.delta_of(nabla_a)

    def downstream(self, layer, delta):
        with layer.seen_with(**self.arrays):
            return layer.downstream(delta)


LEAVES = [case for case in CASES if not case.make(np.float64).children]


@pytest.mark.parametrize("case", LEAVES, ids=str)
def test_a_layer_that_sees_its_own_weights_goes_back_as_ever(case):
    layer, x, nabla_a = case.problem(3)
    layer.forward(x, training=True)
    below = layer.backward(nabla_a)
    nabla, delta = layer.nabla.copy(), copy.copy(layer.delta)
    arrays = {name: getattr(layer, name).copy() for name in layer.parameter_names}
    theta = layer.theta.copy()
    layer.feedback = SeenAs(arrays)
    found = layer.backward(nabla_a)
    assert np.allclose(layer.nabla, nabla, rtol=1e-13, atol=0)
    assert (found is None) == (below is None)
    if below is not None:
        np.testing.assert_allclose(found, below, rtol=1e-12, atol=1e-15)
    if delta is not None:
        np.testing.assert_allclose(layer.delta, delta, rtol=1e-12, atol=1e-15)
    assert layer.theta.tobytes() == theta.tobytes()


def weights_of(layer):
    """Return the names of the weights by which a layer sends something down."""
    if layer.integer_input or not layer.has_weights():
        return []
    return [n for n in layer.parameter_names if getattr(type(layer), n).regularized]


SENDERS = [case for case in LEAVES if weights_of(case.make(np.float64))]


@pytest.mark.parametrize("case", SENDERS, ids=str)
def test_other_weights_change_what_goes_down_and_not_what_they_are(case):
    layer, x, nabla_a = case.problem(3)
    layer.forward(x, training=True)
    below = layer.backward(nabla_a)
    theta = layer.theta.copy()
    layer.feedback = SeenAs({name: 2 * getattr(layer, name) for name in weights_of(layer)})
    found = layer.backward(nabla_a)
    assert not np.allclose(found, below, rtol=1e-3)
    layer.feedback = None
    np.testing.assert_array_equal(layer.backward(nabla_a), below)
    assert layer.theta.tobytes() == theta.tobytes()


def test_seen_with_takes_back_what_it_has_changed_and_checks_what_it_is_given():
    layer = Dense(3, 2, dtype="float64", rng=0)
    w = layer.w.copy()
    with pytest.raises(ShapeError, match="expected input"), layer.seen_with(w=np.ones((2, 3))):
        layer.forward(layer.w * 1)
    with layer.seen_with(w=np.ones((2, 3))):
        assert (layer.w == 1).all()
    np.testing.assert_array_equal(layer.w, w)
    assert np.shares_memory(layer.w, layer.theta)
    with pytest.raises(ShapeError, match=r"w is \(2, 3\) of float64"), layer.seen_with(w=w.T):
        pass
    with pytest.raises(ValueError, match="no parameter 'v'"), layer.seen_with(v=w):
        pass
    with pytest.raises(TypeError, match="must be a Feedback or None"):
        layer.feedback = w


def test_feedback_alignment_is_its_equations():
    network = dense_network(credit="feedback_alignment")
    x, y = data(network)
    both_passes(network, x, y)
    first, dropout, second, third = network.layers
    b = network.credit.arrays
    assert set(b) == {"2.w", "3.w"}  # nothing learns below the first
    y_hot = np.eye(3)[:, y]
    delta_3 = (third.a - y_hot) / len(y)
    delta_2 = (b["3.w"].T @ delta_3) * (1 - second.a**2)
    delta_1 = (b["2.w"].T @ delta_2) * (dropout.a / np.where(first.a == 0, 1, first.a))
    delta_1 *= 1 - first.a**2
    for layer, delta in ((third, delta_3), (second, delta_2), (first, delta_1)):
        np.testing.assert_allclose(layer.delta, delta, rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(layer.nabla_w, delta @ layer.a_prev.T, rtol=1e-12, atol=1e-16)


def test_scale_and_size_are_what_they_are_said_to_be():
    layers = [Dense(300, 400), Dense(400, 250), Dense(250, 10)]
    network = Network(layers, rng=0, credit=FeedbackAlignment(scale=3.0, rng=0))
    for name, n_out in (("1.w", 250), ("2.w", 10)):
        array = network.credit.arrays[name]
        assert abs(array.std() * np.sqrt(n_out) / 3 - 1) < 0.03
    images = Network(
        [Conv2d(2, 4, 3), Conv2d(4, 30, 5)], input_shape=(2, 9, 9), credit=RULES["fa"]()
    )
    assert abs(images.credit.arrays["1.w"].std() * np.sqrt(30 * 25) - 1) < 0.05
    images.credit = SignSymmetry()
    assert np.allclose(images.credit.arrays["1.w"], 1 / np.sqrt(30 * 25))


def test_through_a_convolution_b_is_a_kernel():
    network = conv_network(FeedbackAlignment(rng=1))
    x, y = data(network)
    both_passes(network, x, y)
    layer = network[3]
    other = copy.deepcopy(layer)
    other.w = network.credit.arrays["3.w"]
    other.forward(layer.a_prev, training=True)
    watch = network[2].watch()
    both_passes(network, x, y)
    np.testing.assert_allclose(watch.nabla_a, other.backward_from(layer.delta), rtol=1e-12)
    assert {"2.0.w", "3.w", "5.w"} == set(network.credit.arrays)


def test_through_time_b_stands_for_both_weights():
    layers = [TimeDistributed(Dense(3, 4, "tanh", dtype="float64")), RNN(4, 5, dtype="float64")]
    rule = FeedbackAlignment(rng=1)
    network = Network(layers, "quadratic", input_shape=(3, 6), rng=0, credit=rule)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 6, 2)), rng.standard_normal((5, 6, 2))
    both_passes(network, x, y)
    inner, rnn = network[0].layer, network[1]
    b, b_h = network.credit.arrays["1.w"], network.credit.arrays["1.w_h"]
    nabla_a = (rnn.a - y) / 2
    delta, from_next = np.empty_like(rnn.a), np.zeros((5, 2))
    for t in range(5, -1, -1):
        delta[:, t] = (nabla_a[:, t] + from_next) * (1 - rnn.a[:, t] ** 2)
        from_next = b_h.T @ delta[:, t]
    np.testing.assert_allclose(rnn.delta, delta, rtol=1e-12)
    down = np.einsum("jk,jtb->ktb", b, delta).reshape(4, -1)
    np.testing.assert_allclose(inner.delta, down * (1 - inner.a**2), rtol=1e-12)


def test_sign_symmetry_has_the_signs_of_now():
    network = dense_network(credit=SignSymmetry("fixed", rng=2))
    x, y = data(network)
    magnitudes = {name: array.copy() for name, array in network.credit.arrays.items()}
    assert all((array > 0).all() for array in magnitudes.values())
    network.theta *= -1
    both_passes(network, x, y)
    third, second = network[3], network[2]
    b = magnitudes["3.w"] * np.sign(third.w)
    expected = (b.T @ third.delta) * (1 - second.a**2)
    np.testing.assert_allclose(second.delta, expected, rtol=1e-12)


def test_batchwise_magnitudes_are_drawn_for_every_pass_back():
    network = dense_network(credit=SignSymmetry("batchwise", rng=2))
    x, y = data(network)
    found = []
    for _ in range(2):
        both_passes(network, x, y)
        found.append(network.credit.arrays["3.w"].copy())
    assert (found[0] != found[1]).all()
    assert (found[0] > 0).all()


def test_kolen_pollack_is_two_matrices_that_learn_alike():
    eta, decay = 0.3, 0.02
    layers = [
        Dense(5, 7, "tanh", dtype="float64", rng=0),
        Dense(7, 3, "sigmoid", dtype="float64", rng=1),
    ]
    network = Network(layers, "cross_entropy", credit=KolenPollack(decay, rng=3))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 40)), rng.random((3, 40))
    first, second = (copy.deepcopy(layer) for layer in layers)
    # what is sent down by in the first pass
    b = second.w + (1 - decay) * network.credit.arrays["1.w"]
    penalty = L2(decay / eta / 2)  # of which the gradient is 2 lambda w
    trainer = Trainer(network, SGD(eta), 8, penalty, rng=0, progress=False, shuffle=False)
    trainer.fit(x, y, epochs=2)
    for start in [*range(0, 40, 8)] * 2:
        a_0, t = x[:, start : start + 8], y[:, start : start + 8]
        a_1 = np.tanh(first.w @ a_0 + first.b)
        a_2 = 1 / (1 + np.exp(-(second.w @ a_1 + second.b)))
        delta_2 = (a_2 - t) / 8
        delta_1 = (b.T @ delta_2) * (1 - a_1**2)
        step = -eta * delta_2 @ a_1.T
        second.w = (1 - decay) * second.w + step
        b = (1 - decay) * b + step
        second.b -= eta * delta_2.sum(axis=1, keepdims=True)
        first.w = (1 - decay) * first.w - eta * delta_1 @ a_0.T
        first.b -= eta * delta_1.sum(axis=1, keepdims=True)
    for trained, explicit in zip(network.layers, (first, second), strict=True):
        np.testing.assert_allclose(trained.w, explicit.w, rtol=1e-10)
        np.testing.assert_allclose(trained.b, explicit.b, rtol=1e-10)


def test_weight_mirrors_come_to_what_they_mirror():
    network = conv_network(WeightMirror(rate=0.05, samples=200, rng=0))

    def off():
        pairs = [(network[3].w, "3.w"), (network[5].w, "5.w")]
        return [
            np.abs(network.credit.arrays[key] - w).mean() / np.abs(w).mean() for w, key in pairs
        ]

    before = off()
    for _ in range(200):
        network.credit.advance(network)
    assert max(off()) < 0.2 < min(before)


# -- direct rules ----------------------------------------------------------------------------


def test_direct_feedback_alignment_is_its_equations():
    network = conv_network("direct_feedback_alignment")
    x, y = data(network)
    both_passes(network, x, y)
    e = (network[5].a - np.eye(3)[:, y]) / len(y)
    b = network.credit.arrays
    assert {name: array.shape for name, array in b.items()} == {
        "2.0": (27, 3),
        "3": (27, 3),
        "5": (16, 3),
    }
    last = network[3]
    np.testing.assert_allclose(
        last.delta, (b["5"] @ e).reshape(last.a.shape) * (last.z > 0), rtol=1e-12
    )
    # below the residual block what layer 3 sends down, and what the convolution inside does
    upstream = ((b["3"] + b["2.0"]) @ e).reshape(network[2].a.shape)
    np.testing.assert_allclose(network[1].backward(upstream), network[1].downstream(upstream))
    watch = network[1].watch()
    both_passes(network, x, y)
    e = network[5].delta
    upstream = ((b["3"] + b["2.0"]) @ e).reshape(network[2].a.shape)
    np.testing.assert_allclose(watch.nabla_a, upstream, rtol=1e-12)


def test_drtp_is_its_equations():
    network = dense_network(credit=DRTP(rng=0))
    x, y = data(network)
    w = np.random.default_rng(0).random(len(y))
    network.forward(x, training=True)
    network.backward(y, sample_weight=w)
    second, third = network[2], network[3]
    hot = np.eye(3)[:, y] * (w / w.mean()) / len(y)
    b = network.credit.arrays["3"]
    np.testing.assert_allclose(second.delta, -(b @ hot) * (1 - second.a**2), rtol=1e-12)
    np.testing.assert_allclose(third.delta, third.a * (w / w.mean()) / len(y) - hot, rtol=1e-11)
    with pytest.raises(RuntimeError, match=r"DRTP\(\) goes by the targets"):
        network.backpropagate(np.ones((3, len(y))))


@pytest.mark.parametrize("shape", [(4, 7), (4, None)])
def test_direct_rules_send_to_every_step(shape):
    layers = [LSTM(4, 5, dtype="float64"), RNN(5, 6, dtype="float64")]
    ends = [TimeDistributed(Dense(6, 3, "softmax", dtype="float64"))]
    cost, rule = "softmax_cross_entropy", DirectFeedbackAlignment(rng=0)
    network = Network([*layers, *ends], cost, input_shape=shape, rng=0, credit=rule)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 7, 2)), rng.integers(0, 3, (7, 2))
    watches = [layer.watch() for layer in network.layers[:2]]
    both_passes(network, x, y)
    e = network[2].delta if network[2].delta is not None else network.root.delta
    for watch, name in zip(watches, ("1", "2.0"), strict=True):
        b = network.credit.arrays[name]
        np.testing.assert_allclose(watch.nabla_a, np.einsum("kj,jtb->ktb", b, e), rtol=1e-12)


def test_an_output_without_steps_is_sent_to_all_of_them():
    layers = [RNN(4, 5, dtype="float64"), RNN(5, 6, dtype="float64"), TimeStep(-1)]
    ends = [Dense(6, 3, "softmax", dtype="float64")]
    cost = "softmax_cross_entropy"
    network = Network([*layers, *ends], cost, input_shape=(4, None), rng=0, credit=RULES["dfa"]())
    x = np.random.default_rng(0).standard_normal((4, 6, 2))
    watch = network[0].watch()
    both_passes(network, x, np.array([0, 2]))
    sent = network.credit.arrays["1"] @ network[3].delta
    np.testing.assert_allclose(watch.nabla_a, np.repeat(sent[:, None], 6, axis=1), rtol=1e-12)


def test_direct_rules_refuse_sizes_that_are_not_known():
    layers = [Embedding(9, 4, dtype="float64"), Conv2d(1, 2, 3, dtype="float64")]
    network = Network(
        [layers[1], Conv2d(2, 2, 3, dtype="float64"), GlobalAvgPool()], input_shape=(1, None, None)
    )
    with pytest.raises(ShapeError, match=r"layer 1, Conv2d.* sizes that are known"):
        network.credit = "direct_feedback_alignment"
    assert network.credit is None
    network.credit = "feedback_alignment"
    with pytest.raises(ShapeError, match="layer 1"):
        network.credit = "drtp"
    assert type(network.credit) is FeedbackAlignment
    assert network[1].feedback is not None


# -- graphs, places, containers --------------------------------------------------------------


def test_through_a_graph():
    network = graph_network(FeedbackAlignment(rng=4))
    x = np.random.default_rng(0).standard_normal((4, 6))
    both_passes(network, x, np.array([0, 1, 1, 0, 1, 0]))
    assert set(network.credit.arrays) == {"1.w", "2.w", "4.w"}
    b = network.credit.arrays
    h, left, right, a = (network[name] for name in ("h", "left", "right", "a"))
    sent = b["4.w"].T @ a.delta
    np.testing.assert_allclose(left.delta, sent * right.a * (1 - left.a**2), rtol=1e-12)
    both = b["1.w"].T @ left.delta + b["2.w"].T @ right.delta
    np.testing.assert_allclose(h.delta, both * (1 - h.a**2), rtol=1e-12)


def test_places_of_one_layer_send_by_one_array():
    shared = Dense(4, 4, "tanh", dtype="float64")
    network = Network([shared, shared, shared], "quadratic", rng=0, credit=FeedbackAlignment(rng=0))
    assert set(network.credit.arrays) == {"0.w"}
    rng = np.random.default_rng(0)
    both_passes(network, rng.standard_normal((4, 3)), rng.standard_normal((4, 3)))
    b = network.credit.arrays["0.w"]
    for above, below in pairwise(reversed(network.layers)):
        np.testing.assert_allclose(below.delta, (b.T @ above.delta) * (1 - below.a**2), rtol=1e-12)


def test_branches_each_send_their_own():
    branches = Parallel([Dense(4, 3, dtype="float64"), Dense(4, 2, dtype="float64")])
    layers = [Dense(3, 4, "tanh", dtype="float64"), branches, Dense(5, 2, dtype="float64")]
    network = Network(layers, "quadratic", rng=0, credit=FeedbackAlignment(rng=0))
    assert set(network.credit.arrays) == {"1.0.w", "1.1.w", "2.w"}
