"""What a layer was made with, which its parameters, its passes and its description follow from.

A constructor's argument is fixed once the layer is made. Where another value makes sense later, the
class says how it is assigned: `activation` of layers that end in one, `p` of `Dropout`, `std` of
`GaussianNoise`, each by `OnAssignment`; a class of your own by a property with a setter. The next
pass, copies and files then have what was assigned, and a pass back what the pass up had.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from backprop.core.assignment import OnAssignment
from backprop.core.config import Configurable, arguments_of
from backprop.core.shapes import as_tuple


class MadeOnce:
    """The part of every layer that sees to this; see `Layer`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _ending_in_what_is_fixed(vars(cls)["__init__"])  # type: ignore[method-assign]


def _ending_in_what_is_fixed(init: Any) -> Any:
    """Return a constructor after which, if no subclass goes on, the arguments are fixed."""

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if type(self).__init__ is __init__:
            fix_arguments(self)

    return __init__


class Fixed(OnAssignment):
    """An argument that is assigned while a layer is being made, and not afterwards."""

    def __init__(self, name: str) -> None:
        def assign(layer: Any, value: Any) -> None:
            if vars(layer).get("_made"):
                raise AttributeError(
                    f"{layer}: {name} cannot be assigned, what the layer is follows from it: make "
                    f"another one, {type(layer).__name__}(..., {name}=...)"
                )
            vars(layer)[name] = value

        super().__init__(assign)


def fix_arguments(layer: Any) -> None:
    """Let the arguments that a layer has kept be what they are from now on."""
    cls: Any = type(layer)
    for name in vars(layer).keys() & _arguments_of(cls):
        known = inspect.getattr_static(cls, name, None)
        if not (hasattr(known, "__set__") or callable(known)):  # nor in the place of a method
            setattr(cls, name, Fixed(name))
    vars(layer)["_made"] = True


@functools.cache
def _arguments_of(cls: Any) -> frozenset[str]:
    return frozenset(arguments_of(cls))


def check_assignable(layer: Any, name: str) -> None:
    """Raise an AttributeError if the layer stands in one that says by its own arguments what it is.

    Its description, and so a file, would not have what was assigned.
    """
    owner = layer.owner
    while isinstance(owner, Configurable):
        if not _describes_layers(owner):
            raise AttributeError(
                f"{layer}: {name} cannot be assigned, what is inside of {owner} follows from its "
                f"arguments: make another {type(owner).__name__}"
            )
        owner = owner.owner  # type: ignore[attr-defined]


def _describes_layers(container: Any) -> bool:
    """Say whether the description of a container holds those of the layers inside."""
    if type(container).config is not Configurable.config:
        return True  # it is the author's
    kind: Any = type(container)
    kept = [getattr(container, name, None) for name in _arguments_of(kind)]
    parts = [part for value in kept for part in as_tuple(value)]
    return any(part is child for part in parts for child in container.children)
