"""Attributions over the images they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from backprop.core.checks import check_array, check_finite, check_integer
from backprop.plots.images import channels_and_sides, mosaic_of
from backprop.plots.style import axes_or_new, fix_margins, in_our_style, show_pixels

INK = 0.45  # how dark the image is under its relevance


@in_our_style
def attributions(
    images: np.ndarray,
    maps: Mapping[str, np.ndarray] | np.ndarray,
    count: int = 8,
    image_shape: Sequence[int] | None = None,
    titles: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw attributions over their images: a row of images, and a row for each kind of map.

    Red speaks for the score and blue against it; the scale is each map's own and symmetric, and
    ends where it holds 99.5% of the map. The image lies under it in grey. What several channels
    have is added up, and the image is their mean.

    Parameters
    ----------
    images : ndarray, n x B, H x W x B or C x H x W x B
    maps : dict of str to ndarray, or ndarray
        Of the images' shape, as `backprop.research.saliency` and the others return them; by the
        names that stand beside the rows.
    count : int
        How many images at most: the first ones.
    image_shape : (height, width) or (channels, height, width), optional
        Of images that are columns of n numbers; a square unless told.
    titles : sequence of str, optional
        Of the columns, such as the classes.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    TypeError, ValueError
        If an array is none of real, finite numbers, or a map has another shape than the images.
    """
    named = dict(maps) if isinstance(maps, Mapping) else {"": maps}
    _check_alike(images, named)
    count = min(check_integer("attributions: count", count), images.shape[-1])
    if titles is not None and len(titles) < count:
        raise ValueError(f"attributions: expected {count} titles, got {len(titles)}")
    pictures = _tiles(images, count, image_shape).mean(axis=1)
    low, high = pictures.min(), pictures.max()
    ink = (pictures - low) / max(float(high - low), 1e-300)
    rows = [np.repeat(1 - ink[..., None], 3, axis=-1)]
    for array in named.values():
        rows.append(_over(_tiles(array, count, image_shape).sum(axis=1), ink))
    height, width = pictures.shape[1:]
    gap = max(1, round(0.07 * max(height, width)))
    mosaic = mosaic_of(np.concatenate(rows), count, gap, gap)[:-gap]
    inches = 0.8 * count + 1.5
    own = ax is None
    ax = axes_or_new(ax, inches, 0.8 * count * mosaic.shape[0] / mosaic.shape[1] + 0.3)
    if own:
        fix_margins(ax, 1.5, 0.05, 0.05, 0.3 if titles else 0.05)
    show_pixels(ax, np.nan_to_num(mosaic, nan=1.0), None, 0, 1)
    for number, name in enumerate(["input", *named]):
        y = number * (height + gap) + height / 2
        ax.text(-gap, y, name, ha="right", va="center", fontsize=8)
    for number, title in enumerate(titles or []):
        if number < count:
            x = number * (width + gap) + (width - 1) / 2
            ax.text(x, -gap, title, ha="center", va="bottom", fontsize=8)
    return ax


def _check_alike(images: np.ndarray, maps: Mapping[str, np.ndarray]) -> None:
    """Raise unless images and maps are real and finite, and of one shape."""
    for name, array in (("images", images), *maps.items()):
        check_array("attributions", name or "maps", array, None, "real")
        check_finite(f"attributions: {name or 'maps'}", array)
        if array.shape != images.shape:
            raise ValueError(
                f"attributions: {name or 'maps'} must have the shape of the images, "
                f"{images.shape}, got {array.shape}"
            )


def _tiles(array: np.ndarray, count: int, image_shape: Sequence[int] | None) -> np.ndarray:
    """Return the first images as count x channels x height x width."""
    array = np.moveaxis(array[..., :count], -1, 0).astype(np.float64)
    if array.ndim == 2:
        given = None if image_shape is None else tuple(image_shape)
        return array.reshape(count, *channels_and_sides("attributions", array[0].size, given))
    if array.ndim not in (3, 4):
        raise ValueError(
            f"attributions: images must be n x B, H x W x B or C x H x W x B, got {array.ndim} axes"
        )
    return array[:, np.newaxis] if array.ndim == 3 else array


def _over(maps: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Return the colours of the maps, over the images."""
    sizes = np.abs(maps)
    limits = np.quantile(sizes.reshape(len(maps), -1), 0.995, axis=1)
    limits = np.where(limits > 0, limits, sizes.max(axis=(1, 2)))
    shares = maps / np.where(limits > 0, limits, 1)[:, None, None]
    colours = matplotlib.colormaps["RdBu_r"]((np.clip(shares, -1, 1) + 1) / 2)[..., :3]
    found: np.ndarray = colours * (1 - INK * ink * (1 - np.clip(abs(shares), 0, 1)))[..., None]
    return found
