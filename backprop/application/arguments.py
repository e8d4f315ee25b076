"""What the options of the command may be, and the one line that says so if they are not."""

from __future__ import annotations

import argparse
import ast
import contextlib
import math
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

DATA_HELP = (
    "builtin, mnist, fashion-mnist, a table (CSV, Parquet), or a folder or file of images or arrays"
)
MODEL_HELP = "a run's folder, or a saved network"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            import difflib  # which only errors need

            names = (name for action in self._actions for name in action.option_strings)
            options = [name[2:] for name in names if name.startswith("--")]
            close = difflib.get_close_matches(unknown[0].split("=")[0][2:], options, 2, 0.75)
            meant = f": did you mean {' or '.join(f'--{one}' for one in close)}?" if close else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def print_help(arguments: argparse.Namespace) -> int:
    """Print the help of a command that was given nothing to do."""
    arguments.parser.print_help()
    return 0


def _argument(convert: Callable[[str], Any], fits: Callable[[Any], bool], expected: str) -> Any:
    """Return a function from an argument's text to its value, for argparse's `type`."""

    def parse(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return parse


positive_number = _argument(float, lambda v: 0 < v < math.inf, "a positive number")
number_from_0 = _argument(float, lambda v: 0 <= v < math.inf, "a number from 0 up")
positive_integer = _argument(int, lambda v: v > 0, "a positive whole number")
integer_from_0 = _argument(int, lambda v: v >= 0, "a whole number from 0 up")
sizes_of_layers = _argument(
    lambda text: tuple(int(part) for part in text.split(",")),
    lambda sizes: len(sizes) >= 2 and min(sizes) > 0,
    "at least two positive whole numbers such as 784,30,10",
)
character = _argument(
    lambda text: {"tab": "\t", "\\t": "\t"}.get(text, text),
    lambda text: len(text) == 1,
    'one character, or "tab"',
)

MAXIMUM: dict[str, Any] = {
    "type": positive_number,
    "metavar": "X",
    "help": "the pixel value that becomes 1 (default: the run's own; 255 for bytes)",
}


# -- how a table is read -----------------------------------------------------------------------

READING = ("delimiter", "decimal", "charset", "header")


def add_reading(parser: Any) -> None:
    """Add the options that say how a CSV file is written."""
    add = parser.add_argument
    unless_told = {"default": argparse.SUPPRESS}
    # fmt: off
    add("--delimiter", type=character, metavar="C",
        help="what stands between the cells of a CSV file (default: found out)", **unless_told)
    add("--decimal", choices=(".", ","), metavar="POINT",
        help="its decimal point, . or , (default: .)", **unless_told)
    add("--charset", metavar="NAME", help="how its letters are stored (default: utf-8)",
        **unless_told)
    add("--header", action="store_const", const=True, **unless_told,
        help="its first row names the columns, although it holds numbers alone")
    add("--no-header", dest="header", action="store_const", const=False, **unless_told,
        help="its first row does not: they are called \"column 1\", \"column 2\", ...")
    # fmt: on


def reading_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what was said of how a table is read."""
    return {name: getattr(arguments, name) for name in READING if hasattr(arguments, name)}


_IN_PYTHON = re.compile(
    r"\b(drop|categorical|max_categories|task|header|delimiter|decimal|charset|maximum)="
    r"(\[.*?\](?!\])|'[^']*'|\"[^\"]*\"|\w+)"
)


def as_options(message: str) -> str:
    """Return a message of the library with options where it has arguments.

    >>> as_options("leave it out, drop=['day']")
    'leave it out, --drop day'
    """
    return _IN_PYTHON.sub(_option, message).removeprefix("table: ")


def _option(found: re.Match[str]) -> str:
    name = found[1].replace("_", "-")
    try:
        value = ast.literal_eval(found[2])
    except (ValueError, SyntaxError):
        return found[0]
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    words = value if isinstance(value, list) else [value]
    return " ".join([f"--{name}", *(shlex.quote(str(word)) for word in words)])


@contextlib.contextmanager
def said_as_options() -> Iterator[None]:
    """Within this, let a ValueError of the library be one in the words of the command."""
    try:
        yield
    except ValueError as error:
        raise type(error)(as_options(str(error))) from error
