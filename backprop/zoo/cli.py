"""The command ``python -m backprop.zoo``: see the layers, take one home, have it graded.

Exit status: 0, 1 if a layer is not mended yet, 2 for what cannot be done.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from backprop.core.terminal import readable_streams
from backprop.zoo.exhibits import EXHIBITS, Exhibit
from backprop.zoo.grade import exhibit_of, grade

WELCOME = """The bug zoo: twenty layers, each with one fault. Find it and mend it.

  python -m backprop.zoo show softmax        read one
  python -m backprop.zoo start softmax       put it in a file of yours, softmax.py, to mend
  python -m backprop.zoo check softmax.py    have it graded, as often as you like
  python -m backprop.zoo hint softmax        a question that leads to it
  python -m backprop.zoo solution softmax    the lines that were wrong, and what mends them
  python -m backprop.zoo check .             all your files, and how many are mended
"""


class Unusable(Exception):
    """What cannot be done, in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m backprop.zoo",
        description="The bug zoo: twenty broken layers to find the fault in and mend.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="what there is (also without any command)")
    for name, text in (
        ("show", "print a layer"),
        ("start", "put a layer in a file of yours, to mend"),
        ("hint", "ask a question that leads to the fault"),
        ("solution", "tell the lines that were wrong, and what mends them"),
    ):
        of_layer = commands.add_parser(name, help=text)
        of_layer.add_argument("layer", help="its name or number")
    check = commands.add_parser("check", help="grade a file, or a folder; it runs the code")
    check.add_argument("path", type=Path, help="such as softmax.py, or . for all")
    options = parser.parse_args(argv)
    with readable_streams(sys.stdout, sys.stderr):
        try:
            if options.command in (None, "list"):
                print(WELCOME)
                print(table())
                return 0
            if options.command == "check":
                return check_all(options.path)
            return of_one(options.command, named(options.layer))
        except Unusable as error:
            print(f"zoo: {error}", file=sys.stderr)
            return 2


def table() -> str:
    """Return what there is, a line a layer."""
    width = max(map(len, EXHIBITS))
    return "\n".join(
        f"{number:4}  {name:{width}}  {exhibit.about}"
        for number, (name, exhibit) in enumerate(EXHIBITS.items(), 1)
    )


def named(text: str) -> Exhibit:
    """Return the exhibit of this name or number."""
    names = list(EXHIBITS)
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return EXHIBITS[names[int(text) - 1]]
    name = text.removesuffix(".py")
    if name in EXHIBITS:
        return EXHIBITS[name]
    near = difflib.get_close_matches(name, names, 1)
    meant = f"did you mean {near[0]}?" if near else "python -m backprop.zoo lists them"
    raise Unusable(f"no layer is called {text}: {meant}")


def of_one(command: str, exhibit: Exhibit) -> int:
    """Show a layer, put it in a file, or help with it."""
    if command == "show":
        print(exhibit.source, end="")
    elif command == "hint":
        print(exhibit.hint)
    elif command == "solution":
        lines = difflib.unified_diff(
            exhibit.source.splitlines(), exhibit.solution.splitlines(),
            f"{exhibit.name}.py", "mended", n=1, lineterm="",
        )  # fmt: skip
        print("\n".join(lines))
    else:
        path = Path(f"{exhibit.name}.py")
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(exhibit.source)
        except FileExistsError:
            raise Unusable(f"{path} is there already: mend it, or move it away") from None
        except OSError as error:
            raise Unusable(f"{path}: {error.strerror}") from None
        print(f"{path} is yours. It says at its head what it is meant to compute; mend it, then")
        print(f"  python -m backprop.zoo check {path}")
    return 0


def check_all(path: Path) -> int:
    """Grade a file, or all files of a folder that hold a layer of the zoo."""
    files = sorted(path.glob("*.py")) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            exhibit = exhibit_of(file)
            source = file.read_text(encoding="utf-8")
        except OSError as error:
            raise Unusable(f"{file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Unusable(f"{file} is no text in UTF-8") from None
        if exhibit is not None:
            found.append((file, source, exhibit))
    if not found:
        where = "no file there holds" if path.is_dir() else "it does not hold"
        raise Unusable(f"{path}: {where} a layer of the zoo; python -m backprop.zoo lists them")
    mended = 0
    for file, source, exhibit in found:
        result = grade(source, exhibit, str(file))
        mended += result.mended
        print(f"{file}: {'mended' if result.mended else 'not mended yet'}")
        if len(found) == 1 or not result.mended:
            print("  " + result.message.replace("\n", "\n  "))
    if path.is_dir():
        print(f"{mended} of {len(EXHIBITS)} mended")
    elif not mended:
        print(f"A hint: python -m backprop.zoo hint {found[0][2].name}")
    return 0 if mended == len(found) else 1
