"""Networks some of whose layers do not learn, or more slowly, and what of them has changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from backprop.graph import Graph, Input, apply
from backprop.layers import BatchNorm, Dense, Dropout, Parallel, ReLU, Residual, Sequential
from backprop.network import Network
from backprop.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, RMSProp
from backprop.training.trainer import Trainer

OPTIMIZERS: list[Callable[[], object]] = [
    lambda: SGD(0.2),
    lambda: Momentum(0.1, 0.9),
    lambda: Nesterov(0.1, 0.9),
    lambda: RMSProp(0.01),
    lambda: Adam(0.01),
    lambda: AdamW(0.01, weight_decay=0.1),
]
every_optimizer = pytest.mark.parametrize(
    "optimizer", OPTIMIZERS, ids=lambda make: type(make()).__name__
)
KIND = {"dtype": "float64"}


def chain(seed: int = 0) -> Network:
    layers = [Dense(4, 5, "tanh", **KIND), BatchNorm(5, **KIND), Dense(5, 4, "tanh", **KIND),
              Dropout(0.2), Dense(4, 3, "softmax", **KIND)]  # fmt: skip
    return Network(layers, "softmax_cross_entropy", rng=seed)


def data(network: Network, batch: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((*network.input_shape, batch)), rng.integers(0, 3, batch)


def fit(network: Network, optimizer, epochs: int = 2, **arguments) -> Trainer:
    arguments = {"batch_size": 6, "rng": 0, "progress": False, **arguments}
    trainer = Trainer(network, optimizer, **arguments)
    trainer.fit(*data(network), epochs)
    return trainer


def moved(network: Network, before: dict[str, np.ndarray]) -> set[str]:
    """Return the names of the layers of which a number is not what it was, to the bit."""
    found = set()
    for name, layer in network.walk():
        if not layer.children:
            for key, array in layer.state().items():
                if array.tobytes() != before[f"{name}.{key}"].tobytes():
                    found.add(name)
    return found


def numbers(network: Network) -> dict[str, np.ndarray]:
    return {
        f"{name}.{key}": array
        for name, layer in network.walk()
        if not layer.children
        for key, array in layer.state().items()
    }


def nested() -> Network:
    x = Input("x", (4,))
    u = apply(Dense(4, 4, "tanh", **KIND), x)
    graph = Graph(u + apply(Dense(4, 4, "tanh", **KIND), u))
    residual = Residual([Dense(4, 4, "tanh", **KIND), Sequential([BatchNorm(4, **KIND), ReLU()])])
    branches = Parallel([Dense(4, 2, **KIND), Dense(4, 3, **KIND)])
    return Network([residual, graph, branches, Dense(5, 3, "softmax", **KIND)],
                   "softmax_cross_entropy", rng=0)  # fmt: skip
