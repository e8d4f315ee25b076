"""Networks of every kind that are traced."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import Dropout, Flatten, Network, ReLU, Reshape, Softmax, SoftmaxCrossEntropy, Tanh
from backprop.costs import Quadratic
from tests.cases import Scale
from tests.support import dense

rng = np.random.default_rng(5)
X, X1 = rng.standard_normal((3, 4)), rng.standard_normal((3, 1))


def chain(cost, *layers, input_shape=None):
    return Network(layers, cost, input_shape)


NETWORKS = {
    "quadratic": lambda: chain("quadratic", dense(3, 4, "sigmoid"), dense(4, 2, "sigmoid")),
    "squared": lambda: chain("squared_error", dense(3, 4, "tanh"), dense(4, 2, "softplus")),
    "mean-squared": lambda: chain("mean_squared_error", dense(3, 2, "relu")),
    "identity": lambda: chain("mean_squared_error", dense(3, 2, "identity")),
    "cross-entropy": lambda: chain("cross_entropy", dense(3, 4, "gelu"), dense(4, 2, "sigmoid")),
    "softmax-quadratic": lambda: chain("quadratic", dense(3, 2, "softmax")),
    "softmax": lambda: chain("softmax_cross_entropy", dense(3, 4, "elu"), dense(4, 2, "softmax")),
    "softmax-inside": lambda: chain("quadratic", dense(3, 4, "softmax"), dense(4, 2)),
    "smoothed": lambda: chain(SoftmaxCrossEntropy(0.1), dense(3, 2, "softmax")),
    "layers": lambda: chain(
        "softmax_cross_entropy",
        Dropout(0.3, rng=3),
        dense(3, 4, "identity"),
        ReLU(),
        Dropout(0.5, rng=4),
        dense(4, 2, "identity"),
        Softmax(),
        input_shape=(3,),
    ),
    "shapes": lambda: chain(
        "quadratic", dense(3, 4), Reshape((2, 2)), Tanh(), Flatten(), dense(4, 2), Scale64(2)
    ),
    "own-last": lambda: chain(OwnCost(), dense(3, 2), Scale64(2)),
}


class Scale64(Scale):
    def __init__(self, n):
        super().__init__(n, "float64")
        self.g = [[1.5], [-0.5]]


class OwnCost(Quadratic):
    """A cost that the trace has no formula for."""


def problem(name, batch):
    network = NETWORKS[name]()
    r = np.random.default_rng(batch)
    y = r.dirichlet(np.ones(2), batch).T.copy()
    return network, r.standard_normal((3, batch)), y


everywhere = pytest.mark.parametrize("batch", [1, 3])
networks = pytest.mark.parametrize("name", NETWORKS)
