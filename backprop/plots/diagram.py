"""A small network with all its numbers, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Circle, Rectangle

from backprop.inspection.trace import LayerTrace, Trace
from backprop.layers import Sequential
from backprop.plots.style import (
    BLUE,
    VERMILLION,
    add_scale,
    axes_or_new,
    in_our_style,
    size_in_points,
)

Place = tuple[float, float]

# A gradient of 0 is grey, so that its line is seen; fills are light, under numbers.
GRADIENTS = LinearSegmentedColormap.from_list("gradients", [BLUE, "0.85", VERMILLION])
ACTIVATIONS = LinearSegmentedColormap.from_list("activations", ["#b694c9", "white", "#7cc28a"])
RADIUS = 0.36  # of a neuron
MOST_LAYERS, MOST_NEURONS = 6, 12


@in_our_style
def network_diagram(trace: Trace, ax: Axes | None = None) -> Axes:
    """Draw a small network with all that one example does in it, forward and backward.

    A neuron is a circle with its activation a as number and fill (green above 0, purple below).
    The line that joins neuron k to neuron j shows dC/dw_jk: its colour the value, its width the
    size, relative to the largest. The square at the foot of neuron j is its bias, in the colour
    of dC/db_j, which for one example is delta_j. A gradient of 0 is grey; so are the thin lines
    from neuron to neuron where a layer has no weights (an activation, dropout). Of a `Sequential`
    the layers inside it are drawn.

    Parameters
    ----------
    trace : Trace
        ``network.trace(x, y)`` for one example, a single column each of x and y.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    TypeError
        If `trace` is none.
    ValueError
        If it holds several examples; the network has more than 12 neurons in a layer (the input
        included) or more than 6 layers; or a layer is no column of neurons or joins them in
        another way.
    """
    layers = _layers_to_draw(trace)
    columns = [a[:, 0].astype(np.float64) for a in (trace.x, *(t.a for t in layers))]
    most = max(map(len, columns))
    across = 1.4 + 0.3 * min(most, 8)  # from column to column, where neurons stand 1 apart
    ax = axes_or_new(ax, 0.55 * (across * len(layers) + 2.6) + 1, 0.55 * (most + 1.4))
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set(xlim=(-1.1, across * len(layers) + 1.5), ylim=(-most / 2 - 0.4, most / 2 + 0.9))
    point = min(size_in_points(ax) / np.array([np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())])) / 40
    style: Any = {"ha": "center", "va": "center", "fontsize": 8.5 * point}
    places = [
        [(column * across, (len(a) - 1) / 2 - j) for j in range(len(a))]
        for column, a in enumerate(columns)
    ]

    lines = _draw_lines(ax, layers, places, point)
    add_scale(ax, lines, "∂C/∂w (lines)\n∂C/∂b (squares)")
    _draw_neurons(ax, columns, places, style)
    _draw_biases(ax, layers, places, lines)
    for title, column in zip(_titles_of_columns(layers), places, strict=True):
        ax.text(column[0][0], most / 2 + 0.15, title, **{**style, "va": "bottom"})
    _name_inputs_and_targets(ax, trace, places, style)
    ax.set_title(f"C = {trace.cost:.4g}")
    return ax


# -- what can be drawn -----------------------------------------------------------------------


def _layers_to_draw(trace: Trace) -> list[LayerTrace]:
    """Return the layers, from the lowest; raise if there is no diagram of them."""
    if not isinstance(trace, Trace):
        raise TypeError(f"expected a trace, network.trace(x, y), got {type(trace).__name__}")
    if trace.x.shape[-1] != 1:
        raise ValueError(f"a diagram shows one example, got a trace of {trace.x.shape[-1]}")
    layers = _with_sequentials_unpacked(trace.layers)
    for t in layers:
        n_out, n_in = t.a.shape[0], t.a_prev.shape[0]
        found = (n_out, n_out) if t.nabla_w is None else t.nabla_w.shape
        plain = t.a.ndim == t.a_prev.ndim == 2 and not t.children
        if not plain or found != (n_out, n_in):
            raise ValueError(f"a diagram shows columns of neurons: it cannot show {t.layer}")
    sizes = [len(trace.x), *(len(t.a) for t in layers)]
    if max(sizes) > MOST_NEURONS or len(layers) > MOST_LAYERS:
        raise ValueError(
            f"a diagram holds at most {MOST_LAYERS} layers and {MOST_NEURONS} neurons in each, "
            f"this network has {len(layers)} and {'-'.join(map(str, sizes))}"
        )
    return layers


def _with_sequentials_unpacked(layers: Sequence[LayerTrace]) -> list[LayerTrace]:
    """Return the layers of a network, in the place of a `Sequential` those inside it."""
    chain: list[LayerTrace] = []
    for t in layers:
        chain += _with_sequentials_unpacked(t.children) if type(t.layer) is Sequential else [t]
    return chain


# -- lines, circles, squares, words ----------------------------------------------------------


def _draw_lines(
    ax: Axes, layers: list[LayerTrace], places: list[list[Place]], point: float
) -> LineCollection:
    """Draw the gradients of the weights; on the scale of colours those of the biases fit too."""
    lines = []
    for t, below, above in zip(layers, places, places[1:], strict=False):
        lines += _lines_into_layer(t, below, above)
    lines.sort(key=lambda line: abs(line[1]))  # the largest on top
    values = np.array([gradient for _, gradient in lines])
    biases = [t.nabla_b[:, 0] for t in layers if t.nabla_b is not None]
    limit = float(np.abs(np.concatenate([values, *biases])).max()) or 1.0
    widths = point * (0.7 + 4 * np.abs(values) / (np.abs(values).max() or 1.0))
    drawn = LineCollection([ends for ends, _ in lines], linewidths=widths, cmap=GRADIENTS, zorder=1)
    drawn.set(array=values, clim=(-limit, limit), capstyle="round")
    ax.add_collection(drawn)
    return drawn


def _lines_into_layer(
    t: LayerTrace, below: list[Place], above: list[Place]
) -> list[tuple[list[Place], float]]:
    """Return the ends and the gradient of every line that enters a layer."""
    if t.nabla_w is None:
        return [([p, q], 0.0) for p, q in zip(below, above, strict=True)]
    return [([below[k], above[j]], float(g)) for (j, k), g in np.ndenumerate(t.nabla_w)]


def _draw_neurons(
    ax: Axes, columns: list[np.ndarray], places: list[list[Place]], style: Any
) -> None:
    """Draw a circle for each activation, and the number in it."""
    largest = max(float(np.abs(a).max()) for a in columns) or 1.0
    for a, column in zip(columns, places, strict=True):
        for value, place in zip(a.tolist(), column, strict=True):
            colour = ACTIVATIONS(0.5 + 0.5 * value / largest)
            ax.add_patch(Circle(place, RADIUS, facecolor=colour, edgecolor="0.2", linewidth=0.9))
            number = f"{value:.2f}" if abs(value) < 9.995 else f"{value:.3g}"  # fits in the circle
            ax.text(*place, number, **style)


def _draw_biases(
    ax: Axes, layers: list[LayerTrace], places: list[list[Place]], lines: LineCollection
) -> None:
    """Draw a square for each bias, in the colour of its gradient on the scale of the lines."""
    for t, column in zip(layers, places[1:], strict=True):
        if t.nabla_b is not None:
            for colour, (x, y) in zip(lines.to_rgba(t.nabla_b[:, 0]), column, strict=True):
                corner = (x + 0.12, y - RADIUS - 0.02)
                ax.add_patch(Rectangle(corner, 0.2, 0.2, fc=colour, ec="0.2", lw=0.9))


def _titles_of_columns(layers: list[LayerTrace]) -> list[str]:
    titles = ["input"]
    for t in layers:
        activation = t.layer.output_activation
        titles.append(f"layer {t.name}\n{t.layer if activation is None else activation.name}")
    return titles


def _name_inputs_and_targets(ax: Axes, trace: Trace, places: list[list[Place]], style: Any) -> None:
    """Name the inputs, and put beside the outputs what they should be."""
    for k, (x, y) in enumerate(places[0], 1):
        ax.text(x - RADIUS - 0.1, y, f"$x_{{{k}}}$", **{**style, "ha": "right"})
    targets = trace.y
    if targets.ndim == 1:  # a class label
        targets = np.arange(len(places[-1]))[:, np.newaxis] == targets
    for (x, y), target in zip(places[-1], targets[:, 0].tolist(), strict=True):
        ax.text(x + RADIUS + 0.12, y, f"$y$ = {target:.3g}", **{**style, "ha": "left"})
