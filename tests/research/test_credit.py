"""Credit rules: what becomes of them with their network; their equations have their own file."""

import copy
import pickle
import re

import numpy as np
import pytest

from backprop import Network, Trainer
from backprop.compiled import NoTwin
from backprop.gradients import check_gradients, jacobian
from backprop.layers import Dense, GlobalAvgPool, TransformerBlock
from backprop.optimizers import SGD
from backprop.research import Backpropagation, FeedbackAlignment, SignSymmetry
from backprop.research.credit import CreditRule
from backprop.training import checkpoint
from tests.research.credit_networks import (
    NETWORKS,
    RULES,
    both_passes,
    conv_network,
    data,
    dense_network,
    every_rule,
    graph_network,
)
from tests.training.support import assert_resumes

# -- the rule that does nothing --------------------------------------------------------------


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_backpropagation_as_a_rule_is_no_rule_to_the_bit(make):
    plain, ruled = make(), make(credit="backpropagation")
    assert type(ruled.credit) is Backpropagation
    x, y = data(plain, 23)
    for network in (plain, ruled):
        trainer = Trainer(network, SGD(0.3), rng=0, progress=False, compiled=False)
        trainer.fit(x, y, epochs=3)
    assert plain.theta.tobytes() == ruled.theta.tobytes()
    ruled.forward(x, training=True)
    ruled.backward(y)
    assert not any(layer.hooks or layer.feedback for _, layer in ruled.walk())


# -- with their network ----------------------------------------------------------------------


@every_rule
@pytest.mark.parametrize(("kind", "eta"), [("dense", 0.3), ("conv", 0.01), ("recurrent", 0.3)])
def test_every_rule_trains_every_kind_of_layer(kind, eta, make):
    network = NETWORKS[kind](credit=make())
    x, y = data(network, 12)
    before = network.evaluate(x, y)["cost"]
    trainer = Trainer(network, SGD(eta), 12, rng=0, progress=False)
    trainer.fit(x, y, epochs=60)
    assert network.evaluate(x, y)["cost"] < 0.8 * before


@every_rule
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_rule_is_saved_copied_and_pickled_with_its_network(network, make, tmp_path):
    network = network(credit=make())
    x, y = data(network)
    both_passes(network, x, y)
    network.save(tmp_path / "net.npz")
    loaded = Network.load(tmp_path / "net.npz")
    twins = [copy.deepcopy(network), pickle.loads(pickle.dumps(network)), loaded]
    for twin in twins:
        assert twin.credit is not network.credit
        assert twin.credit.network is twin
        assert twin.credit.config() == network.credit.config()
        for name, array in network.credit.arrays.items():
            np.testing.assert_array_equal(twin.credit.arrays[name], array)
    nabla = both_passes(network, x, y)
    for twin in twins[:2]:
        assert both_passes(twin, x, y).tobytes() == nabla.tobytes()
        assert twin.nabla.tobytes() == network.nabla.tobytes()
    arrays = network.credit.arrays
    for twin in twins:
        for name, array in twin.credit.arrays.items():
            assert not np.shares_memory(array, arrays[name])


@every_rule
def test_a_rule_changes_its_dtype_with_its_network(make):
    layers = [Dense(5, 7, "tanh"), Dense(7, 6, "tanh"), Dense(6, 3, "softmax")]
    network = Network(layers, "softmax_cross_entropy", rng=0, credit=make())
    twin = network.astype(np.float64)
    x, y = data(twin)
    both_passes(twin, x, y)
    both_passes(network, x.astype(np.float32), y)
    assert {array.dtype for array in twin.credit.arrays.values()} == {np.dtype(np.float64)}
    assert {array.dtype for array in network.credit.arrays.values()} == {np.dtype(np.float32)}
    assert np.abs(network.nabla - twin.nabla).max() < 1e-5 * np.abs(twin.nabla).max()


