"""What every picture shares: figure, colours, notes, a scale of colours, and the file."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary, ref

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from backprop.core.checks import check_number
from backprop.core.storage import write_atomically

P = ParamSpec("P")
T = TypeVar("T")

# Two hues that every kind of colour vision tells apart (Okabe and Ito, 2008).
BLUE, VERMILLION = "#0072B2", "#D55E00"
RUNS = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # theirs too
# Which delta a picture shows, in all of them: the book's dC_x/dz, without the 1/B of the mean.
BOOKS_DELTA = "B × layer.delta"
GRID: Any = {"color": "0.9", "linewidth": 0.6}

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "pdf.fonttype": 42,  # text stays text
    "svg.hashsalt": "backprop",  # the same picture gives the same file
}

# From white, so that an error that never happens is no colour; what has no share in it is grey.
ERRORS = LinearSegmentedColormap.from_list(
    "errors", ["white", "#fdd0a2", "#fd8d3c", "#d94801", "#7f2704"]
).with_extremes(bad="0.9")

# The formats, and what matplotlib would write into a file of its own accord: its version, the time.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None},
}


def in_our_style(draw: Callable[P, T]) -> Callable[P, T]:
    """Let `draw` run under `STYLE`, and the global rcParams be afterwards what they were."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled


# The axes that hold a picture of ours, their background, and what a later call must know of it.
_DRAWN: WeakKeyDictionary[Axes, tuple[ref[Any], Any]] = WeakKeyDictionary()
_TWINS: WeakKeyDictionary[Axes, ref[Axes]] = WeakKeyDictionary()  # a second scale, on the right

# -- figures ---------------------------------------------------------------------------------


class NotebookFigure(Figure):
    """A figure outside pyplot, which a notebook shows all the same; at the end of a cell."""

    def _repr_png_(self) -> bytes:
        return _png(self)


class NotebookAxes(Axes):
    """The axes of a figure of its own, which a notebook shows in its place."""

    def _repr_png_(self) -> bytes:
        return _png(self.figure)


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()


@contextlib.contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """Make an empty figure; what is drawn inside the ``with`` block is drawn in our style.

    It is not pyplot's: it needs no screen and no closing. Its layout is "constrained". After the
    block the global rcParams are what they were.

    >>> with plots.new_figure(7, 3) as figure:
    ...     left, right = figure.subplots(1, 2)
    ...     plots.learning_curves(history, "cost", ax=left)
    ...     right.plot(steps, rates, color=plots.BLUE)
    ...     plots.save(figure, "run.png")

    Parameters
    ----------
    width, height : float
        In inches.

    Raises
    ------
    TypeError, ValueError
        If one is not a positive number.
    """
    size = (
        check_number("new_figure: width", width, "(0, inf)"),
        check_number("new_figure: height", height, "(0, inf)"),
    )
    with matplotlib.rc_context(STYLE):
        yield _empty_figure(*size)


def axes_or_new(ax: Axes | None, width: float, height: float, content: Any = None) -> Axes:
    """Return `ax`, or that of a new figure of so many inches, for one picture of ours.

    A picture takes the place of an earlier one in the same axes; nothing is drawn over it. What
    it is may be kept as `content`.
    """
    if ax is None:
        ax = _empty_figure(width, height).add_subplot(axes_class=NotebookAxes)
    twin = _TWINS.pop(ax)() if ax in _TWINS else None
    if twin is not None:
        twin.remove()
    if _holds_ours(ax):
        _clear(ax)
    _DRAWN[ax] = ref(ax.patch), content
    return ax


def fix_margins(ax: Axes, left: float, bottom: float, right: float, top: float) -> None:
    """Let the axes fill a figure of their own but for so many inches, whatever stands there."""
    figure: Any = ax.figure
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    across, up = 1 - (left + right) / width, 1 - (bottom + top) / height
    ax.set_position((left / width, bottom / height, across, up))


def content_of(ax: Axes | None) -> Any:
    """Return the `content` of the picture in an axes; None if it is none of ours."""
    return _DRAWN[ax][1] if ax is not None and _holds_ours(ax) else None


def _holds_ours(ax: Axes) -> bool:
    """Return whether a picture of ours is in an axes, and was not cleared since, as `cla` does."""
    return ax in _DRAWN and _DRAWN[ax][0]() is ax.patch  # which is a new one after a clear


def _clear(ax: Axes) -> None:
    """Make an axes as empty as a new one."""
    ax.clear()
    ax.set_aspect("auto")
    ax.set_anchor("C")
    ax.set_axis_on()
    ax.set_axisbelow(matplotlib.rcParams["axes.axisbelow"])
    ax.spines[:].set_visible(True)
    ax.tick_params(reset=True, which="both", top=False, right=False)


def twin_of(ax: Axes) -> Axes:
    """Return axes in the same place with a scale of their own on the right."""
    twin = ax.twinx()
    _TWINS[ax] = ref(twin)
    return twin


def _empty_figure(width: float, height: float) -> Figure:
    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@in_our_style
def save(picture: Axes | Figure, path: str | os.PathLike[str], dpi: float = 150) -> None:
    """Write a figure to a file, whole or not at all; the same picture gives the same bytes.

    Parameters
    ----------
    picture : matplotlib.axes.Axes or Figure
        Of an axes it is the whole figure that is written.
    path : path
        Its suffix tells the format: .png, .pdf or .svg.
    dpi : float
        Pixels per inch, in a PNG.

    Raises
    ------
    ValueError
        For another suffix.
    OSError
        If the file cannot be written; an earlier file of that name is then untouched.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in METADATA:
        raise ValueError(f"a picture is a .png, .pdf or .svg file, got {os.fspath(path)!r}")
    options: dict[str, Any] = {"format": suffix, "metadata": METADATA[suffix], "dpi": dpi}
    part = picture.figure if isinstance(picture, Axes) else picture
    figure = part.canvas.figure  # the whole, also where `picture` lies in a subfigure
    write_atomically(path, lambda file: figure.savefig(file, bbox_inches="tight", **options))


# -- inside the axes -------------------------------------------------------------------------


def name_axes(ax: Axes, x: str = "", y: str = "") -> None:
    """Name both axes, and let numbers be a little smaller than names."""
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    ax.tick_params(labelsize=8)


def write_beside(ax: Axes, text: str, point: tuple[float, float], **style: Any) -> None:
    """Write to the right of a point of the axes."""
    style = {"va": "center", "fontsize": 8, "annotation_clip": False, **style}
    ax.annotate(text, point, (8, 0), textcoords="offset points", **style)


def size_in_points(ax: Axes) -> tuple[float, float]:
    """Return width and height of the axes in points, the unit of font sizes."""
    box = ax.get_window_extent()
    return box.width * 72 / ax.figure.dpi, box.height * 72 / ax.figure.dpi


def show_pixels(ax: Axes, pixels: np.ndarray, colours: Any, low: float, high: float) -> AxesImage:
    """Show `pixels` sharp, NaN left out, without the frame and its ticks."""
    ax.set_axis_off()
    return ax.imshow(pixels, colours, vmin=low, vmax=high, interpolation="nearest")


def add_scale(ax: Axes, coloured: ScalarMappable, label: str, **style: Any) -> None:
    """Stand a scale of its colours beside the axes, exactly as high as the image."""
    point = 1 / size_in_points(ax)[0]
    inset = ax.inset_axes((1 + 10 * point, 0, 10 * point, 1))
    bar = ax.figure.colorbar(coloured, cax=inset, **style)
    bar.outline.set_visible(False)
    name_axes(inset, y=label)
