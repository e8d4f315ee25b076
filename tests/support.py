"""Helpers that several test modules share."""

from __future__ import annotations

from typing import Any


def name_of(value: Any) -> str:
    """Return an id for a parametrised value that is the same in every process."""
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else repr(value)
