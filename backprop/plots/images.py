"""Mosaics of images: what each neuron looks for, and what the network gets wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from backprop.core.checks import check_integer
from backprop.layers import Layer
from backprop.metrics import accuracy, predicted_labels, true_labels
from backprop.plots.classes import names_of_classes
from backprop.plots.style import add_scale, axes_or_new, in_our_style, show_pixels, size_in_points


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
    layer : Layer or ndarray, n_out x n_in
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
        If w is not n_out x n_in or not finite, or the n_in inputs are no image of that shape.
    """
    w = layer if isinstance(layer, np.ndarray) else getattr(layer, "w", None)
    if w is None:
        message = f"expected a layer with weights w, or an array of them, got {layer!r}"
        raise TypeError(f"weights: {message}")
    _check_real_and_finite("weights: w", w)
    if w.ndim != 2 or w.size == 0:
        raise ValueError(f"weights: w must have the shape (n_out, n_in), got {w.shape}")
    shape = _shape_of_input_image(w.shape[1], image_shape)
    shown = w[: check_integer("weights: count", count)]
    sizes = np.abs(shown)
    limit = float(np.quantile(sizes, 0.999)) or float(sizes.max()) or 1.0

    columns = _mosaic_columns(len(shown))
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
    the output of the predicted class (for a single output, its distance from 1/2). All is one
    mosaic, a single image in the axes; where nothing is wrong, the picture says so.

    Parameters
    ----------
    images : ndarray, n x N (square images) or H x W x N
    a : ndarray, K x N
        The network's outputs.
    labels : ndarray
        Class labels, (N,), or targets, K x N.
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
    _check_real_and_finite("misclassified: images", images)
    if images.ndim not in (2, 3) or images.shape[-1] != len(true):
        raise ValueError(
            f"misclassified: images must have the shape (n, {len(true)}) or (H, W, {len(true)}), "
            f"an image to each column of a, got {images.shape}"
        )
    shape = images.shape[:2] if images.ndim == 3 else _square("misclassified", len(images))
    names = names_of_classes("misclassified", class_names, max(2, len(a)))
    check_integer("misclassified: count", count)
    wrong = np.flatnonzero(predicted != true)
    if len(wrong) == 0:
        ax = axes_or_new(ax, 3.4, 0.7)
        ax.set_axis_off()
        text = f"nothing misclassified: all {len(true):,} right"
        ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
        return ax

    confidence = np.abs(a[0] - 0.5) if len(a) == 1 else a.max(axis=0)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    tiles = np.moveaxis(images[..., shown].reshape(*shape, -1), -1, 0)
    pairs = [(names[predicted[i]], names[true[i]]) for i in shown]
    ax = _tiles_with_captions(tiles, _captions(pairs), ax)
    title = f"{len(wrong):,} of {len(true):,} wrong ({share:.2%})"
    if len(shown) < len(wrong):
        title += f", {len(shown)} shown"
    ax.set_title(title)
    return ax


def _captions(pairs: list[tuple[str, str]]) -> list[str]:
    """Return what stands under each image, in two lines if one of them is long."""
    captions = [f"{predicted}, is {true}" for predicted, true in pairs]
    if max(map(len, captions)) > 10:
        return [f"{predicted},\nis {true}" for predicted, true in pairs]
    return captions


def _tiles_with_captions(tiles: np.ndarray, captions: list[str], ax: Axes | None) -> Axes:
    """Draw N x H x W tiles row by row, each with its caption under it."""
    _, height, width = tiles.shape
    lines = [line for caption in captions for line in caption.splitlines()]
    across = 8 if len(lines) == len(captions) else 6
    columns = min(len(tiles), across)
    gap_y = math.ceil((0.08 + 0.2 * len(lines) / len(captions)) * height)
    gap_x = math.ceil(0.12 * width)
    mosaic = _mosaic(tiles, columns, gap_y, gap_x)
    pixel = 6 / across / (width + gap_x)  # of a new figure, in inches
    if ax is None:
        ax = axes_or_new(ax, max(mosaic.shape[1] * pixel, 3), mosaic.shape[0] * pixel + 0.35)
    else:  # its layout, if it has one, is yet to come and may make it smaller
        pixel = 0.75 / 72 * min(np.divide(size_in_points(ax), mosaic.shape[::-1]))
    size = min(8, 72 * pixel * (width + gap_x) / (0.6 * max(map(len, lines))))
    show_pixels(ax, mosaic, "gray_r", np.nanmin(mosaic), np.nanmax(mosaic))
    ax.set_anchor("W")
    for index, caption in enumerate(captions):
        row, column = divmod(index, columns)
        x = column * (width + gap_x) + (width - 1) / 2
        y = row * (height + gap_y) + height - 0.5
        ax.text(x, y, caption, ha="center", va="top", fontsize=size, linespacing=1)
    return ax


def _shape_of_input_image(n_in: int, given: tuple[int, int] | None) -> tuple[int, int]:
    """Return height and width of a layer's input, a square unless given."""
    if given is None:
        return _square("weights", n_in)
    height, width = (check_integer("weights: image_shape", side) for side in given)
    if height * width != n_in:
        raise ValueError(
            f"weights: image_shape {height} x {width} has {height * width} pixels, expected {n_in}"
        )
    return height, width


def _square(owner: str, pixels: int) -> tuple[int, int]:
    side = math.isqrt(pixels)
    if side * side != pixels:
        raise ValueError(f"{owner}: {pixels} pixels make no square image: give height and width")
    return side, side


def _mosaic_columns(n: int) -> int:
    """Return how many columns lay n tiles out, rather wide than high, with few places empty."""
    root = math.sqrt(n)
    candidates = range(math.ceil(root), math.ceil(2.5 * root))
    return min(candidates, key=lambda columns: (-n % columns, abs(columns - 1.3 * root)))


def _mosaic(tiles: np.ndarray, columns: int, gap_y: int, gap_x: int) -> np.ndarray:
    """Return N x H x W tiles as one image, in rows of `columns`: NaN between and under them."""
    n, height, width = tiles.shape
    rows = -(-n // columns)
    shape = (rows, columns, height + gap_y, width + gap_x)
    mosaic = np.full(shape, np.nan, np.result_type(tiles, np.float32))
    mosaic.reshape(-1, *shape[2:])[:n, :height, :width] = tiles
    return mosaic.swapaxes(1, 2).reshape(rows * shape[2], columns * shape[3])[:, :-gap_x]


def _check_real_and_finite(name: str, array: Any) -> None:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} must be an array of real numbers, got {got}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
