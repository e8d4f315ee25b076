"""Data with weights, and networks and costs to be trained with them."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import SGD, Network, Trainer
from backprop.costs import Cost
from backprop.datasets import one_hot
from backprop.layers import Dense

N, K = 40, 3
rng = np.random.default_rng(7)
X = rng.standard_normal((4, N))
LABELS = rng.choice(K, N, p=[0.7, 0.2, 0.1])
WEIGHT = rng.uniform(0, 3, N)
WEIGHT[:3] = 0

COSTS = {
    "softmax-labels": ("softmax_cross_entropy", "softmax", LABELS),
    "softmax-one-hot": ("softmax_cross_entropy", "softmax", one_hot(LABELS, K, "float64")),
    "cross-entropy": ("cross_entropy", "sigmoid", one_hot(LABELS, K, "float64")),
    "quadratic": ("quadratic", "sigmoid", one_hot(LABELS, K, "float64")),
    "squared-error": ("squared_error", "identity", rng.standard_normal((K, N))),
    "mean-squared-error": ("mean_squared_error", "tanh", rng.standard_normal((K, N))),
}
every_cost = pytest.mark.parametrize(("cost", "output", "y"), list(COSTS.values()), ids=list(COSTS))


class AbsoluteError(Cost):
    """A cost of the user's own, which knows nothing of weights."""

    def cost_of_each(self, a, y):
        return np.abs(a - y).sum(axis=0)

    def gradient(self, a, y):
        return np.sign(a - y) / a.shape[-1]


class OneNumberAnExample(AbsoluteError):
    def cost_of_each(self, a, y):
        return np.abs(a - y).reshape(-1, a.shape[-1]).sum(axis=0)


def network_of(cost="softmax_cross_entropy", output="softmax", seed=0, dtype="float64"):
    hidden = Dense(4, 5, "tanh", dtype=dtype, rng=seed)
    return Network([hidden, Dense(5, K, output, dtype=dtype, rng=seed + 1)], cost)


def trainer_of(network, optimizer=None, **options):
    options = {"batch_size": N, "progress": False, "rng": 3, "metrics": {}, **options}
    return Trainer(network, optimizer or SGD(0.1), **options)


def weighted_cost(network, x, y, w):
    """Return sum(w C) / sum(w), from the C of every example alone."""
    parts = [slice(j, j + 1) for j in range(x.shape[-1])]
    c = [network.evaluate(x[..., j], y[..., j], metrics={})["cost"] for j in parts]
    return float(np.dot(w, c) / np.sum(w))
