"""Faults of credit rules: what their equations would not tell; and that the tests tell them."""

import copy

import numpy as np
import pytest

from backprop import Network, Trainer
from backprop.graph import Graph, Input, apply
from backprop.layers import RNN, Dense, Parallel, Residual, Sequential, Tanh, TimeDistributed
from backprop.optimizers import SGD
from backprop.research import (
    DRTP,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    KolenPollack,
    SignSymmetry,
    WeightMirror,
    credit,
    senders,
)
from tests.research import test_credit_equations as equations
from tests.research.credit_networks import RULES, both_passes, data, dense_network, every_rule

FIXED = ["fa", "dfa", "uniform", "fixed", "drtp"]


@pytest.mark.parametrize("name", FIXED)
def test_what_is_fixed_stays_as_it_was_drawn(name):
    network = dense_network(credit=RULES[name]())
    x, y = data(network, 20)
    before = {key: array.copy() for key, array in network.credit.arrays.items()}
    theta = network.theta.copy()
    Trainer(network, SGD(0.3), 5, rng=0, progress=False, compiled=False).fit(x, y, epochs=3)
    assert (network.theta != theta).any()
    assert before
    for key, array in before.items():
        np.testing.assert_array_equal(network.credit.arrays[key], array)


@every_rule
def test_no_array_stands_for_a_bias(make):
    network = dense_network(credit=make())
    arrays = network.credit.arrays
    assert set(arrays) in ({"2.w", "3.w"}, {"2", "3"})
    sizes = {"2.w": (6, 7), "3.w": (3, 6), "2": (7, 3), "3": (6, 3)}
    assert {key: array.shape for key, array in arrays.items()} == {
        key: sizes[key] for key in arrays
    }


@every_rule
def test_gradients_are_those_of_the_deltas_there_are(make):
    """BP3 and BP4 are nobody's but the layer's, whatever delta came down."""
    network = dense_network(credit=make())
    x, y = data(network)
    both_passes(network, x, y)
    for layer in (network[0], network[2], network[3]):
        np.testing.assert_allclose(layer.nabla_w, layer.delta @ layer.a_prev.T, rtol=1e-12)
        np.testing.assert_allclose(
            layer.nabla_b, layer.delta.sum(axis=1, keepdims=True), rtol=1e-12
        )
    np.testing.assert_allclose(network[3].delta, (network[3].a - np.eye(3)[:, y]) / len(y))


def test_where_as_many_neurons_are_above_as_below_b_is_transposed():
    layers = [Dense(4, 4, "tanh", dtype="float64") for _ in range(3)]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 6)), rng.random((4, 6))
    for name, b_of in (
        ("fa", lambda w, array: array),
        ("uniform", lambda w, array: np.sign(w) * array),
        ("kolen_pollack", lambda w, array: w + array),
    ):
        network = Network(copy.deepcopy(layers), "quadratic", rng=1, credit=RULES[name]())
        both_passes(network, x, y)
        first, second, third = network.layers
        for above, below, key in ((third, second, "2.w"), (second, first, "1.w")):
            b = b_of(above.w, network.credit.arrays[key])
            expected = (b.T @ above.delta) * (1 - below.a**2)
            np.testing.assert_allclose(below.delta, expected, rtol=1e-12)
    network = Network(layers, "quadratic", rng=1, credit=RULES["dfa"]())
    both_passes(network, x, y)
    b, e = network.credit.arrays["1"], network[2].delta
    np.testing.assert_allclose(network[0].delta, (b @ e) * (1 - network[0].a ** 2), rtol=1e-12)


@pytest.mark.parametrize("name", ["dfa", "drtp"])
def test_direct_arrays_have_the_size_that_they_are_said_to_have(name):
    layers = [Dense(3, 400, "tanh"), Dense(400, 300, "tanh"), Dense(300, 20)]
    rule = type(RULES[name]())(scale=3.0, rng=0)
    network = Network(layers, "quadratic", rng=0, credit=rule)
    for key, below in (("1", 400), ("2", 300)):
        array = network.credit.arrays[key]
        assert array.shape == (below, 20)
        assert abs(array.std() * np.sqrt(20) / 3 - 1) < 0.03
        assert abs(array.mean()) < 0.02


