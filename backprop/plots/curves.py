"""Curves of a training, epoch by epoch: cost, accuracy and other metrics, of one run or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from backprop.plots.axes import (
    FEW,
    Curve,
    Note,
    logarithmic_axis,
    open_frame_with_grid,
    whole_number_axis,
    write_beside_curves,
)
from backprop.plots.style import (
    BLUE,
    RUNS,
    VERMILLION,
    axes_or_new,
    content_of,
    in_our_style,
    name_axes,
    twin_of,
)
from backprop.training.comparison import check_histories
from backprop.training.history import History

LETTER = 0.07  # inches, of a text beside curves or in a table, on average
LINES = {"training": "--", "validation": "-"}  # where colours tell the runs apart


class Run(NamedTuple):
    """A training run; it has no name where it is the only one."""

    name: str | None
    history: History


class Panel(NamedTuple):
    """A quantity of some runs, which has an axis of its own."""

    quantity: str
    log: bool
    runs: list[Run]

    @property
    def percent(self) -> bool:
        """Whether it is drawn in percent."""
        return any(run.history.in_percent(column) for run in self.runs for column in self.columns)

    @property
    def is_error(self) -> bool:
        """Whether what is drawn is how much is missing to 100%."""
        return (
            self.log
            and self.percent
            and any(
                run.history.greater_is_better(column)
                for run in self.runs
                for column in self.columns
                if run.history.in_percent(column)
            )
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a history that it is in."""
        return tuple(f"{data}_{self.quantity}" for data in LINES)

    def drawn(self, values: Any) -> Any:
        """Return values as they are drawn."""
        if not self.percent:
            return values
        return 100 * (1 - values if self.is_error else values)

    @property
    def label(self) -> str:
        """Return the name of the axis."""
        name = self.quantity
        if self.is_error:
            name = name.replace("accuracy", "error") if "accuracy" in name else f"1 - {name}"
        return "cost C" if name == "cost" else name.replace("_", " ") + " (%)" * self.percent


class Best(NamedTuple):
    """The best epoch of a curve, and its value as it is drawn."""

    epoch: int
    value: float
    text: str


