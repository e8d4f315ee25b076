"""A table of one's own as data for a network: read, split, and encoded by its training rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.core.checks import check_dtype, check_integer
from backprop.core.randomness import generator
from backprop.datasets.columns import (
    CategoryColumn,
    Column,
    NumberColumn,
    meant,
    numbers_of,
    of_commas,
    stray,
    texts_of,
    written_otherwise,
)
from backprop.datasets.encoding import (
    Encoding,
    are_flags,
    as_categories,
    as_numbers,
    checked_task,
    classes_of,
    is_numeric,
    labels_in,
    target_numbers,
    target_texts,
)
from backprop.datasets.table_files import (
    Columns,
    categorical_of,
    names_in,
    opened,
    read_columns,
)

Pair = tuple[np.ndarray, np.ndarray]

_UNNAMED = ("column 1", "Unnamed: 0")  # as we and as pandas call a first column without a name
_FEW = 20  # different whole numbers that may be classes as well as a quantity
_MOSTLY = 0.9  # of the cells of a column that are numbers: the others are a mistake


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """A table as a network takes it: inputs n x N and targets K x N, one row a column.

    Attributes
    ----------
    name, source : str
        The name of the file, and what was read and how it was split, for people.
    training : (x, y)
    validation, test : (x, y), or None
        Of rows that were held back, encoded as the training rows are.
    encoding : Encoding
        What the training rows have taught; for new rows, and to read predictions.
    """

    name: str
    source: str
    training: Pair
    validation: Pair | None
    test: Pair | None
    encoding: Encoding

    @property
    def x(self) -> np.ndarray:
        """The inputs of the training rows, n x N."""
        return self.training[0]

    @property
    def y(self) -> np.ndarray:
        """The targets of the training rows, K x N."""
        return self.training[1]

    def __repr__(self) -> str:
        parts = (self.training, self.validation, self.test)
        sizes = " + ".join(str(part[0].shape[1]) for part in parts if part is not None)
        n, k = self.encoding.n_inputs, self.encoding.n_outputs
        return f"<Table {self.name!r}, {sizes} rows, {n} inputs, {k} outputs>"


def table(
    source: Any,
    target: str | Sequence[str],
    task: str | None = None,
    validation: float | int = 0,
    test: float | int = 0,
    rng: Any = 0,
    drop: Sequence[str] = (),
    categorical: Sequence[str] = (),
    max_categories: int = 100,
    dtype: Any = "float32",
    **reading: Any,
) -> Table:
    """Read a table, and encode its rows as inputs and targets of a network.

    Numbers are scaled to mean 0 and standard deviation 1. A gap in them (an empty cell, NA, null,
    ?) is filled with the median, and an input beside it says so. Of categories each becomes an
    input, 1 where it is that one, and a gap is a category of its own. All that is learnt for this
    is learnt from the training rows, and kept in `Table.encoding`.

    Parameters
    ----------
    source : path-like, DataFrame, dict of name to sequence, or sequence of dicts
        A path is that of a CSV file, plain or compressed by gzip, or of a Parquet file, which needs
        pandas and pyarrow (``pip install 'backprop[table]'``).
    target : str or sequence of str
        The column, or columns, to be predicted.
    task : "classification", "multi-label" or "regression", optional
        Unless told: classification of texts, regression of numbers, multi-label for several
        columns of 0 and 1. A column of few different whole numbers could be either: it must be
        told. So must a column of texts some of which are several of the others, ``beach|sea``.

        - classification: y is one-hot, K x N, in the order of `Encoding.classes`;
        - multi-label: y is 0 and 1, K x N, of several targets, or of one whose cells hold several
          labels, ``beach|sea`` (with ``|``, ``;`` or ``,`` between them);
        - regression: y is scaled, as numbers are; `Encoding.decode` scales back.
    validation, test : float or int
        How many rows to hold back, as a fraction of all or as their number. They are drawn at
        random, but for one of every class, which is for training; with 0 for both the rows keep
        their order.
    rng : numpy.random.Generator, int or None
        Where they are drawn from, or its seed.
    drop : sequence of str
        Columns to leave out, such as names and numbers of customers, and dates.
    categorical : sequence of str
        Columns of numbers that are names of categories, such as postcodes.
    max_categories : int
        The most inputs that a column may become; one of more different texts is refused.
    dtype : dtype-like
    **reading
        Of a CSV file `header` (bool), `delimiter`, `decimal` ("." or ",") and `charset`.

    Returns
    -------
    Table

    Raises
    ------
    FileError
        If the file is damaged, or no table.
    ValueError
        If a column is not there, or cannot be encoded: dates, text, numbers with something else
        among them; the message names the column and the remedy.
    ImportError
        For Parquet, if pandas or pyarrow is not installed.
    """
    targets = _names("target", target)
    dropped, categorical = _names("drop", drop), _names("categorical", categorical)
    dtype = check_dtype("table", dtype)
    max_categories = check_integer("table: max_categories", max_categories)
    if task is not None:
        task = checked_task(task)
    if not targets:
        raise ValueError("table: target must name a column, at least one")
    named = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
    columns, categorical = _read(opened(source), targets, dropped, categorical, reading)
    n = len(columns[targets[0]])
    if task is None and len(targets) == 1 and targets[0] in categorical:
        task = "classification"
    task = task or _task_of(targets, columns)
    of_classes = columns[targets[0]] if task == "classification" else None
    split = _split(n, validation, test, rng, of_classes)
    features = [name for name in columns if name not in targets]
    if not features:
        raise ValueError("table: there are no columns beside the target")
    _refuse_row_numbers(features, columns, categorical)
    training = {name: columns[name][split[0]] for name in features}
    encoded = [
        _column_of(name, training[name], name in categorical, max_categories) for name in features
    ]
    encoding = _encoding_of(encoded, targets, task, columns, split[0], dropped)
    x = encoding.inputs_of({name: columns[name] for name in features}, "ignore", dtype)
    y = encoding.targets_of(columns, dtype)
    pairs = [_part(x, y, rows) if len(rows) else None for rows in split]
    name = os.path.basename(named) if named else "table"
    words = f"{n} rows of {named or type(source).__name__}"
    assert pairs[0] is not None
    return Table(name, words, pairs[0], pairs[1], pairs[2], encoding)


def _read(
    source: Any,
    targets: Sequence[str],
    dropped: Sequence[str],
    categorical: Sequence[str],
    reading: dict[str, Any],
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the columns that are not dropped, and those of categories; all that are named exist.

    Raises
    ------
    ValueError
        If a column is not there.
    """
    there = names_in(source, **reading) if dropped else []
    for name in dropped:
        if name not in there:
            raise ValueError(f"table: drop: there is no column {name!r}{meant(name, there)}")
    columns = read_columns(source, dropped, **reading)
    categorical = (*categorical, *(name for name in categorical_of(source) if name in columns))
    for option, names in (("target", targets), ("categorical", categorical)):
        for name in names:
            if name not in columns:
                also = ", it is dropped" if name in dropped else meant(name, list(columns))
                raise ValueError(f"table: {option}: there is no column {name!r}{also}")
    return columns, categorical


