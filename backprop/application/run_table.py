"""A table as the data of a run: which columns, which rows for what, and what is odd about it."""

from __future__ import annotations

import csv
import math
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backprop import datasets
from backprop.application.arguments import READING, said_as_options
from backprop.application.digests import Parts, digest_of, sha256_of
from backprop.application.run_config import RunConfig
from backprop.datasets import pixels_csv
from backprop.datasets.columns import CategoryColumn, NumberColumn, meant
from backprop.datasets.encoding import target_texts
from backprop.datasets.table_files import (
    Columns,
    categorical_of,
    column_names,
    opened,
    read_columns,
)

Pair = tuple[np.ndarray, np.ndarray]

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")
ONE_IN = 6  # rows is for testing, and one in so many of the others for validation
_SHOWN = 3
_MANY = 10  # rows, in which texts are not by chance all different


def is_table_name(name: str) -> bool:
    """Say whether a file is a table by its name."""
    return name.lower().endswith(TABLES)


class Rows:
    """A table, its rows encoded, and drawn at random for training, validation and testing.

    They are the same rows in every run with the same table and as many of them for each.

    Parameters
    ----------
    config : RunConfig
        With `data`, `target`, `task`, the sizes of the parts, and `table`.

    Attributes
    ----------
    name, words : str
        Of the table, and what was read, for people.
    task : str
    shape : tuple of int
        Of an example, (n,).
    n_inputs, n_outputs : int
    encoding : Encoding
    parts, sha256
        What tells the table from another: see `backprop.application.digests`.
    notes : list of str
        What is odd about it.

    Raises
    ------
    ValueError, OSError, ImportError
        If there is no such file, column or task, or too few rows; the message says what to do.
    """

    of_images = False
    pixels = None

    def __init__(self, config: RunConfig) -> None:
        path = Path(config.data)
        self.name = path.name
        with said_as_options():
            _check_there(path)
            if config.maximum is not None:
                raise ValueError(f"--maximum is for pixels, and {path} is a table: leave it out")
            reading = {name: config.table[name] for name in READING if name in config.table}
            names = column_names(path, **reading)
            if not config.target:
                raise ValueError(
                    f"{path} is a table: say which column is to be predicted, --target; there are "
                    f"{', '.join(names[:20])}{', ...' * (len(names) > 20)}"
                )
            target, drop, categorical = (
                named(option, given, names)
                for option, given in (
                    ("--target", config.target),
                    ("--drop", config.table.get("drop", ())),
                    ("--categorical", config.table.get("categorical", ())),
                )
            )
            for name in set(target) & set(drop):
                raise ValueError(f"--drop: {name!r} is the target")
            source = opened(path)
            columns = read_columns(source, drop, **reading)
            categorical += [name for name in categorical_of(source) if name in columns]
            self.parts = _parts_of(columns)
            n = len(columns[target[0]]) if target[0] in columns else 0
            n_test, n_validation = _sizes(config, n)
            most = {k: config.table[k] for k in ("max_categories",) if k in config.table}
            self.table = datasets.table(
                columns, target, config.task, n_validation, n_test, 0, (), categorical,
                dtype=config.number_type, **most,
            )  # fmt: skip
        self.table.encoding.dropped = tuple(drop)
        self.words = f"{n} rows of {path}"
        self.sha256 = sha256_of(self.parts)
        self.encoding = self.table.encoding
        self.task = self.encoding.task
        self.n_inputs, self.n_outputs = self.encoding.n_inputs, self.encoding.n_outputs
        self.shape = (self.n_inputs,)
        _check_varies(self.encoding, columns)
        self.notes = list(_oddities(self.encoding, columns))

    def split(self, config: RunConfig, network: Any) -> tuple[Pair, Pair | None, Pair | None, str]:
        """Return training, validation and test data, and in words how they were split.

        Raises
        ------
        ValueError
            If there are too few rows, or they do not fit the network.
        """
        self.check(network)
        training = self.table.training
        n = training[0].shape[-1]
        if config.train_size is not None:
            if config.train_size > n:
                raise ValueError(
                    f"{self.name} has {n} rows to train on: not enough for {config.train_size} "
                    "(--train-size, --validation-size, --test-size)"
                )
            x, y = training
            training = x[..., : config.train_size], y[..., : config.train_size]
        words = "drawn at random, the same in every run"
        if config.validation_size is None and config.test_size is None and n > 1:
            words = "one in six for testing, and one in six of the others for validation, " + words
        return training, self.table.validation, self.table.test, words

    def check(self, network: Any) -> None:
        """Raise a ValueError unless the network takes these rows."""
        check_network(network, self.encoding, self.name)


