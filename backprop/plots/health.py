"""Curves of a training, step by step: how every layer learns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from backprop.layers.chain import walk_order
from backprop.plots.axes import (
    FEW,
    Curve,
    Note,
    logarithmic_axis,
    open_frame_with_grid,
    whole_number_axis,
    whole_number_ticks,
    write_beside_curves,
)
from backprop.plots.style import (
    BOOKS_DELTA,
    ERRORS,
    add_scale,
    axes_or_new,
    in_our_style,
    name_axes,
)
from backprop.training.health import GradientHealth

MANY = 100  # points, beyond which medians are drawn
UNITS = {"dead": "dead (%)", "saturated": "saturated (%)"}


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
        "delta": f"size of an example's error ‖δ‖\n({BOOKS_DELTA})",
        "nabla_w": "size of the gradient ‖∂C/∂w‖",
        "update_ratio": "size of a step ‖Δw‖ / ‖w‖ (dotted: 0.001)",
    }
    if quantity not in labels:
        known = ", ".join(map(repr, labels))
        raise ValueError(f"gradient_norms: quantity must be {known}, got {quantity!r}")
    curves = _curves_of_layers(health, quantity)
    everything = np.concatenate([np.empty(0), *(curve.values for curve in curves)])
    if not (everything > 0).any():
        raise ValueError(f"gradient_norms: no {quantity} above 0 to draw, in {_records_of(health)}")
    smallest = everything[everything > 0].min()

    ax = axes_or_new(ax, 7, max(3.4, 0.16 * len(curves)))
    notes = []
    for curve in curves:
        step, end = _draw_curve_or_medians(ax, curve)
        notes.append(Note(step, max(end, smallest), curve.name, curve.colour))
    if quantity == "update_ratio":
        ax.axhline(1e-3, color="0.3", linewidth=1, linestyle=":", zorder=1)
    name_axes(ax, "step", labels[quantity])
    whole_number_axis(ax, health.history["step"])
    logarithmic_axis(ax, everything)
    write_beside_curves(ax, notes)
    open_frame_with_grid(ax)
    return ax


@in_our_style
def unit_health(health: GradientHealth, ax: Axes | None = None) -> Axes:
    """Draw what part of each layer's ReLUs is dead, and of its sigmoids and tanhs saturated.

    A row is a layer, the lowest on top, and goes from the first step to the last; the darker it is,
    the more of the layer's units learn no more. What it came to stands beside its name. Grey is
    where nothing is known yet. Of more than 100 records every few are shown by their median.

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
    rows = [
        (curve, kind)
        for index in _layers_in_order(health)
        for kind in UNITS
        for curve in _curves_of_layers(health, kind, [index])
    ]
    if not rows:
        judged = (
            f"; a ReLU is judged when {health.examples:,} examples were looked at, those of one "
            f"minibatch in {health.every}: fit for longer, or give GradientHealth(every=1)"
        )
        raise ValueError(
            f"unit_health: no dead or saturated units known, in {_records_of(health)}"
            f"{judged if len(health.history) else ''}"
        )
    steps, shares = _shares(np.array(health.history["step"]), [curve for curve, _ in rows])
    names = [f"{curve.name}\n{100 * curve.values[-1]:.0f}% {kind}" for curve, kind in rows]

    ax = axes_or_new(ax, 7, max(0.36 * len(rows), 0.9) + 0.7)  # as high as the scale's name
    highest = max(10.0, float(np.nanmax(shares)))  # so that two per cent look like two per cent
    middles = (steps[1:] + steps[:-1]) / 2
    first, last = (middles[0], middles[-1]) if len(middles) else (steps[0] + 0.5, steps[0] - 0.5)
    edges = [2 * steps[0] - first, *middles, 2 * steps[-1] - last]
    cells = ax.pcolormesh(
        edges, np.arange(len(rows) + 1) - 0.5, np.ma.masked_invalid(shares), cmap=ERRORS, vmin=0,
        vmax=highest,
    )  # fmt: skip
    for y in range(1, len(rows)):
        ax.axhline(y - 0.5, color="0.7", linewidth=0.8)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_yticks(range(len(rows)), names)
    kinds = dict.fromkeys(kind for _, kind in rows)
    add_scale(ax, cells, "\n".join(UNITS[kind] for kind in kinds))
    name_axes(ax, "step")
    whole_number_ticks(ax)
    ax.tick_params(axis="y", length=0)
    ax.grid(False)
    return ax


def _shares(steps: np.ndarray, curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps that are drawn, and the curves in per cent, NaN where nothing is known."""
    shares = np.full((len(curves), len(steps)), np.nan)
    for row, curve in zip(shares, curves, strict=True):
        row[np.isin(steps, curve.at)] = 100 * curve.values
    if len(steps) <= MANY:
        return steps, shares
    parts = np.array_split(np.arange(len(steps)), 50)
    medians = np.stack([_median_of_known(shares[:, part]) for part in parts], axis=1)
    return np.array([steps[part].mean() for part in parts]), medians


def _median_of_known(values: np.ndarray) -> np.ndarray:
    """Return the median of each row, NaN where all of it is unknown."""
    known = [row[~np.isnan(row)] for row in values]
    return np.array([np.median(row) if row.size else np.nan for row in known])


def _layers_in_order(health: GradientHealth) -> list[str]:
    return sorted(health.layers, key=walk_order)


def _records_of(health: GradientHealth) -> str:
    """Say how many records there are, and how there will be some."""
    n = len(health.history)
    none = ": give Trainer(..., callbacks=[health]), and fit"
    return f"{n} record{'' if n == 1 else 's'}{'' if n else none}"


def _curves_of_layers(
    health: GradientHealth, quantity: str, indices: Sequence[str] | None = None
) -> list[Curve]:
    """Return a curve for every layer that has the quantity, of all or of these.

    The colours run from the first layer to the last, dark to light, whatever a layer has.
    """
    layers = _layers_in_order(health)
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.8, max(1, len(layers))))
    curves = []
    for index, colour in zip(layers, shades, strict=False):
        column = f"{quantity}_{index}"
        known = [(r["step"], r[column]) for r in health.history if column in r]
        known = [pair for pair in known if math.isfinite(pair[1])]
        if known and (indices is None or index in indices):
            steps, values = map(np.array, zip(*known, strict=True))
            name = f"{index}: {health.layers[index]}"
            curves.append(Curve(name, colour, steps, values.astype(float)))
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
