"""What a network needs to know that a module of PyTorch does not say: its input, and a cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backprop.core.extras import needs
from backprop.costs import CrossEntropy, MeanSquaredError, SoftmaxCrossEntropy
from backprop.interop.torch.counterparts import NoCounterpartError
from backprop.layers import (
    Activation,
    Dense,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    MultiHeadAttention,
    Parallel,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    Softmax,
    TimeDistributed,
    TransformerBlock,
)
from backprop.layers.convolution import WindowedNeurons
from backprop.layers.recurrent.base import Recurrent

with needs("torch", "backprop.interop.torch"):
    from torch import nn


def guessed_input_shape(layers: Sequence[Layer]) -> Any:
    """Return the input shape of a chain, None in the place of any length; None if none tells."""
    for layer in layers:
        made: Any = layer
        if isinstance(layer, WindowedNeurons):
            return (layer.channels_in, *[None] * layer.axes)
        if isinstance(layer, Recurrent):
            return (layer.n_in, None)
        if isinstance(layer, (MultiHeadAttention, TransformerBlock)):
            return (made.d, None)
        if isinstance(layer, Embedding):
            return (None,)
        if isinstance(layer, TimeDistributed):
            of_step = guessed_input_shape([layer.layer])
            return None if of_step is None else (*of_step, None)
        if isinstance(layer, (Sequential, Residual)):
            found = guessed_input_shape(layer.children)
            if found is not None:
                return found
            continue
        if isinstance(layer, Parallel):
            known = (guessed_input_shape([branch]) for branch in layer.children)
            return next((shape for shape in known if shape is not None), None)
        if isinstance(layer, Dense):
            return layer.input_shape
        if isinstance(layer, (LayerNorm, RMSNorm)) and len(layer.shape) > 1:
            return layer.shape
        if not isinstance(layer, (Activation, Dropout, LayerNorm, RMSNorm)):
            return None
    return None


def cost_of(cost: Any) -> tuple[Any, Activation | None]:
    """Return a cost, and the activation that is part of a loss of PyTorch.

    Raises
    ------
    NoCounterpartError
        If it is a loss, or has an option, that has none.
    """
    if not isinstance(cost, nn.Module):
        return cost, None
    if getattr(cost, "weight", None) is not None or getattr(cost, "reduction", "mean") != "mean":
        raise NoCounterpartError(
            f"the loss {cost}: weights are given to fit, class_weight=..., and a cost is the mean"
        )
    kind = type(cost)
    if getattr(cost, "ignore_index", -100) != -100:
        raise NoCounterpartError(f"the loss {cost}: steps are left out by the label -1")
    if kind is nn.NLLLoss:
        return SoftmaxCrossEntropy(), None
    if kind is nn.CrossEntropyLoss:
        return SoftmaxCrossEntropy(float(cost.label_smoothing)), Softmax()
    if kind is nn.BCEWithLogitsLoss and cost.pos_weight is None:
        return CrossEntropy(), Sigmoid()
    if kind is nn.BCELoss:
        return CrossEntropy(), None
    if kind is nn.MSELoss:
        return MeanSquaredError(), None
    raise NoCounterpartError(f"the loss {cost} has no counterpart here: give a cost, or its name")
