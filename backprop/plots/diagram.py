"""A network of neurons and lines, as one picture: its weights, or all the numbers of an example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Circle, Rectangle

from backprop.inspection.trace import LayerTrace, Trace
from backprop.layers import Layer, Sequential
from backprop.network import Network
from backprop.plots.style import (
    BLUE,
    VERMILLION,
    add_scale,
    axes_or_new,
    fix_margins,
    in_our_style,
    size_in_points,
)

Place = tuple[float, float]
Places = dict[int, Place]  # of the neurons of a column that are drawn

# A gradient or weight of 0 is grey, so that its line is seen; fills are light, under numbers.
SIGNED = LinearSegmentedColormap.from_list("signed", [BLUE, "0.85", VERMILLION])
ACTIVATIONS = LinearSegmentedColormap.from_list("activations", ["#b694c9", "white", "#7cc28a"])
RADIUS = 0.36  # of a neuron
UNIT = 0.56  # inches, from neuron to neuron
SCALE, TITLE, REST = 1.3, 0.3, 0.1  # inches beside them: on the right, above, elsewhere
MOST_LAYERS, MOST_NEURONS = 6, 12
FIRST, LAST = 5, 4  # neurons drawn of a column with more, above and below the dots
LABELS = {
    "gradients": "∂C/∂w (lines)\n∂C/∂b (squares)",
    "weights": "weight w (lines)\nbias b (squares)",
}


class Part(NamedTuple):
    """A layer to draw: what its lines and squares show, and its activations, where known."""

    name: str
    layer: Layer
    n_out: int
    w: np.ndarray | None  # n_out x n_in; None: a line from each neuron to the one beside it
    b: np.ndarray | None
    a: np.ndarray | None


@in_our_style
def network_diagram(
    shown: Trace | Network, lines: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a network as neurons and lines: its weights, or what one example does in it.

    A neuron is a circle. The line that joins neuron k to neuron j shows w_jk or dC/dw_jk: its
    colour the value, its width the size, relative to the largest drawn. The square at the foot of
    neuron j is its bias, in the colour of b_j or dC/db_j, which for one example is delta_j. A value
    of 0 is grey; so are the thin lines from neuron to neuron where a layer has no weights (an
    activation, dropout). Of more than 12 neurons the first five and the last four are drawn, and
    dots for the others. Of a `Sequential` the layers inside it are drawn.

    Of a trace every circle has its activation a as number and fill (green above 0, purple below).

    >>> plots.network_diagram(network)  # its weights
    >>> plots.network_diagram(network.trace(x, y))  # forward and backward, with all numbers

    Parameters
    ----------
    shown : Network or Trace
        A network; or ``network.trace(x, y)`` for one example, a single column each of x and y.
    lines : "weights" or "gradients", optional
        What lines and squares show: of a trace the gradients unless told, of a network the weights.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    TypeError
        If `shown` is neither.
    ValueError
        If a trace holds several examples, or a network's gradients are asked for; the network has
        more than 6 layers; or a layer is no column of neurons or joins them in another way.
    """
    trace = shown if isinstance(shown, Trace) else None
    n_in, parts = _parts_to_draw(shown, lines)
    sizes = [n_in, *(part.n_out for part in parts)]
    columns = [_drawn_neurons(n) for n in sizes]
    most = max(len(column) for column in columns)
    elided = max(sizes) > MOST_NEURONS
    across = 1.4 + 0.3 * min(most, 8)  # from column to column, where neurons stand 1 apart
    left, right = -1.3, across * len(parts) + 1.9
    bottom, top = -most / 2 - 0.4, most / 2 + 0.9 + 0.4 * elided
    wide, high = right - left, top - bottom
    own = ax is None
    ax = axes_or_new(ax, UNIT * wide + SCALE + REST, UNIT * high + TITLE + REST)
    if own:  # a layout that knows of equal axes only when it is done would cut the scale off
        fix_margins(ax, REST, REST, SCALE, TITLE)
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set(xlim=(left, right), ylim=(bottom, top))
    point = min(size_in_points(ax) / np.array([wide, high])) / 40
    style: Any = {"ha": "center", "va": "center", "fontsize": 8.5 * point}
    words = {**style, "fontsize": max(8.5 * point, 6)}  # which need not fit into a circle
    places = [
        {
            j: (column * across, (len(drawn) - 1) / 2 - row)
            for row, j in enumerate(drawn)
            if j is not None
        }
        for column, drawn in enumerate(columns)
    ]

    drawn_lines = _draw_lines(ax, parts, places, point)
    add_scale(ax, drawn_lines, LABELS[lines or ("weights" if trace is None else "gradients")])
    activations = [None if trace is None else trace.x[:, 0], *(part.a for part in parts)]
    _draw_neurons(ax, activations, places, style)
    _draw_biases(ax, parts, places, drawn_lines)
    for n, drawn, title, column in zip(
        sizes, columns, _titles_of_columns(parts), places, strict=True
    ):
        x, _ = column[0]
        if None in drawn:
            title += f"\n{n:,} neurons"
            y = (len(drawn) - 1) / 2 - drawn.index(None)
            ax.text(x, y, "\u22ee", **{**style, "fontsize": 16 * point})
        ax.text(x, most / 2 + 0.15, title, **{**words, "va": "bottom"})
    _name_inputs_and_outputs(ax, trace, places, words)
    if trace is None:
        n_parameters = sum(part.layer.n_parameters for part in parts)
        ax.set_title(f"{'-'.join(map(str, sizes))}: {n_parameters:,} parameters")
    else:
        ax.set_title(f"C = {trace.cost:.4g}")
    return ax


