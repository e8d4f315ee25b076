from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.table import Table

from backprop import History, plots
from backprop.training.comparison import comparison_table
from tests.plots.examples import history, overlaps


def table_of(ax: Axes) -> dict[tuple[int, int], Any]:
    (table,) = [child for child in ax.get_children() if isinstance(child, Table)]
    return {place: cell.get_text() for place, cell in table.get_celld().items()}


@pytest.mark.parametrize("n", [2, 3, 9])
def test_all_runs_are_in_one_picture_one_colour_each_with_their_table(
    n: int, tmp_path: Path
) -> None:
    runs = {f"run {i}": history(10 + i) for i in range(n)}
    settings = {name: {"eta": 0.5 * i, "seed": 0} for i, name in enumerate(runs)}
    figure = plots.comparison(runs, settings)
    assert isinstance(figure, Figure)
    cost, accuracy, table = figure.axes
    assert (cost.get_ylabel(), accuracy.get_ylabel()) == ("cost C", "accuracy (%)")
    texts = table_of(table)
    rows = comparison_table(runs, settings)
    assert {place: text.get_text() for place, text in texts.items()} == {
        (i, j): cell for i, row in enumerate(rows) for j, cell in enumerate(row)
    }
    assert rows[-1][0] == "eta"
    for j, name in enumerate(runs, start=1):
        colours = {to_hex(texts[i, j].get_color()) for i in range(len(rows))}
        for ax in (cost, accuracy):
            lines = [line for line in ax.lines if line.get_label().startswith(f"{name}: ")]
            colours |= {to_hex(line.get_color()) for line in lines}
        assert len(colours) == 1
    figure.canvas.draw()
    for ax in (cost, accuracy):
        assert overlaps(ax) == []
    boxes = [text.get_window_extent() for text in texts.values() if text.get_text()]
    for index, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
        assert box.y1 <= cost.get_window_extent().y0
        assert not any(box.overlaps(other) for other in boxes[:index])
    plots.save(figure, tmp_path / "comparison.png")


def test_only_what_all_runs_have_is_drawn() -> None:
    costs = History({"epoch": e, "training_cost": 1 / e} for e in (1, 2))
    figure = plots.comparison({"a": history(5), "b": costs})
    assert [ax.get_ylabel() for ax in figure.axes] == ["cost C", ""]
    with pytest.raises(ValueError, match="the runs have no cost or metric in common"):
        plots.comparison({"a": history(5), "b": History([{"epoch": 1, "seconds": 1.0}])})


def test_a_single_history_is_no_comparison() -> None:
    with pytest.raises(TypeError, match="comparison: expected a dict of name to History, got Hist"):
        plots.comparison(history(5))  # type: ignore[arg-type]


def test_long_names_and_settings_are_not_written_over_one_another() -> None:
    runs = {"a name of a run that has very many words in it": history(8), "short": history(9)}
    settings = {"short": {"sizes": "784-" + "20-" * 11 + "10"}}
    figure = plots.comparison(runs, settings)
    figure.canvas.draw()
    *curves, table = figure.axes
    boxes = [t.get_window_extent() for t in table_of(table).values() if t.get_text()]
    assert not any(box.overlaps(b) for i, box in enumerate(boxes) for b in boxes[:i])
    assert all(ax.get_window_extent().width > 0.2 * figure.bbox.width for ax in curves)
