"""How the activations and the deltas are distributed, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from backprop.core.extremes import histogram_range
from backprop.core.shapes import count_examples
from backprop.layers import Layer
from backprop.network import Network
from backprop.plots.style import (
    BLUE,
    BOOKS_DELTA,
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
    container stand the layers inside it, "2.0" the first in layer 2. What would tower above all
    else has its share of the layer's activations written at the end of the row instead:
    activations of exactly 0 (a ReLU that is off, dropout), and peaks (sigmoids that saturate),
    whose bars are cut off with a gap. That is done where the highest bar is more than 16 times as
    high as three quarters of all, the two highest left out, at four times their height.

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
    edges = _edges(np.concatenate(values))
    ax = axes_or_new(ax, 6.4, 0.6 * len(rows) + 0.6)
    notes = []
    for y, (row, (_, _, a)) in enumerate(zip(values, rows, strict=True)):
        counts = np.histogram(row, edges)[0]
        ceiling = _ceiling(counts)
        peaks = _peaks(counts, ceiling)
        _draw_histogram(ax, y, np.minimum(counts, ceiling) / ceiling, edges, BLUE)
        for first, last in peaks:
            ax.hlines(y - 0.72, edges[first], edges[last], color="white", linewidth=2.5)
        peaks = sorted(peaks, key=lambda ends: -counts[slice(*ends)].sum())[:2]
        notes.append([_describe_peak(counts, edges, ends, a.size) for ends in sorted(peaks)])
    ax.set_ylim(len(rows) - 0.9, -0.95)
    if any(notes):
        ax.set_title("bars with a gap are cut off: what they hold stands at the end of the row")
    name_axes(ax, "activation a")
    _name_rows(ax, rows, notes)
    return ax


@in_our_style
def delta_histograms(network: Network, ax: Axes | None = None) -> Axes:
    """Draw how delta of the last backward pass is distributed, layer by layer.

    It is the book's delta of an example, dC_x/dz, as in `gradient_norms`: B times ``layer.delta``,
    which has in it the 1/B of the mean over the batch. The axis is its size, logarithmic, because
    delta shrinks or grows by factors from layer to layer. Positive deltas stand above the line of
    their layer and negative ones hang below it, on the scale of the layer's largest bin. The axis
    begins where it leaves out a hundredth of the layer that reaches lowest; what is exactly 0 has
    no place on it, and its share stands at the end of the row. Layers without a weighted input have
    no delta and no row; in the place of a container stand the layers inside it.

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
    batch = count_examples(network.root.a)
    values = [batch * _finite_and_not_zero(delta) for _, _, delta in rows]
    sizes = [np.log10(np.abs(row)) for row in values]
    smallest = min((np.quantile(row, 0.01) for row in sizes if row.size), default=-1)
    largest = max((row.max() for row in sizes if row.size), default=0)
    edges = _edges(np.array([smallest, largest]))
    ax = axes_or_new(ax, 6.4, 0.8 * len(rows) + 0.8)
    for y, (row, size) in enumerate(zip(values, sizes, strict=True)):
        above, below = (np.histogram(size[side], edges)[0] for side in (row > 0, row < 0))
        top = 2 * max(1, above.max(), below.max())
        _draw_histogram(ax, y, above / top, 10.0**edges, BLUE)
        _draw_histogram(ax, y, -below / top, 10.0**edges, VERMILLION)
    ax.set_xscale("log")
    ax.set_ylim(len(rows) - 0.45, -0.55)
    name_axes(ax, f"size of an example's error |δ| ({BOOKS_DELTA})")
    ax.set_title("above the line δ > 0, below it δ < 0")
    _name_rows(ax, rows)
    return ax


def _layers_without_children(network: Network) -> list[tuple[str, Layer]]:
    """Return the layers that have a row, and their names: "2.0" inside a container."""
    return [(name, layer) for name, layer in network.walk() if not layer.children]


def _finite_and_not_zero(values: np.ndarray) -> np.ndarray:
    """Return the numbers that a histogram shows."""
    return values[np.isfinite(values) & (values != 0)].astype(np.float64)


def _edges(values: np.ndarray) -> np.ndarray:
    """Return the edges of the bins that hold these numbers."""
    return np.histogram_bin_edges([], BINS, histogram_range(values, BINS))


def _draw_histogram(
    ax: Axes, y: float, heights: np.ndarray, edges: np.ndarray, colour: str
) -> None:
    """Draw one histogram on the line at y, upwards (the axis points down)."""
    ax.stairs(y - 0.85 * heights, edges, baseline=y, fill=True, color=colour, alpha=0.7)


def _ceiling(counts: np.ndarray) -> float:
    """Return the count at which bars are cut off, or that of the highest."""
    filled = np.sort(counts[counts > 0])
    if len(filled) < 3:
        return max(1, counts.max())
    most = np.quantile(filled[:-2], 0.75)  # of the bars, without two that may be peaks
    return 4 * most if filled[-1] > 16 * most else filled[-1]


def _peaks(counts: np.ndarray, ceiling: float) -> list[tuple[int, int]]:
    """Return first and last edge of every run of bars that are cut off."""
    steps = np.diff((counts > ceiling).astype(int), prepend=0, append=0)
    ends = zip(np.flatnonzero(steps > 0), np.flatnonzero(steps < 0), strict=True)
    return [(int(first), int(last)) for first, last in ends]


def _describe_peak(counts: np.ndarray, edges: np.ndarray, ends: tuple[int, int], size: int) -> str:
    """Return which share of a layer's activations lies where."""
    first, last = ends
    share = f"{counts[first:last].sum() / size:.0%}"
    if not counts[:first].any():
        return f"{share} below {edges[last]:.2g}"
    if not counts[last:].any():
        return f"{share} above {edges[first]:.2g}"
    return f"{share} from {edges[first]:.2g} to {edges[last]:.2g}"


def _name_rows(
    ax: Axes, rows: list[tuple[str, Layer, np.ndarray]], notes: Sequence[list[str]] = ()
) -> None:
    """Name the layers beside their rows, and what of them is not in the histogram, or cut off."""
    for y, (_, _, values) in enumerate(rows):
        ax.axhline(y, color="0.6", linewidth=0.6, zorder=0)
        parts = {"zero": np.mean(values == 0), "not finite": np.mean(~np.isfinite(values))}
        shares = {name: f"{p:.0%}" if p > 0.005 else "<1%" for name, p in parts.items() if p}
        parts_in_words = [f"{share} {name}" for name, share in shares.items()]
        note = "\n".join([*(notes[y] if notes else []), *parts_in_words])
        write_beside(ax, note, (1, y - 0.3 * bool(notes)), xycoords=ax.get_yaxis_transform())
    ax.set_yticks(range(len(rows)), [f"{name}: {layer}" for name, layer, _ in rows])
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "left", "right"]].set_visible(False)
    ax.grid(True, axis="x", **GRID)
    ax.set_axisbelow(True)
