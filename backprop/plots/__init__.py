"""Pictures of a training run and of a network: everything matplotlib is here.

Every function draws into one `ax` and returns it. Without one it makes a new figure, which is
``ax.figure``: in a notebook, end the cell with that. Such figures are not pyplot's; they need no
screen, no `plt.show` and no `plt.close`, and `save` writes them to a file. The global rcParams
stay as they are. Labels may stand to the right of an `ax` of yours and above it, so give a figure
of several panels ``layout="constrained"``.

>>> from backprop import plots
>>> plots.save(plots.learning_curves(history, "accuracy"), "accuracy.png")
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Circle, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from backprop.core.checks import check_integer
from backprop.inspection.trace import LayerTrace, Trace
from backprop.layers import Layer, Sequential
from backprop.layers.chain import walk_order
from backprop.metrics import accuracy, predicted_labels, true_labels
from backprop.network import Network
from backprop.plots.style import (
    BLUE,
    GRID,
    STYLE,
    VERMILLION,
    add_scale,
    axes_or_new,
    in_our_style,
    name_axes,
    new_figure,
    save,
    show_pixels,
    size_in_points,
    write_beside,
)
from backprop.training.health import GradientHealth
from backprop.training.history import History

__all__ = [
    "BLUE",
    "GRID",
    "STYLE",
    "VERMILLION",
    "activation_histograms",
    "confusion",
    "delta_histograms",
    "gradient_norms",
    "learning_curves",
    "misclassified",
    "network_diagram",
    "new_figure",
    "save",
    "unit_health",
    "weights",
]

BINS = 80  # of a histogram
# From white, so that an error that never happens is no colour; what has no share in it is grey.
ERRORS = LinearSegmentedColormap.from_list(
    "errors", ["white", "#fdd0a2", "#fd8d3c", "#d94801", "#7f2704"]
).with_extremes(bad="0.9")

# Of a diagram: a gradient of 0 is grey, so that its line is seen; fills are light, under numbers.
GRADIENTS = LinearSegmentedColormap.from_list("gradients", [BLUE, "0.85", VERMILLION])
ACTIVATIONS = LinearSegmentedColormap.from_list("activations", ["#b694c9", "white", "#7cc28a"])
RADIUS = 0.36  # of a neuron

# -- training --------------------------------------------------------------------------------


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
        error, 100% − accuracy, that is then drawn: it is what spans orders of magnitude.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    KeyError
        If the history has no column ``epoch``.
    ValueError
        If it has no value of the quantity, or none that a logarithmic axis could show.
    """
    epochs = history["epoch"] if len(history) else []
    percent = quantity.endswith("accuracy")
    name = quantity.replace("accuracy", "error") if log else quantity
    curves = []
    for data, colour in (("training", BLUE), ("validation", VERMILLION)):
        values = np.array([record.get(f"{data}_{quantity}") for record in history], dtype=float)
        if percent:
            values = 100 * (1 - values if log else values)
        known = np.isfinite(values)
        if known.any():
            curves.append((data, colour, np.array(epochs)[known], values[known]))
    if not curves or (log and not any((values > 0).any() for *_, values in curves)):
        raise ValueError(
            f"no training_{quantity} or validation_{quantity}{' above 0' * log} to draw: "
            f"the history has {len(history)} epochs of {', '.join(history.columns) or 'nothing'}"
        )

    ax = axes_or_new(ax, 6, 3.4)
    notes = []
    for data, colour, at, values in curves:
        marker = "." if len(at) <= 20 else ""
        ax.plot(at, values, color=colour, linewidth=1.5, marker=marker, label=data)
        note = data
        if data == "validation":
            epoch, best = _best(at, values, name)
            note += f"\nbest {f'{best:.2f}%' if percent else f'{best:.4g}'}\nat epoch {epoch}"
            if best > 0 or not log:
                ax.plot(epoch, best, "o", color=colour, mfc="none", ms=8, label="best")
        notes.append((at[-1], values[-1], note, colour))
    label = "cost C" if name == "cost" else name.replace("_", " ") + " (%)" * percent
    name_axes(ax, "epoch", label)
    _epoch_axis(ax, epochs)
    if log:
        _log_axis(ax, np.concatenate([values for *_, values in curves]))
    else:
        ax.ticklabel_format(axis="y", useOffset=False)
    _end_notes(ax, notes)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, **GRID)
    return ax


