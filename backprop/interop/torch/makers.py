"""The modules of PyTorch for each class of layer: how one is made, of what arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop.core.extras import needs
from backprop.interop.tensors import OF_BLOCK
from backprop.interop.torch import modules
from backprop.interop.torch.axes import SEQUENCES
from backprop.interop.torch.counterparts import NoCounterpartError, module_of_activation
from backprop.layers import (
    GELU,
    GRU,
    LSTM,
    RNN,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    ChannelDropout,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Layer,
    LayerNorm,
    MaxPool1d,
    MaxPool2d,
    MultiHeadAttention,
    PositionalEncoding,
    ReLU,
    Reshape,
    RMSNorm,
    TimeStep,
    TransformerBlock,
    Transpose,
)

with needs("torch", "backprop.interop.torch"):
    from torch import nn

if TYPE_CHECKING:
    from backprop.interop.torch.outgoing import Modules, Outgoing, Shape


def _axes(layer: Layer, shape: Shape) -> int:
    """Return how many axes an example has, which the choice of a module depends on."""
    if shape is None:
        raise NoCounterpartError(
            "which of PyTorch's modules it is depends on how many axes the input has: give "
            "to_torch the input_shape of an example"
        )
    return len(shape)


def _dense(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    def make() -> nn.Module:
        tie = layer.ties.get("w") if layer.place_of is None else None
        if tie is not None and tie.transposed and type(tie.layer) is Dense:
            return modules.TransposedLinear(layer.n_out, to.dtype)
        return nn.Linear(layer.n_in, layer.n_out, dtype=to.dtype)

    return to.activated(layer, to.own(layer, make), shape, order)


def _convolution(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    windows, kind = layer.windows, getattr(nn, f"Conv{layer.axes}d")
    same = windows.padding == "same"
    own = to.own(
        layer,
        lambda: kind(
            *(layer.channels_in, layer.channels_out, windows.kernel, windows.stride),
            *(0 if same else windows.padding, windows.dilation, layer.groups),
            dtype=to.dtype,
        ),
    )
    made = to.activated(layer, own, shape, order)
    if same:
        sizes = windows.kernel, windows.stride, windows.dilation
        made = [modules.SamePadding(*sizes), *made]
    return made


def _transposed(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    kind = getattr(nn, f"ConvTranspose{layer.axes}d")
    own = to.own(
        layer,
        lambda: kind(
            *(layer.channels_in, layer.channels_out, layer.kernel, layer.stride, layer.padding),
            *(layer.output_padding, layer.groups, True, layer.dilation),
            dtype=to.dtype,
        ),
    )
    return to.activated(layer, own, shape, order)


def _pool(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    windows, largest = layer.windows, isinstance(layer, (MaxPool1d, MaxPool2d))
    kind = getattr(nn, type(layer).__name__)
    if windows.padding != "same":
        return [kind(windows.kernel, windows.stride, windows.padding)]
    fill = -np.inf if largest else 0.0
    ones = (1,) * layer.axes
    padding = modules.SamePadding(windows.kernel, windows.stride, ones, fill)
    return [padding, kind(windows.kernel, windows.stride)]


def _global_pool(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    axes = _axes(layer, shape) - 1
    if axes > 3:
        raise NoCounterpartError(f"PyTorch pools over one to three axes, and there are {axes}")
    return [getattr(nn, f"AdaptiveAvgPool{axes}d")(1), nn.Flatten()]


def _batch_norm(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    axes = max(_axes(layer, shape) - 1, 1)
    if axes > 3:
        raise NoCounterpartError(f"PyTorch has none over {axes} axes of places")

    def make() -> nn.Module:
        room: Any = nn if layer.trainable else modules
        name = f"{'' if layer.trainable else 'Frozen'}BatchNorm{axes}d"
        found = getattr(room, name)(layer.n, layer.epsilon, layer.momentum, dtype=to.dtype)
        return found if layer.trainable else found.eval()  # type: ignore[no-any-return]

    return [to.own(layer, make)]


def _norm(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    kind = getattr(nn, type(layer).__name__)
    return [to.own(layer, lambda: kind(layer.shape, eps=layer.epsilon, dtype=to.dtype))]


def _group_norm(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    sizes = layer.groups, layer.channels, layer.epsilon
    return [to.own(layer, lambda: nn.GroupNorm(*sizes, dtype=to.dtype))]


def _dropout(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    axes = 1 if type(layer) is Dropout else _axes(layer, shape)
    if axes > 4:
        raise NoCounterpartError("PyTorch has none over more than three axes of places")
    return [getattr(nn, f"Dropout{axes - 1}d" if axes > 1 else "Dropout")(layer.p)]


def _reshape(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    made: Modules = [] if shape is not None and len(shape) == 1 else [nn.Flatten()]
    if type(layer) is Flatten or len(layer.shape) == 1:
        return [nn.Flatten()]
    return [*made, nn.Unflatten(1, layer.shape)]


def _embedding(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    if shape is not None and len(shape) > 1:
        raise NoCounterpartError("its tokens have more axes than that of steps")
    return [to.own(layer, lambda: nn.Embedding(layer.n, layer.d, dtype=to.dtype))]


def _recurrent(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    options: dict[str, Any] = {}
    if layer.truncate is not None:
        raise NoCounterpartError("PyTorch does not truncate backpropagation through time")
    if layer.carry:
        raise NoCounterpartError("PyTorch's layers do not carry a state from batch to batch")
    if type(layer) is RNN:
        if layer.activation.name not in ("tanh", "relu"):
            raise NoCounterpartError("of PyTorch's RNN the activation is tanh or relu")
        options["nonlinearity"] = layer.activation.name
    kind = getattr(modules, type(layer).__name__)

    def make() -> Any:
        made = kind(layer.n_in, layer.n, batch_first=True, dtype=to.dtype, **options)
        made.backwards = layer.reverse
        return made

    return [to.own(layer, make)]


def _attention(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    def make() -> Any:
        made = modules.SelfAttention(layer.d, layer.heads, batch_first=True, dtype=to.dtype)
        made.causal = layer.causal
        return made

    return [to.own(layer, make)]


def _block(to: Outgoing, layer: Any, shape: Shape, order: str) -> Modules:
    inside = dict(layer.walk())
    leaves = [inside[path] for path in OF_BLOCK]
    if any(leaf.ties for leaf in leaves) and not all(leaf.place_of for leaf in leaves):
        raise NoCounterpartError("some of its parts share parameters, and not all")
    sigma = inside["1.1.0"].activation
    activation = module_of_activation(sigma, SEQUENCES, 2)
    # PyTorch has a way of its own through a block that predicts, and in it exact GELU and ReLU
    fast = type(sigma) is ReLU or (type(sigma) is GELU and not sigma.tanh)

    def make() -> Any:
        made = modules.EncoderLayer(
            *(layer.d, layer.heads, layer.d_hidden, layer.dropout, activation),
            *(leaves[0].epsilon, True, True),
            dtype=to.dtype,
        )
        made.self_attn.dropout, made.dropout = 0.0, nn.Dropout(0.0)
        made.causal = layer.causal
        if not fast:
            made.activation_relu_or_gelu = 0
        return made

    return [to.own(layer, make, leaves[0])]


MAKERS: dict[type, Callable[[Outgoing, Any, Shape, str], Modules]] = {
    Dense: _dense,
    Conv1d: _convolution,
    Conv2d: _convolution,
    ConvTranspose1d: _transposed,
    ConvTranspose2d: _transposed,
    MaxPool1d: _pool,
    MaxPool2d: _pool,
    AvgPool1d: _pool,
    AvgPool2d: _pool,
    GlobalAvgPool: _global_pool,
    BatchNorm: _batch_norm,
    LayerNorm: _norm,
    RMSNorm: _norm,
    GroupNorm: _group_norm,
    Dropout: _dropout,
    ChannelDropout: _dropout,
    Flatten: _reshape,
    Reshape: _reshape,
    Transpose: lambda to, layer, shape, order: [modules.Permute(layer.axes)],
    TimeStep: lambda to, layer, shape, order: [modules.TimeStep(layer.t)],
    PositionalEncoding: lambda to, layer, shape, order: [modules.PositionalEncoding()],
    Embedding: _embedding,
    MultiHeadAttention: _attention,
    TransformerBlock: _block,
    RNN: _recurrent,
    LSTM: _recurrent,
    GRU: _recurrent,
}
