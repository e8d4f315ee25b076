"""The same attributions from Captum and Zennit, of PyTorch's twins of three small networks.

`python -m tests.research.peers` writes them to peer_attributions.npz beside it, so that the tests
hold on to them without these libraries (Captum 0.9.0, Zennit 0.5.1 and PyTorch 2.13.0 wrote the
file). Parameters and inputs are stored, too, so that nothing depends on how they are drawn.
"""

from __future__ import annotations

import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from backprop.core.storage import read_archive, write_archive
from backprop.layers import AvgPool2d, BatchNorm, Conv2d, Dense, Flatten, MaxPool2d, ReLU
from backprop.network import Network

STORED = Path(__file__).parent / "peer_attributions.npz"
F8 = {"dtype": "float64"}


def dense(activation: str) -> Network:
    return Network.from_sizes(
        [6, 8, 7, 3], activation, "softmax_cross_entropy", b_init="normal", dtype="float64", rng=0
    )


def convolutional() -> Network:
    layers = [
        Conv2d(2, 3, 3, activation="identity", b_init="normal", **F8),
        BatchNorm(3, epsilon=1e-14, **F8), ReLU(),
        MaxPool2d(2), Conv2d(3, 4, 2, b_init="normal", **F8), AvgPool2d(2, 1), Flatten(),
        Dense(4, 3, "softmax", **F8),
    ]  # fmt: skip
    # A tiny epsilon: a BatchNorm that Zennit has merged still divides by the root of 1 + epsilon.
    network = Network(layers, "softmax_cross_entropy", (2, 8, 8), rng=1)
    norm, rng = network[1], np.random.default_rng(2)
    norm.g, norm.b = rng.random((3, 1)) + 0.5, rng.standard_normal((3, 1))
    norm.running_mean[...] = rng.standard_normal((3, 1))
    norm.running_variance[...] = rng.random((3, 1)) + 0.5
    return network


NETWORKS = {"relu": dense("relu"), "tanh": dense("tanh"), "convolutional": convolutional()}
TARGETS = np.array([0, 2, 1, 1, 0])


def input_of(network: Network) -> np.ndarray:
    """Draw an input of pixels, from 0 to 1."""
    return np.random.default_rng(3).random((*network.input_shape, len(TARGETS)))


def stored() -> dict[str, np.ndarray]:
    """Return what the file holds: "NETWORK METHOD", and every network's "x" and "theta"."""
    return read_archive(STORED)[0]


def twin_of(torch: Any, network: Network) -> Any:
    """Return the network in PyTorch, without its softmax."""
    nn = torch.nn
    made: list[Any] = []
    for layer in network.layers:
        if isinstance(layer, Dense):
            made.append(nn.Linear(layer.n_in, layer.n_out))
        elif isinstance(layer, Conv2d):
            made.append(nn.Conv2d(layer.channels_in, layer.channels_out, layer.kernel))
        elif isinstance(layer, BatchNorm):
            made.append(nn.BatchNorm2d(layer.n, layer.epsilon))
            made[-1].weight.data = torch.tensor(layer.g[:, 0])
            made[-1].bias.data = torch.tensor(layer.b[:, 0])
            made[-1].running_mean = torch.tensor(layer.running_mean[:, 0])
            made[-1].running_var = torch.tensor(layer.running_variance[:, 0])
        elif isinstance(layer, ReLU):
            made.append(nn.ReLU())
        elif isinstance(layer, (MaxPool2d, AvgPool2d)):
            kind = nn.MaxPool2d if isinstance(layer, MaxPool2d) else nn.AvgPool2d
            made.append(kind(layer.size, layer.stride))
        else:
            made.append(nn.Flatten())
        if isinstance(layer, (Dense, Conv2d)):
            made[-1].weight.data = torch.tensor(layer.w)
            made[-1].bias.data = torch.tensor(layer.b.ravel())
            sigmas = {"relu": nn.ReLU, "tanh": nn.Tanh}
            if layer.activation.name in sigmas:
                made.append(sigmas[layer.activation.name]())
    return nn.Sequential(*made).double().eval()


