"""The angle between the delta of a rule and the true one."""

import copy

import numpy as np
import pytest

from backprop import Network, Trainer
from backprop.layers import Dense
from backprop.research import AlignmentAngle, FeedbackAlignment, SignSymmetry, alignment_angles
from tests.research.credit_networks import conv_network, data, dense_network, graph_network


def test_it_is_the_mean_of_the_angles_of_the_examples():
    network = dense_network(credit=FeedbackAlignment(rng=3))
    x, y = data(network)
    found = alignment_angles(network, x, y)
    twin = copy.deepcopy(network)
    twin.forward(x, keep=True)
    twin.backward(y)
    ruled = [layer.delta for layer in twin.layers]
    twin.credit = None
    twin.backward(y)
    for name in ("0", "2"):
        a, b = ruled[int(name)], twin[int(name)].delta
        cosines = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        assert abs(found[name] - np.degrees(np.arccos(cosines)).mean()) < 1e-8
    assert set(found) == {"0", "2"}


@pytest.mark.parametrize("credit", [None, "backpropagation"])
def test_of_the_chain_rule_it_is_0(credit):
    network = conv_network(credit)
    assert set(alignment_angles(network, *data(network)).values()) == {0.0}


def test_opposite_is_180_and_size_does_not_count():
    network = dense_network(credit=SignSymmetry())
    x, y = data(network)
    network.credit.arrays["3.w"][...] = -1e-12 * np.abs(network[3].w)
    assert abs(alignment_angles(network, x, y)["2"] - 180) < 1e-5


@pytest.mark.parametrize("make", [dense_network, conv_network])
@pytest.mark.parametrize("magnitudes", ["uniform", "batchwise"])
def test_looking_changes_nothing(make, magnitudes):
    network = make(credit=SignSymmetry(magnitudes, rng=0))
    x, y = data(network)
    network.forward(x, training=True)
    network.backward(y)
    before = copy.deepcopy(network)
    alignment_angles(network, x, y)
    for (_, one), (_, other) in zip(network.walk(), before.walk(), strict=True):
        for name in ("z", "a", "delta"):
            a, b = getattr(one, name), getattr(other, name)
            assert (a is None and b is None) or a.tobytes() == b.tobytes()
    assert network.nabla.tobytes() == before.nabla.tobytes()
    trainer, other = Trainer(network, rng=0, progress=False), Trainer(before, rng=0, progress=False)
    trainer.fit(x, y, epochs=2)
    other.fit(x, y, epochs=2)
    assert network.theta.tobytes() == before.theta.tobytes()


def test_a_training_records_it():
    layers = [Dense(6, 40, "tanh"), Dense(40, 30, "tanh"), Dense(30, 4, "softmax")]
    network = Network(layers, "softmax_cross_entropy", rng=0, credit=FeedbackAlignment(rng=0))
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    x = (rng.standard_normal((6, 4))[:, y] + 0.3 * rng.standard_normal((6, 400))).astype(np.float32)
    callback = AlignmentAngle(x[:, :50], y[:50])
    trainer = Trainer(network, "sgd", 10, rng=0, progress=False, callbacks=[callback])
    history = trainer.fit(x, y, epochs=8)
    assert dict(callback.columns) == {"angle_0": False, "angle_1": False}
    assert history["angle_1"][0] < 90
    assert history["angle_1"][-1] < history["angle_1"][0]
    assert abs(history["angle_1"][-1] - alignment_angles(network, x[:, :50], y[:50])["1"]) < 1e-9
    history.check()
    assert history.greater_is_better("angle_0") is False


def test_inside_a_graph_the_output_is_left_out():
    network = graph_network("feedback_alignment")
    x = np.random.default_rng(0).standard_normal((4, 5))
    assert set(alignment_angles(network, x, np.array([0, 1, 0, 1, 0]))) == {"0", "1", "2"}
