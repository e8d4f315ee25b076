"""Mosaics of images: what each neuron looks for, and what the network gets wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from backprop.core.checks import check_array, check_finite, check_integer
from backprop.layers import Layer
from backprop.layers.transposed_convolution import TransposedConvolution
from backprop.metrics.labels import decisions
from backprop.network import Network
from backprop.plots.classes import names_of_classes
from backprop.plots.style import (
    add_scale,
    axes_or_new,
    fix_margins,
    in_our_style,
    show_pixels,
    size_in_points,
)

Sides = tuple[int, ...]  # height and width of an image, or channels, height and width


@in_our_style
def weights(
    layer: Layer | np.ndarray,
    image_shape: Sides | None = None,
    count: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the weights of a layer that looks at images: one image a neuron, in reading order.

    Of a convolution it is one image a map, its kernel; where the layer below has several channels,
    those of a neuron or map stand side by side, more than 8 in rows (of a `Conv1d` a channel is a
    row of pixels). Blue is negative, white 0 and red positive. The scale is one for all, symmetric,
    and ends where it holds 99.9% of the weights shown. All is one mosaic, a single image in the
    axes.

    Parameters
    ----------
    layer : Layer or ndarray
        The first layer of a network, or its w: n_out x n_in, or maps x channels x kernel.
    image_shape : (height, width) or (channels, height, width), optional
        Of the input of a layer of neurons; a square unless told.
    count : int, optional
        How many neurons or maps are shown at most: the first ones; unless told 100, and no more
        than have 256 images together.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    TypeError
        If `layer` has no w and is no array of real numbers.
    ValueError
        If w has another shape or is not finite, or the n_in inputs are no image of that shape.
    """
    kernels = _kernels(layer, image_shape)  # n x channels x height x width
    n, channels, *sides = kernels.shape
    most = min(100, max(1, 256 // channels)) if count is None else count
    shown = kernels[: check_integer("weights: count", most)]
    sizes = np.abs(shown)
    limit = float(np.quantile(sizes, 0.999)) or float(sizes.max()) or 1.0

    gap = max(1, round(0.07 * max(sides)))
    in_a_row = channels if channels <= 8 else _mosaic_columns(channels)
    tiles = np.stack([mosaic_of(one, in_a_row, gap, gap)[:-gap] for one in shown])
    height, width = tiles.shape[1:]
    right, down = (gap, gap) if channels == 1 else (3 * gap, 2 * gap)  # between neurons
    columns = _mosaic_columns(len(tiles), (width + right) / (height + down))
    mosaic = mosaic_of(tiles, columns, down, right)[:-down]
    inches = min(5.6, 1.2 * columns * in_a_row)
    high = max(inches * mosaic.shape[0] / mosaic.shape[1], 0.7)  # as the scale's name is
    own = ax is None
    ax = axes_or_new(ax, inches + 1.15, high + 0.35)
    if own:
        fix_margins(ax, 0.05, 0.05, 1.1, 0.3)
    image = show_pixels(ax, mosaic, "RdBu_r", -limit, limit)
    add_scale(ax, image, "weight w", extend="both")
    if max(sides) < 12:  # few pixels, of which many may be white: where does a kernel end?
        frames = [
            Rectangle((x + dx - 0.5, y + dy - 0.5), *sides[::-1])
            for x, y in _corners(len(tiles), columns, width + right, height + down)
            for dx, dy in _corners(channels, in_a_row, sides[1] + gap, sides[0] + gap)
        ]
        ax.add_collection(PatchCollection(frames, facecolor="none", edgecolor="0.6", linewidth=0.5))
    notes = []
    if len(shown) < n:
        what = "neurons" if _w_of(layer).ndim == 2 else "maps"
        notes.append(f"the first {len(shown):,} of {n:,} {what}")
    if channels > 1:
        where = "side by side" if in_a_row == channels else "row by row"
        notes.append(f"{channels} channels {where} in each")
    ax.set_title("; ".join(notes))
    return ax


def _w_of(layer: Any) -> np.ndarray:
    """Return the weights, maps before channels."""
    if isinstance(layer, Network):
        raise TypeError("weights: expected a layer, got a Network; its first is network[0]")
    w = layer if isinstance(layer, np.ndarray) else getattr(layer, "w", None)
    if w is None:
        message = f"expected a layer with weights w, or an array of them, got {layer!r}"
        raise TypeError(f"weights: {message}")
    check_array("weights", "w", w, None, "real")
    check_finite("weights: w", w)
    if not 2 <= w.ndim <= 4 or w.size == 0:
        raise ValueError(
            "weights: w must have the shape (n_out, n_in), or (maps, channels, places) and "
            f"(maps, channels, height, width) of a convolution, got {w.shape}"
        )
    if isinstance(layer, TransposedConvolution):  # whose w begins with the channels
        w = w.reshape(layer.groups, -1, *w.shape[1:]).swapaxes(1, 2)
        return w.reshape(-1, *w.shape[2:])
    return w


def _kernels(layer: Any, image_shape: Sides | None) -> np.ndarray:
    """Return the weights as n x channels x height x width."""
    w = _w_of(layer)
    if w.ndim == 2:
        return w.reshape(len(w), *channels_and_sides("weights", w.shape[1], image_shape))
    if image_shape is not None:
        raise ValueError(
            f"weights: image_shape is for a layer of neurons, got w of the shape {w.shape}"
        )
    return w[:, np.newaxis] if w.ndim == 3 else w


@in_our_style
def misclassified(
    images: np.ndarray,
    a: np.ndarray,
    labels: Any,
    count: int = 40,
    class_names: Sequence[str] | None = None,
    image_shape: Sides | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the images that a network gets wrong, the most confident mistakes first.

    Under each stands what the network takes it for, how sure it is, and what it is: "4 (98%)", "is
    9". The confidence is the output of the predicted class, as a percentage if all outputs are
    between 0 and 1; for a single output, what it says of the class it decides for. All is one
    mosaic, a single image in the axes; where nothing is wrong, the picture says so.

    Parameters
    ----------
    images : ndarray
        N images, on the last axis as a network takes them, n x N, H x W x N or C x H x W x N, or on
        the first as data sets store them, N x n, N x H x W, N x C x H x W or N x H x W x C; where
        both axes are as long, the last is taken. C is 1, or 3 for colours: bytes from 0 to 255 or
        numbers from 0 to 1; all else is scaled from the least to the largest shown.
    a : ndarray, K x N
        The network's outputs.
    labels : ndarray
        Class labels, (N,), or targets, K x N.
    count : int
        How many are shown at most.
    class_names : sequence of str, optional
        Names of the classes; their numbers unless told.
    image_shape : (height, width) or (channels, height, width), optional
        Of images that are columns or rows of n numbers; a square unless told.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    TypeError, ValueError
        If `images` is not such an array, or those shown are not finite; if the numbers of images,
        outputs, labels and names do not agree (see also `backprop.metrics`).
    """
    found = decisions("misclassified", a, labels)
    predicted, true = found.predicted, found.true
    check_array("misclassified", "images", images, None, "real")
    images = _example_by_example(images, len(true), image_shape)
    names = names_of_classes("misclassified", class_names, max(2, len(a)))
    check_integer("misclassified: count", count)
    wrong = np.flatnonzero(predicted != true)
    if len(wrong) == 0:
        ax = axes_or_new(ax, 3.4, 0.7)
        ax.set_axis_off()
        text = f"nothing misclassified: all {len(true):,} right"
        ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
        return ax

    sure = np.where(predicted == 1, a[0], 1 - a[0]) if len(a) == 1 else a.max(axis=0)
    shown = wrong[np.argsort(-sure[wrong], kind="stable")][:count]
    images = images[shown]  # of a file that is mapped no more is read
    check_finite("misclassified: images", images)
    form = _percentage if a.min() >= 0 and a.max() <= 1 else "{:.3g}".format
    captions = [f"{names[predicted[i]]} ({form(sure[i])})\nis {names[true[i]]}" for i in shown]
    ax = _tiles_with_captions(_grey_or_coloured(images), captions, ax)
    title = f"{len(wrong):,} of {len(true):,} wrong ({len(wrong) / len(true):.2%})"
    if len(shown) < len(wrong):
        title += f", {len(shown)} shown"
    ax.set_title(title)
    return ax


def _percentage(share: float) -> str:
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _example_by_example(images: np.ndarray, n: int, image_shape: Sides | None) -> np.ndarray:
    """Return N images as N x H x W, or N x H x W x C if they are coloured."""
    owner = "misclassified"
    if images.ndim not in (2, 3, 4) or n not in (images.shape[-1], images.shape[0]):
        raise ValueError(
            f"{owner}: images must hold {n}, one for each column of a, on the last axis (n x {n}, "
            f"H x W x {n} or C x H x W x {n}) or on the first, got the shape {images.shape}"
        )
    if images.shape[-1] == n:
        images = np.moveaxis(images, -1, 0)
    if image_shape is not None or images.ndim == 2:
        pixels = images[0].size
        images = images.reshape(n, *channels_and_sides(owner, pixels, image_shape))
    if images.ndim == 3:
        return images
    if images.shape[1] in (1, 3):
        images = np.moveaxis(images, 1, -1)
    elif images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{owner}: images must have one channel or three, red, green and blue, got the shape "
            f"{images.shape[1:]} of each; give one of the channels"
        )
    return images[..., 0] if images.shape[-1] == 1 else images


def _grey_or_coloured(tiles: np.ndarray) -> np.ndarray:
    """Return coloured tiles as numbers from 0 to 1, and grey ones as they are."""
    if tiles.ndim == 3:
        return tiles
    if tiles.dtype == np.uint8:
        return tiles / 255
    low, high = tiles.min(), tiles.max()
    if low >= 0 and high <= 1:
        return tiles.astype(np.float64)
    return (tiles.astype(np.float64) - low) / max(float(high) - float(low), 1e-300)


def _tiles_with_captions(tiles: np.ndarray, captions: list[str], ax: Axes | None) -> Axes:
    """Draw N x H x W (x C) tiles row by row, each with the two lines of its caption under it."""
    height, width = tiles.shape[1:3]
    longest = max(len(line) for caption in captions for line in caption.splitlines())
    across = 8 if longest <= 10 else 6
    columns = min(len(tiles), across)
    gap_y = math.ceil(0.48 * height)
    gap_x = math.ceil(0.12 * width)
    mosaic = mosaic_of(tiles, columns, gap_y, gap_x)
    pixel = 6 / across / (width + gap_x)  # of a new figure, in inches
    if ax is None:
        ax = axes_or_new(ax, max(mosaic.shape[1] * pixel, 3), mosaic.shape[0] * pixel + 0.35)
    else:  # its layout, if it has one, is yet to come and may make it smaller
        axes_or_new(ax, 0, 0)
        pixel = 0.75 / 72 * min(np.divide(size_in_points(ax), mosaic.shape[1::-1]))
    size = min(8, 72 * pixel * (width + gap_x) / (0.6 * longest), 72 * pixel * 0.2 * height)
    if tiles.ndim == 3:
        show_pixels(ax, mosaic, "gray_r", np.nanmin(mosaic), np.nanmax(mosaic))
    else:
        show_pixels(ax, np.nan_to_num(mosaic, nan=1.0), None, 0, 1)
    ax.set_anchor("W")
    places = _corners(len(tiles), columns, width + gap_x, height + gap_y)
    for caption, (x, y) in zip(captions, places, strict=True):
        place = x + (width - 1) / 2, y + height - 0.5
        ax.text(*place, caption, ha="center", va="top", fontsize=size, linespacing=1)
    return ax


def channels_and_sides(owner: str, pixels: int, given: Sides | None) -> Sides:
    """Return channels, height and width of an image of so many numbers, a square unless given."""
    if given is None:
        side = math.isqrt(pixels)
        if side * side != pixels:
            raise ValueError(
                f"{owner}: {pixels} pixels make no square image: give image_shape, (height, width) "
                "or (channels, height, width)"
            )
        return 1, side, side
    sides = tuple(check_integer(f"{owner}: image_shape", side) for side in given)
    if len(sides) not in (2, 3) or math.prod(sides) != pixels:
        raise ValueError(
            f"{owner}: image_shape {' x '.join(map(str, sides))} has {math.prod(sides)} pixels, "
            f"expected {pixels} as (height, width) or (channels, height, width)"
        )
    return sides if len(sides) == 3 else (1, *sides)


def _mosaic_columns(n: int, aspect: float = 1.0) -> int:
    """Return how many columns lay n tiles out, rather wide than high, with few places empty.

    `aspect` is the width of a tile over its height.
    """
    wished = math.sqrt(n / aspect)
    candidates = range(max(1, math.ceil(wished)), max(2, math.ceil(2.5 * wished)))
    return min(candidates, key=lambda columns: (-n % columns, abs(columns - 1.3 * wished)))


def _corners(n: int, columns: int, right: int, down: int) -> list[tuple[int, int]]:
    """Return the upper left pixel of every tile of a mosaic."""
    return [(i % columns * right, i // columns * down) for i in range(n)]


def mosaic_of(tiles: np.ndarray, columns: int, gap_y: int, gap_x: int) -> np.ndarray:
    """Return N x H x W (x C) tiles as one image, in rows: NaN between and under them."""
    n, height, width, *colours = tiles.shape
    rows = -(-n // columns)
    shape = (rows, columns, height + gap_y, width + gap_x, *colours)
    mosaic = np.full(shape, np.nan, np.result_type(tiles, np.float32))
    mosaic.reshape(-1, *shape[2:])[:n, :height, :width] = tiles
    image = mosaic.swapaxes(1, 2).reshape(rows * shape[2], columns * shape[3], *colours)
    return image[:, : image.shape[1] - gap_x]
