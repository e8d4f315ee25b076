"""Columns of a table as inputs of a network: numbers are scaled, categories become one of K.

Each column remembers what it learnt from the training rows, and turns those of another table into
the same inputs. It is plain data, so that it is saved with the network.
"""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.callers import stacklevel
from backprop.core.checks import check_bool, check_number
from backprop.core.config import Configurable
from backprop.core.remedies import close_names
from backprop.datasets.texts import is_number

GAPS = ("", "na", "n/a", "nan", "null", "none", "?", "<na>", "#n/a")
"""What stands for a value that is missing, in any case of the letters."""

SHOWN = 3  # examples of what is wrong, in an error


class UnseenCategoryWarning(UserWarning):
    """A table holds categories, or gaps in a column, that the training rows did not have."""


class Column(Configurable, ABC):
    """One column of a table, and the inputs that it becomes."""

    name: str

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs, such as ``("age", "age is missing")``."""

    @abstractmethod
    def encode(self, values: np.ndarray, unseen: str = "warn") -> np.ndarray:
        """Return the inputs, len(inputs) x N, of a column that `numbers_of` or `texts_of` made."""


class NumberColumn(Column):
    """Numbers, shifted and scaled to mean 0 and standard deviation 1 over the training rows.

    Parameters
    ----------
    name : str
    mean, std : float
        Of the training rows. A column that did not vary, std = 0, becomes 0.
    fill : float
        What a gap stands for: the median of the training rows.
    gaps : bool
        Whether the training rows had some: then a second input is 1 where there is one.
    """

    def __init__(
        self, name: str, mean: float, std: float, fill: float = 0.0, gaps: bool = False
    ) -> None:
        self.name = _checked_name(name)
        self.mean = check_number(f"{name}: mean", mean)
        self.std = check_number(f"{name}: std", std, "[0, inf)")
        self.fill = check_number(f"{name}: fill", fill)
        self.gaps = check_bool(f"{name}: gaps", gaps)

    @classmethod
    def of(cls, name: str, numbers: np.ndarray) -> NumberColumn:
        """Return the column of these training rows, NaN being a gap."""
        known = numbers[~np.isnan(numbers)]
        if not known.size:
            raise ValueError(f"table: the column {name!r} is empty: leave it out, drop=[{name!r}]")
        with np.errstate(over="ignore"):
            mean, std = float(known.mean()), float(known.std())
        if not np.isfinite([mean, std]).all():
            raise ValueError(f"table: the numbers of column {name!r} are too large to be scaled")
        if (known == known[0]).all():
            mean, std = float(known[0]), 0.0
        return cls(name, mean, std, float(np.median(known)), known.size < numbers.size)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.name, f"{self.name} is missing") if self.gaps else (self.name,)

    def encode(self, values: np.ndarray, unseen: str = "warn") -> np.ndarray:
        missing = np.isnan(values)
        if missing.any() and not self.gaps:
            text = f"gaps, which the training rows did not have, in {_of_rows(missing)}"
            _tell(unseen, f"column {self.name!r} has {text}", "they are filled with the median")
        numbers = np.where(missing, self.fill, values) - self.mean
        scaled = numbers / self.std if self.std else np.zeros_like(numbers)
        return np.stack([scaled, missing]) if self.gaps else scaled[np.newaxis]


class CategoryColumn(Column):
    """Categories: an input for each, 1 where it is that one. A gap is a category of its own.

    Parameters
    ----------
    name : str
    categories : sequence of str
        Of the training rows, "" for a gap. What none of them is becomes 0 in all inputs.
    numeric : bool
        Whether they are numbers, so that "1" and "1.0" are one category.
    """

    def __init__(self, name: str, categories: Sequence[str], numeric: bool = False) -> None:
        self.name = _checked_name(name)
        self.categories = _checked_names(name, categories)
        self.numeric = check_bool(f"{name}: numeric", numeric)

    @classmethod
    def of(cls, name: str, texts: np.ndarray, numeric: bool = False) -> CategoryColumn:
        """Return the column of these training rows, "" being a gap."""
        return cls(name, ordered(np.unique(texts).tolist()), numeric)

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(
            f"{self.name}={value}" if value else f"{self.name} is missing"
            for value in self.categories
        )

    def encode(self, values: np.ndarray, unseen: str = "warn") -> np.ndarray:
        found, codes = np.unique(values, return_inverse=True)
        known = {value: k for k, value in enumerate(self.categories)}
        new = [value for value in found.tolist() if value not in known]
        if new:
            shown = ", ".join(map(repr, [one for one in new if one][:SHOWN]))
            what = "categories that" if shown else "gaps, which"
            text = f"column {self.name!r} has {what} the training rows did not have, "
            text += f"{shown} " * bool(shown) + f"in {_of_rows(np.isin(values, new))}"
            _tell(unseen, text, "their inputs are 0")
        one_of = np.zeros((len(self.categories), len(found)))
        for column, value in enumerate(found.tolist()):
            if value in known:
                one_of[known[value], column] = 1
        return one_of[:, codes.reshape(-1)]


def _of_rows(which: np.ndarray) -> str:
    return f"{int(which.sum())} of {len(which)} rows"


def _tell(unseen: str, text: str, then: str) -> None:
    """Raise, or warn, or do neither, about what the training rows did not have."""
    if unseen == "error":
        raise ValueError(text)
    if unseen == "warn":
        warnings.warn(f"{text}: {then}", UnseenCategoryWarning, stacklevel=stacklevel())


def ordered(values: Sequence[str]) -> list[str]:
    """Return categories in order, numbers by their size."""
    try:
        return sorted(values, key=lambda value: (value != "", float(value or 0)))
    except ValueError:
        return sorted(values)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a column must be a string, got {name!r}")
    return name


def _checked_names(name: str, values: Any) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, (tuple, list)):
        raise TypeError(f"{name}: the categories must be a sequence of strings, got {values!r:.80}")
    if not values or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name}: the categories must be strings, one at least")
    if len(set(values)) < len(values):
        raise ValueError(f"{name}: two categories are alike")
    return tuple(values)


# -- a raw column, as it comes from a file: texts, or numbers -----------------------------------


def numbers_of(values: np.ndarray) -> np.ndarray | None:
    """Return a column as float64, NaN where there is a gap; None if it holds anything else."""
    if values.dtype.kind == "f":
        return values
    try:
        numbers = np.where(values == "", "nan", values).astype(np.float64)
    except ValueError:
        return None
    return None if (np.char.find(values, "_") >= 0).any() else numbers


def texts_of(values: np.ndarray) -> np.ndarray:
    """Return a column as texts, "" where there is a gap; a whole number is written as such."""
    if values.dtype.kind != "f":
        return values
    found, codes = np.unique(values, return_inverse=True)
    texts = ["" if np.isnan(value) else format_number(value) for value in found]
    return np.array(texts, dtype=str)[codes.reshape(-1)] if texts else np.empty(0, str)


def format_number(value: float) -> str:
    """Write a number in the shortest way that reads as the same."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def stray(values: np.ndarray) -> tuple[list[str], int]:
    """Return a few of the texts in a column that are no numbers, and the number of rows of them."""
    found, counts = np.unique(values[values != ""], return_counts=True)
    pairs = zip(found.tolist(), counts, strict=True)
    wrong = [(value, n) for value, n in pairs if not is_number(value)]
    return [value for value, _ in wrong[:SHOWN]], int(sum(n for _, n in wrong))


