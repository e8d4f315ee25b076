"""The report of several runs side by side, the best first."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from backprop.application.compare import names_of
from backprop.application.report import page, words
from backprop.application.report.drawing import curves
from backprop.application.report.facts import Facts, facts_without_data, is_drawable, tested
from backprop.core.storage import write_text
from backprop.training.comparison import known, quantities_of
from backprop.training.history import History

MOST_CURVES = 4
SAME = "Those that all runs have alike"


def write_several(path: Path, folders: Sequence[Path]) -> Path:
    """Write the report of several runs into a file, whole or not at all; return the path.

    Raises
    ------
    ValueError, OSError
        If a run is named twice, a folder holds none, a file is damaged, or the page cannot be
        written.
    """
    runs = [facts_without_data(folder) for folder in folders]
    for facts, name in zip(runs, names_of(folders), strict=True):
        facts.name = name
    return write_text(path, page.page(f"{len(runs)} runs: report", _parts(runs)))


def _parts(runs: list[Facts]) -> list[str]:
    column = ranked_by(runs)
    runs = sorted(runs, key=lambda facts: (not facts.history, *_rank(facts, column)))
    same, different = _settings(runs)
    sections = [
        page.section("Runs", _order(column), _table_of(runs, column, different)),
        _curves_section(runs),
        page.section("How they ended", page.bullets(_endings(runs))),
        page.section("Configuration", _same(same)),
    ]
    titles = ("Runs", "Curves", "How they ended", "Configuration")
    head = (
        f"<header><h1>{len(runs)} runs side by side</h1>{page.contents(sections, titles)}</header>"
    )
    return [head, "<main>", *sections, "</main>"]


# -- which is best ---------------------------------------------------------------------------


def ranked_by(runs: Sequence[Facts]) -> str | None:
    """Return the column of the histories by which the runs are put in order; None if none can be.

    It is a metric of the validation data that is known in most runs, else their cost, else the
    same of the training data. Costs of different kinds are not compared.
    """
    quantities = quantities_of(facts.history for facts in runs)
    order = sorted(quantities, key=lambda quantity: quantity == "cost")
    for data in ("validation", "training"):
        candidates = [f"{data}_{q}" for q in order if q != "cost" or _have_one_cost(runs)]
        known = {
            column: sum(_best(facts, column) is not None for facts in runs) for column in candidates
        }
        best = max(candidates, key=lambda column: known[column], default=None)
        if best is not None and known[best]:
            return best
    return None


def _have_one_cost(runs: Sequence[Facts]) -> bool:
    """Say whether the costs of runs can be compared: one of each kind is no measure of another."""
    return len({facts.config.cost for facts in runs if facts.config is not None}) < 2


def _best(facts: Facts, column: str) -> Any:
    """Return the best finite value of a column, and its epoch; None if it has none."""
    records = [r for r in facts.history if r.get(column) is not None and math.isfinite(r[column])]
    if not records:
        return None
    try:
        record = History(records, facts.history.directions).best(column)
    except ValueError:  # nobody knows whether more is better
        return None
    return record[column], record.get("epoch")


def _rank(facts: Facts, column: str | None) -> tuple[bool, float]:
    found = None if column is None else _best(facts, column)
    if found is None:
        return True, 0.0
    assert column is not None
    sign = -1 if facts.history.greater_is_better(column) else 1
    return False, sign * found[0]


def _order(column: str | None) -> str:
    if column is None:
        return page.paragraph(
            "In the order given: no figure is known by which they could be ranked."
        )
    data, quantity = column.split("_", 1)
    return page.paragraph(
        f"The best first, by the best {data} {quantity.replace('_', ' ')} of any epoch."
    )


# -- the table -------------------------------------------------------------------------------


def _table_of(runs: list[Facts], column: str | None, different: dict[str, list[Any]]) -> str:
    columns: dict[str, list[Any]] = {}
    if column is not None:
        columns[f"best {column.replace('_', ' ')}"] = [_shown_best(facts, column) for facts in runs]
    measured = dict.fromkeys(name for facts in runs for name in tested(facts.result))
    for name in measured:
        columns[name.replace("_", " ")] = [tested(facts.result).get(name) for facts in runs]
    for last in ("training_cost", "validation_cost"):
        if last != column and any(last in facts.history for facts in runs):
            columns[f"last {last.replace('_', ' ')}"] = [
                next(iter(known(facts.history, last)[::-1]), None) for facts in runs
            ]
    columns["epochs"] = [len(facts.history) for facts in runs]
    columns["training"] = [page.duration(sum(known(facts.history, "seconds"))) for facts in runs]
    columns |= different
    rows = [
        (name, *values)
        for name, values in zip(_numbered(runs), zip(*columns.values(), strict=True), strict=True)
    ]
    return page.table(rows, ("run", *columns), "Figures, and the settings that differ", "runs")


def _shown_best(facts: Facts, column: str) -> str:
    found = _best(facts, column)
    if found is None:
        return "–"
    value, epoch = found
    shown = page.percent(value) if facts.history.in_percent(column) else page.short(float(value))
    return shown if epoch is None else f"{shown} at {epoch}"


def _numbered(runs: list[Facts]) -> list[page.Markup]:
    """Return the number and the name of every run, with the colour of its curve if it has one."""
    from matplotlib.colors import to_hex

    from backprop.plots.curves import colours_of_runs

    n = sum(bool(facts.history) for facts in runs)  # which come first
    colours = [to_hex(colour) for colour in colours_of_runs(n)]
    swatches = [f'<span class="swatch" style="background:{colour}"></span>' for colour in colours]
    swatches += [""] * (len(runs) - n)
    return [
        page.Markup(f"{swatch}{number}. {page.text(facts.name)}")
        for number, (swatch, facts) in enumerate(zip(swatches, runs, strict=True), 1)
    ]


# -- curves ----------------------------------------------------------------------------------


def _curves_section(runs: list[Facts]) -> str:
    drawn = page.pictures(_curves(runs))
    if not drawn:
        words = (
            "There is no quantity that all runs have; costs of different kinds are not compared."
        )
        return page.section("Curves", page.paragraph(words))
    return page.section("Curves", _key(runs), drawn)


def _curves(runs: list[Facts]) -> Iterator[str]:
    """Yield the curves of what all runs have that have an epoch, numbered as in the table."""
    begun = {str(number): facts.history for number, facts in enumerate(runs, 1) if facts.history}
    shared = [
        quantity
        for quantity in quantities_of(begun.values())
        if all(is_drawable(history, quantity) for history in begun.values())
        and (quantity != "cost" or _have_one_cost(runs))
    ]
    for quantity in shared[:MOST_CURVES]:
        title = quantity.replace("_", " ")
        with contextlib.suppress(KeyError, ValueError):  # nobody knows whether more is better
            picture = curves(begun, quantity)
            yield page.figure(picture, "svg+xml", f"{title[0].upper()}{title[1:]}")


def _key(runs: list[Facts]) -> str:
    names = "".join(f"<li>{name}</li>" for name in _numbered(runs))
    return f'<ul class="contents">{names}</ul>'


def _endings(runs: list[Facts]) -> list[str]:
    found = []
    for number, facts in enumerate(runs, 1):
        said = " ".join([words.ending(facts)[0], *words.on_the_curves(facts.history)])
        found.append(f"{number}. {facts.name}: {said}")
    return found


# -- settings --------------------------------------------------------------------------------


def _settings(runs: list[Facts]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the settings that all runs have alike, and of the others a value for each run."""
    of_runs = [_settings_of(facts) for facts in runs]
    same: dict[str, Any] = {}
    different: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for settings in of_runs for name in settings):
        values = [settings.get(name) for settings in of_runs]
        if all(value == values[0] for value in values):
            same[name] = values[0]
        else:
            different[name.replace("_", " ")] = values
    return same, different


def _settings_of(facts: Facts) -> dict[str, Any]:
    if facts.config is None:
        return {}
    settings: dict[str, Any] = json.loads(facts.config.to_json())
    checksum = settings.pop("data_sha256")
    del settings["data_parts"]  # of which it is one
    del settings["epochs"]  # there are as many as there are
    settings["eta"] = facts.config.made_optimizer().eta
    return {**settings, "sha256 of the data": checksum and f"{checksum[:8]}..."}


def _same(same: dict[str, Any]) -> str:
    if not same:
        return page.paragraph("The runs have no setting alike.")
    rows = [(name.replace("_", " "), value) for name, value in same.items()]
    return page.table(rows, ("option", "value"), SAME, "settings")