def _names(option: str, given: Any) -> tuple[str, ...]:
    names = given if isinstance(given, (list, tuple, set)) else (given,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"table: {option} must name columns, got {given!r}")
    return tuple(dict.fromkeys(names))


def _refuse_row_numbers(
    features: Sequence[str], columns: Columns, categorical: Sequence[str]
) -> None:
    """Raise a ValueError if a column without a name counts the rows, as pandas writes its index."""
    name, *others = features
    if name not in _UNNAMED or not others or "column 2" in columns or name in categorical:
        return
    numbers = numbers_of(columns[name])
    if numbers is not None and (numbers - numbers[0] == np.arange(len(numbers))).all():
        raise ValueError(
            "table: the first column has no name and counts the rows, from which nothing follows: "
            f"leave it out, drop=[{name!r}]"
        )


def _split(
    n: int, validation: Any, test: Any, rng: Any, of_classes: np.ndarray | None
) -> list[np.ndarray]:
    """Return the rows for training, validation and test; one of every class is for training."""
    counts = [
        _count(n, name, value) for name, value in (("validation", validation), ("test", test))
    ]
    if not any(counts):
        return [np.arange(n), np.arange(0), np.arange(0)]
    left = n - sum(counts)
    if left < 1:
        raise ValueError(
            f"table: {n} rows are not enough for {counts[0]} to validate and {counts[1]} to test"
        )
    order = generator("table", rng).permutation(n)
    if of_classes is not None:
        _, first = np.unique(of_classes[order], return_index=True)
        if len(first) <= left:
            order = np.concatenate([order[first], np.delete(order, first)])
    return np.split(order, [left, left + counts[0]])


def _count(n: int, name: str, value: Any) -> int:
    if isinstance(value, float) and 0 <= value < 1:
        return round(n * value)
    return check_integer(f"table: {name}, a fraction in [0, 1) or a number of rows,", value, 0)


