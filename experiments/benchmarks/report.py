"""What a run found, as a table, as CSV, and as a section of docs/benchmarks.md."""

from __future__ import annotations

import csv
import io
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from backprop.core.storage import write_text
from experiments.benchmarks.frameworks.registry import OURS
from experiments.benchmarks.workloads import PREDICTED, PREDICTED_BATCHES, WORKLOADS

START, END = "<!-- make bench -->", "<!-- end -->"


class Row(NamedTuple):
    """A line of the table: of which row of the records which quantity, and what it is called."""

    row: str
    quantity: str
    title: str


def rows(results: dict[str, Any]) -> list[Row]:
    """Return the lines of the table, of what was measured or noted."""
    known = {record["row"] for record in results["records"]} | results["notes"].keys()
    found = [Row(name, "epoch", f"{name}: {work.title}") for name, work in WORKLOADS.items()]
    for name in PREDICTED:
        for size in PREDICTED_BATCHES:
            how = "one at a time" if size == 1 else f"{size:,} at a time"
            found.append(Row(f"I1 {name}", f"predict {size}", f"I1: {name} predicts, {how}"))
    for name in WORKLOADS:
        if name.startswith(("W4", "W5")):
            found.append(Row(name, "memory", f"M: peak memory of {name}"))
    found.append(Row("S", "import", "S: import"))
    found.append(Row("S", "process", "S: W1, one epoch, the whole process"))
    return [row for row in found if row.row in known]


def figures(results: dict[str, Any], row: str, quantity: str, framework: str) -> dict[int, float]:
    """Return the figures by round; none where a note speaks against them."""
    if framework in results["notes"].get(row, {}):
        return {}
    return {
        record["round"]: record["value"]
        for record in results["records"]
        if (record["row"], record["quantity"], record["framework"]) == (row, quantity, framework)
    }


def ratios(results: dict[str, Any], row: str, quantity: str, framework: str) -> list[float]:
    """Return peer / ours, round by round."""
    ours = figures(results, row, quantity, OURS)
    peer = figures(results, row, quantity, framework)
    return [peer[number] / ours[number] for number in peer if number in ours]


def share_of_products(results: dict[str, Any], row: str) -> float | None:
    """Return the median part of our epoch that its matrix products would take alone."""
    epochs, products = (figures(results, row, what, OURS) for what in ("epoch", "products"))
    shares = [products[number] / epochs[number] for number in products if number in epochs]
    return statistics.median(shares) if shares else None


# -- the table -------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """Return Markdown: our figures, and the peers' by ours, as median (least to most)."""
    peers = [name for name in results["frameworks"] if name != OURS]
    titles = [results["frameworks"][name]["title"] for name in peers]
    lines = [
        f"| {' | '.join(['', 'backprop', 'matrix products', *titles])} |",
        "|---" * (3 + len(peers)) + "|",
    ]
    for row in rows(results):
        cells = [row.title, ours(results, row)]
        share = share_of_products(results, row.row) if row.quantity == "epoch" else None
        cells.append("" if share is None else f"{share:.0%}")
        cells += [_cell(results, row, name) for name in peers]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ours(results: dict[str, Any], row: Row) -> str:
    """Return our median figure with its unit, or why there is none."""
    values = figures(results, row.row, row.quantity, OURS).values()
    if not values:
        return _short(results["notes"].get(row.row, {}).get(OURS, "-"))
    value = statistics.median(values)
    if row.quantity == "memory":
        return f"{value / 2**20:.0f} MiB"
    unit, scale = next(
        unit for unit in (("us", 1e6), ("ms", 1e3), ("s", 1.0)) if value * unit[1] < 1000
    )
    return f"{value * scale:.3g} {unit}{' an image' if row.row.startswith('I1') else ''}"


def _cell(results: dict[str, Any], row: Row, framework: str) -> str:
    values = ratios(results, row.row, row.quantity, framework)
    if not values:
        notes = results["notes"]
        note = notes.get(row.row, {}).get(framework)
        return _short(note or notes.get(row.row.split()[-1], {}).get(framework, "-"))
    spread = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
    return f"{statistics.median(values):.3g}{spread}"


def _short(note: str) -> str:
    """Return a note's first words, for a cell; the whole stands under the table."""
    return note.split(":")[0] if note.startswith(("failed", "disagrees")) else note


