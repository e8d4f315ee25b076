"""Notebooks, executed as somebody would: what stands under every cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from docs.site.notebooks import LINE, bars_and_lines, faults, faults_of
from tests.docs.pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))
FIRST = ROOT / "docs" / "first_network.ipynb"

# One after another, in one notebook.
CELLS = {
    "data": """
import sys
import numpy as np
from backprop import Network, Trainer, plots
from backprop.training.callback import Callback
rng = np.random.default_rng(0)
x, labels = rng.random((9, 60), dtype=np.float32), rng.integers(0, 3, 60)
y = np.eye(3, dtype=np.float32)[labels].T.copy()
trainer = Trainer(Network.from_sizes([9, 4, 3], rng=0), rng=1)
""",
    "fit": "trainer.fit(x, y, 3, (x, y));",
    "fit without ipywidgets": """
sys.modules["ipywidgets"] = None
trainer.fit(x, y, 3, (x, y));
""",
    "lines": "trainer.fit(x, y, 2, progress='lines');",
    "nothing": "trainer.fit(x, y, 2, progress=False);",
    "interrupted": """
class Stop(Callback):
    def on_step_end(self, trainer):
        if trainer.epoch == 11 and trainer.step == 3:
            trainer.stop("enough")
trainer.callbacks.append(Stop())
trainer.fit(x, y, 5, (x, y));
""",
    "history": "history = trainer.fit(x, y, 1, progress=False)\nhistory",
    "network": "trainer.network",
    "layer": "trainer.network[0]",
    "axes": "plots.learning_curves(history)",
    "figure": "plots.learning_curves(history).figure",
    "semicolon": "plots.learning_curves(history);",
    "two panels": """
with plots.new_figure(6, 2) as figure:
    for ax in figure.subplots(1, 2):
        plots.learning_curves(history, ax=ax)
figure
""",
    "pyplot": "%matplotlib inline\nimport matplotlib.pyplot as plt",
    "axes beside pyplot": "plots.learning_curves(history)",
    "figure beside pyplot": "plots.learning_curves(history).figure",
    "axes of pyplot": "figure, ax = plt.subplots()\nplots.learning_curves(history, ax=ax)",
}


def execute(notebook: Any, folder: Path, environment: dict[str, str]) -> list[list[Any]]:
    """Run all cells; return what stands under those with code, the text of a stream in one."""
    resources = {"metadata": {"path": str(folder)}}
    options = {"timeout": 300, "kernel_name": "python3", "coalesce_streams": True}
    NotebookClient(notebook, resources=resources, **options).execute(env=environment)
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def under(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> dict[str, list[Any]]:
    """Give what stands under each of the cells."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(code.strip()) for code in CELLS.values()]
    found = execute(notebook, tmp_path_factory.mktemp("notebook"), environment)
    return dict(zip(CELLS, found, strict=True))


@pytest.mark.parametrize(("cell", "last"), [("fit", 3), ("fit without ipywidgets", 6)])
def test_fit_shows_a_bar_and_a_line_an_epoch_with_and_without_ipywidgets(
    under: dict[str, list[Any]], cell: str, last: int
) -> None:
    (bar,), lines, others = bars_and_lines(under[cell])
    assert others == []
    assert 'value="6" max="6"' in bar["text/html"]
    assert bar["text/html"].startswith(f"<code>epoch {last}/{last}: 100% <progress ")
    assert f"epoch {last}/{last}: 100%|{'█' * 20}| 6/6" in bar["text/plain"]
    found = [LINE.fullmatch(line) for line in lines]
    assert [match and int(match[1]) for match in found] == [last - 2, last - 1, last]


def test_fit_shows_what_it_is_told_to(under: dict[str, list[Any]]) -> None:
    bars, lines, others = bars_and_lines(under["lines"])
    assert (len(bars), len(lines), others) == (0, 2, [])
    assert under["nothing"] == []


def test_the_bar_stays_where_an_interrupted_training_stood(under: dict[str, list[Any]]) -> None:
    (bar,), lines, _ = bars_and_lines(under["interrupted"])
    assert "epoch 12/15:  50%|" in bar["text/plain"]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("cell", "pictures"),
    [
        ("axes", 1),
        ("figure", 1),
        ("semicolon", 0),
        ("two panels", 1),
        ("axes beside pyplot", 1),
        ("figure beside pyplot", 1),
        ("axes of pyplot", 1),
    ],
)
def test_every_picture_is_shown_once(under: dict[str, list[Any]], cell: str, pictures: int) -> None:
    assert sum("image/png" in output.get("data", {}) for output in under[cell]) == pictures
    assert len(under[cell]) == pictures + (cell == "axes of pyplot")  # its name as well


def test_what_a_cell_ends_with_reads_well(under: dict[str, list[Any]]) -> None:
    def text(cell: str) -> str:
        (output,) = under[cell]
        return output.data["text/plain"]

    assert text("history").startswith("History(12 records: epoch, seconds, eta, training_cost")
    assert text("network").startswith("Network([Dense(9 -> 4")
    assert text("layer").startswith("Dense(9 -> 4")


@pytest.mark.parametrize(
    ("source", "cell", "found"),
    [
        ("history = trainer.fit(x, y, epochs=3)", "fit", []),
        ("history = trainer.fit(x, y, epochs=4)", "fit", ["3 lines, not one an epoch"]),
        ("history = trainer.fit(x, y, epochs=2)", "lines", ["0 bars, not a full one alone"]),
        ("history = trainer.fit(x, y, epochs=1)", "interrupted", ["1 bars, not a full one alone"]),
        ("figure", "figure", []),
        ("print()", "figure", ["1 pictures"]),
        ("plots.learning_curves(history);", "semicolon", ["0 pictures"]),
    ],
)
def test_what_make_docs_looks_for(
    under: dict[str, list[Any]], source: str, cell: str, found: list[str]
) -> None:
    assert list(faults(source, under[cell])) == found


def test_the_notebook_to_begin_with_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    """All run when `make docs` makes the site, which looks at them in this way, too."""
    notebook, path = nbformat.read(FIRST, 4), tmp_path / FIRST.name
    assert faults_of(path) == ["first_network.ipynb has not run"]
    assert any("history = trainer.fit(" in cell.source for cell in notebook.cells)
    assert any(cell.source.splitlines()[-1].startswith("plots.") for cell in notebook.cells)
    nbformat.write(notebook, path)
    assert len(faults_of(path)) > 2
    execute(notebook, tmp_path, environment)
    nbformat.write(notebook, path)
    assert faults_of(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_output_is_stored(path: Path) -> None:
    cells = nbformat.read(path, 4).cells
    assert not any(cell.outputs for cell in cells if cell.cell_type == "code")


def test_there_is_a_notebook_to_begin_with() -> None:
    assert FIRST in NOTEBOOKS
    assert "(first_network.ipynb)" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
