"""Data, style and scripts as one file of HTML that asks nothing of any other host."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backprop.core.storage import write_text

FOLDER = Path(__file__).parent
STYLES = ("explorer.css", "step.css", "picture.css")
SCRIPTS = (
    "numbers.js",
    "views.js",
    "paint.js",
    "maps.js",
    "formulas.js",
    "elements.js",
    "dense.js",
    "convolution.js",
    "costs.js",
    "curve.js",
    "network.js",
    "panel.js",
    "steps.js",
    "main.js",
)


def write(path: Any, content: Mapping[str, Any]) -> Path:
    """Write a page into the file `path`, whole or not at all, and return the path.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    return write_text(path, page(content))


def check_path(owner: str, path: Any) -> Path:
    """Return a path; TypeError if it is none, ValueError if it cannot be that of a page."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{owner}: path must be that of a file, got {path!r}")
    found = Path(path)
    if found.suffix.lower() not in (".html", ".htm"):
        raise ValueError(
            f"{owner}: path must end in .html, so that a browser opens it, got {str(path)!r}"
        )
    return found


def page(content: Mapping[str, Any]) -> str:
    """Return a page as text.

    Whatever names the data hold, they stand in it as data and end no script: ``<`` is written as
    ``\\u003c``, and the scripts put them into the page as text.
    """
    data = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts = {
        "style": "\n".join(map(_read, STYLES)),
        "data": data,
        "script": "\n".join(map(_read, SCRIPTS)),
    }
    return re.sub("@(style|data|script)@", lambda found: parts[found[1]], _read("explorer.html"))


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
