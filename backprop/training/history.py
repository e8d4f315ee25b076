"""The history of a training run: what it did, epoch by epoch, as data."""

from __future__ import annotations

import csv
import io
import math
import numbers
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from backprop.core.plain import numbers_from_json, to_json
from backprop.core.storage import FileError, write_text


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

    Attributes
    ----------
    records : list of dict of str to number
    """

    def __init__(self, records: Iterable[dict[str, Any]] = ()) -> None:
        self.records = [dict(record) for record in records]

    @property
    def columns(self) -> list[str]:
        """The names that occur, in order of first appearance."""
        return list(dict.fromkeys(name for record in self.records for name in record))

    def append(self, record: dict[str, Any]) -> None:
        """Add the record of one more epoch."""
        self.records.append(dict(record))

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

    def best(self, column: str, largest: bool | None = None) -> dict[str, Any]:
        """Return the first record with the best value in `column`.

        `largest` says whether best means largest; costs and seconds are best small unless told.
        NaN is worse than any number.

        Raises
        ------
        KeyError
            If no record has the column.
        """
        if largest is None:
            largest = not column.endswith(("cost", "seconds", "penalty", "error"))
        records = [record for record in self.records if record.get(column) is not None]
        if not records:
            raise KeyError(f"no column {column!r} in the history, it has {self.columns}")
        sign = 1 if largest else -1

        def goodness(record: dict[str, Any]) -> float:
            return -math.inf if math.isnan(record[column]) else sign * record[column]

        return max(records, key=goodness)

    def __getitem__(self, column: str) -> list[Any]:
        if column not in self.columns:
            raise KeyError(f"no column {column!r} in the history, it has {self.columns}")
        return [record.get(column) for record in self.records]

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.records == other.records

    def __repr__(self) -> str:
        return f"History({len(self)} records: {', '.join(self.columns)})"

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a header and one line per epoch; numbers keep every digit."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.records)
        write_text(path, text.getvalue())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write a list with one object per epoch, as JSON that every parser takes.

        Numbers that are not finite are the strings "NaN", "Infinity" and "-Infinity" there.
        """
        write_text(path, to_json(self.records, indent=1) + "\n")

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> History:
        """Read what `to_csv` wrote.

        Raises
        ------
        FileError
            If a line does not fit the header or holds something that is not a number.
        OSError
            If the file cannot be opened.
        """
        with open(path, newline="", encoding="utf-8") as file:
            try:
                rows = list(csv.reader(file))
            except (csv.Error, UnicodeDecodeError) as error:
                raise FileError(f"{path} is not a CSV file: {error}") from error
        if not rows:
            return cls()
        header, *lines = rows
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
        try:
            records = numbers_from_json(data)
        except (ValueError, RecursionError) as error:
            raise FileError(f"{path} is not JSON: {error}") from None
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise FileError(f"{path} is not a history: expected a list of objects")
        return cls(records)


def _is_number(value: Any) -> bool:
    """Say whether it is a number that a float can hold, if not in all its digits."""
    if not isinstance(value, numbers.Real):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)