@every_rule
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_killed_and_resumed_is_uninterrupted_to_the_bit(network, make, tmp_path):
    x, y = data(network(), 30)

    def trainer():
        return Trainer(network(credit=make()), "adam", 7, rng=1, progress=False, compiled=False)

    whole, first, second = assert_resumes(trainer, x, y, tmp_path / "run.npz")
    assert second.network.theta.tobytes() == whole.network.theta.tobytes()
    for name, array in whole.network.credit.arrays.items():
        assert array.tobytes() == second.network.credit.arrays[name].tobytes()
    loaded = checkpoint.load_network(tmp_path / "run.npz")
    assert loaded.credit.config() == first.network.credit.config()


def test_a_checkpoint_is_not_for_another_rule(tmp_path):
    trainers = [
        Trainer(dense_network(credit=credit), rng=0, progress=False)
        for credit in ("feedback_alignment", "drtp", None)
    ]
    checkpoint.save(trainers[0], tmp_path / "run.npz")
    for trainer in trainers[1:]:
        with pytest.raises(ValueError, match="checkpoint of another network"):
            checkpoint.restore(trainer, tmp_path / "run.npz")
    state = trainers[0].network.state()
    with pytest.raises(ValueError, match="arrays of a credit rule"):
        trainers[2].network.set_state(state)
    theta = trainers[0].network.theta.copy()
    state["theta"] = theta + 1
    del state["credit.2.w"]
    with pytest.raises(ValueError, match=r"do not both have 2\.w"):
        trainers[0].network.set_state(state)
    np.testing.assert_array_equal(trainers[0].network.theta, theta)


