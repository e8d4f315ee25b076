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
from experiments.benchmarks.frameworks.registry import NUMPY, OURS
from experiments.benchmarks.workloads import (
    BESIDE,
    PREDICTED,
    PREDICTED_BATCHES,
    SINGLE,
    WORKLOADS,
)

START, END = "<!-- make bench -->", "<!-- end -->"


def reference(results: dict[str, Any]) -> str:
    """Return the framework that all ratios refer to: ours, compiled where there is a compiler."""
    return next(iter(results["frameworks"]))


class Row(NamedTuple):
    """A line of the table: of which row of the records which quantity, and what it is called."""

    row: str
    quantity: str
    title: str


def rows(results: dict[str, Any]) -> list[Row]:
    """Return the lines of the table, of what was measured or noted."""
    known = {record["row"] for record in results["records"]} | results["notes"].keys()
    found = [Row(name, "epoch", f"{name}: {work.title}") for name, work in WORKLOADS.items()]
    for name in SINGLE:
        title = f"W8: {name} predicts single examples, from exported C"
        found.append(Row(f"W8 {name}", "single", title))
    for name in PREDICTED:
        for size in PREDICTED_BATCHES:
            how = "one at a time" if size == 1 else f"{size:,} at a time"
            found.append(Row(f"I1 {name}", f"predict {size}", f"I1: {name} predicts, {how}"))
    for name in WORKLOADS:
        if name.startswith(("W4", "W5")):
            found.append(Row(name, "memory", f"M: peak memory of {name}"))
    for name in BESIDE:
        found.append(Row(f"R {name}", "slow-down", f"R: {name} beside a busy process, to alone"))
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
    ours = figures(results, row, quantity, reference(results))
    peer = figures(results, row, quantity, framework)
    return [peer[number] / ours[number] for number in peer if number in ours]


def compared(results: dict[str, Any], row: Row, framework: str) -> list[float]:
    """Return what a row shows of a framework: peer / ours, or its own slow-down."""
    if row.quantity == "slow-down":
        return list(figures(results, row.row, row.quantity, framework).values())
    if framework == reference(results):
        return []
    return ratios(results, row.row, row.quantity, framework)


def share_of_products(results: dict[str, Any], row: Row) -> float | None:
    """Return the median part of our epoch in NumPy that its matrix products take alone."""
    if row.quantity != "epoch":
        return None
    epochs, products = (figures(results, row.row, what, NUMPY) for what in ("epoch", "products"))
    shares = [products[number] / epochs[number] for number in products if number in epochs]
    return statistics.median(shares) if shares else None


# -- the table -------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """Return Markdown: our figures, and the peers' by ours, as median (least to most)."""
    heads = [""]
    for name, about in results["frameworks"].items():
        heads += [about["title"], *["matrix products"] * (name == NUMPY)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows(results):
        cells = [row.title]
        for name in results["frameworks"]:
            first = name == reference(results)
            cells.append(ours(results, row) if first else _cell(results, row, name))
            if name == NUMPY:
                share = share_of_products(results, row)
                cells.append("" if share is None else f"{share:.0%}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ours(results: dict[str, Any], row: Row) -> str:
    """Return our median figure with its unit, or why there is none."""
    first = reference(results)
    values = figures(results, row.row, row.quantity, first).values()
    if not values:
        return _note(results, row, first)
    if row.quantity == "slow-down":
        return _cell(results, row, first)
    value = statistics.median(values)
    if row.quantity == "memory":
        return f"{value / 2**20:.0f} MiB"
    unit, scale = next(
        unit for unit in (("us", 1e6), ("ms", 1e3), ("s", 1.0)) if value * unit[1] < 1000
    )
    return f"{value * scale:.3g} {unit}{' an image' if row.row.startswith(('I1', 'W8')) else ''}"


def _cell(results: dict[str, Any], row: Row, framework: str) -> str:
    values = compared(results, row, framework)
    if not values:
        return _note(results, row, framework)
    spread = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
    times = " times" if row.quantity == "slow-down" else ""
    return f"{statistics.median(values):.3g}{times}{spread}"


def _note(results: dict[str, Any], row: Row, framework: str) -> str:
    """Return why there is no figure: what is noted of the row, or of its workload."""
    notes = results["notes"]
    note = notes.get(row.row, {}).get(framework)
    return _short(note or notes.get(row.row.split()[-1], {}).get(framework, "-"))


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
        if name not in ("compile", NUMPY)
    ]
    checks = [worst for row in results["checks"].values() for worst in row.values()]
    agree = [worst for worst in checks if worst <= 1e-3]
    rounds = 1 + max((record["round"] for record in results["records"]), default=-1)
    compiler = where.get("compiler", "")
    sentences = [
        f"Measured on {results['date'][:10]}: {where['processor']}, {settings['threads']} threads "
        f"on {min(where['cores'], settings['threads'])} cores, "
        f"{'AVX-512, ' if where['avx512'] else ''}{where['system']}, Python {where['python']}, "
        f"NumPy {where['numpy']} ({'; '.join(where.get('blas', ['BLAS unknown']))}), "
        f"{f'{compiler}, ' if compiler else ''}{', '.join(versions)}.",
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
    sentences += [*threads(results), *ways(results), *compiling(results)]
    if settings["limit"]:
        sentences.append(f"A quick try, of {settings['limit']:,} examples: no figures to quote.")
    return " ".join(sentences)


def threads(results: dict[str, Any]) -> list[str]:
    """Return which frameworks are faster with one thread, and in which rows."""
    found: dict[str, list[str]] = {}
    for row, by_framework in results.get("threads", {}).items():
        for framework, best in by_framework.items():
            where = found.setdefault(framework, [])
            if best == 1:
                where.append(row.removesuffix(" epoch").removesuffix(" single"))
    titles = results["frameworks"]
    each = [
        f"{titles[name]['title']} one in {', '.join(where) if where else 'none'}"
        for name, where in found.items()
    ]
    if not each:
        return []
    return [
        "All but the first column had one thread where they were faster with one, and "
        f"{results['settings']['threads']} elsewhere: {'; '.join(each)}."
    ]


def ways(results: dict[str, Any]) -> list[str]:
    """Return by which way each framework predicted single examples, most often."""
    found = []
    for row, by_framework in results.get("ways", {}).items():
        each = [
            f"{results['frameworks'][name]['title']} by {max(counts, key=counts.__getitem__)}"
            for name, counts in by_framework.items()
        ]
        found.append(f"{row}: {', '.join(each)}")
    return [f"Single examples were predicted by the fastest way: {'; '.join(found)}."] * bool(found)


def compiling(results: dict[str, Any]) -> list[str]:
    """Return how long the compilers took, from the shortest workload to the longest."""
    found = []
    for name in (OURS, "compile", "jax"):
        rows = [*WORKLOADS, *(f"W8 {network}" for network in SINGLE)]
        by_row = [figures(results, row, "compile", name) for row in rows]
        seconds = [max(values.values()) for values in by_row if values]  # later from a cache
        if seconds and name in results["frameworks"]:
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
            "part of our epoch in NumPy that its matrix products would take alone. R is how many "
            "times as long each takes beside a process that keeps a core busy as it takes alone.",
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
