"""Parameters that stand in several places: shared in PyTorch where they are tied here, and back."""

from __future__ import annotations

from typing import Any

from backprop.core.extras import needs
from backprop.interop.torch import modules
from backprop.interop.torch.counterparts import NoCounterpartError
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Embedding,
    GroupNorm,
    Layer,
    LayerNorm,
    RMSNorm,
)

with needs("torch", "backprop.interop.torch"):
    from torch import nn

WHOLE = {"w": "weight", "b": "bias", "g": "weight"}
OF_CLASS: dict[type, dict[str, str]] = {
    **dict.fromkeys((Dense, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d), WHOLE),
    **dict.fromkeys((BatchNorm, LayerNorm, GroupNorm, RMSNorm, Embedding), WHOLE),
    **{key: {"w": "weight_ih_l0", "w_h": "weight_hh_l0"} for key in (RNN, LSTM, GRU)},
}
"""By class and our name the one tensor that holds a parameter whole, as PyTorch calls it."""


def tensor_name(layer: Layer, name: str) -> str | None:
    """Return what PyTorch calls the tensor that holds just this parameter; None if none does."""
    return OF_CLASS.get(type(layer), {}).get(name)


def is_turned(layer: Layer) -> bool:
    """Say whether PyTorch has the weights of a layer with their axes reversed."""
    return type(layer) is Embedding


def share_tied(owned: dict[int, tuple[Layer, nn.Module]]) -> None:
    """Let modules share the parameters that the layers they were made of share.

    Raises
    ------
    NoCounterpartError
        If a tie is to a layer that is not there, or of what is only a part of a tensor there.
    """
    for layer, module in owned.values():
        for name, tie in layer.ties.items():
            there = owned.get(id(tie.layer))
            ours, theirs = tensor_name(layer, name), tensor_name(tie.layer, tie.name)
            if there is None:
                raise refused(layer, name, f"{tie.layer}, to which it is tied, is no part of it")
            if isinstance(module, modules.TransposedLinear) and name == "w":
                module.source = there[1]
                continue
            turned = tie.transposed ^ is_turned(layer) ^ is_turned(tie.layer)
            kinds = {type(layer), type(tie.layer)}
            mixed = len(kinds) > 1 and kinds & {LSTM, GRU}
            if ours is None or theirs is None or turned or mixed:
                raise refused(layer, name, f"it is no whole tensor of that of {tie.layer}")
            setattr(module, ours, getattr(there[1], theirs))


def refused(layer: Layer, name: str, why: str) -> NoCounterpartError:
    """Return the error for a tie that cannot be made."""
    return NoCounterpartError(
        f"the tie of {name} of {layer} has no counterpart in PyTorch: {why}. Load the network's "
        "numbers into a copy without the tie"
    )


class Known:
    """The tensors that have come in, and the parameters that they have become.

    A tensor that comes again becomes a tie to the first place.
    """

    def __init__(self) -> None:
        self.places: dict[int, tuple[Layer, str, Any]] = {}

    def note(self, layer: Layer, tensors: dict[str, Any], owner: str) -> None:
        """Note the tensors that a layer has the numbers of, by name, and tie what is known.

        Raises
        ------
        NoCounterpartError
            If a tensor that is shared cannot be: the message names both modules.
        """
        whole = {tensor_name(layer, name): name for name in layer.parameter_names}
        for key, tensor in tensors.items():
            before = self.places.get(id(tensor))
            if before is None:
                self.places[id(tensor)] = (layer, key, owner)
                continue
            first, first_key, first_owner = before
            name = whole.get(key)
            of = {tensor_name(first, n): n for n in first.parameter_names}.get(first_key)
            if name is None or of is None:
                raise NoCounterpartError(
                    f"submodule {owner!r}: its {key}, which {first_owner!r} has as well, cannot be "
                    "shared here: give the submodule a copy of its own"
                )
            if name not in layer.ties:
                turned = is_turned(layer) ^ is_turned(first)
                layer.tie(name, first, of, transposed=turned)