def test_a_seed_makes_the_same_arrays_and_none_follows_the_parameters():
    rules = [FeedbackAlignment(rng=7), FeedbackAlignment(rng=7), FeedbackAlignment(rng=8)]
    one, same, other = (dense_network(credit=rule).credit.arrays["3.w"] for rule in rules)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    one, same, other = (
        dense_network(credit="feedback_alignment", rng=rng).credit.arrays["3.w"]
        for rng in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    network = dense_network(credit="feedback_alignment", rng=0)
    network.initialize(1)
    np.testing.assert_array_equal(network.credit.arrays["3.w"], other)


def test_a_rule_belongs_to_one_network():
    rule = FeedbackAlignment(rng=0)
    one, other = dense_network(credit=rule), dense_network(credit=rule)
    assert one.credit is rule
    assert other.credit is not rule
    assert not np.shares_memory(one.credit.arrays["3.w"], other.credit.arrays["3.w"])
    again = Network(one.layers, "softmax_cross_entropy")
    assert not any(layer.feedback for layer in again.layers)


@pytest.mark.parametrize("credit", ["feedback", 3, FeedbackAlignment, CreditRule])
def test_what_is_no_rule_is_refused(credit):
    network = dense_network(credit="sign_symmetry")
    with pytest.raises((TypeError, ValueError), match=r"credit|feedback_alignment"):
        network.credit = credit
    assert type(network.credit) is SignSymmetry
    with pytest.raises(ValueError, match="magnitudes must be"):
        SignSymmetry("none")
    with pytest.raises(ValueError, match="scale"):
        FeedbackAlignment(scale=0)


def test_names_stand_for_rules():
    network = dense_network()
    for name in (
        "feedback_alignment",
        "direct-feedback-alignment",
        "sign_symmetry",
        "drtp",
        "kolen_pollack",
        "weight_mirror",
        "backpropagation",
    ):
        network.credit = name
        assert f"credit={network.credit!r}" in repr(network)
    network.credit = None
    assert "credit" not in repr(network)


def test_what_rests_on_the_gradient_says_that_there_is_none():
    network = dense_network(credit="feedback_alignment")
    x, y = data(network)
    for look in (
        lambda: check_gradients(network, x, y),
        lambda: jacobian(network, x[:, 0]),
        lambda: network.trace(x, y),
    ):
        with pytest.raises(ValueError, match=r"network\.credit is FeedbackAlignment\(\), by which"):
            look()
    graph = graph_network("drtp")
    with pytest.raises(ValueError, match=r"network\.credit is DRTP"):
        graph.trace(np.ones((4, 2)))
    network.credit = "backpropagation"
    network.trace(x, y)
    assert check_gradients(conv_network("backpropagation"), *data(conv_network())).passed


WITHOUT = ["kolen_pollack", "drtp", "mirror"]


@pytest.mark.parametrize("name", WITHOUT)
def test_what_has_no_twin_is_not_compiled_without_its_rule(name):
    network = dense_network(credit=RULES[name]())
    x, y = data(network, 40)
    trainer = Trainer(network, rng=0, progress=False, compiled=True)
    with pytest.raises(NoTwin, match=r"Dense.* goes back by \w+\(.*\), which has no twin in C"):
        trainer.fit(x, y)
    network.predict(x, compiled=True)


def test_what_was_replaced_is_not_compiled():
    class Other(FeedbackAlignment):
        def seen(self, layer, weight, array):
            return 2 * array

    replaced = FeedbackAlignment()
    replaced.seen = lambda layer, weight, array: array
    for rule in (Other(), replaced):
        network = dense_network(credit=rule)
        with pytest.raises(NoTwin, match="has no twin in C"):
            Trainer(network, rng=0, progress=False, compiled=True).fit(*data(network, 40))


COMPILED = {name: make for name, make in RULES.items() if name not in WITHOUT}
COMPILED["backpropagation"] = Backpropagation


ALIKE = [("dense", name) for name in COMPILED] + [("conv", "fixed"), ("conv", "dfa")]
ALIKE += [("recurrent", "batchwise"), ("recurrent", "dfa"), ("graph", "fa")]


@pytest.mark.parametrize(("kind", "name"), ALIKE)
def test_compiled_and_numpy_are_equal(kind, name):
    trained = []
    for compiled in (True, False):
        one = {**NETWORKS, "graph": graph_network}[kind](credit=COMPILED[name]())
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((*one.input_shape, 20)), rng.integers(0, 2, 20)
        trainer = Trainer(one, SGD(0.05), 5, rng=1, progress=False, compiled=compiled)
        trainer.fit(x, y, epochs=2)
        assert trainer.computed_by.startswith("compiled" if compiled else "NumPy")
        trained.append(one)
    one, other = trained
    assert np.abs(one.theta - other.theta).max() < 1e-12 * np.abs(other.theta).max()
    assert np.abs(one.nabla - other.nabla).max() < 1e-12 * np.abs(other.nabla).max()
    for (_, a), (_, b) in zip(one.walk(), other.walk(), strict=True):
        if a.delta is not None and not a.children:
            assert np.abs(a.delta - b.delta).max() <= 1e-12 * np.abs(b.delta).max()
    if one.credit.draws:
        assert one.credit.rng.random() == other.credit.rng.random()


@pytest.mark.parametrize("name", ["fa", "fixed"])
def test_an_attention_goes_back_by_other_weights_when_compiled_too(name):
    trained = []
    for compiled in (True, False):
        layers = [TransformerBlock(4, 2, 6, dtype="float64"), GlobalAvgPool()]
        ends = [Dense(4, 3, "softmax", dtype="float64")]
        cost, rule = "softmax_cross_entropy", RULES[name]()
        one = Network([*layers, *ends], cost, input_shape=(4, 5), rng=0, credit=rule)
        x, y = data(one, 12)
        Trainer(one, SGD(0.1), 4, rng=1, progress=False, compiled=compiled).fit(x, y)
        trained.append(one.theta)
    assert np.abs(trained[0] - trained[1]).max() < 1e-12 * np.abs(trained[1]).max()


def test_a_program_shows_what_goes_down():
    network = dense_network(credit=SignSymmetry("batchwise"))
    assert "signs_with_magnitudes(18, " in str(network.program(5, SGD(0.1)))
    network.credit = "direct_feedback_alignment"
    text = str(network.program(5, SGD(0.1)))
    assert re.search(r"times\(6, 5, 3, b_3, \w+, nabla_a_below3, 0\);", text)
    assert "dense_downstream" not in text
