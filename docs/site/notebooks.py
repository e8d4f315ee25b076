"""What must stand under the cells of a notebook that has run: its pictures, bars and lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LINE = re.compile(r"epoch (\d+)/(\d+)  cost .*, accuracy .*, \d+\.\d\d s")


def faults_of(path: Path) -> list[str]:
    """Return what is wrong in a notebook that has run, each in a line."""
    import nbformat

    if not path.exists():
        return [f"{path.name} has not run"]
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert cells
    return [
        f"{path.name}: {fault}, under the cell that ends with {cell.source.splitlines()[-1]}"
        for cell in cells
        for fault in faults(cell.source, cell.outputs)
    ]


def faults(source: str, outputs: list[Any]) -> Iterator[str]:
    """Yield what is wrong with the outputs of a cell: every picture is shown, and once."""
    last = source.splitlines()[-1]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    if pictures != last.startswith(("plots.", "figure")):
        yield f"{pictures} pictures"
    if last.startswith("history = trainer.fit("):
        bars, lines, others = bars_and_lines(outputs)
        if len(bars) != 1 or "100%|" not in bars[0]["text/plain"] or others:
            yield f"{len(bars)} bars, not a full one alone"
        if [str(len(lines))] != re.findall(r"epochs=(\d+)", last):
            yield f"{len(lines)} lines, not one an epoch"
        yield from (f"{line!r}, no line of an epoch" for line in lines if not LINE.fullmatch(line))


def bars_and_lines(outputs: list[Any]) -> tuple[list[Any], list[str], list[Any]]:
    """Return the bars, what was printed to stdout as lines, and all other outputs."""
    bars, text, others = [], "", []
    for output in outputs:
        if output.output_type == "display_data":
            bars.append(output.data)
        elif output.output_type == "stream" and output.name == "stdout":
            text = text or output.text  # to which MyST-NB has added what the later ones have
        else:
            others.append(output)
    return bars, text.splitlines(), others
