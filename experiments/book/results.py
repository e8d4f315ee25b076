"""RESULTS.md and the figures, from the JSON files of a folder, and from nothing else.

    python -m experiments.book.results [FOLDER]

Unless told the folder is results/ beside this file, which is in the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from backprop.core.storage import write_text
from experiments.book import chapter1, chapter2, chapter3, chapter5, chapter6
from experiments.book.drawing import values_of
from experiments.book.row import Published, Row
from experiments.common import read_result

FOLDER = Path(__file__).parent / "results"
CHAPTERS = {1: chapter1, 2: chapter2, 3: chapter3, 5: chapter5, 6: chapter6}
ROWS: dict[str, Row] = {row.name: row for chapter in CHAPTERS.values() for row in chapter.ROWS}
FIGURES: dict[str, Any] = {
    name: figure for chapter in CHAPTERS.values() for name, figure in chapter.FIGURES.items()
}
TITLES = {
    1: "Chapter 1: sigmoids and the quadratic cost",
    2: "Chapter 2: the four equations",
    3: "Chapter 3: cross-entropy, overfitting, initial weights, learning rates",
    5: "Chapter 5: deeper networks",
    6: "Chapter 6: convolutional networks",
}
WORDS = {"best": "best", "last": "last", "first": "after one epoch", "least": "least",
         "chosen": "at the best validation epoch"}  # fmt: skip


def path_of(folder: Path, row: Row, seed: int) -> Path:
    """Return where the JSON file of a run is."""
    return folder / f"{row.name}.{seed}.json"


def read_runs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the runs of a folder, by row, in the order of their seeds; [] where there are none."""
    found = {}
    for row in ROWS.values():
        paths = (path_of(folder, row, seed) for seed in range(row.seeds))
        found[row.name] = [read_result(path) for path in paths if path.exists()]
    voted = chapter6.vote(found)
    found["6-vote"] = [voted] if voted else []
    return found


def write(folder: Path) -> None:
    """Write RESULTS.md and draw every figure of which all rows have runs."""
    runs = read_runs(folder)
    drawn = []
    for name, (draw, needed) in FIGURES.items():
        if all(runs[row] for row in needed):
            draw(runs, folder)
            drawn.append(name)
    write_text(folder / "RESULTS.md", markdown(runs, drawn))


def markdown(runs: dict[str, list[dict[str, Any]]], drawn: list[str]) -> str:
    """Return RESULTS.md: for every row the book's figure, ours, and what differs."""
    done = [run for found in runs.values() for run in found]
    seconds = sum(run["seconds"] for run in done)
    data = ", ".join(sorted({run["data"] for run in done}))
    lines = [
        "# The book's results, and ours",
        "",
        f"Of {len(done)} runs on the data {data}, which took {seconds / 60:.1f} minutes of one",
        "core in all. Each figure is the median over the seeds, with the least and the most beside",
        "it; the difference is that of the median. Generated from the JSON files beside it by",
        "`python -m experiments.book.results`.",
    ]
    for number, chapter in CHAPTERS.items():
        lines += ["", f"## {TITLES[number]}", ""]
        lines += [f"![{name}]({name}.png)\n" for name in chapter.FIGURES if name in drawn]
        lines += [
            "| network | measured | book | ours (least to most) | seeds | difference | remark |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [line for row in chapter.ROWS for line in table_rows(row, runs)]
        found = [run for row in chapter.ROWS for run in runs[row.name]]
        if found:
            paths = sorted({run["path"].split(":")[0] for run in found})
            minutes = sum(run["seconds"] for run in found) / 60
            lines += ["", f"{len(found)} runs, {minutes:.1f} minutes, by: {', '.join(paths)}."]
    missing = [
        f"{row.what} ({row.seeds - len(runs[row.name])} of {row.seeds})"
        for row in ROWS.values()
        if len(runs[row.name]) < row.seeds
    ]
    if missing:
        lines += ["", "## Still to be run", "", *(f"- {one}" for one in missing)]
    return "\n".join(lines) + "\n"


def table_rows(row: Row, runs: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the lines of the table for a row, one a published figure."""
    lines = []
    for published in row.published:
        ours = values_of(runs, row.name, published.measure)
        cells = [row.what, said(published.measure), shown(published, published.value)]
        if ours:
            median = float(np.median(ours))
            cells.append(shown(published, median))
            if len(ours) > 1:
                cells[-1] += f" ({shown(published, min(ours))} to {shown(published, max(ours))})"
            cells += [str(len(ours)), difference(published, median)]
            cells.append(remark(published, ours))
        else:
            cells += ["", f"0 of {row.seeds}", "", "still to be run"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def said(measure: str) -> str:
    """Return a measure in words."""
    which, _, name = measure.partition(" ")
    if not name:
        return {"a": "output"}.get(which, which.replace("_", " "))
    if name.isdigit():
        return f"layer {int(name) + 1}, {'at the start' if which == 'first' else 'at the end'}"
    if name == "a":
        return f"output, {'at the start' if which == 'first' else 'at the end'}"
    name = {"penalised_cost": "training cost"}.get(name, name.replace("_", " "))
    return f"{name}, {WORDS[which]}"


def shown(published: Published, value: float | None) -> str:
    """Return a number as the table has it: an accuracy in percent, others by three digits."""
    if value is None:
        return "none"
    return f"{value:.2%}" if "accuracy" in published.measure else f"{value:.3g}"


def difference(published: Published, median: float) -> str:
    """Return by how much the median differs from the book's figure."""
    if published.value is None:
        return ""
    if published.factor:
        return f"× {median / published.value:.2f}"
    if "accuracy" in published.measure:
        return f"{100 * (median - published.value):+.2f} points".replace("-", "−")
    return f"{median - published.value:+.2g}".replace("-", "−")


def is_near(published: Published, median: float) -> bool:
    """Say whether the median is as near the book's figure as is asked."""
    if published.value is None or published.within is None:
        return True
    if published.factor:
        return 1 / published.within <= median / published.value <= published.within
    return abs(median - published.value) <= published.within


def remark(published: Published, ours: list[float]) -> str:
    """Return what there is to say of a difference, or "" where nothing is."""
    near = is_near(published, float(np.median(ours)))
    inside = published.value is not None and min(ours) <= published.value <= max(ours)
    words = []
    if not near:
        words.append("differs: the book's is " + ("among" if inside else "not among") + " ours")
    if published.remark and (not near or published.value is None):
        words.append(published.remark)
    return "; ".join(words)


def main() -> None:
    """Write and draw."""
    parser = argparse.ArgumentParser(prog="python -m experiments.book.results")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    write(folder)
    print(f"written: {folder / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
