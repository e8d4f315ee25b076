"""The history of a training run: what it did, epoch by epoch, as data."""

from __future__ import annotations

import csv
import io
import math
import numbers
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from backprop.core.checks import check_bool
from backprop.core.plain import numbers_from_json, to_json
from backprop.core.remedies import close_names
from backprop.core.storage import FileError, what_is_read, write_text
from backprop.metrics import greater_is_better, in_percent

FIXED = dict.fromkeys(("cost", "training_cost", "validation_cost", "penalty", "seconds"), False)
"""The columns of which less is always better."""

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|nan|[-+]?inf", re.IGNORECASE)


class History:
    """A record of numbers for every epoch: columns by name, and files in CSV and JSON.

    A `Trainer` records ``epoch`` (counted from 1), ``seconds`` (of training alone), ``eta``,
    ``training_cost`` and ``validation_cost`` (means of the cost, without the regularisation
    term), ``penalty`` (the regularisation term), and the metrics, ``training_accuracy`` and
    ``validation_accuracy`` as fractions.

    Parameters
    ----------
    records : iterable of dict, optional
        Copied, so that a later change of one is not seen here.
    directions : dict of str to bool, optional
        Of columns that are not known by their names whether more is better; see `declare`.
    percents : iterable of str, optional
        Those of them that are read in percent; the metrics known by their names unless told.

    Attributes
    ----------
    records : list of dict of str to number
    directions : dict of str to bool
    computed_by : list of str
        How the minibatches of every epoch were computed, as far as that is known: "compiled", or
        "NumPy: " and why.
    percents : set of str
    """

    def __init__(
        self,
        records: Iterable[dict[str, Any]] = (),
        directions: Mapping[str, bool] | None = None,
        percents: Iterable[str] | None = None,
    ) -> None:
        self.records = [dict(record) for record in records]
        self._computed_by: dict[int, str] = {}  # by the number of the record
        self.directions: dict[str, bool] = {}
        self.percents: set[str] = set()
        known = None if percents is None else set(percents)
        for column, greater in dict(directions or {}).items():
            self.declare(column, greater, None if known is None else column in known)

    @property
    def columns(self) -> list[str]:
        """The names that occur, in order of first appearance."""
        return list(dict.fromkeys(name for record in self.records for name in record))

    def append(self, record: dict[str, Any], computed_by: str = "") -> None:
        """Add the record of one more epoch, and how it was computed."""
        self.records.append(dict(record))
        self._computed_by[len(self.records) - 1] = computed_by

    @property
    def computed_by(self) -> list[str]:
        """How the minibatches of every epoch were computed; "" where nobody has said it."""
        return [self._computed_by.get(number, "") for number in range(len(self.records))]

    def check(self) -> None:
        """Raise a TypeError unless every record is a dict of numbers, or None, by name."""
        for number, record in enumerate(self.records, 1):
            for name, value in record.items():
                if not isinstance(name, str):
                    raise TypeError(
                        f"history: record {number} has a column {name!r:.80}, which is no name"
                    )
                if value is not None and not _is_number(value):
                    raise TypeError(
                        f"history: record {number}: {name} must be a number, got {value!r:.80}"
                    )

    def declare(self, column: str, greater_is_better: bool, in_percent: bool | None = None) -> None:
        """Say whether more of a column, which may come later, is better, and how it is read.

        In percent, as a fraction, or not: by its name unless told. A `Trainer` says it of its
        metrics. A callback that records a column of its own says it in `on_fit_start`.

        Raises
        ------
        ValueError
            If the opposite is known of the column.
        """
        greater = check_bool(f"History: greater_is_better of {column!r}", greater_is_better)
        known = self.directions.get(column, FIXED.get(column))
        if known not in (None, greater):
            raise ValueError(
                f"History: of {column!r} {'more' if known else 'less'} is better already, and "
                "cannot be worse now: choose another name"
            )
        percent = self.in_percent(column)
        if in_percent is not None:
            percent = check_bool(f"History: in_percent of {column!r}", in_percent)
        self.directions[column] = greater
        (self.percents.add if percent else self.percents.discard)(column)

    def greater_is_better(self, column: str) -> bool:
        """Say whether more is better of a column: a cost, a metric, or what was declared.

        Raises
        ------
        ValueError
            If that is not known.
        """
        known = self.directions.get(column, FIXED.get(column))
        for name in _metrics_of(column):
            known = greater_is_better(name) if known is None else known
        if known is None:
            raise ValueError(
                f"History: whether more or less of {column!r} is better is not known: say "
                f"history.declare({column!r}, greater_is_better=True), or False"
            )
        return known

    def in_percent(self, column: str) -> bool:
        """Say whether a column is a fraction that is read in percent, such as an accuracy."""
        if column in self.directions:
            return column in self.percents
        return any(map(in_percent, _metrics_of(column)))

    def best(self, column: str, largest: bool | None = None) -> dict[str, Any]:
        """Return the first record with the best value in `column`.

        `largest` says whether best means largest; costs, seconds and metrics know it themselves.
        NaN is worse than any number.

        Raises
        ------
        KeyError
            If no record has the column.
        ValueError
            If it is not known, and not said, whether best means largest.
        """
        records = [record for record in self.records if record.get(column) is not None]
        if not records:
            raise self._no_column(column)
        if largest is None:
            largest = self.greater_is_better(column)
        sign = 1 if largest else -1

        def goodness(record: dict[str, Any]) -> float:
            return -math.inf if math.isnan(record[column]) else sign * record[column]

        return max(records, key=goodness)

    def improved(self, column: str, min_delta: float = 0.0) -> list[bool]:
        """Say of every epoch that has a value whether it improved on the best before it.

        That is, whether it is better by more than `min_delta` than the last that was so: an
        improvement in many small steps counts when they add up. NaN is no improvement.
        """
        sign = 1 if self.greater_is_better(column) else -1
        best, found = -math.inf, []
        for record in self.records:
            value = record.get(column)
            if value is not None:
                goodness = -math.inf if math.isnan(value) else sign * value
                found.append(goodness > best + min_delta)
                best = goodness if found[-1] else best
        return found

    def __getitem__(self, column: str) -> list[Any]:
        if column not in self.columns:
            raise self._no_column(column)
        return [record.get(column) for record in self.records]

    def _no_column(self, column: str) -> KeyError:
        close = close_names(str(column), self.columns, 2)
        meant = f": did you mean {' or '.join(map(repr, close))}?" if close else ""
        return KeyError(f"no column {column!r} in the history, it has {self.columns}{meant}")

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.records == other.records

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} records: {', '.join(self.columns)})"

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a header and one line per epoch; numbers keep every digit."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.records)
        write_text(path, text.getvalue())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the columns whose direction was declared, and what is known of every epoch.

        ``{"greater_is_better": {column: bool}, "in_percent": [column], "records": [...],
        "computed_by": [...]}``, as JSON that every parser takes: numbers that are not finite are
        the strings "NaN", "Infinity" and "-Infinity" there.
        """
        write_text(path, to_json(self.state(), indent=1) + "\n")

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> History:
        """Read what `to_csv` wrote.

        Raises
        ------
        FileError
            If the file is cut short or no history: its end is missing, no line follows the header,
            two columns have one name, or a line does not fit the header or holds something that
            is not a number.
        OSError
            If the file cannot be opened.
        """
        content = Path(path).read_bytes()
        try:
            text = content.decode("utf-8-sig")  # spreadsheets write a mark at the beginning
            rows = list(csv.reader(io.StringIO(text, newline="")))
        except (csv.Error, UnicodeDecodeError) as error:
            raise FileError(f"{path} is not a CSV file: {error}") from error
        if not text.endswith(("\n", "\r")):  # a number that is cut off looks like another one
            raise FileError(f"{path} is cut short: its last line has no end")
        header, *lines = rows
        if bool(header) != bool(lines):
            raise FileError(f"{path} is not a history: it has no columns, or nothing below them")
        if len(set(header)) < len(header) or "" in header:
            raise FileError(f"{path} is not a history: its columns need a name each, all different")
        records = []
        for number, line in enumerate(lines, start=2):
            if len(line) != len(header):
                raise FileError(f"{path}, line {number}: {len(line)} fields, not {len(header)}")
            try:
                pairs = zip(header, line, strict=True)
                records.append({name: _number(text) for name, text in pairs if text})
            except ValueError as error:
                raise FileError(f"{path}, line {number}: {error}") from None
        return cls(records)

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> History:
        """Read what `to_json` wrote; errors as in `from_csv`."""
        data = Path(path).read_bytes()
        with what_is_read(path, "is not JSON"):
            state = numbers_from_json(data)
        with what_is_read(path, "is not a history"):
            return cls.from_state(state)

    def state(self) -> dict[str, Any]:
        """Return a copy of all of it as plain data, for `from_state`."""
        records = [dict(record) for record in self.records]
        percents = [column for column in self.directions if column in self.percents]
        state = {
            "greater_is_better": dict(self.directions),
            "in_percent": percents,
            "records": records,
        }
        if any(self.computed_by):
            state["computed_by"] = self.computed_by
        return state

    @classmethod
    def from_state(cls, state: Any) -> History:
        """Return the history whose `state` this is.

        Raises
        ------
        TypeError, ValueError
            If it is none.
        """
        needed = {"greater_is_better", "records"}
        if not isinstance(state, dict) or state.keys() - {"in_percent", "computed_by"} != needed:
            raise ValueError("expected an object of greater_is_better, in_percent, records")
        records, directions = state["records"], state["greater_is_better"]
        percents = state.get("in_percent")  # which files of before have not
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise ValueError("expected a list of objects as its records")
        if not isinstance(directions, dict):
            raise ValueError("expected an object of columns as its greater_is_better")
        if percents is not None and not (
            isinstance(percents, list) and all(column in directions for column in percents)
        ):
            raise ValueError("expected a list of columns of greater_is_better as its in_percent")
        history = cls(records, directions, percents)
        texts = state.get("computed_by", history.computed_by)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError("expected a list of strings as its computed_by")
        if len(texts) != len(records):
            raise ValueError(f"expected computed_by to have a string for each of {len(records)}")
        history._computed_by = dict(enumerate(texts))
        history.check()
        return history


def _metrics_of(column: str) -> list[str]:
    """Return the names of the metrics that a column may be of, itself and of several outputs."""
    for data in ("training_", "validation_"):
        if column.startswith(data):
            name = column.removeprefix(data)  # "accuracy_0" is that of the first of several outputs
            return list(dict.fromkeys((name, re.sub(r"_\d+$", "", name))))
    return []


def _is_number(value: Any) -> bool:
    """Say whether it is a number that a float can hold, if not in all its digits."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _number(text: str) -> float | int:
    if _INTEGER.fullmatch(text) and len(text) < 300:
        return int(text)
    number = float(text) if _FLOAT.fullmatch(text) else None
    if number is None or (math.isinf(number) and "inf" not in text):
        raise ValueError(f"could not convert string to float: {text!r:.80}")
    return number
