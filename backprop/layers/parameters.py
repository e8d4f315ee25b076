"""Parameters and gradients: arrays of a layer that are views of its flat vectors."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from backprop.core.shapes import ShapeError, copy_into


class Parameter(property):
    """A named array of a layer that lives in the layer's flat vector `theta`.

    Reading gives the array itself, a view of `theta`, to be changed in place as one likes.
    Assigning copies the values into that view and never replaces it, so the flat vector, the
    optimizer and the layer cannot come apart. The shape must be exactly right: nothing is
    broadcast (write ``layer.b[...] = 0`` for that).

    Parameters
    ----------
    regularized : bool
        Whether regularisation and weight decay apply: True for weights, False for biases.
    """

    def __init__(self, regularized: bool = False) -> None:
        super().__init__()
        self.regularized = regularized

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, 'name', '')}>"

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        key = "_view_" + name  # a property whose getter is no Python function: a third of the time

        def assign(layer: Any, value: Any) -> None:
            copy_into(layer.__dict__[key], value, name, layer)

        super().__init__(operator.attrgetter(key), assign)

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def __get__(self, layer: None, owner: type) -> Parameter: ...
        @overload
        def __get__(self, layer: object, owner: type) -> np.ndarray: ...
        def __get__(self, layer: object | None, owner: type) -> Parameter | np.ndarray: ...
        def __set__(self, layer: object, value: Any) -> None: ...


class Gradient(Parameter):
    """The gradient of the cost by a parameter: a view of the layer's flat vector `nabla`.

    The gradient of the parameter ``w`` is called ``nabla_w``. `Layer.backward` overwrites it.
    """


@dataclass(frozen=True)
class Tie:
    """Where the numbers of a parameter are that is another layer's.

    Attributes
    ----------
    layer : Layer
        The one whose parameter it is.
    name : str
        Of that parameter.
    transposed : bool
        Whether it is seen with its axes reversed, as w^T.
    nabla : ndarray
        What this place adds to the gradient, in the shape it has here.
    """

    layer: Any
    name: str
    transposed: bool
    nabla: np.ndarray = field(repr=False)

    @property
    def is_ready(self) -> bool:
        """Whether the other layer has its numbers: one that is being copied has none yet."""
        return "_view_" + self.name in vars(self.layer)

    @property
    def array(self) -> np.ndarray:
        """The numbers: a view of the other layer's parameter."""
        array: np.ndarray = getattr(self.layer, self.name)
        return array.T if self.transposed else array

    def add_gradient(self, place: Any) -> None:
        """Add what `place`, whose tie this is, gave to the gradient of the parameter.

        Unless the parameter is frozen. A place that is frozen itself gives all the same, and the
        gradients of what is its own are 0.
        """
        if self.layer.wants_gradients():
            total: np.ndarray = getattr(self.layer, "nabla_" + self.name)
            total += self.nabla.T if self.transposed else self.nabla
        if not place.wants_own_gradients():
            place.nabla[...] = 0

    def astype(self, dtype: Any) -> Tie:
        """Return the same tie with room for a gradient of another dtype."""
        return Tie(self.layer, self.name, self.transposed, self.nabla.astype(dtype))


_room: ContextVar[list[int] | None] = ContextVar("room", default=None)


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Within this, let new layers have no more than so many parameters together.

    For those that a file describes, which may be damaged, and whose numbers it holds.
    """
    token = _room.set([size])
    try:
        yield
    finally:
        _room.reset(token)


def check_room(owner: object, size: int) -> None:
    """Raise a ValueError if there is no room for so many parameters; see `room_for`."""
    room = _room.get()
    if room is not None:
        room[0] -= size
        if room[0] < 0:
            raise ValueError(f"{type(owner).__name__} has {size:,} parameters, which are not there")


def check_tie(owner: object, name: str, here: np.ndarray, there: np.ndarray, what: str) -> None:
    """Raise unless the parameter `name` of `owner` may be the array `there`."""
    if here.shape != there.shape:
        raise ShapeError(f"{owner}: {name} has shape {here.shape}, and {what} {there.shape}")
    if here.dtype != there.dtype:
        raise TypeError(f"{owner}: {name} is {here.dtype}, and {what} {there.dtype}")
