"""In which order the axes of a module's input are: what the modules in it say of that."""

from __future__ import annotations

from typing import Any

from backprop.core.extras import needs
from backprop.interop.torch import modules
from backprop.interop.torch.axes import CHANNELS, SEQUENCES
from backprop.interop.torch.counterparts import NoCounterpartError
from backprop.interop.torch.known_modules import takes_of
from backprop.interop.torch.states import FLAT, State
from backprop.interop.torch.structure import Group, Items, Leaf

with needs("torch", "backprop.interop.torch"):
    from torch import nn


def leaves_of(items: Items) -> list[Leaf]:
    """Return all modules of a tree, in order; those on every step by themselves as the group."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, Leaf) or (isinstance(item, Group) and item.steps):
            found.append(item)
        elif isinstance(item, Group):
            found += leaves_of(item.inside)
        else:
            found += [leaf for branch in item.branches for leaf in leaves_of(branch)]
    return found


def first_state(items: Items, input_shape: Any = None) -> State:
    """Return how the axes of the input are, which the first module tells that sees to them.

    If none does, it is by how many axes the input is said to have: N x n unless told, or turned.
    """
    turned, over_last = False, False
    for leaf in leaves_of(items):
        if isinstance(leaf, Group):
            return State(CHANNELS if turned else SEQUENCES, None)
        over_last = over_last or isinstance(leaf.module, (nn.Linear, nn.LayerNorm, nn.RMSNorm))
        takes = takes_of(leaf.module)
        kind = type(leaf.module)
        if kind in (modules.ToSequences, modules.ToChannels) and input_shape is not None:
            if len(input_shape) == 1:
                return State(FLAT, 1)
            is_channels = (kind is modules.ToSequences) != turned
            return State(CHANNELS if is_channels else SEQUENCES, len(input_shape))
        if takes == "turned":
            turned = not turned
        elif takes == "tokens":
            return State(FLAT, 1)
        elif takes is not None and not (over_last and isinstance(leaf.module, nn.Flatten)):
            order, axes = takes
            if over_last and input_shape is not None:  # a norm of some of the last ones
                axes = len(input_shape)
            if turned and order in (CHANNELS, SEQUENCES):
                order = SEQUENCES if order == CHANNELS else CHANNELS
            return State(order, axes)
    axes = 1 if input_shape is None else len(input_shape)
    if input_shape is None and any(takes_of(leaf.module) == "turned" for leaf in leaves_of(items)):
        axes = 2
    if axes == 1:
        return State(FLAT, 1)
    return State(SEQUENCES if over_last and axes == 2 else CHANNELS, axes)


def time_first(items: Items) -> bool:
    """Say whether sequences are T x N x d: not batch_first.

    Raises
    ------
    NoCounterpartError
        If they are of some modules, and not of others.
    """
    seen = {
        bool(leaf.module.batch_first): leaf.name
        for leaf in leaves_of(items)
        if isinstance(leaf, Leaf) and hasattr(leaf.module, "batch_first")
    }
    for leaf in leaves_of(items):
        attention = getattr(getattr(leaf, "module", None), "self_attn", None)
        if attention is not None:
            seen[bool(attention.batch_first)] = leaf.name
    if len(seen) > 1:
        raise NoCounterpartError(
            f"submodule {seen[True]!r} is batch_first, and {seen[False]!r} is not: make both so"
        )
    return False in seen