def _best(epochs: np.ndarray, values: np.ndarray, name: str) -> tuple[int, float]:
    """Return epoch and value of the best of `values`, the first of equals."""
    pairs = zip(epochs.tolist(), values.tolist(), strict=True)
    best = History({"epoch": epoch, name: value} for epoch, value in pairs).best(name)
    return best["epoch"], best[name]


def _epoch_axis(ax: Axes, epochs: list[int]) -> None:
    """Let the axis be as long as the training, with ticks at whole numbers."""
    first, last = min(epochs), max(epochs)
    if first == last:
        first -= 1
    margin = 0.02 * (last - first)
    ax.set_xlim(first - margin, last + margin)
    ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def _log_axis(ax: Axes, values: np.ndarray) -> None:
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


def _end_notes(ax: Axes, notes: list[tuple[float, float, str, str]]) -> None:
    """Write beside the end of each curve, but neither over one another nor beyond the axes."""
    ax.autoscale_view()
    ends = ax.transData.transform([note[:2] for note in notes])
    heights = ax.transAxes.inverted().transform(ends)[:, 1]  # as fractions of the axes
    halves = [10 * (1 + text.count("\n")) / 2 / size_in_points(ax)[1] for _, _, text, _ in notes]
    upwards = np.argsort(heights, kind="stable")
    floor, ceiling = 0.0, 1.0
    for i in upwards:
        heights[i] = max(heights[i], floor + halves[i])
        floor = heights[i] + halves[i]
    for i in upwards[::-1]:
        heights[i] = min(heights[i], ceiling - halves[i])
        ceiling = heights[i] - halves[i]
    for (x, _, text, colour), height in zip(notes, heights, strict=True):
        write_beside(ax, text, (x, height), xycoords=ax.get_xaxis_transform(), color=colour)


# -- images ----------------------------------------------------------------------------------


@in_our_style
def weights(
    layer: Layer | np.ndarray,
    image_shape: tuple[int, int] | None = None,
    count: int = 100,
    ax: Axes | None = None,
) -> Axes:
    """Draw the weights of a layer that looks at images: one image a neuron, in reading order.

    Blue is negative, white 0 and red positive. The scale is symmetric and ends where it holds 99.9%
    of the weights shown. All is one mosaic, a single image in the axes.

    Parameters
    ----------
    layer : Layer or ndarray, n_out×n_in
        The first layer of a network, or its w.
    image_shape : (height, width), optional
        Of the layer's input; a square unless told.
    count : int
        How many neurons are shown at most: the first ones.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    TypeError
        If `layer` has no w and is no array of real numbers.
    ValueError
        If w is not n_out×n_in or not finite, or the n_in inputs are no image of that shape.
    """
    w = layer if isinstance(layer, np.ndarray) else getattr(layer, "w", None)
    if w is None:
        raise TypeError(f"expected a layer with weights w, or an array of them, got {layer!r}")
    _check_real("the weights", w)
    if w.ndim != 2 or w.size == 0:
        raise ValueError(f"the weights must have the shape (n_out, n_in), got {w.shape}")
    shape = _image_shape(w.shape[1], image_shape)
    shown = w[: check_integer("count", count)]
    sizes = np.abs(shown)
    limit = float(np.quantile(sizes, 0.999)) or float(sizes.max()) or 1.0

    columns = _columns(len(shown))
    gap = max(1, round(0.07 * max(shape)))
    mosaic = _mosaic(shown.reshape(-1, *shape), columns, gap, gap)[:-gap]
    width = min(5.6, 1.2 * columns)
    ax = axes_or_new(ax, width + 0.8, width * mosaic.shape[0] / mosaic.shape[1] + 0.3)
    image = show_pixels(ax, mosaic, "RdBu_r", -limit, limit)
    add_scale(ax, image, "weight w", extend="both")
    if len(shown) < len(w):
        ax.set_title(f"the first {len(shown):,} of {len(w):,} neurons")
    return ax


