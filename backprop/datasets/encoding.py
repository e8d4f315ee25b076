"""How the rows of a table become inputs and targets of a network, and its outputs predictions."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_dtype, check_number
from backprop.core.config import Configurable
from backprop.datasets.columns import (
    SHOWN,
    CategoryColumn,
    Column,
    format_number,
    meant,
    numbers_of,
    of_commas,
    ordered,
    stray,
    texts_of,
)
from backprop.datasets.table_files import Columns, read_columns

TASKS = ("classification", "multi-label", "regression")
UNSEEN = ("warn", "ignore", "error")

_TRUE, _FALSE = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
_SEPARATOR = re.compile(r"\s*[|;,]\s*")  # between the labels in one cell


class Encoding(Configurable):
    """What a table has taught: how rows are encoded as inputs, and outputs decoded.

    `datasets.table` makes one. ``network.encoding = encoding`` keeps it with the network, in its
    file and in checkpoints, so that whoever loads the network encodes new rows in the same way.

    Parameters
    ----------
    columns : sequence of Column
        In the order of their inputs; none of data that are no table, such as images.
    target : sequence of str
        The columns that are predicted; they may be there in new data, and are not looked at.
    task : "classification", "multi-label" or "regression"
    classes : sequence of str
        Of the outputs, for a classification; the labels, for a multi-label one.
    mean, std : sequence of float
        Of the targets of a regression, one each: they are scaled as numbers are.
    dropped : sequence of str
        The columns that were left out, and may be there in new data.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        target: Sequence[str],
        task: str,
        classes: Sequence[str] = (),
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        dropped: Sequence[str] = (),
    ) -> None:
        self.columns = tuple(columns)
        if not all(isinstance(column, Column) for column in self.columns):
            raise TypeError(f"Encoding: columns must be Columns, got {self.columns!r:.80}")
        self.target = _strings("target", target)
        self.task = checked_task(task)
        self.classes, self.dropped = _strings("classes", classes), _strings("dropped", dropped)
        self.mean = tuple(check_number("Encoding: mean", value) for value in mean)
        self.std = tuple(check_number("Encoding: std", value, "(0, inf)") for value in std)
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names) or set(names) & {*self.target, *self.dropped}:
            raise ValueError("Encoding: a column is there twice")
        if self.task == "regression":
            if not len(self.target) == len(self.mean) == len(self.std):
                raise ValueError("Encoding: every target of a regression needs a mean and a std")
        elif len(self.classes) < 1 + (self.task == "classification"):
            raise ValueError(f"Encoding: a {self.task} needs classes, got {self.classes}")

    def __repr__(self) -> str:
        return (
            f"<Encoding of {len(self.columns)} columns as {self.n_inputs} inputs, "
            f"{self.task} of {', '.join(self.target)}, {self.n_outputs} outputs>"
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs, such as ``("age", "age is missing", "town=Bern")``."""
        return tuple(name for column in self.columns for name in column.inputs)

    @property
    def n_inputs(self) -> int:
        """How many inputs a network takes."""
        return len(self.inputs)

    @property
    def n_outputs(self) -> int:
        """How many outputs a network has."""
        return len(self.target) if self.task == "regression" else len(self.classes)

    # -- from rows ---------------------------------------------------------------------------

    def encode(
        self, source: Any, unseen: str = "warn", dtype: Any = "float32", **reading: Any
    ) -> np.ndarray:
        """Return the rows of a table as inputs, n x N: encoded as the training rows were.

        Parameters
        ----------
        source : path-like, DataFrame, dict of name to sequence, or sequence of dicts
            With the columns of the training table, in any order; those of the target and those
            that were left out may be there, too.
        unseen : "warn", "ignore" or "error"
            What to do about categories that the training rows did not have. Their inputs are 0.
        dtype : dtype-like
        **reading
            `header`, `delimiter`, `decimal`, `charset`, as of `datasets.table`.

        Raises
        ------
        ValueError
            If a column is missing, or there is one too many; if one that was numbers holds
            something else.
        """
        if unseen not in UNSEEN:
            raise ValueError(f"encode: unseen must be one of {', '.join(UNSEEN)}, got {unseen!r}")
        return self.inputs_of(self._read(source, reading), unseen, check_dtype("encode", dtype))

    def encode_targets(self, source: Any, dtype: Any = "float32", **reading: Any) -> np.ndarray:
        """Return the targets of the rows of a table, K x N, as `encode` does the inputs."""
        columns = self._read(source, reading, with_target=True)
        return self.targets_of(columns, check_dtype("encode_targets", dtype))

    def _read(self, source: Any, reading: dict[str, Any], with_target: bool = False) -> Columns:
        if not self.columns:
            raise ValueError("this encoding is not that of a table, and encodes none")
        leave_out = {*self.dropped, *(() if with_target else self.target)}
        columns = read_columns(source, leave_out, **reading)
        names = [column.name for column in self.columns]
        where = f"{os.fspath(source)}" if isinstance(source, (str, os.PathLike)) else "the table"
        wanted = [*names, *(self.target if with_target else ())]
        missing = [name for name in wanted if name not in columns]
        extra = [name for name in columns if name not in wanted]
        if missing:
            raise ValueError(
                f"{where} lacks the column {missing[0]!r}"
                + (f" and {len(missing) - 1} more" if missing[1:] else "")
                + f", which the training table has{meant(missing[0], list(columns))}"
            )
        if extra:
            raise ValueError(
                f"{where} has the column {extra[0]!r}"
                + (f" and {len(extra) - 1} more" if extra[1:] else "")
                + ", which the training table has not: leave it out"
            )
        return columns

    def inputs_of(self, columns: Columns, unseen: str, dtype: np.dtype) -> np.ndarray:
        """Return columns that `read_columns` read as inputs, n x N."""
        parts = []
        for column in self.columns:
            values = columns[column.name]
            if isinstance(column, CategoryColumn):
                values = as_categories(values, column.numeric)
            else:
                values = as_numbers(column.name, values)
            parts.append(column.encode(values, unseen))
        with np.errstate(over="ignore"):
            rows = np.concatenate(parts).T.astype(dtype)
        if not np.isfinite(rows).all():
            row, k = np.argwhere(~np.isfinite(rows))[0]
            raise ValueError(f"column {self.inputs[k]!r} is beyond all measure in row {row + 1}")
        return np.ascontiguousarray(rows).T

    def targets_of(self, columns: Columns, dtype: np.dtype) -> np.ndarray:
        """Return the targets in columns that `read_columns` read, K x N."""
        if self.task == "regression":
            numbers = np.stack([target_numbers(name, columns[name]) for name in self.target])
            mean, std = (np.array(one)[:, np.newaxis] for one in (self.mean, self.std))
            return np.ascontiguousarray(((numbers - mean) / std).T.astype(dtype)).T
        if self.task == "classification":
            texts = target_texts(self.target[0], columns[self.target[0]])
            chosen = [[value] for value in texts.tolist()]
        elif len(self.target) == 1:
            chosen = [labels_in(cell) for cell in texts_of(columns[self.target[0]]).tolist()]
        else:
            flags = np.stack([flags_of(name, columns[name]) for name in self.target])
            return np.ascontiguousarray(flags.T.astype(dtype)).T
        known = {value: k for k, value in enumerate(self.classes)}
        rows = np.zeros((len(chosen), len(self.classes)), dtype)
        for row, values in zip(rows, chosen, strict=True):
            for value in values:
                if value not in known:
                    raise ValueError(
                        f"target {self.target[0]!r} has the class {value!r}, which the training "
                        f"rows have not{meant(value, self.classes)}"
                    )
                row[known[value]] = 1
        return rows.T

    # -- to predictions ----------------------------------------------------------------------

    def decode(self, a: np.ndarray) -> Any:
        """Return what outputs, K x N, say of every row, in the table's own terms.

        Returns
        -------
        ndarray of str (N,), list of tuple of str, or ndarray of float (N,) or N x K
            The class; the labels whose output is 0.5 or more; the numbers, in the target's unit.

        Raises
        ------
        ValueError
            If there are other outputs than the encoding has.
        """
        a = np.asarray(a)
        if a.ndim != 2 or len(a) != self.n_outputs:
            raise ValueError(
                f"decode: expected outputs of shape ({self.n_outputs}, N), got {a.shape}"
            )
        if self.task == "classification":
            return np.array(self.classes)[a.argmax(axis=0)]
        if self.task == "multi-label":
            return [tuple(np.array(self.classes)[row >= 0.5].tolist()) for row in a.T]
        numbers = a.T * np.array(self.std) + np.array(self.mean)
        return numbers[:, 0] if len(self.target) == 1 else numbers


def _strings(name: str, values: Any) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, (tuple, list)):
        raise TypeError(f"Encoding: {name} must be a sequence of strings, got {values!r:.80}")
    if not all(isinstance(value, str) for value in values) or len(set(values)) < len(values):
        raise TypeError(f"Encoding: {name} must be strings, each once, got {values!r:.80}")
    return tuple(values)


def checked_task(task: Any) -> str:
    """Return a task in its one spelling."""
    spelling = {"multilabel": "multi-label", "multi_label": "multi-label"}.get(task, task)
    if spelling not in TASKS:
        raise ValueError(f"the task must be one of {', '.join(TASKS)}, got {task!r}")
    return str(spelling)


# -- columns read as what they are taken for ---------------------------------------------------


def as_numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Return a column as finite float64, NaN where there is a gap."""
    numbers = numbers_of(values)
    if numbers is None:
        wrong, rows = stray(values)
        raise ValueError(
            f"column {name!r} is one of numbers, and holds {', '.join(map(repr, wrong))} in {rows} "
            "rows: empty cells, NA, null and ? are gaps"
        )
    if np.isinf(numbers).any():
        raise ValueError(
            f"column {name!r} is infinite in row {int(np.isinf(numbers).argmax()) + 1}"
        )
    return numbers


def as_categories(values: np.ndarray, numeric: bool) -> np.ndarray:
    """Return a column as texts; of numbers in one spelling."""
    if numeric and values.dtype.kind != "f":
        numbers = numbers_of(values)
        values = values if numbers is None or np.isinf(numbers).any() else numbers
    return texts_of(values)


def is_numeric(texts: np.ndarray) -> bool:
    """Say whether texts are numbers in their shortest spelling, and not such as "007"."""
    found = [value for value in np.unique(texts).tolist() if value]
    try:
        return bool(found) and all(format_number(float(value)) == value for value in found)
    except (ValueError, OverflowError):
        return False


def target_numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Return the target of a regression, which has no gaps."""
    if numbers_of(values) is None:
        wrong, rows = stray(values)
        raise ValueError(
            f"target {name!r} of a regression must be numbers, got "
            f"{', '.join(map(repr, wrong))} in {rows} of {len(values)} rows: mend these cells, or "
            f"give task='classification'{of_commas(wrong)}"
        )
    numbers = as_numbers(name, values)
    _refuse_gaps(name, np.isnan(numbers))
    return numbers


def target_texts(name: str, values: np.ndarray) -> np.ndarray:
    """Return the target of a classification, which has no gaps."""
    texts = texts_of(values)
    if values.dtype.kind != "f" and is_numeric(texts):
        texts = as_categories(values, True)
    _refuse_gaps(name, texts == "")
    return texts


def flags_of(name: str, values: np.ndarray) -> np.ndarray:
    """Return one of several targets of a multi-label classification as 0 and 1."""
    texts = np.char.lower(texts_of(values))
    _refuse_gaps(name, texts == "")
    is_true, is_false = np.isin(texts, _TRUE), np.isin(texts, _FALSE)
    wrong = np.unique(texts[~(is_true | is_false)]).tolist()
    if wrong:
        raise ValueError(
            f"target {name!r} of a multi-label classification must be 0 and 1 (or false and true, "
            f"no and yes), got {', '.join(map(repr, wrong[:SHOWN]))}"
        )
    return is_true


def are_flags(values: np.ndarray) -> bool:
    """Say whether a column holds 0 and 1, or false and true, and no gaps."""
    return bool(np.isin(np.char.lower(texts_of(values)), (*_TRUE, *_FALSE)).all())


def labels_in(cell: str) -> list[str]:
    """Return the labels in one cell, "beach|sea"."""
    return [label for label in _SEPARATOR.split(cell) if label]


def classes_of(texts: Sequence[str]) -> list[str]:
    """Return the classes that occur, in order."""
    return ordered(sorted(set(texts)))


def _refuse_gaps(name: str, gaps: np.ndarray) -> None:
    if gaps.any():
        row = int(gaps.argmax()) + 1
        raise ValueError(
            f"target {name!r} is missing in {int(gaps.sum())} rows, row {row} first: leave these "
            "rows out, for nothing can be learnt from them"
        )
