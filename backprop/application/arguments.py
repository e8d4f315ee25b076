"""What the options of the command may be, and the one line that says so if they are not."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


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
