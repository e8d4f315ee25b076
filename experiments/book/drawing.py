"""What the book's figures share: the runs of a row, their curves, and the book's rings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from backprop.plots.style import RUNS as COLOURS
from experiments.common import tidy

Runs = Mapping[str, Sequence[Mapping[str, Any]]]  # by row: what each seed's JSON file holds


def column(run: Mapping[str, Any], name: str) -> np.ndarray:
    """Return a column of a run, an entry an evaluation."""
    columns = run["columns"]
    if name == "penalised_cost":  # what the book calls the cost
        return np.add(columns["training_cost"], columns["penalty"])
    return np.array(columns[name], float)


def value_of(run: Mapping[str, Any], measure: str) -> float:
    """Return the number that a run has by a `Published.measure`."""
    which, _, name = measure.partition(" ")
    if not name:
        return float(run[which])
    if name.isdigit():  # of the norms, a list of curves
        return float(run["norms"][int(name)][{"first": 0, "last": -1}[which]])
    values = column(run, name)
    if which == "chosen":
        return float(values[int(np.argmax(run["columns"]["validation_accuracy"]))])
    reduce = {"first": lambda v: v[0], "last": lambda v: v[-1], "best": np.max, "least": np.min}
    return float(reduce[which](values))


def values_of(runs: Runs, row: str, measure: str) -> list[float]:
    """Return that number for every run of a row."""
    return [value_of(run, measure) for run in runs.get(row, ())]


def draw_band(
    ax: Axes, found: Sequence[Mapping[str, Any]], name: str, colour: str,
    style: str = "-", factor: float = 1, label: str | None = None,
) -> None:  # fmt: skip
    """Draw a column's median over the runs, and the range of all of them."""
    values = factor * np.array([column(run, name) for run in found])
    epochs = column(found[0], "epoch")
    if len(values) > 1:
        ax.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    ax.plot(epochs, np.median(values, 0), style, color=colour, linewidth=1.3, label=label)


def accuracy_curves(
    ax: Axes,
    runs: Runs,
    labels: Mapping[str, str],
    name: str,
    book: Mapping[str, Mapping[int, float]],
) -> None:
    """Draw the accuracy of every run by epoch, and where the book gives some, rings."""
    for (row, label), colour in zip(labels.items(), COLOURS, strict=False):
        for number, run in enumerate(runs[row]):
            ax.plot(column(run, "epoch"), 100 * column(run, name), color=colour, linewidth=0.9,
                    alpha=0.8, label=None if number else label)  # fmt: skip
        if row in book:
            ax.plot(list(book[row]), list(book[row].values()), "o", color="k", mfc="none", ms=5,
                    zorder=3)  # fmt: skip
    ax.set(xlabel="epoch", ylabel=f"{name.split('_')[0]} accuracy (%)")
    ax.legend(frameon=False, fontsize=8)
    tidy(ax)