def test_the_error_of_an_output_that_is_not_canonical_has_gone_through_its_sigma():
    layers = [Dense(4, 5, "tanh", dtype="float64"), Dense(5, 3, "sigmoid", dtype="float64")]
    network = Network(layers, "quadratic", rng=0, credit=DirectFeedbackAlignment(rng=0))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 6)), rng.random((3, 6))
    both_passes(network, x, y)
    a, hidden = network[1].a, network[0]
    e = (a - y) * a * (1 - a) / 6
    expected = (network.credit.arrays["1"] @ e) * (1 - hidden.a**2)
    np.testing.assert_allclose(hidden.delta, expected, rtol=1e-12)


def test_batchwise_magnitudes_are_drawn_once_a_pass_for_all_layers():
    network = dense_network(credit=SignSymmetry("batchwise", scale=2.0, rng=2))
    x, y = data(network)
    both_passes(network, x, y)
    rng = copy.deepcopy(network.credit.rng)
    both_passes(network, x, y)
    for key, n_out in (("2.w", 6), ("3.w", 3)):
        array = network.credit.arrays[key]
        expected = np.abs(2 / np.sqrt(n_out) * rng.standard_normal(array.shape))
        np.testing.assert_allclose(array, expected, rtol=1e-12)
    third, second = network[3], network[2]
    b = network.credit.arrays["3.w"] * np.sign(third.w)
    np.testing.assert_allclose(second.delta, (b.T @ third.delta) * (1 - second.a**2), rtol=1e-12)


def test_differences_of_kolen_and_pollack_decay_once_a_pass_in_every_layer():
    network = dense_network(credit=KolenPollack(0.1, scale=0.5, rng=3))
    before = {key: array.copy() for key, array in network.credit.arrays.items()}
    x, y = data(network)
    for _ in range(2):
        both_passes(network, x, y)
    for key, array in network.credit.arrays.items():
        np.testing.assert_allclose(array, 0.9**2 * before[key], rtol=1e-12)
    third, second = network[3], network[2]
    b = third.w + network.credit.arrays["3.w"]
    np.testing.assert_allclose(second.delta, (b.T @ third.delta) * (1 - second.a**2), rtol=1e-12)


def test_a_weight_mirror_takes_a_step_towards_what_it_saw():
    network = dense_network(credit=WeightMirror(rate=0.2, samples=7, rng=3))
    before = {key: array.copy() for key, array in network.credit.arrays.items()}
    rng = copy.deepcopy(network.credit.rng)
    both_passes(network, *data(network))
    for key, layer in (("2.w", network[2]), ("3.w", network[3])):
        noise = rng.standard_normal((layer.n_in, 7))
        expected = 0.8 * before[key] + 0.2 / 7 * (layer.w @ noise) @ noise.T
        np.testing.assert_allclose(network.credit.arrays[key], expected, rtol=1e-12)
    third, second = network[3], network[2]
    b = network.credit.arrays["3.w"]
    np.testing.assert_allclose(second.delta, (b.T @ third.delta) * (1 - second.a**2), rtol=1e-12)


@pytest.mark.parametrize("name", ["dfa", "drtp"])
def test_direct_rules_send_the_errors_of_all_outputs(name):
    x = Input("x", shape=(4,))
    h = apply(Dense(4, 5, "tanh", dtype="float64"), x)
    ends = [apply(Dense(5, 3, "softmax", dtype="float64"), h)]
    ends += [apply(Dense(5, 2, "sigmoid", dtype="float64"), h)]
    costs = ["softmax_cross_entropy", "quadratic"]
    network = Network(Graph(ends), costs, rng=0, credit=RULES[name]())
    rng = np.random.default_rng(0)
    one, labels, numbers = rng.standard_normal((4, 6)), rng.integers(0, 3, 6), rng.random((2, 6))
    both_passes(network, one, (labels, numbers))
    hot, arrays = np.eye(3)[:, labels], network.credit.arrays
    e = -np.concatenate([hot, numbers]) / 6
    if name == "dfa":
        e = np.concatenate([network[1].delta, network[2].delta])
    hidden = network[0]
    expected = (arrays["1"] @ e + arrays["2"] @ e) * (1 - hidden.a**2)
    np.testing.assert_allclose(hidden.delta, expected, rtol=1e-12)