def by_captum(torch: Any, attr: Any, model: Any, x: Any, name: str) -> dict[str, Any]:
    """Return what Captum computes."""
    target = torch.tensor(TARGETS)
    found = {
        "saliency": attr.Saliency(model).attribute(x, target),
        "gradient_times_input": attr.InputXGradient(model).attribute(x, target),
        "integrated_gradients": attr.IntegratedGradients(model).attribute(
            x, target=target, n_steps=100 if name == "tanh" else 5_000, internal_batch_size=5000,
            method="gausslegendre" if name == "tanh" else "riemann_middle",
        ),
    }  # fmt: skip
    if name == "relu":
        found["guided_backpropagation"] = attr.GuidedBackprop(model).attribute(x, target)
        from captum.attr._utils.lrp_rules import EpsilonRule

        for layer in model:
            if isinstance(layer, torch.nn.Linear):
                layer.rule = EpsilonRule(0.25)
        found["captum_lrp_epsilon"] = attr.LRP(model).attribute(x, target)
    return found


def by_zennit(torch: Any, zennit: Any, model: Any, x: Any) -> dict[str, Any]:
    """Return the relevance by every rule, and by the one for pixels with epsilon above."""
    r, tiny, linear = zennit.rules, 1e-14, zennit.types.Linear
    rules = {
        "lrp_0": r.Epsilon(tiny), "lrp_epsilon": r.Epsilon(0.25), "lrp_gamma": r.Gamma(0.3, tiny),
        "lrp_alpha_beta": r.AlphaBeta(2, 1, tiny), "lrp_z_plus": r.ZPlus(tiny),
    }  # fmt: skip
    maps = [(zennit.types.Activation, r.Pass()), (zennit.types.AvgPool, r.Epsilon(tiny))]
    canonizers = [zennit.canonizers.SequentialMergeBatchNorm()]
    make = zennit.composites.SpecialFirstLayerMapComposite
    found = {}
    for name, rule in [*rules.items(), ("lrp_box", r.Epsilon(0.25))]:
        first = [(linear, r.ZBox(0.0, 1.0, tiny))] if name == "lrp_box" else [(linear, rule)]
        composite = make([*maps, (linear, rule)], first, canonizers=canonizers)
        with composite.context(model) as modified:
            inputs = x.clone().requires_grad_()
            z = modified(inputs)
            start = torch.zeros_like(z)
            columns = torch.arange(len(TARGETS))
            start[columns, TARGETS] = z[columns, TARGETS].detach()
            (found[name],) = torch.autograd.grad(z, inputs, start)
    return found


def compute() -> dict[str, np.ndarray]:
    """Return all that the file holds, computed anew."""
    import captum.attr
    import torch

    # What Zennit knows of torchvision's models, which are not needed here.
    sys.modules.setdefault("zennit.torchvision", types.ModuleType("zennit.torchvision"))
    import zennit.canonizers
    import zennit.composites
    import zennit.rules
    import zennit.types

    found: dict[str, np.ndarray] = {}
    for name, network in NETWORKS.items():
        x = input_of(network)
        found[f"{name} x"], found[f"{name} theta"] = x, network.theta.copy()
        columns = torch.tensor(np.moveaxis(x, -1, 0).copy())
        computed = {}
        if name != "tanh":
            computed |= by_zennit(torch, zennit, twin_of(torch, network), columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = twin_of(torch, network)
            computed |= by_captum(torch, captum.attr, model, columns.clone(), name)
        for method, array in computed.items():
            found[f"{name} {method}"] = np.moveaxis(array.detach().numpy(), 0, -1)
    return found


if __name__ == "__main__":
    write_archive(STORED, compute(), {})
