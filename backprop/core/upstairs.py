"""The one way by which a lower floor reaches a higher one: when it is called, and not before.

``network.trace(x, y)`` is a method, for that is where people look for it; what it does belongs to
a room above, which a program that only trains never loads.
"""

from __future__ import annotations

import importlib
from typing import Any


def upstairs(module: str) -> Any:
    """Return a module of a higher floor, imported now. The table of floors lists who does so."""
    return importlib.import_module(module)