def test_what_lies_below_something_that_learns_needs_arrays_wherever_it_stands():
    """In a chain, in branches, in a loop over time and in a graph; and nothing else does."""
    inner = [Dense(4, 4, "tanh", dtype="float64"), Dense(4, 4, "tanh", dtype="float64")]
    for layer, expected in (
        (Parallel(copy.deepcopy(inner)), {"2.w"}),
        (Residual(copy.deepcopy(inner)), {"1.1.w", "2.w"}),
    ):
        width = 8 if isinstance(layer, Parallel) else 4
        end = Dense(width, 2, "sigmoid", dtype="float64")
        network = Network([Tanh(), layer, end], "cross_entropy", input_shape=(4,), rng=0)
        network.credit = "feedback_alignment"
        assert set(network.credit.arrays) == expected
    looped = TimeDistributed(Sequential(copy.deepcopy(inner)))
    network = Network([looped, RNN(4, 2, dtype="float64")], "quadratic", input_shape=(4, 3), rng=0)
    network.credit = "feedback_alignment"
    assert set(network.credit.arrays) == {"0.0.1.w", "1.w", "1.w_h"}


def test_signs_follow_the_weights_from_pass_to_pass():
    network = dense_network(credit=SignSymmetry())
    x, y = data(network)
    for turn in (1, -1):
        network.theta *= turn
        both_passes(network, x, y)
        third, second = network[3], network[2]
        b = np.sign(third.w) / np.sqrt(3)
        np.testing.assert_allclose(
            second.delta, (b.T @ third.delta) * (1 - second.a**2), rtol=1e-12
        )


@pytest.mark.parametrize("name", ["fa", "fixed", "dfa"])
def test_a_first_layer_that_goes_back_through_time_does_so_by_arrays_too(name):
    """Nothing learns below it, and yet its own weights are in its delta."""
    layers = [RNN(3, 4, dtype="float64"), TimeDistributed(Dense(4, 2, "sigmoid", dtype="float64"))]
    network = Network(layers, "quadratic", input_shape=(3, 5), rng=0, credit=RULES[name]())
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 5, 2)), rng.random((2, 5, 2))
    watch = network[0].watch()
    both_passes(network, x, y)
    rnn, b_h = network[0], network.credit.arrays["0.w_h"]
    if name == "fixed":
        b_h = b_h * np.sign(rnn.w_h)
    from_next = np.zeros((4, 2))
    for t in range(4, -1, -1):
        delta = (watch.nabla_a[:, t] + from_next) * (1 - rnn.a[:, t] ** 2)
        from_next = b_h.T @ delta
        np.testing.assert_allclose(rnn.delta[:, t], delta, rtol=1e-12)


# -- planted faults ------------------------------------------------------------------------------


def transposed(self, layer, weight, array):
    """See an array as its transpose, where the shape lets it."""
    square = array.ndim == 2 and array.shape[0] == array.shape[1]
    return array.T.copy() if square else array


def by_fan_in(self, layer, weight):
    return self.scale / np.sqrt(getattr(layer, weight).shape[1])


def redrawn(self, network):
    rng = self.__dict__.setdefault("other_rng", np.random.default_rng(0))
    for array in self.arrays.values():
        array[...] = rng.standard_normal(array.shape)


def doubled(of):
    def method(self, *arguments):
        return 2 * of(self, *arguments)

    return method


def reversed_sign(of):
    def method(self, *arguments):
        return -of(self, *arguments)

    return method


def untransformed_error(self, network):
    return self.start


def undivided_error(self, network):
    return network.root.delta * network.root.delta.shape[-1]


def of_the_first_pass(self, layer, weight, array):
    first = vars(self).setdefault("first", {})
    return array * first.setdefault(id(layer), np.sign(getattr(layer, weight)))


def array_itself(self, layer, weight, array):
    return array


def nothing(self, *arguments):
    pass


def twice(of):
    def method(self, network):
        of(self, network)
        of(self, network)

    return method


def without_weights(self, network):
    self.targets = (self.targets[0], None)
    return DRTP_SIGNAL(self, network)


def all_parameters(layer):
    return tuple(layer.parameter_names)


def everything_learns_below(layer, learns):
    return [True] * len(layer.children)


def with_the_derivative_left_out(self, layer, nabla_a):
    return nabla_a


