"""Windows over the places of an array: the constants of `windows.h`, and what is laid out."""

from __future__ import annotations

import math
from typing import Any

from backprop.compiled.writer import ALIGNED, Buffer, Writer

SHORT = 16  # numbers: runs of fewer may go by patches


class WindowsOf:
    """How the windows of a convolution lie over an array of `channels`, of these places.

    Parameters
    ----------
    w : Writer
    layer : WindowedNeurons
    maps, channels : int
        On both sides of the windows.
    sizes : tuple of int
        The places of the array that the windows are laid over.
    padding : list of (int, int)
        In front and behind, along every axis.
    counts : tuple of int
        How many windows there are.
    """

    def __init__(
        self, w: Writer, layer: Any, maps: int, channels: int, sizes: Any, padding: Any, counts: Any
    ) -> None:
        windows = layer.windows
        self.w, self.channels, self.batch = w, channels, w.batch
        self.height, self.width = _two(sizes)
        self.top, self.left = _two([before for before, _ in padding], 0)
        self.rows, self.columns = _two(counts)
        kernel_h, kernel_w = _two(windows.kernel)
        stride_h, stride_w = _two(windows.stride)
        dilation_h, dilation_w = _two(windows.dilation)
        lines = (self.rows - 1) * stride_h + (kernel_h - 1) * dilation_h + 1
        width = (self.columns - 1) * stride_w + (kernel_w - 1) * dilation_w + 1
        self.laid = bool(
            self.top or self.left or lines > self.height or width > self.width or stride_w > 1
        )
        if self.laid:
            self.lines, self.part = lines, -(-width // stride_w)
        else:
            self.lines, self.part = self.height, self.width
            if kernel_h == kernel_w == stride_h == 1:  # all lines are one
                self.rows, self.columns = 1, self.height * self.width
                self.lines, self.part = 1, self.columns
        groups = layer.groups
        area = kernel_h * kernel_w
        self.line = stride_w * self.part * w.batch
        self.weights = maps // groups * (channels // groups) * area
        run = self.columns * w.batch
        patches = channels // groups * area * self.rows * run if run < SHORT else 0
        self.room = max(self.weights, patches)
        numbers = {
            "groups": groups,
            "maps": maps // groups,
            "channels": channels // groups,
            "rows": self.rows,
            "columns": self.columns,
            "B": w.batch,
            "kernel_h": kernel_h,
            "kernel_w": kernel_w,
            "stride_h": stride_h,
            "stride_w": stride_w,
            "dilation_h": dilation_h,
            "dilation_w": dilation_w,
            "lines": self.lines,
            "width": self.part,
        }
        self.name = f"windows{w.name_of(layer)}"
        fields = [f".{name} = {number}" for name, number in numbers.items()]
        text = ",\n        ".join(", ".join(fields[k : k + 6]) for k in range(0, len(fields), 6))
        w.declare(self.name, f"static const Windows {self.name} = {{\n        {text}}};")

    @property
    def size(self) -> int:
        """How many numbers there are of all channels, laid out."""
        return self.channels * self.lines * self.line

    def __str__(self) -> str:
        return f"&{self.name}"

    def lay_out(self, array: Buffer, layer: Any) -> Buffer:
        """Write what puts an array where the windows see it; nothing if they see it as it is."""
        if not self.laid:
            return array
        name = f"{array.name}_laid"
        if name not in self.w.places:
            laid = self.w.buffer(name, (self.channels, self.lines, self.line // self.batch, self.batch))
            sizes = (self.channels, self.height, self.width, self.top, self.left)
            self.w.call("lay_out", self, *sizes, array, laid, note="with zeros around")
        return self.w.places[name][1]

    def scratch(self) -> tuple[str, str]:
        """Return room for a function's own use, and for an array that is laid out."""
        room = -(-self.room // ALIGNED) * ALIGNED
        scratch = self.w.scratch(room + self.size)
        return scratch, f"{scratch} + {room}"

    def take_back(self, write: Any, array: Buffer) -> None:
        """Have `write(room, where)` write what sums to places that windows see; put it into array.

        """
        room, laid = self.scratch()
        write(room, laid if self.laid else array)
        if self.laid:
            sizes = (self.channels, self.height, self.width, self.top, self.left)
            self.w.call("take_back", self, *sizes, laid, array, note="without what lies around")


def _two(numbers: Any, one: int = 1) -> tuple[int, int]:
    """Return two numbers, of height and width; of signals the height is one."""
    numbers = tuple(numbers)
    return numbers if len(numbers) == 2 else (one, *numbers)  # type: ignore[return-value]
