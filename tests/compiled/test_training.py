"""A training is the same compiled: every cost, optimizer, regularizer, and what else there is."""

import numpy as np
import pytest

from backprop import Dense, Network
from backprop.costs import (
    CrossEntropy,
    MeanSquaredError,
    Quadratic,
    SoftmaxCrossEntropy,
    SquaredError,
)
from backprop.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, RMSProp
from backprop.regularizers import L1, L2
from backprop.schedules import StepDecay
from tests.compiled.support import assert_one, needs_compiler, train_both

pytestmark = needs_compiler

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 11))
LABELS = RNG.integers(0, 3, 11)
COLUMNS = np.eye(3)[LABELS].T.copy()


def network(cost="softmax_cross_entropy", output="softmax"):
    """Return 5-4-3 in float64."""
    layers = [Dense(5, 4, "tanh", dtype="float64"), Dense(4, 3, output, dtype="float64")]
    return Network(layers, cost, rng=1)


OPTIMIZERS = [SGD(0.5), Momentum(0.1), Nesterov(0.1), RMSProp(), Adam(0.01), AdamW(0.01)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_every_optimizer(optimizer):
    assert_one(*train_both(network(), X, LABELS, 3, optimizer))


COSTS = [
    (Quadratic(), "identity"),
    (Quadratic(), "sigmoid"),
    (SquaredError(), "identity"),
    (SquaredError(), "tanh"),
    (MeanSquaredError(), "identity"),
    (MeanSquaredError(), "softmax"),
    (CrossEntropy(), "sigmoid"),
    (SoftmaxCrossEntropy(), "softmax"),
    (SoftmaxCrossEntropy(0.1), "softmax"),
]


@pytest.mark.parametrize(("cost", "output"), COSTS, ids=str)
def test_every_cost(cost, output):
    assert_one(*train_both(network(cost, output), X, COLUMNS, 2))


@pytest.mark.parametrize(
    "settings",
    [
        {"regularizer": L1(0.01)},
        {"regularizer": L2(0.01)},
        {"regularizer": L2(0.01), "clip_norm": 0.01},
        {"clip_norm": 0.01},
        {"clip_value": 0.01},
        {"schedule": StepDecay(0.5, 0.5, 1)},
        {"shuffle": False},
        {"batch_size": 50},
        {"batch_size": 1},
        {"class_weight": {0: 2.0, 1: 0.5}},
        {"sample_weight": RNG.random(11)},
    ],
    ids=str,
)
def test_every_setting(settings):
    assert_one(*train_both(network(), X, LABELS, 3, Momentum(0.1), **settings))


def test_labels_and_columns_smoothed():
    smooth = SoftmaxCrossEntropy(0.2)
    by_labels = train_both(network(smooth), X, LABELS, 2)
    assert_one(*by_labels)
    assert_one(*train_both(network(smooth), X, COLUMNS, 2))


@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.5), Momentum(0.1), Nesterov(0.1), Adam(0.01), AdamW(0.01, weight_decay=0.1)],
    ids=str,
)
def test_frozen_layers_and_factors(optimizer):
    net = network()
    net[0].trainable = False
    assert_one(*train_both(net, X, LABELS, 2, optimizer, regularizer=L2(0.1)))
    net = network()
    net[0].eta_factor, net[1].decay_factor = 0.5, 0.25
    assert_one(*train_both(net, X, LABELS, 2, optimizer, regularizer=L2(0.1)))
