"""Where the axes are: the batch last here, first in PyTorch, and for sequences the steps after it.

====================  =======================  ============================
here                  PyTorch                  which order that is
====================  =======================  ============================
n x B                 N x n                    both
C x H x W x B         N x C x H x W            CHANNELS: features as they are
d x T x B             N x d x T, of signals    CHANNELS
d x T x B             N x T x d, of sequences  SEQUENCES: steps after the batch
C x H x W x T x B     N x T x C x H x W        SEQUENCES
T x B, tokens         N x T                    both
====================  =======================  ============================

Convolutions, pools, BatchNorm, GroupNorm and whatever reshapes see channels; recurrent layers,
attention, positions, TimeDistributed, LayerNorm over one axis and TimeStep see sequences; all
others take either as it comes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.extras import needs
from backprop.core.shapes import is_several
from backprop.graph import Graph
from backprop.layers import (
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    ChannelDropout,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Embedding,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Layer,
    LayerNorm,
    Masked,
    MaxPool1d,
    MaxPool2d,
    MultiHeadAttention,
    Parallel,
    PositionalEncoding,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
    Transpose,
)
from backprop.layers.recurrent.base import Recurrent

with needs("torch", "backprop.interop.torch"):
    from torch import Tensor

CHANNELS, SEQUENCES = "channels", "sequences"

OF_SEQUENCES = (MultiHeadAttention, PositionalEncoding, TimeDistributed, TransformerBlock, TimeStep)
OF_CHANNELS = (
    *(Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d),
    *(MaxPool1d, MaxPool2d, AvgPool1d, AvgPool2d, GlobalAvgPool),
    *(BatchNorm, GroupNorm, ChannelDropout, Flatten, Reshape, Transpose, Graph),
)


def check_order(owner: str, order: str | None) -> None:
    """Raise a ValueError unless it is the name of an order, or None."""
    if order not in (None, CHANNELS, SEQUENCES):
        raise ValueError(f"{owner}: order must be 'channels' or 'sequences', got {order!r}")


def axes_of(shape: Any) -> int | None:
    """Return how many axes an example of this shape has; None of no shape, or of several."""
    return None if shape is None or is_several(shape) else len(shape)


def order_of(layer: Layer, axes: int | None = None) -> tuple[str | None, str | None]:
    """Return the orders of axes that the layer takes and gives; None for whatever comes.

    `axes` is how many an example has, if that is known: of more than two, as images have, a
    normalisation over one takes either.
    """
    kind = type(layer)
    if kind is Embedding:
        return None, SEQUENCES
    if kind in OF_SEQUENCES or isinstance(layer, Recurrent):
        return SEQUENCES, SEQUENCES
    if kind in (LayerNorm, RMSNorm):
        if axes is not None and axes > 2:
            return None, None
        order = SEQUENCES if len(layer.shape) == 1 else CHANNELS  # type: ignore[attr-defined]
        return order, order
    if kind in OF_CHANNELS:
        return CHANNELS, CHANNELS
    if kind in (Sequential, Masked, Residual):
        takes = gives = None
        for child in layer.children:
            of_child = order_of(child, axes)
            takes = takes or (of_child[0] if gives is None else None)
            gives = of_child[1] or gives
        return (takes, takes or gives) if kind is Residual else (takes, gives)
    if kind is Parallel:
        orders = [order_of(child, axes) for child in layer.children]
        takes = next((order for order, _ in orders if order), None)
        return takes, next((order for _, order in orders if order), takes)
    return None, None


def to_rows(array: Any, order: str | None) -> Any:
    """Return an array, or tensor, with the batch last as one with the batch first, a view."""
    move = array.movedim if isinstance(array, Tensor) else _mover(array)
    if order == SEQUENCES and array.ndim > 2:
        return move((-1, -2), (0, 1))
    return move(-1, 0)


def to_columns(array: Any, order: str | None) -> Any:
    """Return an array, or tensor, with the batch first as one with the batch last, a view."""
    move = array.movedim if isinstance(array, Tensor) else _mover(array)
    if order == SEQUENCES and array.ndim > 2:
        return move((0, 1), (-1, -2))
    return move(0, -1)


def _mover(array: Any) -> Any:
    return lambda source, destination: np.moveaxis(array, source, destination)
