"""The README is short, and its map is that of the house."""

import re

from tests.docs.pages import PAGES, blocks, commands
from tests.test_import import FLOORS, PACKAGE

README = PAGES["README.md"]


def test_it_is_short():
    assert README.count("\n") <= 170


def test_it_says_what_to_type_first():
    assert [command for page, command in commands() if page == "README.md"] == [
        "make train",
        "make test",
    ]
    first, *_ = blocks("README.md", "python")
    assert len(first.strip().splitlines()) <= 15
    assert "trace(" in README


def test_the_map_has_every_room():
    modules = [*PACKAGE.glob("*.py"), *PACKAGE.glob("*/__init__.py")]
    rooms = {path.parent.name if path.name == "__init__.py" else path.stem for path in modules}
    rooms -= {"backprop", "__main__"}
    section = README.split("## What's where")[1].split("\n## ")[0]
    named = set(re.findall(r"[`\[](\w+)(?:\.py|/)?[`\]]", section))
    assert rooms
    assert rooms <= named


def test_the_bounds_are_those_of_the_whole_table():
    row = re.search(r"^\| \*\*allowed\*\*.*$", README, re.MULTILINE)
    assert row is not None
    assert row[0] in PAGES["docs/gradients.md"]


def test_the_floors_are_those_of_the_imports():
    for page in ("README.md", "docs/architecture.md"):
        for floor, cells in re.findall(r"^\| (\d) \| (.*)$", PAGES[page], re.MULTILINE):
            rooms = set(re.findall(r"[`\[](\w+)(?:\.py|/)?[`\]]", cells.split("|")[0]))
            assert rooms, cells
            assert rooms <= FLOORS[int(floor)], page
