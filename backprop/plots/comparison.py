"""Training runs side by side, in one picture: their curves, and a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backprop.plots.curves import LETTER, colours_of_runs, learning_curves, width_of_curves
from backprop.plots.style import new_figure
from backprop.training.comparison import check_histories, comparison_table, quantities_of
from backprop.training.history import History

MOST_PANELS = 3


def comparison(
    histories: Mapping[str, History],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    results: Mapping[str, Mapping[str, str]] | None = None,
) -> Figure:
    """Draw the learning curves of several runs, one colour a run, with a table below them.

    Of the costs and metrics that all runs have, the first three have a panel each. The table has
    a column for every run, in its colour: epochs, seconds, last and best values, and what differs
    in the settings.

    >>> plots.save(plots.comparison({"eta 0.5": one, "eta 3": other}), "comparison.png")

    Parameters
    ----------
    histories : dict of name to History
    settings : dict of name to dict, optional
        What determined each run, such as ``{"eta 0.5": {"eta": 0.5, "batch size": 10}, ...}``.
    results : dict of name to dict of str to str, optional
        What else came out, as it is to be written.

    Raises
    ------
    TypeError, ValueError
        If there is no history, or the runs have nothing in common; see also `learning_curves`.
    """
    check_histories("comparison", histories)
    rows = comparison_table(histories, settings, results)
    shared = [q for q in quantities_of(histories.values()) if all(map(_has(q), histories.values()))]
    if not shared:
        raise ValueError("comparison: the runs have no cost or metric in common")
    panels = shared[:MOST_PANELS]
    width = max(width_of_curves(histories, 4.6) * len(panels), 1.2 * LETTER * sum(_lengths(rows)))
    below = 0.21 * len(rows) + 0.2
    curves = max(3.2, 0.2 * len(histories) + 0.8)
    with new_figure(width, curves + below) as figure:
        grid = figure.add_gridspec(2, len(panels), height_ratios=(curves, below))
        for index, quantity in enumerate(panels):
            learning_curves(histories, quantity, ax=figure.add_subplot(grid[0, index]))
        _draw_table(figure.add_subplot(grid[1, :]), rows)
    return figure


def _has(quantity: str) -> Any:
    """Return whether a history has values of a quantity, as a function."""
    columns = (f"training_{quantity}", f"validation_{quantity}")
    return lambda history: any(column in history for column in columns)


def _lengths(rows: list[tuple[str, ...]]) -> list[int]:
    """Return how many letters wide every column of a table is."""
    return [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]


def _draw_table(ax: Axes, rows: list[tuple[str, ...]]) -> None:
    """Draw a table, every run's column in its colour."""
    ax.set_axis_off()
    longest = _lengths(rows)
    table = ax.table(
        rows, loc="upper left", cellLoc="right", edges="open",
        colWidths=[0.95 * length / sum(longest) for length in longest],
    )  # fmt: skip
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.scale(1, 1.1)
    colours = colours_of_runs(len(rows[0]) - 1)
    for (row, column), cell in table.get_celld().items():
        if column == 0:
            cell.set_text_props(ha="left")
        else:
            cell.set_text_props(color=colours[column - 1], weight="normal" if row else "bold")
