"""The angle between the delta of a credit rule and the true one, epoch by epoch."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from backprop.layers.chain import walk_order
from backprop.plots.axes import Note, open_frame_with_grid, whole_number_axis, write_beside_curves
from backprop.plots.style import RUNS, axes_or_new, in_our_style, name_axes
from backprop.training.history import History

START = "angle_"


@in_our_style
def alignment_angles(history: History, ax: Axes | None = None) -> Axes:
    """Draw the angle from every layer's true delta to that of a credit rule, epoch by epoch.

    At 90 degrees, where a line is, a step of the layer is as good as a random one; below, it goes
    downhill.

    Parameters
    ----------
    history : History
        Of a training with `backprop.research.AlignmentAngle` among its callbacks.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    ValueError
        If it holds no angles.
    """
    names = {name for record in history.records for name in record if name.startswith(START)}
    layers = sorted((name.removeprefix(START) for name in names), key=walk_order)
    if not layers:
        raise ValueError(
            "alignment_angles: the history holds no angles: train with the callback "
            "backprop.research.AlignmentAngle(x, y)"
        )
    ax = axes_or_new(ax, 5.5, 3.4)
    notes, epochs = [], [record["epoch"] for record in history.records]
    for number, layer in enumerate(layers):
        colour = RUNS[number % len(RUNS)]
        values = np.array([record.get(START + layer, np.nan) for record in history.records])
        ax.plot(epochs, values, color=colour, marker="o", markersize=3)
        known = np.flatnonzero(np.isfinite(values))
        if known.size:
            notes.append(Note(epochs[known[-1]], values[known[-1]], f"layer {layer}", colour))
    ax.axhline(90, color="0.3", linewidth=1, linestyle=":", zorder=1)
    ax.set_ylim(0, max(95.0, *(note.y + 5 for note in notes)))
    ax.set_yticks([0, 30, 60, 90])
    whole_number_axis(ax, epochs)
    open_frame_with_grid(ax)
    name_axes(ax, "epoch", "angle to the true δ (degrees)")
    write_beside_curves(ax, notes)
    return ax
