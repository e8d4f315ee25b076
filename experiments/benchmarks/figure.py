"""The figure of a run: peer time / our time, a line for every row of the table."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.benchmarks import report
from experiments.benchmarks.frameworks.registry import NUMPY, OURS
from experiments.common import figure, tidy

# Told apart by every kind of colour vision (Okabe and Ito, 2008), and by shape.
STYLES = {
    OURS: ("#000000", "o"),
    NUMPY: ("#CC79A7", "v"),
    "torch": ("#D55E00", "o"),
    "compile": ("#E69F00", "D"),
    "jax": ("#0072B2", "s"),
    "sklearn": ("#009E73", "^"),
}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the ratios, median and range, and the part of the matrix products beside them."""
    rows = report.rows(results)
    if not rows:
        raise ValueError("there is nothing to draw: no workload was measured")
    with figure(path, 10, 1.3 + 0.34 * len(rows)) as drawn:
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(5, 1))
        _ratios(left, results, rows)
        _products(right, results, rows)
        drawn.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=4,
                     frameon=False)  # fmt: skip


def _ratios(ax: Axes, results: dict[str, Any], rows: list[report.Row]) -> None:
    ax.axvline(1, color="0.3", linewidth=0.8)
    for name, about in results["frameworks"].items():
        colour, marker = STYLES[name]
        title = about["title"]
        for y, row in enumerate(rows):
            values = report.compared(results, row, name)
            if values:
                ax.plot([min(values), max(values)], [y, y], color=colour, linewidth=1.2, alpha=0.6)
                ax.plot(statistics.median(values), y, marker, color=colour, markersize=5,
                        label=title)  # fmt: skip
                title = "_"  # in the legend once
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    labels = [f"{row.title}\n{report.ours(results, row)}" for row in rows]
    ax.set_yticks(range(len(rows)), labels, fontsize=7)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel("peer / ours: right of 1 the library is ahead (R: each beside / alone)")
    ax.set_title("Time (M: memory) against the library's")
    tidy(ax, grid="x")


def _products(ax: Axes, results: dict[str, Any], rows: list[report.Row]) -> None:
    for y, row in enumerate(rows):
        share = report.share_of_products(results, row)
        if share is not None:
            ax.barh(y, 100 * share, 0.5, color="0.6")
            ax.annotate(f"{share:.0%}", (100 * share, y), (2, 0), textcoords="offset points",
                        va="center", fontsize=7)  # fmt: skip
    ax.set_xlim(0, 118)
    ax.set_xticks([0, 50, 100])
    ax.set_xlabel("% of NumPy's epoch")
    ax.set_title("Matrix products")
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(left=False)
