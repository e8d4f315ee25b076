"""What is known of a layer's outputs, which a cost may demand of the last one."""

from __future__ import annotations

from enum import Enum
from typing import Any


class Outputs(Enum):
    """What a layer gives, and a cost demands: of every example, over the first axis."""

    ANYTHING = "any numbers"
    UNIT_INTERVAL = "numbers in [0, 1], each by itself"
    PROBABILITIES = "probabilities that add up to 1"
    ONES = "always 1, being probabilities of one class"

    def rearranged(self) -> Outputs:
        """Return what is left where the numbers stay what they are, but not their columns."""
        return Outputs.UNIT_INTERVAL if self is Outputs.PROBABILITIES else self


def within(low: float, high: float, normalized: bool, n: int | None) -> Outputs:
    """Return what is known of n values in [low, high], which add up to 1 if `normalized`."""
    if normalized:
        return Outputs.ONES if n == 1 else Outputs.PROBABILITIES
    return Outputs.UNIT_INTERVAL if low >= 0 and high <= 1 else Outputs.ANYTHING


def joined(parts: list[Outputs]) -> Outputs:
    """Return what is known of outputs one after another on the first axis."""
    if Outputs.ANYTHING in parts:
        return Outputs.ANYTHING
    return parts[0] if len(parts) == 1 else Outputs.UNIT_INTERVAL


def still_says(owner: Any, statement: str, *about: str) -> bool:
    """Say whether a statement was made with, or after, the methods that it is about.

    A subclass that computes something else in `about` has not said what the class that it is made
    from did.
    """
    cls = owner if isinstance(owner, type) else type(owner)
    places = cls.__mro__ if owner is cls else (owner, *cls.__mro__)
    for place in places:  # which is fast: it is asked of every layer before every public backward
        names = vars(place)
        if statement in names:
            return True
        for name in about:
            if name in names:
                return False
    return True


def place_of(owner: Any, name: str) -> int:
    """Return how far up an object, 0, or its classes, from 1, an attribute is defined."""
    if not isinstance(owner, type) and name in vars(owner):
        return 0
    cls = owner if isinstance(owner, type) else type(owner)
    places = (at for at, base in enumerate(cls.__mro__, 1) if name in vars(base))
    return next(places, len(cls.__mro__) + 1)


class SaysWhatItGives:
    """The part of every layer that says what is known of its outputs; see `Layer`."""

    def gives(self, taken: Any, input_shape: Any) -> Any:
        """Return what is known of the outputs, which decides what costs the layer can end in.

        Parameters
        ----------
        taken : Outputs, or tuple of them
            What is known of the inputs.
        input_shape : tuple of int
        """
        return Outputs.ANYTHING

    def known_outputs(self, taken: Any, input_shape: Any) -> Any:
        """Return what the layer `gives`, unless its class computes something else by now."""
        if not still_says(self, "gives", "output"):
            return Outputs.ANYTHING
        return self.gives(taken, input_shape)
