"""Files of text, and the numbers in them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any


def open_text(path: Path, charset: str = "utf-8-sig") -> Any:
    """Open a file of text that is plain, or compressed by gzip, whatever its name."""
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    if compressed:
        return gzip.open(path, "rt", encoding=charset, newline="")
    return open(path, encoding=charset, newline="")


def is_number(text: str) -> bool:
    """Say whether a text is a number, as `float` reads it; 12_34 is none outside of Python."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
