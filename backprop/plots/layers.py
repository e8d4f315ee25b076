"""How the activations and the deltas are distributed, layer by layer."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from backprop.layers import Layer
from backprop.network import Network
from backprop.plots.style import (
    BLUE,
    GRID,
    VERMILLION,
    axes_or_new,
    in_our_style,
    name_axes,
    write_beside,
)

BINS = 80  # of a histogram


@in_our_style
def activation_histograms(network: Network, ax: Axes | None = None) -> Axes:
    """Draw how the activations a of the last training forward are distributed, layer by layer.

    A row is a layer, the lowest on top, each on the scale of its largest bin; in the place of a
    container stand the layers inside it, "2.0" the first in layer 2. Activations of
    exactly 0 (a ReLU that is off, dropout) would tower above all others: their share stands at
    the end of the row instead.

    Parameters
    ----------
    network : Network
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    RuntimeError
        If there was no ``forward(x, training=True)``.
    """
    layers = _layers_without_children(network)
    rows = [(name, layer, layer.a) for name, layer in layers if layer.a is not None]
    if not rows:
        raise RuntimeError("no activations to draw: call network.forward(x, training=True) first")
    values = [_finite_and_not_zero(a) for _, _, a in rows]
    edges = np.histogram_bin_edges(np.concatenate(values), BINS)
    ax = axes_or_new(ax, 6.4, 0.6 * len(rows) + 0.6)
    for y, row in enumerate(values):
        counts = np.histogram(row, edges)[0]
        _draw_histogram(ax, y, counts / max(1, counts.max()), edges, BLUE)
    ax.set_ylim(len(rows) - 0.9, -0.95)
    name_axes(ax, "activation a")
    _name_rows(ax, rows)
    return ax


@in_our_style
def delta_histograms(network: Network, ax: Axes | None = None) -> Axes:
    """Draw how delta = dC/dz of the last backward pass is distributed, layer by layer.

    The axis is the size |delta|, logarithmic, because delta shrinks or grows by factors from layer
    to layer. Positive deltas stand above the line of their layer and negative ones hang below it,
    on the scale of the layer's largest bin. The axis begins where it leaves out a hundredth of
    the layer that reaches lowest; what is exactly 0 has no place on it, and its share stands at
    the end of the row. C is a mean over the batch, so 1/B is part of delta. Layers without a
    weighted input have no delta and no row; in the place of a container stand the layers inside it.

    Parameters
    ----------
    network : Network
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    RuntimeError
        If there was no `backward` after the last training forward.
    """
    layers = _layers_without_children(network)
    rows = [(name, layer, layer.delta) for name, layer in layers if layer.delta is not None]
    if not rows:
        raise RuntimeError(
            "no delta to draw: call network.forward(x, training=True) and network.backward(y) first"
        )
    values = [_finite_and_not_zero(delta) for _, _, delta in rows]
    sizes = [np.log10(np.abs(row)) for row in values]
    smallest = min((np.quantile(row, 0.01) for row in sizes if row.size), default=-1)
    largest = max((row.max() for row in sizes if row.size), default=0)
    edges = np.histogram_bin_edges([], BINS, (smallest, largest))
    ax = axes_or_new(ax, 6.4, 0.8 * len(rows) + 0.8)
    for y, (row, size) in enumerate(zip(values, sizes, strict=True)):
        above, below = (np.histogram(size[side], edges)[0] for side in (row > 0, row < 0))
        top = 2 * max(1, above.max(), below.max())
        _draw_histogram(ax, y, above / top, 10.0**edges, BLUE)
        _draw_histogram(ax, y, -below / top, 10.0**edges, VERMILLION)
    ax.set_xscale("log")
    ax.set_ylim(len(rows) - 0.45, -0.55)
    name_axes(ax, "size of the error |δ|")
    ax.set_title("above the line δ > 0, below it δ < 0")
    _name_rows(ax, rows)
    return ax


def _layers_without_children(network: Network) -> list[tuple[str, Layer]]:
    """Return the layers that have a row, and their names: "2.0" inside a container."""
    return [(name, layer) for name, layer in network.walk() if not layer.children]


def _finite_and_not_zero(values: np.ndarray) -> np.ndarray:
    """Return the numbers that a histogram shows."""
    return values[np.isfinite(values) & (values != 0)].astype(np.float64)


def _draw_histogram(
    ax: Axes, y: float, heights: np.ndarray, edges: np.ndarray, colour: str
) -> None:
    """Draw one histogram on the line at y, upwards (the axis points down)."""
    ax.stairs(y - 0.85 * heights, edges, baseline=y, fill=True, color=colour, alpha=0.7)


def _name_rows(ax: Axes, rows: list[tuple[str, Layer, np.ndarray]]) -> None:
    """Name the layers beside their rows, and what of them is not in the histogram."""
    for y, (_, _, values) in enumerate(rows):
        ax.axhline(y, color="0.6", linewidth=0.6, zorder=0)
        parts = {"zero": np.mean(values == 0), "not finite": np.mean(~np.isfinite(values))}
        shares = {name: f"{p:.0%}" if p > 0.005 else "<1%" for name, p in parts.items() if p}
        note = "\n".join(f"{share} {name}" for name, share in shares.items())
        write_beside(ax, note, (1, y), xycoords=ax.get_yaxis_transform())
    ax.set_yticks(range(len(rows)), [f"{name}: {layer}" for name, layer, _ in rows])
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "left", "right"]].set_visible(False)
    ax.grid(True, axis="x", **GRID)
    ax.set_axisbelow(True)