@in_our_style
def misclassified(
    images: np.ndarray,
    a: np.ndarray,
    labels: Any,
    count: int = 40,
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the images that a network gets wrong, the most confident mistakes first.

    Under each stands what the network takes it for and what it is: "4, is 9". The confidence is
    the output of the predicted class (for a single output, its distance from ½). All is one
    mosaic, a single image in the axes; where nothing is wrong, the picture says so.

    Parameters
    ----------
    images : ndarray, n×N (square images) or H×W×N
    a : ndarray, K×N
        The network's outputs.
    labels : ndarray
        Class labels, (N,), or targets, K×N.
    count : int
        How many are shown at most.
    class_names : sequence of str, optional
        Names of the classes; their numbers unless told.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    TypeError, ValueError
        If `images` is not such an array, or the numbers of images, outputs, labels and names do
        not agree (see also `backprop.metrics`).
    """
    share = 1 - accuracy(a, labels)  # checks both
    predicted, true = predicted_labels(a), true_labels(labels)
    _check_real("images", images)
    if images.ndim not in (2, 3) or images.shape[-1] != len(true):
        raise ValueError(
            f"images must have the shape (n, {len(true)}) or (H, W, {len(true)}), an image to "
            f"each column of a, got {images.shape}"
        )
    shape = images.shape[:2] if images.ndim == 3 else _image_shape(len(images))
    names = _names(class_names, max(2, len(a)))
    check_integer("count", count)
    wrong = np.flatnonzero(predicted != true)
    if len(wrong) == 0:
        ax = axes_or_new(ax, 3.4, 0.7)
        ax.set_axis_off()
        text = f"nothing misclassified: all {len(true):,} right"
        ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
        return ax

    confidence = np.abs(a[0] - 0.5) if len(a) == 1 else a.max(axis=0)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    texts = [f"{names[predicted[i]]}, is {names[true[i]]}" for i in shown]
    if max(map(len, texts)) > 10:
        texts = [f"{names[predicted[i]]},\nis {names[true[i]]}" for i in shown]
    lines = [line for text in texts for line in text.splitlines()]

    across = 8 if len(lines) == len(texts) else 6
    columns = min(len(shown), across)
    gap_y = math.ceil((0.08 + 0.2 * len(lines) / len(texts)) * shape[0])
    gap_x = math.ceil(0.12 * shape[1])
    tiles = np.moveaxis(images[..., shown].reshape(*shape, -1), -1, 0)
    mosaic = _mosaic(tiles, columns, gap_y, gap_x)
    pixel = 6 / across / (shape[1] + gap_x)  # of a new figure, in inches
    if ax is None:
        ax = axes_or_new(ax, max(mosaic.shape[1] * pixel, 3), mosaic.shape[0] * pixel + 0.35)
    else:  # its layout, if it has one, is yet to come and may make it smaller
        pixel = 0.75 / 72 * min(np.divide(size_in_points(ax), mosaic.shape[::-1]))
    size = min(8, 72 * pixel * (shape[1] + gap_x) / (0.6 * max(map(len, lines))))
    show_pixels(ax, mosaic, "gray_r", np.nanmin(mosaic), np.nanmax(mosaic))
    ax.set_anchor("W")
    for index, text in enumerate(texts):
        row, column = divmod(index, columns)
        x = column * (shape[1] + gap_x) + (shape[1] - 1) / 2
        y = row * (shape[0] + gap_y) + shape[0] - 0.5
        ax.text(x, y, text, ha="center", va="top", fontsize=size, linespacing=1)
    title = f"{len(wrong):,} of {len(true):,} wrong ({share:.2%})"
    if len(shown) < len(wrong):
        title += f", {len(shown)} shown"
    ax.set_title(title)
    return ax


def _image_shape(n: int, given: tuple[int, int] | None = None) -> tuple[int, int]:
    """Return height and width of an image of n pixels, a square unless told."""
    if given is None:
        side = math.isqrt(n)
        if side * side != n:
            raise ValueError(f"{n} pixels make no square image: give its height and width")
        return side, side
    height, width = (check_integer("image_shape", side) for side in given)
    if height * width != n:
        raise ValueError(f"image_shape {height}×{width} has {height * width} pixels, expected {n}")
    return height, width


def _columns(n: int) -> int:
    """Return how many columns lay n tiles out, rather wide than high, with few places empty."""
    root = math.sqrt(n)
    candidates = range(math.ceil(root), math.ceil(2.5 * root))
    return min(candidates, key=lambda columns: (-n % columns, abs(columns - 1.3 * root)))


def _mosaic(tiles: np.ndarray, columns: int, gap_y: int, gap_x: int) -> np.ndarray:
    """Return N×H×W tiles as one image, in rows of `columns`: NaN between them and under each."""
    n, height, width = tiles.shape
    rows = -(-n // columns)
    shape = (rows, columns, height + gap_y, width + gap_x)
    mosaic = np.full(shape, np.nan, np.result_type(tiles, np.float32))
    mosaic.reshape(-1, *shape[2:])[:n, :height, :width] = tiles
    return mosaic.swapaxes(1, 2).reshape(rows * shape[2], columns * shape[3])[:, :-gap_x]


# -- classes ---------------------------------------------------------------------------------


@in_our_style
def confusion(
    matrix: np.ndarray, class_names: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a confusion matrix: the counts, and in colour which share of a class goes wrong where.

    The colour of an error is its share of the true class, of its row. The diagonal is grey and
    has no part in the scale, or the errors would drown.

    Parameters
    ----------
    matrix : ndarray of int, K×K
        A row per true and a column per predicted class, as `metrics.confusion_matrix` has it.
    class_names : sequence of str, optional
        Names of the classes; their numbers unless told.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    TypeError, ValueError
        If the matrix is not square, holds anything but counts, or has not as many classes as
        there are names.
    """
    if not isinstance(matrix, np.ndarray) or matrix.dtype.kind not in "iu":
        got = matrix.dtype if isinstance(matrix, np.ndarray) else type(matrix).__name__
        raise TypeError(f"a confusion matrix is an array of integers, got {got}")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a confusion matrix is square, got the shape {matrix.shape}")
    if not matrix.any() or matrix.min() < 0:
        raise ValueError("a confusion matrix holds counts, got negative numbers or only zeros")
    n, total, right = len(matrix), int(matrix.sum()), int(matrix.trace())
    names = _names(class_names, n)
    errors = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(errors, 0)
    worst = float(errors.max())

    cell = min(max(4.2 / n, 0.36), 1)
    margin = 0.4 + 0.07 * max(map(len, names))
    ax = axes_or_new(ax, n * cell + margin + 0.8, n * cell + margin + 0.2)
    shown = np.where(np.eye(n, dtype=bool), np.nan, errors)
    image = show_pixels(ax, shown, ERRORS, 0, worst or 1.0)
    add_scale(ax, image, "errors, % of the true class")
    point = min(size_in_points(ax)) / n  # of a cell's side
    size = min(9, 0.5 * point, point / (0.75 * len(str(matrix.max()))))
    for (true, predicted), value in np.ndenumerate(matrix):
        colour = "white" if errors[true, predicted] > 0.6 * worst else "black"
        style: Any = {"ha": "center", "va": "center", "fontsize": size}
        ax.text(predicted, true, f"{value}", color=colour if value else "0.65", **style)
    ax.set_axis_on()
    ax.set_xticks(range(n), names, rotation=90 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(range(n), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    name_axes(ax, "predicted class", "true class")
    ax.set_title(f"{right:,} of {total:,} right ({right / total:.2%})")
    return ax


def _names(given: Sequence[str] | None, n: int) -> list[str]:
    """Return the names of n classes."""
    names = [str(name) for name in (range(n) if given is None else given)]
    if len(names) != n:
        raise ValueError(f"class_names must hold {n} names, got {len(names)}")
    return names


# -- inside the network ----------------------------------------------------------------------


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
    rows = [(name, layer, layer.a) for name, layer in _innermost(network) if layer.a is not None]
    if not rows:
        raise RuntimeError("no activations to draw: call network.forward(x, training=True) first")
    values = [_drawn(a) for _, _, a in rows]
    edges = np.histogram_bin_edges(np.concatenate(values), BINS)
    ax = axes_or_new(ax, 6.4, 0.6 * len(rows) + 0.6)
    for y, row in enumerate(values):
        counts = np.histogram(row, edges)[0]
        _ridge(ax, y, counts / max(1, counts.max()), edges, BLUE)
    ax.set_ylim(len(rows) - 0.9, -0.95)
    name_axes(ax, "activation a")
    _layer_axis(ax, rows)
    return ax


@in_our_style
def delta_histograms(network: Network, ax: Axes | None = None) -> Axes:
    """Draw how the δ = ∂C/∂z of the last backward pass are distributed, layer by layer.

    The axis is the size |δ|, logarithmic, because δ shrinks or grows by factors from layer to
    layer. The positive δ stand above the line of their layer and the negative hang below it,
    on the scale of the layer's largest bin. The axis begins where it leaves out a hundredth of
    the layer that reaches lowest; what is exactly 0 has no place on it, and its share stands at
    the end of the row. C is a mean over the batch, so 1/B is part of δ. Layers without a weighted
    input have no δ and no row; in the place of a container stand the layers inside it.

    Parameters
    ----------
    network : Network
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    RuntimeError
        If there was no `backward` after the last training forward.
    """
    layers = _innermost(network)
    rows = [(name, layer, layer.delta) for name, layer in layers if layer.delta is not None]
    if not rows:
        raise RuntimeError(
            "no δ to draw: call network.forward(x, training=True) and network.backward(y) first"
        )
    values = [_drawn(delta) for _, _, delta in rows]
    sizes = [np.log10(np.abs(row)) for row in values]
    smallest = min((np.quantile(row, 0.01) for row in sizes if row.size), default=-1)
    largest = max((row.max() for row in sizes if row.size), default=0)
    edges = np.histogram_bin_edges([], BINS, (smallest, largest))
    ax = axes_or_new(ax, 6.4, 0.8 * len(rows) + 0.8)
    for y, (row, size) in enumerate(zip(values, sizes, strict=True)):
        above, below = (np.histogram(size[side], edges)[0] for side in (row > 0, row < 0))
        top = 2 * max(1, above.max(), below.max())
        _ridge(ax, y, above / top, 10.0**edges, BLUE)
        _ridge(ax, y, -below / top, 10.0**edges, VERMILLION)
    ax.set_xscale("log")
    ax.set_ylim(len(rows) - 0.45, -0.55)
    name_axes(ax, "size of the error |δ|")
    ax.set_title("above the line δ > 0, below it δ < 0")
    _layer_axis(ax, rows)
    return ax


def _innermost(network: Network) -> list[tuple[str, Layer]]:
    """Return the layers and their names, "2.0" inside a container, which has no row of its own."""
    return [(name, layer) for name, layer in network.walk() if not layer.children]


def _drawn(values: np.ndarray) -> np.ndarray:
    """Return the numbers that a histogram shows."""
    return values[np.isfinite(values) & (values != 0)].astype(np.float64)


def _ridge(ax: Axes, y: float, heights: np.ndarray, edges: np.ndarray, colour: str) -> None:
    """Draw one histogram on the line at y, upwards (the axis points down)."""
    ax.stairs(y - 0.85 * heights, edges, baseline=y, fill=True, color=colour, alpha=0.7)


def _layer_axis(ax: Axes, rows: list[tuple[str, Layer, np.ndarray]]) -> None:
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


# -- learning, layer by layer ----------------------------------------------------------------


@in_our_style
def gradient_norms(health: GradientHealth, quantity: str = "delta", ax: Axes | None = None) -> Axes:
    """Draw how large a layer's δ, ∂C/∂w or update is, against the step: a curve for each layer.

    The axis is logarithmic: what fades or grows from layer to layer does so by factors. A value of
    0 lies below its lower end. Minibatches differ: of more than 100 records a curve is the median
    of every few, and the band around it holds the middle four fifths of them.

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
        raise ValueError(f"quantity must be {', '.join(map(repr, labels))}, got {quantity!r}")
    curves = _layer_curves(health, quantity)
    everything = np.concatenate([values for *_, values in curves]) if curves else np.empty(0)
    if not (everything > 0).any():
        raise ValueError(f"no {quantity} above 0 to draw, in {len(health.history)} records")
    smallest = everything[everything > 0].min()

    ax = axes_or_new(ax, 7, max(3.4, 0.16 * len(curves)))
    notes = []
    for name, colour, steps, values in curves:
        at, end = _draw_curve(ax, steps, values, colour)
        notes.append((at, max(end, smallest), name, colour))
    if quantity == "update_ratio":
        ax.axhline(1e-3, color="0.3", linewidth=1, linestyle=":", zorder=1)
    name_axes(ax, "step", labels[quantity])
    _epoch_axis(ax, health.history["step"])
    _log_axis(ax, everything)
    _end_notes(ax, notes)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, **GRID)
    return ax


@in_our_style
def unit_health(health: GradientHealth, ax: Axes | None = None) -> Axes:
    """Draw which share of each layer's ReLUs is dead, and of its sigmoids and tanhs saturated.

    Against the step; dead is a full line, saturated a dashed one. Of many records a curve is the
    median of every few, as in `gradient_norms`.

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
    kinds = {kind: _layer_curves(health, kind) for kind in ("dead", "saturated")}
    if not any(kinds.values()):
        raise ValueError(f"no dead or saturated units known, in {len(health.history)} records")
    count = sum(map(len, kinds.values()))
    ax = axes_or_new(ax, 7, max(3.4, 0.3 * count))
    notes, highest = [], 10.0  # a scale on which two per cent look like two per cent
    for kind, curves in kinds.items():
        for name, colour, steps, fractions in curves:
            percent = 100 * fractions
            end = _draw_curve(ax, steps, percent, colour, "-" if kind == "dead" else "--")
            notes.append((*end, f"{name}\n{end[1]:.0f}% {kind}", colour))
            highest = max(highest, percent.max())
    labels = {"dead": "dead units (%)", "saturated": "saturated activations (%)"}
    name_axes(ax, "step", ", ".join(labels[kind] for kind in kinds if kinds[kind]))
    _epoch_axis(ax, health.history["step"])
    ax.set_ylim(-0.03 * highest, 1.03 * highest)
    _end_notes(ax, notes)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, **GRID)
    return ax


def _layer_curves(
    health: GradientHealth, quantity: str
) -> list[tuple[str, Any, np.ndarray, np.ndarray]]:
    """Return name, colour, steps and values of every layer that has the quantity.

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
            curves.append((f"{index}: {name}", colour, steps, values.astype(float)))
    return curves


def _draw_curve(
    ax: Axes, steps: np.ndarray, values: np.ndarray, colour: Any, line: str = "-"
) -> tuple[float, float]:
    """Draw one curve, or of a long one medians and a band; return where it ends."""
    if len(values) > 100:
        steps = np.array([part.mean() for part in np.array_split(steps, 50)])
        spread = [np.quantile(part, (0.1, 0.5, 0.9)) for part in np.array_split(values, 50)]
        low, values, high = np.transpose(spread)
        ax.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    marker = "." if len(values) <= 20 else ""
    ax.plot(steps, values, color=colour, linewidth=1.3, linestyle=line, marker=marker)
    return steps[-1], values[-1]


@in_our_style
def network_diagram(trace: Trace, ax: Axes | None = None) -> Axes:
    """Draw a small network with all that one example does in it, forward and backward.

    A neuron is a circle with its activation a as number and fill (green above 0, purple below).
    The line that joins neuron k to neuron j shows ∂C/∂w_jk: its colour the value, its width the
    size, relative to the largest. The square at the foot of neuron j is its bias, in the colour
    of ∂C/∂b_j, which for one example is δ_j. A gradient of 0 is grey; so are the thin lines from
    neuron to neuron where a layer has no weights (an activation, dropout). Of a `Sequential` the
    layers inside it are drawn.

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
    columns = _neurons(trace)
    layers = _chain(trace.layers)
    most = max(map(len, columns))
    across = 1.4 + 0.3 * min(most, 8)  # from column to column, where neurons stand 1 apart
    ax = axes_or_new(ax, 0.55 * (across * len(layers) + 2.6) + 1, 0.55 * (most + 1.4))
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set(xlim=(-1.1, across * len(layers) + 1.5), ylim=(-most / 2 - 0.4, most / 2 + 0.9))
    places = [
        [(column * across, (len(a) - 1) / 2 - j) for j in range(len(a))]
        for column, a in enumerate(columns)
    ]

    biases = [t.nabla_b[:, 0] for t in layers if t.nabla_b is not None]
    lines = [line for n, t in enumerate(layers) for line in _lines(t, places[n : n + 2])]
    lines.sort(key=lambda line: abs(line[1]))  # the largest on top
    values = np.array([value for _, value in lines])
    limit = float(np.abs(np.concatenate([values, *biases])).max()) or 1.0
    point = min(size_in_points(ax) / np.array([np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())])) / 40
    widths = point * (0.7 + 4 * np.abs(values) / (np.abs(values).max() or 1.0))
    drawn = LineCollection([ends for ends, _ in lines], linewidths=widths, cmap=GRADIENTS, zorder=1)
    drawn.set(array=values, clim=(-limit, limit), capstyle="round")
    ax.add_collection(drawn)
    add_scale(ax, drawn, "∂C/∂w (lines)\n∂C/∂b (squares)")

    largest = max(float(np.abs(a).max()) for a in columns) or 1.0
    style: Any = {"ha": "center", "va": "center", "fontsize": 8.5 * point}
    for a, column in zip(columns, places, strict=True):
        for value, place in zip(a.tolist(), column, strict=True):
            colour = ACTIVATIONS(0.5 + 0.5 * value / largest)
            ax.add_patch(Circle(place, RADIUS, facecolor=colour, edgecolor="0.2", linewidth=0.9))
            ax.text(*place, _short(value), **style)
    for t, column in zip(layers, places[1:], strict=True):
        if t.nabla_b is not None:
            for colour, (x, y) in zip(drawn.to_rgba(t.nabla_b[:, 0]), column, strict=True):
                corner = (x + 0.12, y - RADIUS - 0.02)
                ax.add_patch(Rectangle(corner, 0.2, 0.2, fc=colour, ec="0.2", lw=0.9))
    for name, column in zip(_column_names(layers), places, strict=True):
        ax.text(column[0][0], most / 2 + 0.15, name, **{**style, "va": "bottom"})
    _name_ends(ax, trace, places, style)
    ax.set_title(f"C = {trace.cost:.4g}")
    return ax


def _neurons(trace: Trace) -> list[np.ndarray]:
    """Return the activations to draw, the input first; raise if they cannot be."""
    if not isinstance(trace, Trace):
        raise TypeError(f"expected a trace, network.trace(x, y), got {type(trace).__name__}")
    if trace.x.shape[-1] != 1:
        raise ValueError(f"a diagram shows one example, got a trace of {trace.x.shape[-1]}")
    layers = _chain(trace.layers)
    arrays = [trace.x, *(t.a for t in layers)]
    for t in layers:
        n_out, n_in = t.a.shape[0], t.a_prev.shape[0]
        found = (n_out, n_out) if t.nabla_w is None else t.nabla_w.shape
        plain = t.a.ndim == t.a_prev.ndim == 2 and not t.children
        if not plain or found != (n_out, n_in):
            raise ValueError(f"a diagram shows columns of neurons: it cannot show {t.layer}")
    sizes = [len(a) for a in arrays]
    if max(sizes) > 12 or len(layers) > 6:
        raise ValueError(
            "a diagram holds at most 6 layers and 12 neurons in each, this network has "
            f"{len(layers)} and {'-'.join(map(str, sizes))}"
        )
    return [a[:, 0].astype(np.float64) for a in arrays]


def _chain(layers: Sequence[LayerTrace]) -> list[LayerTrace]:
    """Return the layers of a network, in the place of a `Sequential` those inside it."""
    chain: list[LayerTrace] = []
    for t in layers:
        chain += _chain(t.children) if type(t.layer) is Sequential else [t]
    return chain


def _lines(t: LayerTrace, places: list) -> list[tuple[list[tuple[float, float]], float]]:
    """Return the ends and the gradient of every line that enters a layer."""
    below, above = places
    if t.nabla_w is None:
        return [([p, q], 0.0) for p, q in zip(below, above, strict=True)]
    return [([below[k], above[j]], float(g)) for (j, k), g in np.ndenumerate(t.nabla_w)]


def _column_names(layers: list[LayerTrace]) -> list[str]:
    names = ["input"]
    for t in layers:
        activation = t.layer.output_activation
        names.append(f"layer {t.name}\n{t.layer if activation is None else activation.name}")
    return names


def _name_ends(ax: Axes, trace: Trace, places: list, style: Any) -> None:
    """Name the inputs, and put beside the outputs what they should be."""
    for k, (x, y) in enumerate(places[0], 1):
        ax.text(x - RADIUS - 0.1, y, f"$x_{{{k}}}$", **{**style, "ha": "right"})
    targets = trace.y
    if targets.ndim == 1:  # a class label
        targets = np.arange(len(places[-1]))[:, np.newaxis] == targets
    for (x, y), target in zip(places[-1], targets[:, 0].tolist(), strict=True):
        ax.text(x + RADIUS + 0.12, y, f"$y$ = {target:.3g}", **{**style, "ha": "left"})


def _short(value: float) -> str:
    """Write a number so that it fits in a circle."""
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.3g}"


def _check_real(name: str, array: Any) -> None:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} must be an array of real numbers, got {got}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
