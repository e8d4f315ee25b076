"""Which line of a program called into the package, for warnings to name."""

from __future__ import annotations

import sys

_PACKAGE = __name__.partition(".")[0]


def stacklevel() -> int:
    """Return what `warnings.warn` takes as its stacklevel to name the first line outside."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_inside(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    return level


def _is_inside(module: str) -> bool:
    return module.partition(".")[0] in (_PACKAGE, "contextlib")