DRTP_SIGNAL, KP, FA, DFA, SIGN = (
    DRTP.signal, KolenPollack, FeedbackAlignment, DirectFeedbackAlignment, SignSymmetry,
)  # fmt: skip
FAULTS = {
    "FA: transposed": (FA, "seen", transposed, "where_as_many_neurons"),
    "FA: of the size of fan_in": (FA, "size_of", by_fan_in, "scale_and_size"),
    "FA: twice too large": (FA, "drawn", doubled(FA.drawn), "scale_and_size"),
    "FA: drawn anew": (FA, "advance", redrawn, "what_is_fixed_stays:fa"),
    "FA: the weights themselves": (
        FA, "seen", lambda self, layer, w, array: getattr(layer, w).copy(),
        "feedback_alignment_is"),
    "FA: another sign": (FA, "seen", reversed_sign(FA.seen), "feedback_alignment_is"),
    "FA: within time by the weights": (
        credit.Sent, "delta_of", lambda self, layer, nabla_a: layer.delta_of(nabla_a),
        "through_time_b"),
    "FA: biases have arrays": (senders, "weights_of", all_parameters, "no_array_stands:fa"),
    "FA: arrays where nothing learns": (
        senders, "_learns_below", everything_learns_below, "what_lies_below"),
    "FA: sigma' left out": (
        credit.Sent, "delta_of", with_the_derivative_left_out, "feedback_alignment_is"),
    "DFA: dC/da of the output": (DFA, "signal", untransformed_error, "the_error_of_an_output"),
    "DFA: not divided by B": (DFA, "signal", undivided_error, "direct_feedback_alignment_is"),
    "DFA: another sign": (
        DFA, "downstream", reversed_sign(DFA.downstream), "direct_feedback_alignment_is"),
    "DFA: drawn anew": (DFA, "advance", redrawn, "what_is_fixed_stays:dfa"),
    "DRTP: +B y": (DRTP, "signal", reversed_sign(DRTP.signal), "drtp_is_its_equations"),
    "DRTP: weights ignored": (DRTP, "signal", without_weights, "drtp_is_its_equations"),
    "DRTP: drawn anew": (DRTP, "advance", redrawn, "what_is_fixed_stays:drtp"),
    "signs: not taken": (SIGN, "seen", array_itself, "sign_symmetry_has"),
    "signs: of the beginning": (SIGN, "seen", of_the_first_pass, "signs_follow_the_weights"),
    "signs: transposed": (SIGN, "seen", transposed, "where_as_many_neurons"),
    "signs: twice too large": (SIGN, "drawn", doubled(SIGN.drawn), "scale_and_size"),
    "signs: never drawn anew": (SIGN, "advance", nothing, "batchwise_magnitudes_are_drawn_for"),
    "signs: drawn twice": (
        SIGN, "advance", twice(SIGN.advance), "batchwise_magnitudes_are_drawn_once"),
    "Kolen-Pollack: no decay": (KP, "advance", nothing, "kolen_pollack_is_two"),
    "Kolen-Pollack: decay twice": (KP, "advance", twice(KP.advance), "differences_of_kolen"),
    "Kolen-Pollack: B that does not learn": (KP, "seen", array_itself, "kolen_pollack_is_two"),
    "Kolen-Pollack: the difference turned round": (
        KP, "seen", lambda self, layer, w, array: getattr(layer, w) - array,
        "kolen_pollack_is_two"),
    "mirror: does not look": (WeightMirror, "advance", nothing, "a_weight_mirror_takes"),
    "mirror: looks twice": (
        WeightMirror, "advance", twice(WeightMirror.advance), "a_weight_mirror_takes"),
    "mirror: another sign": (
        WeightMirror, "seen", reversed_sign(WeightMirror.seen), "a_weight_mirror_takes"),
}  # fmt: skip


def find(name):
    """Return the test whose name begins so, with the value of its parameter."""
    start, _, value = name.partition(":")
    known = {**vars(equations), **globals()}
    (found,) = (test for key, test in known.items() if key.startswith(f"test_{start}"))
    if not value:
        return found
    return lambda: found(RULES[value] if found is test_no_array_stands_for_a_bias else value)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, monkeypatch):
    owner, name, faulty, test = FAULTS[fault]
    find(test)()
    monkeypatch.setattr(owner, name, faulty)
    with pytest.raises(AssertionError):
        find(test)()
