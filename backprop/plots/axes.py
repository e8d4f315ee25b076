"""What the pictures of curves share: their axes, and notes beside the ends of the curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from backprop.plots.style import GRID, size_in_points, write_beside

FEW = 20  # points, up to which each is marked


class Curve(NamedTuple):
    """A curve to draw, and its name."""

    name: str
    colour: Any
    at: np.ndarray  # epochs or steps
    values: np.ndarray


class Note(NamedTuple):
    """What is to be written beside the end of a curve."""

    x: float
    y: float
    text: str
    colour: Any


def whole_number_axis(ax: Axes, numbers: Sequence[int] | np.ndarray) -> None:
    """Let the axis be as long as the training, with ticks at whole numbers."""
    first, last = min(numbers), max(numbers)
    if first == last:
        first -= 1
    margin = 0.02 * (last - first)
    ax.set_xlim(first - margin, last + margin)
    whole_number_ticks(ax)


def whole_number_ticks(ax: Axes) -> None:
    """Put ticks at whole numbers alone."""
    ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def logarithmic_axis(ax: Axes, values: np.ndarray) -> None:
    """Put plain numbers at powers of ten, at 1, 2, 5, 10, ..., or closer, as the range asks."""
    ax.set_yscale("log")
    ratio = values.max() / values[values > 0].min()
    if ratio < 5:
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 300 else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def open_frame_with_grid(ax: Axes) -> None:
    """Leave out the upper and the right side of the frame, and draw a grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, **GRID)


def write_beside_curves(ax: Axes, notes: list[Note]) -> None:
    """Write beside the end of each curve, but neither over one another nor beyond the axes."""
    ax.autoscale_view()
    ends = ax.transData.transform([(note.x, note.y) for note in notes])
    heights = ax.transAxes.inverted().transform(ends)[:, 1]  # as fractions of the axes
    lines = sum(1 + note.text.count("\n") for note in notes)
    line = min(10 / size_in_points(ax)[1], 1 / lines)  # a fraction of the axes, too
    size = min(8, 0.8 * line * size_in_points(ax)[1])
    halves = [line * (1 + note.text.count("\n")) / 2 for note in notes]
    upwards = np.argsort(heights, kind="stable")
    floor, ceiling = 0.0, 1.0
    for i in upwards:
        heights[i] = max(heights[i], floor + halves[i])
        floor = heights[i] + halves[i]
    for i in upwards[::-1]:
        heights[i] = min(heights[i], ceiling - halves[i])
        ceiling = heights[i] - halves[i]
    across = ax.get_xaxis_transform()
    for note, height in zip(notes, heights, strict=True):
        style: Any = {"xycoords": across, "color": note.colour, "fontsize": size}
        write_beside(ax, note.text, (note.x, height), **style)
