"""What has a counterpart in PyTorch and what has none, and why; activations, one for one."""

from __future__ import annotations

from typing import Any

from backprop.core.extras import needs
from backprop.graph import MatMul, Variable
from backprop.interop.torch.axes import SEQUENCES
from backprop.layers import (
    ELU,
    GELU,
    Activation,
    GaussianNoise,
    Identity,
    LeakyReLU,
    Masked,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

with needs("torch", "backprop.interop.torch"):
    from torch import nn

WITHOUT_COUNTERPART: dict[type, str] = {
    GaussianNoise: "PyTorch has no layer that adds noise",
    MatMul: "products of two nodes are not converted",
    Variable: "parameters that are nodes are not converted",
    Masked: "PyTorch hands masks from layer to layer by hand, or packs sequences",
}
"""The layers that `to_torch` refuses, and why; of others some options, which the errors name."""

STRAIGHT = 40.0
"""From where ln(1 + exp z) is z to the last digit of a float64: PyTorch's own 20 is not enough."""


class NoCounterpartError(ValueError):
    """Something has no counterpart on the other side; the message names it, and the reason."""


def module_of_activation(sigma: Activation, order: str | None, axes: int | None) -> nn.Module:
    """Return PyTorch's module of an activation, for arrays of an order and so many axes.

    Raises
    ------
    NoCounterpartError
        If it is a class of somebody's own.
    """
    kind: Any = type(sigma)
    made: Any = sigma
    if kind in (Identity, Sigmoid, Tanh, ReLU, SiLU):
        return getattr(nn, kind.__name__)()  # type: ignore[no-any-return]
    if kind is LeakyReLU:
        return nn.LeakyReLU(made.slope)
    if kind is ELU:
        return nn.ELU(made.alpha)
    if kind is GELU:
        return nn.GELU(approximate="tanh" if made.tanh else "none")
    if kind is Softplus:
        return nn.Softplus(threshold=STRAIGHT)
    if kind is Softmax:
        if order != SEQUENCES:
            return nn.Softmax(dim=1)
        return nn.Softmax(dim=2 if axes is not None and axes > 2 else -1)
    raise NoCounterpartError(f"{sigma}: the activation is a class of its own")


def activation_of_module(module: nn.Module) -> Activation | None:
    """Return our activation for a module that is one; None for another. Softmax is by its axis.

    Raises
    ------
    NoCounterpartError
        If it has an option that has none.
    """
    kind, made = type(module), module
    simple: dict[Any, type[Activation]] = {
        nn.Identity: Identity,
        nn.Sigmoid: Sigmoid,
        nn.Tanh: Tanh,
        nn.ReLU: ReLU,
        nn.SiLU: SiLU,
        nn.Softmax: Softmax,
    }
    if kind in simple:
        return simple[kind]()
    if kind is nn.LeakyReLU:
        return LeakyReLU(float(made.negative_slope))
    if kind is nn.ELU:
        return ELU(float(made.alpha))
    if kind is nn.GELU:
        return GELU(made.approximate == "tanh")
    if kind is nn.Softplus:
        if made.beta != 1:
            raise NoCounterpartError(f"of a Softplus only beta=1 has one, got {made.beta}")
        if made.threshold < 20:
            raise NoCounterpartError(
                f"of a Softplus a threshold below 20 has none, got {made.threshold}"
            )
        return Softplus()
    return None
