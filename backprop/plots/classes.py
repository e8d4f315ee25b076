"""Which classes a network takes for which: the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from backprop.core.checks import check_bool
from backprop.metrics import confusion_matrix
from backprop.plots.style import (
    ERRORS,
    add_scale,
    axes_or_new,
    in_our_style,
    name_axes,
    show_pixels,
    size_in_points,
)


@in_our_style
def confusion(
    a: np.ndarray,
    labels: Any = None,
    class_names: Sequence[str] | None = None,
    fractions: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a confusion matrix: the counts, and in colour which share of a class goes wrong where.

    The colour of an error is its share of the true class, of its row. The diagonal is grey and
    has no part in the scale, or the errors would drown.

    >>> plots.confusion(network.predict(x), labels)

    Parameters
    ----------
    a : ndarray
        A network's outputs, K x N; or, without `labels`, a confusion matrix, K x K integers: a row
        per true and a column per predicted class, as `metrics.confusion_matrix` has it.
    labels : ndarray, optional
        Class labels, (N,), or targets, K x N.
    class_names : sequence of str, optional
        Names of the classes; their numbers unless told.
    fractions : bool
        Write into the cells which share of the true class is in them, in percent, and not counts.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    TypeError, ValueError
        If outputs and labels do not fit (see `backprop.metrics`); if the matrix is not square, or
        holds anything but counts; or if it has not as many classes as there are names.
    """
    matrix = a if labels is None else confusion_matrix(a, labels)
    _check_confusion_matrix(matrix)
    check_bool("confusion: fractions", fractions)
    n, total, right = len(matrix), int(matrix.sum()), int(matrix.trace())
    names = names_of_classes("confusion", class_names, n)
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    errors = np.where(np.eye(n, dtype=bool), 0, shares)
    worst = float(errors.max())
    cells = np.vectorize(_percent, otypes=[object])(shares) if fractions else matrix.astype(str)

    cell = min(max(4.2 / n, 0.36), 1)
    margin = 0.4 + 0.07 * max(map(len, names))
    ax = axes_or_new(ax, n * cell + margin + 0.8, n * cell + margin + 0.2)
    shown = np.where(np.eye(n, dtype=bool), np.nan, errors)
    image = show_pixels(ax, shown, ERRORS, 0, worst or 1.0)
    add_scale(ax, image, "errors, % of the true class")
    point = min(size_in_points(ax)) / n  # of a cell's side
    size = min(9, 0.5 * point, point / (0.75 * max(map(len, cells.flat))))
    for (true, predicted), text in np.ndenumerate(cells):
        colour = "white" if errors[true, predicted] > 0.6 * worst else "black"
        style: Any = {"ha": "center", "va": "center", "fontsize": size}
        ax.text(predicted, true, text, color=colour if matrix[true, predicted] else "0.65", **style)
    ax.set_axis_on()
    ax.set_xticks(range(n), names, rotation=90 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(range(n), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    name_axes(ax, "predicted class", "true class")
    beside = "; " if n > 4 else "\n"  # of few classes the picture is narrow
    cells_hold = f"{beside}cells: % of the true class" if fractions else ""
    ax.set_title(f"{right:,} of {total:,} right ({right / total:.2%}){cells_hold}")
    return ax


def _percent(share: float) -> str:
    """Return a percentage in three characters; only none is "0", and only all is "100"."""
    if share in (0, 100):
        return f"{share:.0f}"
    if share < 9.95:
        return f"{share:.1f}" if share >= 0.05 else "<.1"
    return f"{min(share, 99):.0f}"


def _check_confusion_matrix(matrix: Any) -> None:
    if not isinstance(matrix, np.ndarray) or matrix.dtype.kind not in "iu":
        got = matrix.dtype if isinstance(matrix, np.ndarray) else type(matrix).__name__
        raise TypeError(
            f"a confusion matrix is an array of integers, got {got}; "
            "of a network's outputs give the labels too: confusion(a, labels)"
        )
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a confusion matrix is square, got the shape {matrix.shape}")
    if not matrix.any() or matrix.min() < 0:
        raise ValueError("a confusion matrix holds counts, got negative numbers or only zeros")


def names_of_classes(owner: str, given: Sequence[str] | None, n: int) -> list[str]:
    """Return the names of n classes, their numbers unless given."""
    names = [str(name) for name in (range(n) if given is None else given)]
    if len(names) != n:
        raise ValueError(f"{owner}: class_names must hold {n} names, got {len(names)}")
    return names