def check_network(network: Any, encoding: Any, name: str) -> None:
    """Raise a ValueError unless a network takes encoded rows, and gives their targets."""
    wanted = ((encoding.n_inputs,), (encoding.n_outputs,))
    if (network.input_shape, network.output_shape) != wanted:
        raise ValueError(
            f"the network takes examples of shape {network.input_shape} and gives "
            f"{network.output_shape}, but the rows of {name} become {encoding.n_inputs} inputs, "
            f"and there are {encoding.n_outputs} outputs: --sizes {encoding.n_inputs},...,"
            f"{encoding.n_outputs}, or leave it out; or other --layers, if these were given"
        )


def no_encoding(path: Path, network: Any, columns: int | None = None) -> ValueError:
    """Return what is to be said of a table that a network has no encoding for."""
    width = "" if columns is None else f", of {columns} columns"
    return ValueError(
        f"{path} is a table{width}, and the network has no encoding to read it by: it was not "
        "trained on a table, or network.encoding was not set before it was saved; rows of "
        f"{math.prod(network.input_shape)} pixels it would take"
    )


def named(option: str, given: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the columns that are named, one by one or with commas between them.

    Raises
    ------
    ValueError
        If one is not there; the message names those that are written alike.
    """
    found: list[str] = []
    for one in given:
        words = [one]
        if one not in names:
            words = [word.strip() for word in next(csv.reader([one], skipinitialspace=True), [one])]
        for word in words:
            if word not in names:
                raise ValueError(f"{option}: there is no column {word!r}{meant(word, names)}")
            found.append(word)
    return list(dict.fromkeys(found))


def _check_there(path: Path) -> None:
    if str(path) in datasets.NAMES:
        raise ValueError(f"--target is for a table, and {path} is none: name one, --data FILE")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if path.is_dir():
        raise ValueError(f"--target is for a table, and {path} is a folder: leave it out")
    if not is_table_name(path.name) and path.suffix.lower() in (".npz", ".npy", ".pkl", ".gz"):
        raise ValueError(f"--target is for a table, a CSV or Parquet file, and {path} is none")


def _sizes(config: RunConfig, n: int) -> tuple[int, int]:
    """Return how many of the rows are for testing and for validation."""
    n_test = n // ONE_IN if config.test_size is None else config.test_size
    left = max(0, n - n_test)
    n_validation = left // ONE_IN if config.validation_size is None else config.validation_size
    if n and left - n_validation < 2:
        raise ValueError(
            f"the table has {n} row{'s' * (n > 1)}: not enough for {n_validation} to validate, "
            f"{n_test} to test and two at least to train on (--validation-size, --test-size)"
        )
    return n_test, n_validation


def _parts_of(columns: Columns) -> Parts:
    n = len(next(iter(columns.values()), ()))
    parts: Parts = {"rows": [str(n), ""]}
    for name, values in columns.items():
        parts[f"column {name!r}"] = ["", digest_of(values)]
    return parts


def _check_varies(encoding: Any, columns: Columns) -> None:
    """Raise a ValueError if there is nothing to be learnt of a number that is always the same."""
    if encoding.task != "regression":
        return
    for name in encoding.target:
        values = columns[name].astype(np.float64)
        if (values == values[0]).all():
            raise ValueError(
                f"the target {name!r} is {values[0]:g} in all rows: there is nothing to learn"
            )


def _oddities(encoding: Any, columns: Columns) -> Any:
    """Yield what somebody should know of a table before it is learnt from."""
    constant = [
        column.name
        for column in encoding.columns
        if (column.std == 0 if isinstance(column, NumberColumn) else len(column.inputs) == 1)
    ]
    if constant:
        more = ", ..." * (len(constant) > _SHOWN)
        yield (
            f"{len(constant)} of {len(encoding.columns)} columns never vary, and tell nothing: "
            f"{', '.join(constant[:_SHOWN])}{more}"
        )
    unlike = [
        column.name
        for column in encoding.columns
        if isinstance(column, CategoryColumn)
        and len(np.unique(columns[column.name])) == len(columns[column.name]) > _MANY
    ]
    if unlike:
        more = ", ..." * (len(unlike) > _SHOWN)
        yield (
            f"{len(unlike)} of {len(encoding.columns)} columns have another text in every row, as "
            f"names do, from which nothing follows for others: leave them out, --drop "
            f"{' '.join(map(shlex.quote, unlike[:_SHOWN]))}{more}"
        )
    if encoding.task == "classification":
        texts = target_texts(encoding.target[0], columns[encoding.target[0]])
        counts = Counter(texts.tolist())
        single = [one for one in encoding.classes if counts[one] == 1]
        if single:
            more = ", ..." * (len(single) > _SHOWN)
            yield (
                f"{len(single)} of {len(encoding.classes)} classes have one row only, which is "
                f"trained on and never tested: {', '.join(single[:_SHOWN])}{more}"
            )


def is_table(config: RunConfig) -> bool:
    """Say whether the data of a run are a table, and no images."""
    if config.target:
        return True
    path = Path(config.data)
    if config.data in datasets.NAMES or not path.is_file() or not is_table_name(path.name):
        return False
    if path.suffix.lower() in (".parquet", ".pq"):
        return True
    return not pixels_csv.holds_pixels(path)
