"""How the axes of an array are on its way through the modules of PyTorch."""

from __future__ import annotations

from typing import Any, NamedTuple

from backprop.interop.torch.axes import SEQUENCES
from backprop.interop.torch.counterparts import NoCounterpartError
from backprop.layers import Layer, Transpose

FLAT = "flat"


class State(NamedTuple):
    """How the axes of an array are: FLAT, CHANNELS or SEQUENCES, and how many an example has."""

    order: str
    axes: int | None

    def is_features(self, dim: Any) -> bool:
        """Say whether an axis of PyTorch's array is that of features, the first one here."""
        if dim is None:
            return False
        if self.order == FLAT:
            return dim in (1, -1)
        if self.order == SEQUENCES:
            return dim in (2, -1)
        return dim == 1 or (self.axes is not None and dim == -self.axes)


def joined_state(one: State, other: State) -> State | None:
    """Return the state of what branches give that end so; None if they cannot meet."""
    if one.order != other.order:
        return None
    return State(one.order, one.axes if one.axes is not None else other.axes)


Found = tuple[list[Layer], State, int]


def in_order(state: State, wanted: str) -> tuple[list[Layer], State]:
    """Return what makes an array of three axes one of the order that a module takes it for."""
    if state.order in (wanted, FLAT) or (state.axes or 2) < 2:
        return [], state if state.order == wanted else State(wanted, state.axes)
    if state.axes not in (None, 2):
        raise NoCounterpartError(
            f"it takes N x T x d, and is given {state.axes} axes: bring the features to axis 1"
        )
    return [Transpose((1, 0))], State(wanted, 2)  # what was axis 1 is axis 2 to it
