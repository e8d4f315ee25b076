"""Curves of a training: cost and accuracy by epoch, and step by step how every layer learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from backprop.layers.chain import walk_order
from backprop.plots.style import (
    BLUE,
    GRID,
    VERMILLION,
    axes_or_new,
    in_our_style,
    name_axes,
    size_in_points,
    write_beside,
)
from backprop.training.health import GradientHealth
from backprop.training.history import History

FEW = 20  # points, up to which each is marked
MANY = 100  # points, beyond which medians are drawn


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


# -- epoch by epoch --------------------------------------------------------------------------


@in_our_style
def learning_curves(
    history: History, quantity: str = "cost", log: bool = False, ax: Axes | None = None
) -> Axes:
    """Draw a quantity against the epoch, for training and validation data.

    The best epoch on the validation data has a ring, and its figures stand beside the curve.

    Parameters
    ----------
    history : History
        With ``epoch`` and at least one of the columns ``training_<quantity>`` and
        ``validation_<quantity>``; epochs without a (finite) value are passed over.
    quantity : str
        "cost", "accuracy", or another metric that the trainer recorded. Accuracies are drawn
        in percent.
    log : bool
        A logarithmic axis; a value of 0 lies below its lower end. For an accuracy it is the
        error, 100% - accuracy, that is then drawn: it is what spans orders of magnitude.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    KeyError
        If the history has no column ``epoch``.
    ValueError
        If it has no value of the quantity, or none that a logarithmic axis could show; or if the
        history does not know which epoch is best, see `History.declare`.
    """
    curves = _curves_of_data(history, quantity, log)
    epochs = history["epoch"]
    percent = quantity.endswith("accuracy")
    name = quantity.replace("accuracy", "error") if log else quantity

    ax = axes_or_new(ax, 6, 3.4)
    notes = []
    for data, colour, at, values in curves:
        marker = "." if len(at) <= FEW else ""
        ax.plot(at, values, color=colour, linewidth=1.5, marker=marker, label=data)
        text = data
        if data == "validation":
            greater = name == quantity and history.greater_is_better(f"validation_{quantity}")
            epoch, best = _best_epoch(at, values, greater)
            text += f"\nbest {f'{best:.2f}%' if percent else f'{best:.4g}'}\nat epoch {epoch}"
            if best > 0 or not log:
                ax.plot(epoch, best, "o", color=colour, mfc="none", ms=8, label="best")
        notes.append(Note(at[-1], values[-1], text, colour))
    label = "cost C" if name == "cost" else name.replace("_", " ") + " (%)" * percent
    name_axes(ax, "epoch", label)
    _whole_number_axis(ax, epochs)
    if log:
        _logarithmic_axis(ax, np.concatenate([curve.values for curve in curves]))
    else:
        ax.ticklabel_format(axis="y", useOffset=False)
    _write_beside_curves(ax, notes)
    _open_frame_with_grid(ax)
    return ax


def _curves_of_data(history: History, quantity: str, log: bool) -> list[Curve]:
    """Return the known values of the training and of the validation data, as they are drawn."""
    epochs = np.array(history["epoch"] if len(history) else [])
    curves = []
    for data, colour in (("training", BLUE), ("validation", VERMILLION)):
        values = np.array([record.get(f"{data}_{quantity}") for record in history], dtype=float)
        if quantity.endswith("accuracy"):
            values = 100 * (1 - values if log else values)
        known = np.isfinite(values)
        if known.any():
            curves.append(Curve(data, colour, epochs[known], values[known]))
    if not curves or (log and not any((curve.values > 0).any() for curve in curves)):
        raise ValueError(
            f"no training_{quantity} or validation_{quantity}{' above 0' * log} to draw: "
            f"the history has {len(history)} epochs of {', '.join(history.columns) or 'nothing'}"
        )
    return curves


def _best_epoch(epochs: np.ndarray, values: np.ndarray, greater: bool) -> tuple[int, float]:
    """Return epoch and value of the best of `values`, the first of equals."""
    best = int(values.argmax() if greater else values.argmin())
    return epochs[best].item(), values[best].item()


# -- layer by layer --------------------------------------------------------------------------


@in_our_style
def gradient_norms(health: GradientHealth, quantity: str = "delta", ax: Axes | None = None) -> Axes:
    """Draw how large delta, dC/dw or the update of every layer is, step by step.

    A layer is a curve. The axis is logarithmic: what fades or grows from layer to layer does so by
    factors. A value of 0 lies below its lower end. Minibatches differ: of more than 100 records a
    curve is the median of every few, and the band around it holds the middle four fifths of them.

    Parameters
    ----------
    health : GradientHealth
        After a training.
    quantity : str
        "delta", "nabla_w" or "update_ratio", as `GradientHealth` explains them; with the last, a
        dotted line marks the rule of thumb, 0.001.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    ValueError
        For another quantity, or if there is no value above 0 to draw.
    """
    labels = {
        "delta": "size of an example's error ‖δ‖",
        "nabla_w": "size of the gradient ‖∂C/∂w‖",
        "update_ratio": "size of a step ‖Δw‖ / ‖w‖ (dotted: 0.001)",
    }
    if quantity not in labels:
        known = ", ".join(map(repr, labels))
        raise ValueError(f"gradient_norms: quantity must be {known}, got {quantity!r}")
    curves = _curves_of_layers(health, quantity)
    everything = np.concatenate([np.empty(0), *(curve.values for curve in curves)])
    if not (everything > 0).any():
        raise ValueError(f"no {quantity} above 0 to draw, in {len(health.history)} records")
    smallest = everything[everything > 0].min()

    ax = axes_or_new(ax, 7, max(3.4, 0.16 * len(curves)))
    notes = []
    for curve in curves:
        step, end = _draw_curve_or_medians(ax, curve)
        notes.append(Note(step, max(end, smallest), curve.name, curve.colour))
    if quantity == "update_ratio":
        ax.axhline(1e-3, color="0.3", linewidth=1, linestyle=":", zorder=1)
    name_axes(ax, "step", labels[quantity])
    _whole_number_axis(ax, health.history["step"])
    _logarithmic_axis(ax, everything)
    _write_beside_curves(ax, notes)
    _open_frame_with_grid(ax)
    return ax


@in_our_style
def unit_health(health: GradientHealth, ax: Axes | None = None) -> Axes:
    """Draw what part of each layer's ReLUs is dead, and of its sigmoids and tanhs saturated.

    Both are percentages, step by step; dead is a full line, saturated a dashed one. Of many
    records a curve is the median of every few, as in `gradient_norms`.

    Parameters
    ----------
    health : GradientHealth
        After a training.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    ValueError
        If no layer has such units, or not enough examples were looked at to call any dead.
    """
    kinds = {kind: _curves_of_layers(health, kind) for kind in ("dead", "saturated")}
    if not any(kinds.values()):
        raise ValueError(f"no dead or saturated units known, in {len(health.history)} records")
    count = sum(map(len, kinds.values()))
    ax = axes_or_new(ax, 7, max(3.4, 0.3 * count))
    notes, highest = [], 10.0  # a scale on which two per cent look like two per cent
    for kind, curves in kinds.items():
        for curve in curves:
            percent = curve._replace(values=100 * curve.values)
            step, end = _draw_curve_or_medians(ax, percent, "-" if kind == "dead" else "--")
            notes.append(Note(step, end, f"{curve.name}\n{end:.0f}% {kind}", curve.colour))
            highest = max(highest, percent.values.max())
    labels = {"dead": "dead units (%)", "saturated": "saturated activations (%)"}
    name_axes(ax, "step", ", ".join(labels[kind] for kind in kinds if kinds[kind]))
    _whole_number_axis(ax, health.history["step"])
    ax.set_ylim(-0.03 * highest, 1.03 * highest)
    _write_beside_curves(ax, notes)
    _open_frame_with_grid(ax)
    return ax


def _curves_of_layers(health: GradientHealth, quantity: str) -> list[Curve]:
    """Return a curve for every layer that has the quantity.

    The colours run from the first layer to the last, dark to light, whatever a layer has.
    """
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.8, max(1, len(health.layers))))
    curves = []
    layers = sorted(health.layers.items(), key=lambda item: walk_order(item[0]))
    for (index, name), colour in zip(layers, shades, strict=False):
        column = f"{quantity}_{index}"
        known = [(r["step"], r[column]) for r in health.history if column in r]
        known = [pair for pair in known if math.isfinite(pair[1])]
        if known:
            steps, values = map(np.array, zip(*known, strict=True))
            curves.append(Curve(f"{index}: {name}", colour, steps, values.astype(float)))
    return curves


def _draw_curve_or_medians(ax: Axes, curve: Curve, line: str = "-") -> tuple[float, float]:
    """Draw one curve, or of a long one medians and a band; return where it ends."""
    _, colour, steps, values = curve
    if len(values) > MANY:
        steps = np.array([part.mean() for part in np.array_split(steps, 50)])
        spread = [np.quantile(part, (0.1, 0.5, 0.9)) for part in np.array_split(values, 50)]
        low, values, high = np.transpose(spread)
        ax.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    marker = "." if len(values) <= FEW else ""
    ax.plot(steps, values, color=colour, linewidth=1.3, linestyle=line, marker=marker)
    return steps[-1], values[-1]


# -- axes and notes --------------------------------------------------------------------------


def _whole_number_axis(ax: Axes, numbers: Sequence[int]) -> None:
    """Let the axis be as long as the training, with ticks at whole numbers."""
    first, last = min(numbers), max(numbers)
    if first == last:
        first -= 1
    margin = 0.02 * (last - first)
    ax.set_xlim(first - margin, last + margin)
    ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def _logarithmic_axis(ax: Axes, values: np.ndarray) -> None:
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


def _open_frame_with_grid(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, **GRID)


def _write_beside_curves(ax: Axes, notes: list[Note]) -> None:
    """Write beside the end of each curve, but neither over one another nor beyond the axes."""
    ax.autoscale_view()
    ends = ax.transData.transform([(note.x, note.y) for note in notes])
    heights = ax.transAxes.inverted().transform(ends)[:, 1]  # as fractions of the axes
    line = 10 / size_in_points(ax)[1]
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
        write_beside(ax, note.text, (note.x, height), xycoords=across, color=note.colour)
