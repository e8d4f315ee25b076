"""What BackPACK computes for networks of ours, live and as stored numbers.

Where it is installed beside PyTorch, ``python -m tests.research.curvature.backpack`` writes
backpack.json anew.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from backprop import Network
from backprop.layers import Conv2d, Dense, Flatten, MaxPool2d

STORED = Path(__file__).with_suffix(".json")
BATCH = 5
BOOK = ("nielsen", "normal")


def _images(sigma: str) -> Network:
    layers = [
        Conv2d(2, 3, 3, stride=2, padding=1, activation=sigma, dtype="float64"),
        Conv2d(3, 4, 2, activation=sigma, dtype="float64"),
        MaxPool2d(2),
        Flatten(),
        Dense(8, 3, "softmax", *BOOK, dtype="float64"),
    ]
    return Network(layers, "softmax_cross_entropy", input_shape=(2, 9, 6), rng=3)


NETWORKS = {
    "sigmoid, softmax": lambda: Network.from_sizes(
        [6, 5, 4], "sigmoid", "softmax_cross_entropy", None, *BOOK, dtype="float64", rng=1
    ),
    "tanh, mean squared error": lambda: Network.from_sizes(
        [4, 6, 3], "tanh", "mean_squared_error", "identity", *BOOK, dtype="float64", rng=2
    ),
    "convolutions, relu": lambda: _images("relu"),
    "convolutions, tanh": lambda: _images("tanh"),
}


def problem(name: str) -> tuple[Network, np.ndarray, np.ndarray]:
    """Return a network, inputs and targets, the same every time."""
    network, rng = NETWORKS[name](), np.random.default_rng(7)
    x = rng.standard_normal((*network.input_shape, BATCH))
    if "squared" in name:
        return network, x, rng.standard_normal((*network.output_shape, BATCH))
    return network, x, rng.integers(0, network.output_shape[0], BATCH)


def in_torch(network: Network) -> Any:
    """Return the network as modules of PyTorch, up to the last z."""
    import torch

    sigmas = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}
    modules: list[Any] = []
    for layer in network.layers:
        if isinstance(layer, Conv2d):
            modules.append(
                torch.nn.Conv2d(
                    layer.channels_in,
                    layer.channels_out,
                    layer.kernel,
                    layer.stride,
                    layer.padding if layer.padding != "valid" else 0,
                )
            )
        elif isinstance(layer, Dense):
            modules.append(torch.nn.Linear(layer.n_in, layer.n_out))
        elif isinstance(layer, MaxPool2d):
            modules.append(torch.nn.MaxPool2d(2))
        else:
            modules.append(torch.nn.Flatten())
        if isinstance(layer, (Conv2d, Dense)):
            modules[-1].double()
            modules[-1].weight.data = torch.tensor(layer.w)
            modules[-1].bias.data = torch.tensor(layer.b.ravel())
            if layer.activation.name in sigmas:
                modules.append(sigmas[layer.activation.name]())
    return torch.nn.Sequential(*modules)


def torch_cost(network: Network) -> Any:
    """Return the cost as a module of PyTorch, which averages as ours does."""
    import torch

    softmax = network.layers[-1].output_activation.name == "softmax"
    return torch.nn.CrossEntropyLoss() if softmax else torch.nn.MSELoss()


def torch_data(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
    """Return inputs and targets with the batch first."""
    import torch

    return tuple(torch.tensor(np.ascontiguousarray(np.moveaxis(one, -1, 0))) for one in (x, y))


def measure(name: str) -> dict[str, list[float]]:
    """Return what BackPACK computes of a problem, in the order of theta.

    The diagonal of the Gauss-Newton matrix is a mean as ours is. The squared gradients are of what
    each example adds to the mean, so B of them are what our second moment is.
    """
    import backpack
    from backpack.extensions import DiagGGNExact, SumGradSquared

    network, x, y = problem(name)
    model, cost = backpack.extend(in_torch(network)), backpack.extend(torch_cost(network))
    inputs, targets = torch_data(x, y)
    with warnings.catch_warnings(), backpack.backpack(DiagGGNExact(), SumGradSquared()):
        warnings.simplefilter("ignore")  # of PyTorch, on how BackPACK hooks in
        cost(model(inputs), targets).backward()
    flat: dict[str, list[float]] = {"diagonal": [], "squares": []}
    for parameter in model.parameters():
        flat["diagonal"] += parameter.diag_ggn_exact.ravel().tolist()
        flat["squares"] += (BATCH * parameter.sum_grad_squared).ravel().tolist()
    return flat


if __name__ == "__main__":
    STORED.write_text(json.dumps({name: measure(name) for name in NETWORKS}, indent=0) + "\n")