# -- what can be drawn -----------------------------------------------------------------------


def _parts_to_draw(shown: Any, lines: str | None) -> tuple[int, list[Part]]:
    """Return the number of inputs, and the layers from the lowest; raise if there is no diagram."""
    if not isinstance(shown, (Trace, Network)):
        got = type(shown).__name__
        raise TypeError(f"expected a network or a trace, network.trace(x, y), got {got}")
    if lines is not None and lines not in LABELS:
        raise ValueError(
            f"network_diagram: lines must be {' or '.join(map(repr, LABELS))}, got {lines!r}"
        )
    if isinstance(shown, Trace):
        if shown.x.shape[-1] != 1:
            raise ValueError(f"a diagram shows one example, got a trace of {shown.x.shape[-1]}")
        n_in, parts = _size_of(shown.x.shape[:-1], "the input"), list(_of_trace(shown, lines))
    else:
        if lines == "gradients":
            raise ValueError("the gradients are those of an example: give network.trace(x, y)")
        n_in = _size_of(shown.input_shape, "the input")
        parts = list(_of_layers("", shown.layers, shown.input_shape))
    if len(parts) > MOST_LAYERS:
        sizes = "-".join(str(n) for n in (n_in, *(part.n_out for part in parts)))
        raise ValueError(
            f"a diagram holds at most {MOST_LAYERS} layers, this network has {len(parts)}, {sizes}"
        )
    return n_in, parts


def _of_trace(trace: Trace, lines: str | None) -> Iterator[Part]:
    for t in _with_sequentials_unpacked(trace.layers):
        before, after = (
            _size_of(a.shape[:-1], str(t.layer)) if not t.children else _refuse(t.layer)
            for a in (t.a_prev, t.a)
        )
        values = t.parameters if lines == "weights" else t.gradients
        w, b = values.get("w"), values.get("b")
        yield _part(t.name, t.layer, before, after, w, b, t.a[:, 0].astype(np.float64))


def _of_layers(prefix: str, layers: Sequence[Layer], shape: Any) -> Iterator[Part]:
    """Yield the layers of a chain, in the place of a `Sequential` those inside it."""
    for index, layer in enumerate(layers):
        name, after = f"{prefix}{index}", layer.output_shape(shape)
        if type(layer) is Sequential:
            yield from _of_layers(f"{name}.", layer.children, shape)
        elif layer.children:
            _refuse(layer)
        else:
            before, n_out = (_size_of(size, str(layer)) for size in (shape, after))
            w, b = getattr(layer, "w", None), getattr(layer, "b", None)
            yield _part(name, layer, before, n_out, w, b, None)
        shape = after


def _part(
    name: str, layer: Layer, n_in: int, n_out: int, w: Any, b: Any, a: np.ndarray | None
) -> Part:
    if (n_out, n_out) != (n_out, n_in) if w is None else w.shape != (n_out, n_in):
        _refuse(layer)
    return Part(name, layer, n_out, w, None if b is None else b[:, 0], a)


def _size_of(shape: Any, owner: str) -> int:
    """Return how many neurons a column has."""
    if len(shape) != 1 or not isinstance(shape[0], int):
        _refuse(owner)
    return shape[0]


def _refuse(what: Any) -> Any:
    raise ValueError(f"a diagram shows columns of neurons: it cannot show {what}")