_WRITTEN = re.compile(  # 5, 1,5, 1,200.50, 12% and $5
    r"[$\u20ac\u00a3]? ?[-+]?\d{1,3}([, ']?\d{3})*([.,]\d*)? ?[%$\u20ac\u00a3]?"
)


def written_otherwise(values: np.ndarray) -> str | None:
    """Return a text of a column whose texts all are numbers, this one not as computers write it."""
    texts = np.unique(values[values != ""]).tolist() if values.dtype.kind != "f" else []
    if not all(is_number(text) or _WRITTEN.fullmatch(text) for text in texts):
        return None
    return next((text for text in texts if not is_number(text)), None)


def of_commas(texts: Sequence[str]) -> str:
    """Say what to do about numbers such as 3,14, if texts look like them."""
    some = np.array([text for text in texts if text][:3], dtype=str)
    with_comma = (
        numbers_of(some) is None and numbers_of(np.char.replace(some, ",", ".")) is not None
    )
    return ", or of numbers with a decimal comma decimal=','" if with_comma else ""


def meant(name: str, names: Sequence[str]) -> str:
    """Return "; did you mean ...?" for a column that is not there, or what there is."""
    close = [one for one in names if one.lower() == name.lower()] or close_names(name, names, 2)
    if close:
        return f": did you mean {' or '.join(map(repr, close))}?"
    if len(names) == 1 and name in names[0]:  # read by another delimiter
        between = max(",;\t|", key=names[0].count)
        if between in names[0]:
            return f": there is one column, {names[0]!r}: give delimiter={between!r}"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f": there are {shown}"
