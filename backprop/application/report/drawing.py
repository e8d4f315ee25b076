"""The pictures of a report, as bytes: curves as SVG, which is sharp at any size, and images."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np

from backprop import plots
from backprop.training.history import History

WIDTH, HEIGHT = 3.9, 2.7  # inches: so small that its letters are still read on a phone


def curves(history: History | Mapping[str, History], quantity: str, log: bool = False) -> bytes:
    """Return the curves of a quantity, of one run or of several, as SVG."""
    with plots.new_figure(WIDTH, HEIGHT) as figure:
        plots.learning_curves(history, quantity, log, ax=figure.add_subplot())
        return _bytes(figure, "svg")


def against(a: np.ndarray, y: np.ndarray) -> bytes:
    """Return predicted numbers against the true ones, as SVG."""
    some = slice(None, None, max(1, len(a) // 1000))
    low, high = float(min(a.min(), y.min())), float(max(a.max(), y.max()))
    with plots.new_figure(WIDTH, HEIGHT) as figure:
        ax = figure.add_subplot()
        ax.plot([low, high], [low, high], color="0.6", linewidth=1)
        ax.plot(y[some], a[some], "o", color=plots.BLUE, markersize=3, alpha=0.6, mew=0)
        ax.set_xlabel("true")
        ax.set_ylabel("predicted")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, **plots.GRID)
        return _bytes(figure, "svg")


def as_png(picture: Any) -> bytes:
    """Return a picture of `plots` as PNG."""
    return _bytes(picture.figure, "png")


def thumbnail(image: np.ndarray) -> str:
    """Return an image, H x W or C x H x W, as an address that holds it."""
    image = np.asarray(image)
    if image.ndim == 3:
        image = np.moveaxis(image, 0, -1)
        image = image[..., 0] if image.shape[-1] == 1 else image
    low, high = float(image.min()), float(image.max())
    if image.dtype == np.uint8:
        low, high = 0.0, 255.0
    shown = (image.astype(np.float64) - low) / ((high - low) or 1.0)
    if shown.ndim == 2:  # dark on white, as on paper
        shown = 1 - shown
    file = io.BytesIO()
    bytes_ = (255 * shown).round().astype(np.uint8)
    matplotlib.image.imsave(file, bytes_, cmap="gray", vmin=0, vmax=255, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _bytes(figure: Any, form: str) -> bytes:
    file = io.BytesIO()
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[form]
    with matplotlib.rc_context({**plots.STYLE, "svg.fonttype": "path"}):
        figure.savefig(file, format=form, bbox_inches="tight", dpi=150, metadata=metadata)
    return file.getvalue()
