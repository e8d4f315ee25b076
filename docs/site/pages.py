"""The hand-written pages as they are laid out for Sphinx: links, sections, notebooks.

The folder of the site's sources mirrors the checkout, so that links from page to page stay as they
are; README.md is its first page. A link to a file that is no page becomes one to the page of its
source, and a link to a room of the package one to the reference.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from docs.site import api, sources

ROOT = sources.ROOT
HOME, INDEX = "README.md", "docs/index.md"
PAGES = (
    HOME, "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/*.ipynb", "docs/course/*.ipynb",
    "experiments/README.md", "experiments/benchmarks/README.md",
    "experiments/book/results/RESULTS.md", "data/README.md",
)  # fmt: skip
IN_NO_MENU = (INDEX, "data/README.md", "experiments/benchmarks/README.md")
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def lay_out(to: Path) -> None:
    """Write everything that Sphinx reads."""
    shutil.rmtree(to, ignore_errors=True)
    pages = {path.relative_to(ROOT).as_posix() for part in PAGES for path in ROOT.glob(part)}
    links = Links(pages, {os.path.relpath(file, ROOT) for file in api.files()})
    for path in sorted(pages):
        text = (ROOT / path).read_text(encoding="utf-8")
        write(to / _place(path), _laid_out(path, text, links))
    for title, text in sections():
        write(to / _section_page(title), f"# {title}\n{links.changed(text, INDEX)}\n{_menu(text)}")
    for room in api.names():
        write(to / "api" / f"{room}.rst", api.page(room))
    write(to / "api/index.rst", api.index())
    for path in sorted(links.files):
        write(to / sources.place(path), sources.page(path, links.files))
    for path in links.pictures:
        write(to / path, (ROOT / path).read_bytes())


class Links:
    """Changes links to where the site has what they point to, and keeps what it must have."""

    def __init__(self, pages: set[str], files: set[str]) -> None:
        self.pages, self.files = pages, files
        self.pictures: set[str] = set()

    def changed(self, text: str, page: str) -> str:
        """Return the text of a page with its links changed, but for those in fenced code."""

        def change(found: re.Match[str]) -> str:
            there = self._place(os.path.normpath(os.path.join(os.path.dirname(page), found[1])))
            here = os.path.dirname(_place(page)) or "."
            return f"]({os.path.relpath(there, here)}{found[2] or ''})"

        parts, at = [], 0
        for fence in FENCE.finditer(text):
            parts += [LINK.sub(change, text[at : fence.start()]), fence[0]]
            at = fence.end()
        return "".join([*parts, LINK.sub(change, text[at:])])

    def _place(self, path: str) -> str:
        """Return what a link to a file or folder of the checkout points to in the site."""
        if path in self.pages:
            return _place(path)
        if path.endswith((".png", ".svg")):
            self.pictures.add(path)
            return path
        head, _, room = path.partition("/")
        if head == "backprop" and room in api.names():
            return f"api/{room}.rst"
        self.files.add(path)
        return sources.place(path)


def sections() -> list[tuple[str, str]]:
    """Return title and text of the sections of the list of all pages."""
    text = (ROOT / INDEX).read_text(encoding="utf-8")
    _, *parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _place(path: str) -> str:
    """Return where a page of the checkout is in the site."""
    return "index.md" if path == HOME else path


def _section_page(title: str) -> str:
    return f"docs/section_{re.sub(r'[^a-z]+', '_', title.lower())}.md"


def _laid_out(path: str, text: str, links: Links) -> str:
    if path.endswith(".ipynb"):
        return _notebook(path, text, links)
    text = links.changed(text, path)
    if path == HOME:
        menu = [_section_page(title) for title, _ in sections()]
        return f"{text}\n{_toctree([*menu, 'api/index.rst'])}"
    return f"---\norphan: true\n---\n\n{text}" if path in IN_NO_MENU else text


def _notebook(path: str, text: str, links: Links) -> str:
    """Return a notebook with its links changed, and below its title one to the notebook itself."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = links.changed("".join(cell["source"]), path)
    first = notebook["cells"][0]
    title, _, rest = first["source"].partition("\n")
    name = os.path.basename(path)
    first["source"] = f"{title}\n\n{{download}}`This page is a notebook. <{name}>`\n{rest}"
    return json.dumps(notebook)


def _menu(text: str) -> str:
    """Return the menu of a section: the pages that its list has links to."""
    listed = "\n".join(re.findall(r"^- .*$", text, re.MULTILINE))
    return _toctree([path for path, _ in LINK.findall(listed) if path.endswith((".md", ".ipynb"))])


def _toctree(paths: list[str]) -> str:
    lines = "\n".join(os.path.splitext(path)[0] for path in dict.fromkeys(paths))
    return f"```{{toctree}}\n:hidden:\n\n{lines}\n```\n"


def write(path: Path, content: str | bytes) -> None:
    """Write a file, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
