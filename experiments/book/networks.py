"""The book's networks: chains of dense layers, and those of network3.py.

network3.py pools z and then adds the bias and applies sigma. Since both keep the order of numbers,
the maximum may be taken before or after: here the convolution adds its bias, then the pooling, then
sigma, which is the same function and a quarter of the sigmoids.

Its dropout leaves out inputs of a layer in training and multiplies w by 1 - p in testing; ours
divides what is left by 1 - p in training. With w = (1 - p) times its w the two are the same
function, so that weights start 1 - p times as large here, and, since dC/dw is then 1 / (1 - p)
times its own, w takes steps (1 - p)^2 times as large: by `eta_factor`, which the biases of these
layers share, while network3's do not.
"""

from __future__ import annotations

import math
from typing import Any

from backprop import Conv2d, Dense, Dropout, Flatten, MaxPool2d, Network
from backprop.initializers import Normal, Zeros
from backprop.layers import ReLU, Sigmoid
from experiments.book.row import Row

KERNEL, POOL = 5, 2


def network_of(row: Row, shape: tuple[int, ...], n_classes: int, seed: int) -> Network:
    """Return the network of a row, for examples of this shape, its parameters drawn by a seed."""
    if row.init == "network3":
        return _network3(row, shape, n_classes, seed)
    sizes = (math.prod(shape), *row.layers[1:-1], n_classes)
    w_init = {"large": "normal", "new": "nielsen"}[row.init]
    return Network.from_sizes(sizes, cost=row.cost, w_init=w_init, b_init="normal", rng=seed)


def _network3(row: Row, shape: tuple[int, ...], n_classes: int, seed: int) -> Network:
    """Return convolutions with pooling ("C20"), dense layers ("FC100"), and the softmax."""
    sigma, p = row.x["sigma"], row.x.get("dropout", 0.0)
    layers: list[Any] = []
    flat = False
    for name in row.layers:
        n = int(name.lstrip("CF"))
        if name.startswith("F") and not flat:
            layers.append(Flatten())
            shape, flat = (math.prod(shape),), True
        if name.startswith("C"):
            spread = Normal(math.sqrt(POOL**2 / (n * KERNEL**2)))
            layers += [
                Conv2d(shape[0], n, KERNEL, activation="identity", w_init=spread, b_init="normal"),
                MaxPool2d(POOL),
                {"sigmoid": Sigmoid, "relu": ReLU}[sigma](),
            ]
            for layer in layers[-3:]:
                shape = layer.output_shape(shape)
        else:
            layers += _dense(shape[0], n, sigma, p, Normal((1 - p) / math.sqrt(n)), "normal")
            shape = (n,)
    if not flat:
        layers.append(Flatten())
        shape = (math.prod(shape),)
    layers += _dense(shape[0], n_classes, "softmax", p, Zeros(), "zeros")
    return Network(layers, "softmax_cross_entropy", input_shape=row.x["input_shape"], rng=seed)


def _dense(n_in: int, n: int, sigma: str, p: float, w_init: Any, b_init: str) -> list[Any]:
    layer = Dense(n_in, n, sigma, w_init, b_init)
    if not p:
        return [layer]
    layer.eta_factor = (1 - p) ** 2
    return [Dropout(p), layer]