def _with_sequentials_unpacked(layers: Sequence[LayerTrace]) -> list[LayerTrace]:
    """Return the layers of a network, in the place of a `Sequential` those inside it."""
    chain: list[LayerTrace] = []
    for t in layers:
        chain += _with_sequentials_unpacked(t.children) if type(t.layer) is Sequential else [t]
    return chain


def _drawn_neurons(n: int) -> list[int | None]:
    """Return which of n neurons are drawn, with None where dots stand for others."""
    if n <= MOST_NEURONS:
        return list(range(n))
    return [*range(FIRST), None, *range(n - LAST, n)]


# -- lines, circles, squares, words ----------------------------------------------------------


def _draw_lines(ax: Axes, parts: list[Part], places: list[Places], point: float) -> LineCollection:
    """Draw the lines; on their scale of colours what the squares of the biases show fits too."""
    lines: list[tuple[list[Place], float]] = []
    squares = [0.0]
    for part, below, above in zip(parts, places, places[1:], strict=False):
        if part.w is None:
            lines += [([below[j], above[j]], 0.0) for j in above]
        else:
            lines += [([below[k], above[j]], float(part.w[j, k])) for j in above for k in below]
        if part.b is not None:
            squares += [float(part.b[j]) for j in above]
    lines.sort(key=lambda line: abs(line[1]))  # the largest on top
    values = np.array([value for _, value in lines])
    limit = float(np.abs(np.concatenate([values, squares])).max()) or 1.0
    widths = point * (0.7 + 4 * np.abs(values) / (np.abs(values).max() or 1.0))
    drawn = LineCollection([ends for ends, _ in lines], linewidths=widths, cmap=SIGNED, zorder=1)
    drawn.set(array=values, clim=(-limit, limit), capstyle="round")
    ax.add_collection(drawn)
    return drawn


def _draw_neurons(
    ax: Axes, activations: list[np.ndarray | None], places: list[Places], style: Any
) -> None:
    """Draw a circle for each neuron, and in it its activation, where it is known."""
    known = [float(np.abs(a).max()) for a in activations if a is not None]
    largest = max(known, default=0.0) or 1.0
    for a, column in zip(activations, places, strict=True):
        for j, place in column.items():
            colour = "white" if a is None else ACTIVATIONS(0.5 + 0.5 * float(a[j]) / largest)
            ax.add_patch(Circle(place, RADIUS, facecolor=colour, edgecolor="0.2", linewidth=0.9))
            if a is not None:  # a number that fits in the circle
                number = f"{a[j]:.2f}" if abs(a[j]) < 9.995 else f"{a[j]:.3g}"
                size = style["fontsize"] * min(1, 5 / len(number))
                ax.text(*place, number, **{**style, "fontsize": size})


def _draw_biases(ax: Axes, parts: list[Part], places: list[Places], lines: LineCollection) -> None:
    """Draw a square for each bias, in its colour on the scale of the lines."""
    for part, column in zip(parts, places[1:], strict=True):
        if part.b is not None:
            for j, (x, y) in column.items():
                corner, colour = (x + 0.12, y - RADIUS - 0.02), lines.to_rgba(part.b[j])
                ax.add_patch(Rectangle(corner, 0.2, 0.2, fc=colour, ec="0.2", lw=0.9))


def _titles_of_columns(parts: list[Part]) -> list[str]:
    titles = ["input"]
    for part in parts:
        activation = part.layer.output_activation
        name = part.layer if activation is None else activation.name
        titles.append(f"layer {part.name}\n{name}")
    return titles


def _name_inputs_and_outputs(
    ax: Axes, trace: Trace | None, places: list[Places], style: Any
) -> None:
    """Name the inputs, and the outputs or what they should be."""
    indexed = {**style, "fontsize": 1.2 * style["fontsize"]}  # as an index is smaller
    for k, (x, y) in places[0].items():
        ax.text(x - RADIUS - 0.1, y, f"$x_{{{k + 1}}}$", **{**indexed, "ha": "right"})
    names = {j: f"$a_{{{j + 1}}}$" for j in places[-1]}
    if trace is not None:
        targets = trace.y
        if targets.ndim == 1:  # a class label
            targets = np.arange(len(trace.layers[-1].a))[:, np.newaxis] == targets
        names = {j: f"$y$ = {float(targets[j, 0]):.3g}" for j in places[-1]}
    else:
        style = indexed
    for j, (x, y) in places[-1].items():
        ax.text(x + RADIUS + 0.12, y, names[j], **{**style, "ha": "left"})
