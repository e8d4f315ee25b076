"""Attributes whose assignment is checked, and whose reading costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any


class OnAssignment:
    """A decorator: ``instance.name = value`` calls the method, which keeps the value in `vars`.

    There is no `__get__` at run time, so that Python reads the attribute straight from `vars`.
    """

    def __init__(self, assign: Callable[[Any, Any], None]) -> None:
        self.assign = assign
        self.__doc__ = assign.__doc__

    if TYPE_CHECKING:

        def __get__(self, instance: Any, owner: Any) -> Any: ...

    def __set__(self, instance: Any, value: Any) -> None:
        self.assign(instance, value)
