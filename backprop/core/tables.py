"""Tables for a terminal: rows of cells as lines in which the columns stand one below another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backprop.core.terminal import spelling

_GAP = "  "


def columns(
    rows: Sequence[Sequence[str]], align: str = "<", rule: bool = False, stream: Any = None
) -> list[str]:
    """Return one line for each row, every column as wide as its widest cell.

    Columns are two spaces apart, and no line ends in spaces. The lines are joined, indented or
    repeated by the caller: ``"\\n".join(columns(rows))``.

    Parameters
    ----------
    rows : sequence of sequences of str
        The cells, as many in every row.
    align : str
        A character for each column, "<" for the left or ">" for the right; the last one holds for
        all columns that follow.
    rule : bool
        Whether the first row is a heading: line 1 is then a rule as wide as the table.
    stream : text stream, optional
        Where the table will be written: what its encoding lacks is in ASCII before anything is
        aligned.

    Returns
    -------
    list of str
        Empty if there are no rows.

    Raises
    ------
    ValueError
        If the rows are not equally long, or `align` holds anything else.

    >>> columns([("layer", "parameters"), ("Dense", "23,860")], align="<>", rule=True)
    ['layer  parameters', '-----------------', 'Dense      23,860']
    """
    if not align or set(align) - set("<>"):
        raise ValueError(f"columns: align must consist of '<' and '>', got {align!r}")
    if not rows:
        return []
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"columns: row {number} has {len(row)} cells, expected {len(rows[0])}: {row!r}"
            )
    spelled = spelling("".join(cell for row in rows for cell in row), stream)
    rows = [[spelled(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = list(zip(align.ljust(len(widths), align[-1]), widths, strict=False))
    lines = [
        _GAP.join(
            f"{cell:{side}{width}}" for cell, (side, width) in zip(row, aligned, strict=True)
        ).rstrip()
        for row in rows
    ]
    if rule:
        lines.insert(1, "-" * (sum(widths) + len(_GAP) * (len(widths) - 1)))
    return lines
