"""The windows of convolutions in C: their constants, and what is laid out for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from backprop.compiled.writer import ALIGNED, Buffer, Writer

SHORT = 16  # numbers: shorter runs may be gone through as patches, which need room


class Lattice:
    """The windows of a convolution, over an array of `channels`, as `windows.h` describes them.

    Parameters
    ----------
    w : Writer
    layer : WindowedNeurons
    maps, channels : int
        On the two sides of w: how many are made of what the windows see, and how many they see.
    counts, sizes : sequence of int
        How many windows there are along every axis, and how many places.
    of_some : str
        What follows the name in C, if these are some of the maps of a layer only.

    Attributes
    ----------
    numbers : dict of str to int
        The fields of a `Windows` in C.
    laid : bool
        Whether the array has to be laid out first: with zeros around, or its columns sorted.
    """

    def __init__(
        self,
        w: Writer,
        layer: Any,
        maps: int,
        channels: int,
        counts: Sequence[int],
        sizes: Sequence[int],
        of_some: str = "",
    ) -> None:
        windows = layer.windows
        self.w, self.layer, self.channels = w, layer, channels
        height, width = two(sizes)
        rows, columns = two(counts)
        kernel, stride, dilation = map(two, (windows.kernel, windows.stride, windows.dilation))
        top, left = two([before for before, _ in windows.pads(sizes)], 0)
        self.edges = channels, height, width, top, left
        # What is seen: from the first element of the first window to the last of the last.
        lines, across = (
            (n - 1) * s + (k - 1) * d + 1
            for n, s, k, d in zip((rows, columns), stride, kernel, dilation, strict=True)
        )
        fits = lines <= height and across <= width and not top and not left
        self.laid = not fits or stride[1] > 1
        if self.laid:
            height, width = lines, -(-across // stride[1])
        elif (*kernel, *stride) == (1, 1, 1, 1):  # all lines are one
            rows, columns, height, width = 1, height * width, 1, height * width
        groups = layer.groups
        self.numbers = {
            "groups": groups,
            "maps": maps // groups,
            "channels": channels // groups,
            "rows": rows,
            "columns": columns,
            "B": w.batch,
            "kernel_h": kernel[0],
            "kernel_w": kernel[1],
            "stride_h": stride[0],
            "stride_w": stride[1],
            "dilation_h": dilation[0],
            "dilation_w": dilation[1],
            "lines": height,
            "width": width,
        }
        self.shape = channels, height, stride[1] * width, w.batch
        of_map = channels // groups * math.prod(kernel)
        run = columns * w.batch
        self.room_size = of_map * max(maps // groups, rows * run if run < SHORT else 0)
        predicts = "" if w.training else "_predict"  # both may be in one file
        name = f"windows{w.name_of(layer)}{of_some}{predicts}"
        self.name = w.numbers("Windows", name, self.numbers, everywhere=True)

    def __str__(self) -> str:
        return f"&{self.name}"

    def part(self, equation: str) -> str:
        """Return the function for a part of it: "row_of_z", "line_below" or "some_weights"."""
        self.w.outside(f"{equation.upper()}({self.name})")
        return f"{self.name}_{equation}"

    def room(self) -> str:
        """Return memory for what a function needs for itself."""
        return self.w.scratch(self.room_size)

    def lay_out(self, array: Buffer) -> Buffer:
        """Return the array as the windows see it, laid out once, if it has to be."""
        if not self.laid:
            return array
        key = ("laid", id(self.layer), str(array))
        if key not in self.w.memo:
            laid = self.w.memo[key] = self.w.buffer("laid", self.shape, layer=self.layer)
            self.w.call("lay_out", self, *self.edges, array, laid, note="with what lies around")
        found: Buffer = self.w.memo[key]
        return found

    def take_back(self, array: Buffer, write: Callable[[str, Any], None]) -> None:
        """Have `write(room, to)` write what fills an array as the windows see it; take its own."""
        if not self.laid:
            write(self.room(), array)
            return
        room = -(-self.room_size // ALIGNED) * ALIGNED
        laid = f"{self.w.scratch(room + math.prod(self.shape))} + {room}"
        write(self.room(), laid)
        self.w.call("take_back", self, *self.edges, laid, array, note="without what lies around")


def two(numbers: Sequence[int], of_line: int = 1) -> tuple[int, int]:
    """Return the numbers of both axes of an image; a signal is one of one line."""
    return (of_line, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
