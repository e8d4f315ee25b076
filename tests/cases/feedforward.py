"""The layers that feed forward: activations, dense, dropout and shapes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from backprop.layers import (
    ELU,
    GELU,
    Activation,
    ChannelDropout,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Identity,
    Layer,
    LeakyReLU,
    ReLU,
    Reshape,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    TimeStep,
    Transpose,
)
from tests.cases.base import BOOK, Case


def activations() -> list[Activation]:
    """Return one of every activation, with arguments that are not the defaults where it has any."""
    return [
        Identity(),
        Sigmoid(),
        Tanh(),
        ReLU(),
        LeakyReLU(0.2),
        ELU(0.7),
        GELU(),
        GELU(tanh=True),
        SiLU(),
        Softplus(),
        Softmax(),
    ]


def _dense(sigma: Activation) -> Callable[[Any], Layer]:
    return lambda dtype: Dense(4, 3, sigma, *BOOK, dtype=dtype, rng=1)


CASES = [
    *(Case(f"dense-{sigma.name}", _dense(sigma), (4,)) for sigma in activations()),
    *(Case(s.name, lambda dtype, s=s: copy.deepcopy(s), (5,)) for s in activations()),
    *(Case(f"{s.name}-3d", lambda dtype, s=s: copy.deepcopy(s), (4, 2)) for s in activations()),
    Case("dense-1-1", lambda dtype: Dense(1, 1, dtype=dtype, rng=2), (1,)),
    Case("dropout", lambda dtype: Dropout(0.4, rng=3), (6,)),
    Case("dropout-3d", lambda dtype: Dropout(0.3, rng=4), (2, 3, 4)),
    Case("dropout-0", lambda dtype: Dropout(0.0, rng=5), (4,)),
    Case("channel-dropout", lambda dtype: ChannelDropout(0.4, rng=6), (3, 2, 2)),
    Case("gaussian-noise", lambda dtype: GaussianNoise(0.5, rng=7), (3, 2)),
    Case("reshape", lambda dtype: Reshape((2, 3)), (6,)),
    Case("reshape-rest", lambda dtype: Reshape((4, -1)), (2, 6)),
    Case("flatten", lambda dtype: Flatten(), (2, 3, 4)),
    Case("transpose", lambda dtype: Transpose((2, 0, 1)), (2, 3, 4)),
    Case("time-step", lambda dtype: TimeStep(1), (2, 3)),
    Case("time-step-last", lambda dtype: TimeStep(), (3, 2)),
]


def activated(torch: Any, sigma: Activation, z: Any) -> Any:
    """Return sigma(z) from PyTorch: what a layer that owns its activation ends with."""
    return PEERS[type(sigma)](torch, sigma, z, {})


PEERS: dict[type, Callable[..., Any]] = {
    Identity: lambda torch, layer, x, p: x.clone(),
    Sigmoid: lambda torch, layer, x, p: torch.sigmoid(x),
    Tanh: lambda torch, layer, x, p: torch.tanh(x),
    ReLU: lambda torch, layer, x, p: torch.relu(x),
    LeakyReLU: lambda torch, layer, x, p: torch.nn.functional.leaky_relu(x, layer.slope),
    ELU: lambda torch, layer, x, p: torch.nn.functional.elu(x, layer.alpha),
    GELU: lambda torch, layer, x, p: torch.nn.functional.gelu(
        x, approximate="tanh" if layer.tanh else "none"
    ),
    SiLU: lambda torch, layer, x, p: torch.nn.functional.silu(x),
    Softplus: lambda torch, layer, x, p: torch.nn.functional.softplus(x, threshold=1e9),
    Softmax: lambda torch, layer, x, p: torch.softmax(x, dim=0),
    Dense: lambda torch, layer, x, p: activated(
        torch, layer.activation, torch.nn.functional.linear(x.T, p["w"], p["b"][:, 0]).T
    ),
    # PyTorch cannot be given a mask or noise: they are ours, and the rest is its arithmetic.
    Dropout: lambda torch, layer, x, p: x * torch.from_numpy(layer.mask),
    ChannelDropout: lambda torch, layer, x, p: x * torch.from_numpy(layer.mask),
    GaussianNoise: lambda torch, layer, x, p: x + torch.from_numpy(layer.noise),
    Reshape: lambda torch, layer, x, p: (
        x.movedim(-1, 0).reshape(x.shape[-1], *layer.shape).movedim(0, -1)
    ),
    Flatten: lambda torch, layer, x, p: torch.flatten(x.movedim(-1, 0), start_dim=1).T,
    Transpose: lambda torch, layer, x, p: x.permute(*layer.axes, x.ndim - 1),
    TimeStep: lambda torch, layer, x, p: x.select(1, layer.t),
}

DRAWN: dict[type, tuple[str, Callable[..., Any]]] = {
    Dropout: ("mask", lambda x, mask: mask * x),
    ChannelDropout: ("mask", lambda x, mask: mask * x),
    GaussianNoise: ("noise", lambda x, noise: x + noise),
}