def _part(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Pair:
    if len(rows) == x.shape[1] and (rows == np.arange(len(rows))).all():
        return x, y
    return np.ascontiguousarray(x.T[rows]).T, np.ascontiguousarray(y.T[rows]).T


# -- what columns are ------------------------------------------------------------------------


def _task_of(targets: tuple[str, ...], columns: Columns) -> str:
    """Return the task that the targets tell of by themselves."""
    numbers = [numbers_of(columns[name]) for name in targets]
    if len(targets) > 1:
        if all(are_flags(columns[name]) for name in targets):
            return "multi-label"
        if any(one is None for one in numbers):
            raise ValueError(
                "table: several targets are those of a multi-label classification, 0 and 1 in "
                "each, or of a regression, numbers: say which, task='multi-label'"
            )
        return "regression"
    (values,) = numbers
    if values is None:
        written = written_otherwise(columns[targets[0]])
        if written:
            raise ValueError(
                f"table: the target {targets[0]!r} holds numbers such as {written!r}: write them "
                f"as plain numbers{of_commas([written])}, or say which classes they are, "
                "task='classification' or task='multi-label'"
            )
        cells = set(texts_of(columns[targets[0]]).tolist()) - {""}
        labels = {label for cell in cells for label in labels_in(cell)}
        if len(labels) < len(cells):  # as of sea, beach and beach|sea
            several = min(cell for cell in cells if len(labels_in(cell)) > 1)
            raise ValueError(
                f"table: the target {targets[0]!r} has cells such as {several!r}, which may be one "
                "class or several labels: say which, task='classification' or task='multi-label'"
            )
        return "classification"
    found = np.unique(values[np.isfinite(values)])
    if len(found) <= _FEW and (found % 1 == 0).all():
        raise ValueError(
            f"table: the target {targets[0]!r} has {len(found)} different whole numbers, which may "
            "be classes or quantities: say which, task='classification' or task='regression'"
        )
    return "regression"


def _column_of(name: str, values: np.ndarray, categorical: bool, most: int) -> Column:
    """Return how a column is encoded, by its training rows."""
    if not categorical and numbers_of(values) is not None:
        return NumberColumn.of(name, as_numbers(name, values))
    if not categorical:
        wrong, rows = stray(values)
        known = int((values != "").sum())
        if known - rows > _MOSTLY * known:
            raise ValueError(
                f"table: the column {name!r} holds numbers, but for "
                f"{', '.join(map(repr, wrong))} in {rows} of {known} rows: mend these cells "
                f"(an empty one is a gap), or give "
                f"categorical=[{name!r}]{of_commas(wrong)}"
            )
        written = written_otherwise(values)
        if written:
            raise ValueError(
                f"table: the column {name!r} holds numbers such as {written!r}: write them as "
                f"plain numbers{of_commas([written])}, or give categorical=[{name!r}] if they are "
                "names"
            )
    texts = texts_of_categories(values)
    found = np.unique(texts)
    if len(found) > most:
        raise ValueError(
            f"table: the column {name!r} has {len(found)} different texts, {str(found[-1])!r} for "
            f"one: leave it out, drop=[{name!r}], or give max_categories={len(found)}"
            f"{of_commas(found.tolist())}"
        )
    return CategoryColumn.of(name, texts, is_numeric(texts))


def texts_of_categories(values: np.ndarray) -> np.ndarray:
    """Return the categories in a column, numbers in one spelling if they are such."""
    return as_categories(
        values, values.dtype.kind == "f" or is_numeric(as_categories(values, False))
    )


def _encoding_of(
    encoded: list[Column],
    targets: tuple[str, ...],
    task: str,
    columns: Columns,
    training: np.ndarray,
    dropped: tuple[str, ...],
) -> Encoding:
    if task == "regression":
        numbers = [target_numbers(name, columns[name])[training] for name in targets]
        with np.errstate(over="ignore"):
            stds = [float(one.std()) or 1.0 for one in numbers]
            means = [float(one.mean()) for one in numbers]
        for name, *found in zip(targets, means, stds, strict=True):
            if not np.isfinite(found).all():
                raise ValueError(
                    f"table: the numbers of target {name!r} are too large to be scaled"
                )
        return Encoding(encoded, targets, task, (), means, stds, dropped)
    if task == "classification":
        if len(targets) > 1:
            raise ValueError(
                f"table: a classification has one target, got {len(targets)}: give "
                "task='multi-label' if they are 0 and 1"
            )
        classes = classes_of(target_texts(targets[0], columns[targets[0]]).tolist())
        if len(classes) < 2:
            raise ValueError(f"table: the target {targets[0]!r} has one class only, {classes[0]!r}")
        _check_names(targets[0], columns, classes)
        return Encoding(encoded, targets, task, classes, (), (), dropped)
    if len(targets) > 1:
        return Encoding(encoded, targets, task, targets, (), (), dropped)
    cells = as_categories(columns[targets[0]], False).tolist()
    classes = classes_of([label for cell in cells for label in labels_in(cell)])
    if not classes:
        raise ValueError(f"table: the target {targets[0]!r} has no labels in its cells")
    _check_names(targets[0], columns, classes)
    return Encoding(encoded, targets, task, classes, (), (), dropped)


def _check_names(target: str, columns: Columns, classes: list[str]) -> None:
    """Raise a ValueError if what stands for classes or labels is a quantity."""
    numeric = numbers_of(columns[target])
    fractions = numeric is not None and (numeric[np.isfinite(numeric)] % 1 != 0).any()
    if len(classes) > 1000 or fractions:
        raise ValueError(
            f"table: the target {target!r} has {len(classes)} different values, which are no "
            "classes: give task='regression' if they are quantities"
        )