def notes(results: dict[str, Any]) -> list[str]:
    """Return what has to be said of the cells without a figure, a line each."""
    return [
        f"{row}, {results['frameworks'][framework]['title']}: {text}"
        for row, by_framework in sorted(results["notes"].items())
        for framework, text in by_framework.items()
        if text != "not installed"
    ]


# -- what it was measured on -----------------------------------------------------------------


def description(results: dict[str, Any]) -> str:
    """Return one paragraph: machine, versions, date, threads, checks."""
    where, settings = results["machine"], results["settings"]
    versions = [
        f"{framework['title']} {framework['version'] or 'not installed'}"
        for name, framework in results["frameworks"].items()
        if name != "compile"
    ]
    checks = [worst for row in results["checks"].values() for worst in row.values()]
    agree = [worst for worst in checks if worst <= 1e-3]
    rounds = 1 + max((record["round"] for record in results["records"]), default=-1)
    sentences = [
        f"Measured on {results['date'][:10]}: {where['processor']}, {settings['threads']} threads "
        f"on {min(where['cores'], settings['threads'])} cores, "
        f"{'AVX-512, ' if where['avx512'] else ''}{where['system']}, Python {where['python']}, "
        f"NumPy {where['numpy']} ({'; '.join(where.get('blas', ['BLAS unknown']))}), "
        f"{', '.join(versions)}.",
        f"Data: {settings['data']}, float32; {rounds} round{'s' * (rounds != 1)}.",
    ]
    if where.get("environment"):
        variables = " ".join(map("=".join, where["environment"].items()))
        sentences.append(f"All processes had `{variables}`.")
    if agree:
        sentences.append(
            f"Before any time counted, the costs of the first 100 minibatches agreed within "
            f"{max(agree):.0e} of ours."
        )
    sentences += compiling(results)
    if settings["limit"]:
        sentences.append(f"A quick try, of {settings['limit']:,} examples: no figures to quote.")
    return " ".join(sentences)


def compiling(results: dict[str, Any]) -> list[str]:
    """Return how long the compilers took, from the shortest workload to the longest."""
    found = []
    for name in ("compile", "jax"):
        by_row = [figures(results, row, "compile", name) for row in WORKLOADS]
        seconds = [max(values.values()) for values in by_row if values]  # later from a cache
        if seconds:
            title = results["frameworks"][name]["title"]
            found.append(f"{title} {min(seconds):.2g} to {max(seconds):.2g} s a workload")
    return [f"Compiling, which does not count, took {', '.join(found)}."] if found else []


def text(results: dict[str, Any]) -> str:
    """Return table, notes and description."""
    found = [table(results), "", *(f"- {note}" for note in notes(results)), ""]
    return "\n".join([*found, description(results)])


# -- files -----------------------------------------------------------------------------------


def to_csv(results: dict[str, Any]) -> str:
    """Return every single figure, a line each."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", "framework", "round", "quantity", "value"])
    for record in results["records"]:
        writer.writerow(
            [record[name] for name in ("row", "framework", "round", "quantity", "value")]
        )
    return out.getvalue()


def docs_section(results: dict[str, Any]) -> str:
    """Return what stands between the marks of docs/benchmarks.md."""
    return "\n".join(
        [
            "Peer time / our time (for memory, bytes / bytes), the median of all rounds and, in "
            "brackets, the least and the most; above 1 we are ahead. *Matrix products* is the "
            "part of our epoch that its matrix products would take alone.",
            "",
            *_sections(results),
            "",
            description(results),
        ]
    )


def _sections(results: dict[str, Any]) -> Iterator[str]:
    yield table(results)
    remarks = notes(results)
    if remarks:
        yield ""
        yield from (f"- {remark}" for remark in remarks)


def write_docs(path: Path, results: dict[str, Any]) -> None:
    """Put the section of a run between the marks in a Markdown file.

    Raises
    ------
    ValueError
        If the file has no such marks, or the run was a quick try.
    """
    if results["settings"]["limit"]:
        raise ValueError("a quick try has no figures to quote: run without --quick")
    before = path.read_text(encoding="utf-8")
    section = f"{START}\n{docs_section(results)}\n{END}"
    pattern = f"{re.escape(START)}.*?{re.escape(END)}"
    after, count = re.subn(pattern, lambda _: section, before, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{path} must have {START} ... {END} once, it has them {count} times")
    write_text(path, after)
