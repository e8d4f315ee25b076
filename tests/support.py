"""Helpers that several test modules share."""

from __future__ import annotations

import re
from typing import Any


def refusal_of(size: Any, least: int = 1) -> tuple[type[Exception], str]:
    """Return the error that a size, which is none, is refused with, and how its message ends."""
    if isinstance(size, int) and not isinstance(size, bool):
        return ValueError, f"must be at least {least}, got {size}$"
    return TypeError, f"must be an integer, got {re.escape(repr(size))}$"


def name_of(value: Any) -> str:
    """Return an id for a parametrised value that is the same in every process."""
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else repr(value)
