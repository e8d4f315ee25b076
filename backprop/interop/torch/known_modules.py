"""Which modules of PyTorch are known: how each is read, and which axes it wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backprop.core.extras import needs
from backprop.interop.torch import modules
from backprop.interop.torch.axes import CHANNELS, SEQUENCES
from backprop.interop.torch.functions import LinearOf, Mean
from backprop.interop.torch.readers import (
    read_batch_norm,
    read_convolution,
    read_dropout,
    read_flatten,
    read_global_pool,
    read_group_norm,
    read_linear,
    read_mean,
    read_norm,
    read_permute,
    read_pool,
    read_same_padding,
    read_turned,
    read_unflatten,
)
from backprop.interop.torch.sequence_readers import (
    read_attention,
    read_embedding,
    read_encoder,
    read_positions,
    read_recurrent,
    read_time_step,
)
from backprop.interop.torch.states import FLAT, Found, State

with needs("torch", "backprop.interop.torch"):
    from torch import nn

if TYPE_CHECKING:
    from backprop.interop.torch.incoming import Incoming
    from backprop.interop.torch.structure import Leaf


def takes_of(module: nn.Module) -> Any:
    """Return the state that a module wants, as (order, axes); "turned", "tokens", or None."""
    kind = type(module)
    if kind in (modules.ToSequences, modules.ToChannels):
        return "turned"
    if kind is modules.Permute:
        return "turned" if module.axes == (1, 0) else (CHANNELS, len(module.axes))
    if kind is nn.Embedding:
        return "tokens"
    if kind in TAKES:
        return TAKES[kind]
    if kind in (nn.LayerNorm, nn.RMSNorm) and len(module.normalized_shape) > 1:
        return CHANNELS, len(module.normalized_shape)
    if kind in (nn.Flatten, nn.Unflatten):
        return (FLAT, 1) if kind is nn.Unflatten else (CHANNELS, None)
    if kind is Mean:
        return (CHANNELS, 3) if len(module.dim) == 2 else None
    return None


Reader = Callable[["Incoming", "Leaf", State, Any, Any], Found]

READERS: dict[type, Reader] = {
    **dict.fromkeys((nn.Linear, modules.TransposedLinear, LinearOf), read_linear),
    **dict.fromkeys(
        (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d), read_convolution
    ),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d), read_pool),
    **dict.fromkeys(
        (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), read_global_pool
    ),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), read_batch_norm),
    **dict.fromkeys(
        (modules.FrozenBatchNorm1d, modules.FrozenBatchNorm2d, modules.FrozenBatchNorm3d),
        read_batch_norm,
    ),
    **dict.fromkeys((nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d), read_group_norm),
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm), read_norm),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d), read_dropout),
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), read_recurrent),
    **dict.fromkeys((modules.RNN, modules.LSTM, modules.GRU), read_recurrent),
    **dict.fromkeys((nn.MultiheadAttention, modules.SelfAttention), read_attention),
    **dict.fromkeys((nn.TransformerEncoderLayer, modules.EncoderLayer), read_encoder),
    **dict.fromkeys((modules.ToSequences, modules.ToChannels), read_turned),
    nn.Flatten: read_flatten,
    nn.Unflatten: read_unflatten,
    nn.Embedding: read_embedding,
    Mean: read_mean,
    modules.SamePadding: read_same_padding,
    modules.Permute: read_permute,
    modules.TimeStep: read_time_step,
    modules.PositionalEncoding: read_positions,
}

TAKES: dict[type, tuple[str, int | None]] = {
    **dict.fromkeys((nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d), (CHANNELS, 2)),
    **dict.fromkeys((nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d), (CHANNELS, 3)),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.Dropout1d, nn.InstanceNorm1d), (CHANNELS, 2)),
    **dict.fromkeys((nn.AdaptiveAvgPool2d, nn.Dropout2d, nn.InstanceNorm2d), (CHANNELS, 3)),
    **dict.fromkeys((nn.BatchNorm2d, modules.FrozenBatchNorm2d), (CHANNELS, 3)),
    **dict.fromkeys((nn.BatchNorm3d, modules.FrozenBatchNorm3d, nn.Dropout3d), (CHANNELS, 4)),
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), (SEQUENCES, 2)),
    **dict.fromkeys((modules.RNN, modules.LSTM, modules.GRU), (SEQUENCES, 2)),
    **dict.fromkeys((nn.MultiheadAttention, modules.SelfAttention), (SEQUENCES, 2)),
    **dict.fromkeys((nn.TransformerEncoderLayer, modules.EncoderLayer), (SEQUENCES, 2)),
    **dict.fromkeys((modules.TimeStep, modules.PositionalEncoding), (SEQUENCES, 2)),
    modules.SamePadding: (CHANNELS, None),
}
