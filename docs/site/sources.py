"""A page for every file that the documentation points to, and for every folder of such files."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def place(path: str) -> str:
    """Return where the site has the page of a file or folder of the checkout."""
    return f"code/{path}.rst"


def page(path: str, files: Collection[str]) -> str:
    """Return the page of a file, every line of it with an anchor, or that of a folder.

    `files` are those that have a page.
    """
    head = [":orphan:", "", f"``{path}``", "=" * (len(path) + 4), ""]
    if (ROOT / path).is_dir():
        return "\n".join([*head, *_contents(path, files)])
    return "\n".join([*head, ".. raw:: html", "", *_highlighted(path)])


def _highlighted(path: str) -> list[str]:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import TextLexer, get_lexer_for_filename
    from pygments.util import ClassNotFound

    text = (ROOT / path).read_text(encoding="utf-8")
    try:
        lexer = get_lexer_for_filename(path)
    except ClassNotFound:
        lexer = TextLexer()
    formatter = HtmlFormatter(linespans="line", cssclass="highlight source")
    return [f"   {line}" for line in highlight(text, lexer, formatter).splitlines()]


def _contents(path: str, files: Collection[str]) -> list[str]:
    """Return a table of what is in a folder, each with the first line that it says of itself."""
    lines = [".. list-table::", "   :widths: 30 70", "   :class: names", ""]
    for file in sorted((ROOT / path).iterdir()):
        inside = file.relative_to(ROOT).as_posix()
        if file.is_dir() or file.suffix in (".py", ".h", ".c"):
            if file.name.startswith((".", "__pycache__")):
                continue
            name = f":doc:`{file.name} </code/{inside}>`" if inside in files else f"``{file.name}``"
            lines += [f"   * - {name}", f"     - {_first_line(file)}"]
    return lines


def _first_line(file: Path) -> str:
    file = file / "__init__.py" if file.is_dir() else file
    if file.suffix != ".py" or not file.exists():
        return ""
    words = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return words.split("\n\n")[0].replace("\n", " ").replace("*", r"\*")


@functools.cache
def _where(module: str, name: str) -> tuple[str, int] | None:
    """Return the file that defines an object, and the line that it begins in."""
    thing: Any = importlib.import_module(module)
    for part in name.split("."):
        thing = inspect.getattr_static(thing, part, None)
    thing = getattr(thing, "fget", None) or getattr(thing, "__func__", None) or thing
    try:
        thing = inspect.unwrap(thing)
        file, line = inspect.getsourcefile(thing), inspect.getsourcelines(thing)[1]
    except (TypeError, OSError):
        return None
    package = importlib.import_module(module.partition(".")[0])  # the checkout's, or installed
    return os.path.relpath(str(file), Path(str(package.__file__)).parents[1]), line


def link_to(domain: str, described: dict[str, str]) -> str | None:
    """Return where a page of the reference finds the source of an object."""
    found = _where(described["module"], described["fullname"]) if domain == "py" else None
    return None if found is None else f"../code/{found[0]}.html#line-{max(1, found[1])}"