@in_our_style
def learning_curves(
    history: History | Mapping[str, History],
    quantity: str = "cost",
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a quantity against the epoch, for training and validation data, of one run or several.

    The best epoch on the validation data has a ring, and its figures stand beside the curve. Of
    several runs each has a colour, training data are dashed and validation data a full line.

    >>> plots.learning_curves({"eta 0.5": one, "eta 3": other}, "accuracy")

    Another call with the same `ax` adds to what is there: further runs of the same quantity, or
    a second quantity of the one run, with its scale on the right. The same history again is drawn
    as it is by then.

    Parameters
    ----------
    history : History, or dict of name to History
        With ``epoch`` and at least one of the columns ``training_<quantity>`` and
        ``validation_<quantity>``; epochs without a (finite) value are passed over.
    quantity : str
        "cost", "accuracy", or another metric that the trainer recorded. Accuracies, and what a
        `Metric` says is read in percent, are drawn in percent.
    log : bool
        A logarithmic axis; a value of 0 lies below its lower end. For an accuracy it is the
        error, 100% - accuracy, that is then drawn: it is what spans orders of magnitude.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    KeyError
        If a history has no column ``epoch``.
    TypeError, ValueError
        If there is no history; if one has no value of the quantity, or none that a logarithmic axis
        could show; if it does not know which epoch is best, see `History.declare`; or if `ax` holds
        too much already.
    """
    panels = _with_what_is_there(content_of(ax), Panel(quantity, log, _runs_in(history)))
    curves = [[_curves_of_run(panel, run) for run in panel.runs] for panel in panels]
    n = len(panels[0].runs)
    names = [run.name for run in panels[0].runs if run.name is not None]
    ax = axes_or_new(ax, width_of_curves(names, 6), max(3.4, 0.2 * n + 0.8), panels)
    if len(panels) == 2:
        _draw_two_quantities(ax, panels, [of_runs[0] for of_runs in curves])
    elif panels[0].runs[0].name is None:
        _draw_one_run(ax, panels[0], curves[0][0])
    else:
        _draw_several_runs(ax, panels[0], curves[0])
    return ax


# -- what is to be drawn ---------------------------------------------------------------------


def _runs_in(history: Any) -> list[Run]:
    """Return the runs that an argument names."""
    if isinstance(history, History):
        return [Run(None, history)]
    if not isinstance(history, Mapping):
        raise TypeError(
            "learning_curves: expected a History, such as trainer.history, or a dict of name to "
            f"History, got {type(history).__name__}"
        )
    check_histories("learning_curves", history)
    return [Run(str(name), one) for name, one in history.items()]


def _with_what_is_there(there: Any, new: Panel) -> list[Panel]:
    """Return the panels that an axes is to show."""
    panels = there if isinstance(there, list) else []
    same = [panel for panel in panels if panel.quantity == new.quantity]
    if same:
        runs = _named(_joined(same[0].runs, new.runs))
        panels = [new._replace(runs=runs) if panel in same else panel for panel in panels]
    else:
        panels = [*panels, new]
    if len(panels) > 2 or (len(panels) == 2 and any(len(panel.runs) > 1 for panel in panels)):
        quantities, n = ", ".join(p.quantity for p in panels), max(len(p.runs) for p in panels)
        raise ValueError(
            "learning_curves: one axes shows one quantity of several runs or two of one run, and "
            f"has no room for {quantities} of {n} run{'s' * (n > 1)}: give another ax, as "
            "plots.new_figure(...).subplots() makes them"
        )
    return panels


def _joined(runs: list[Run], more: list[Run]) -> list[Run]:
    """Return the runs with others added, each once: a later one of that name takes its place."""
    joined = list(runs)
    for run in more:
        for place, old in enumerate(joined):
            if old.history is run.history or (run.name is not None and old.name == run.name):
                joined[place] = run if run.name is not None else old
                break
        else:
            joined.append(run)
    return joined


def _named(runs: list[Run]) -> list[Run]:
    """Return the runs with names, if there are several."""
    if len(runs) == 1:
        return runs
    return [Run(name or f"run {number}", h) for number, (name, h) in enumerate(runs, start=1)]


def _curves_of_run(panel: Panel, run: Run) -> list[tuple[Curve, Best | None]]:
    """Return the known values of training and validation data as they are drawn, and the best."""
    quantity, log, history = panel.quantity, panel.log, run.history
    epochs = np.array(history["epoch"] if len(history) else [])
    curves: list[tuple[Curve, Best | None]] = []
    for data, colour in (("training", BLUE), ("validation", VERMILLION)):
        values = np.array([record.get(f"{data}_{quantity}") for record in history], dtype=float)
        values = panel.drawn(values)
        known = np.isfinite(values)
        if known.any():
            best = _best(panel, history, data) if data == "validation" else None
            curves.append((Curve(data, colour, epochs[known], values[known]), best))
    if not curves or (log and not any((curve.values > 0).any() for curve, _ in curves)):
        of_run = "" if run.name is None else f" of {run.name!r}"
        raise ValueError(
            f"no training_{quantity} or validation_{quantity}{' above 0' * log} to draw: "
            f"the history{of_run} has {len(history)} epochs of "
            f"{', '.join(history.columns) or 'nothing'}"
        )
    return curves


def _best(panel: Panel, history: History, data: str) -> Best:
    column = f"{data}_{panel.quantity}"
    record = history.best(column)
    value = panel.drawn(record[column])
    return Best(record["epoch"], value, f"{value:.2f}%" if panel.percent else f"{value:.4g}")


# -- how it is drawn -------------------------------------------------------------------------


def _draw_one_run(ax: Axes, panel: Panel, curves: list[tuple[Curve, Best | None]]) -> None:
    """Draw training and validation data in two colours, and write beside them which is which."""
    notes = []
    for curve, best in curves:
        _draw_curve(ax, panel, curve, best)
        text = curve.name
        if best is not None:
            text += f"\nbest {best.text}\nat epoch {best.epoch}"
        notes.append(Note(curve.at[-1], curve.values[-1], text, curve.colour))
    _finish(ax, panel, [curve for curve, _ in curves])
    write_beside_curves(ax, notes)


def _draw_several_runs(
    ax: Axes, panel: Panel, of_runs: list[list[tuple[Curve, Best | None]]]
) -> None:
    """Draw every run in a colour, and write beside it its name and its best value."""
    notes = []
    last = max(max(run.history["epoch"]) for run in panel.runs)  # where no curve is in the way
    for run, curves, colour in zip(panel.runs, of_runs, colours_of_runs(len(of_runs)), strict=True):
        text = str(run.name)
        for curve, best in curves:
            curve = curve._replace(colour=colour)
            _draw_curve(ax, panel, curve, best, LINES[curve.name], f"{run.name}: {curve.name}")
            if best is not None:
                text += f": {best.text} at {best.epoch}"
        notes.append(Note(last, curve.values[-1], text, colour))
    _finish(ax, panel, [curve for curves in of_runs for curve, _ in curves])
    ax.set_title(_legend_of_lines([curve.name for curves in of_runs for curve, _ in curves]))
    write_beside_curves(ax, notes)


def _draw_two_quantities(
    ax: Axes, panels: list[Panel], of_panels: list[list[tuple[Curve, Best | None]]]
) -> None:
    """Draw two quantities of a run, each in a colour that is that of its axis, too."""
    sides = (ax, twin_of(ax))
    bests = []
    for side, panel, curves, colour in zip(
        sides, panels, of_panels, (BLUE, VERMILLION), strict=True
    ):
        for curve, best in curves:
            curve = curve._replace(colour=colour)
            label = f"{panel.quantity}: {curve.name}"
            _draw_curve(side, panel, curve, best, LINES[curve.name], label)
            if best is not None:
                bests.append(f"{panel.label.removesuffix(' (%)')} {best.text} at {best.epoch}")
        _finish(side, panel, [curve for curve, _ in curves])
        side.yaxis.label.set_color(colour)
        side.tick_params(axis="y", colors=colour)
    every = [curve for curves in of_panels for curve, _ in curves]
    whole_number_axis(ax, np.concatenate([curve.at for curve in every]))
    sides[1].grid(False)
    sides[1].spines["right"].set_visible(True)
    title = _legend_of_lines([curve.name for curve in every])
    ax.set_title("\n".join([title, f"best: {', '.join(bests)}"] if bests else [title]))


def _draw_curve(
    ax: Axes, panel: Panel, curve: Curve, best: Best | None, line: str = "-", label: str = ""
) -> None:
    name, colour, at, values = curve
    style: Any = {"color": colour, "marker": "." if len(at) <= FEW else "", "linestyle": line}
    ax.plot(at, values, linewidth=1.5 if line == "-" else 1.1, label=label or name, **style)
    if best is not None and (best.value > 0 or not panel.log):
        style = {"color": colour, "mfc": "none", "ms": 8}
        ax.plot(best.epoch, best.value, "o", label=f"{label}, best" if label else "best", **style)


def _finish(ax: Axes, panel: Panel, curves: list[Curve]) -> None:
    """Name the axes, and put ticks where they are read easily."""
    name_axes(ax, "epoch", panel.label)
    whole_number_axis(ax, np.concatenate([run.history["epoch"] for run in panel.runs]))
    if panel.log:
        logarithmic_axis(ax, np.concatenate([curve.values for curve in curves]))
    else:
        ax.ticklabel_format(axis="y", useOffset=False)
    open_frame_with_grid(ax)


def _legend_of_lines(names: list[str]) -> str:
    words = {"-": "full line", "--": "dashed"}
    return ", ".join(f"{data}: {words[LINES[data]]}" for data in LINES if data in names)


def width_of_curves(names: Iterable[str], least: float) -> float:
    """Return how wide a picture of runs is in inches, with their names beside the curves."""
    return max(least, 2.5 + LETTER * (max((len(str(name)) for name in names), default=0) + 16))


def colours_of_runs(n: int) -> Any:
    """Return a colour for each of n runs."""
    if n <= len(RUNS):
        return RUNS[:n]
    colours = matplotlib.colormaps["turbo"](np.linspace(0.03, 0.97, n))
    return colours * [0.8, 0.8, 0.8, 1]  # a yellow that can be read
