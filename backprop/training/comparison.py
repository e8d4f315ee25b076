"""Training runs side by side: what each came to, and what differs in their settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from backprop.training.history import History

DATA = ("training", "validation")


def comparison_table(
    histories: Mapping[str, History],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    results: Mapping[str, Mapping[str, str]] | None = None,
) -> list[tuple[str, ...]]:
    """Return a table of runs: a column for each, and the first row with their names.

    The other rows are the epochs, the seconds of training, of every recorded cost and metric the
    last value and on the validation data the best, with its epoch; then `results`, and of the
    settings those that differ. "-" stands for what a run does not have.

    Parameters
    ----------
    histories : dict of name to History
    settings : dict of name to dict, optional
        What determined each run.
    results : dict of name to dict of str to str, optional
        What else came out.

    Raises
    ------
    TypeError, ValueError
        If there is no history, or one does not know whether more of a metric is better (see
        `History.best`).
    """
    check_histories("comparison_table", histories)
    rows = [("", *map(str, histories)), ("epochs", *(str(len(h)) for h in histories.values()))]
    seconds = (sum(r.get("seconds", 0.0) for r in h) for h in histories.values())
    rows.append(("seconds", *(f"{s:.1f}" for s in seconds)))
    for quantity in quantities_of(histories.values()):
        for data in DATA:
            column = f"{data}_{quantity}"
            if not any(column in h for h in histories.values()):
                continue
            if data == "validation":
                found = [_best(h, column) for h in histories.values()]
                rows.append((f"best {data} {_words(quantity)}", *found))
            last = [_value(h, column, known(h, column)[-1:]) for h in histories.values()]
            rows.append((f"last {data} {_words(quantity)}", *last))
    for given, only_different in ((results or {}, False), (settings or {}, True)):
        of_runs = [given.get(name, {}) for name in histories]
        for key in dict.fromkeys(key for values in of_runs for key in values):
            cells = [_setting(values.get(key)) for values in of_runs]
            if len(set(cells)) > 1 or not only_different:
                rows.append((_words(key), *cells))
    return rows


def quantities_of(histories: Iterable[History]) -> list[str]:
    """Return the costs and metrics that are recorded, without "training" and "validation"."""
    columns = [column.split("_", 1) for history in histories for column in history.columns]
    return list(dict.fromkeys(rest[0] for data, *rest in columns if data in DATA and rest))


def check_histories(owner: str, histories: Any) -> None:
    """Raise an error unless `histories` is a dict of at least one."""
    if not isinstance(histories, Mapping):
        got = type(histories).__name__
        raise TypeError(f"{owner}: expected a dict of name to History, got {got}")
    for name, history in histories.items():
        if not isinstance(history, History):
            raise TypeError(
                f"{owner}: {name!r} must be a History, got {type(history).__name__}; "
                "a trainer's is trainer.history"
            )
    if not histories:
        raise ValueError(f"{owner}: expected at least one History, got an empty dict")


def known(history: History, column: str) -> list[float]:
    """Return the values of a column in the epochs that have one."""
    return [record[column] for record in history if record.get(column) is not None]


def _best(history: History, column: str) -> str:
    if not known(history, column):
        return "-"
    record = history.best(column)
    return f"{_value(history, column, [record[column]])} at {record['epoch']}"


def _value(history: History, column: str, values: list[float]) -> str:
    if not values:
        return "-"
    return f"{values[0]:.2%}" if history.in_percent(column) else f"{values[0]:.4g}"


def _setting(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "-".join(map(str, value))
    return "-" if value is None else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
