"""Tables read: CSV, Parquet, DataFrames, dicts and rows, as one array for every column.

A column is float64, NaN where there is a gap, or text, "" where there is one; what a text column
means, numbers or categories, is for others to say.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import gzip
import itertools
import numbers
import os
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backprop.core.extras import needs
from backprop.core.storage import FileError, what_is_read
from backprop.datasets.columns import GAPS, SHOWN
from backprop.datasets.texts import is_number, open_text

Columns = dict[str, np.ndarray]

_ROWS = 10_000  # of a CSV file, that are read at a time
_LONGEST = 1000  # characters of a cell
_DELIMITERS = ",;\t|"
_WITH_COMMA = re.compile(r"[+-]?\d*,\d+")  # a number, which is a row of its own
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( .*)?"
    r"|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
)


def read_columns(
    source: Any,
    leave_out: Collection[str] = (),
    header: bool | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    charset: str = "utf-8",
) -> Columns:
    """Return the columns of a table by name, without those to be left out.

    Parameters
    ----------
    source : path-like, DataFrame, dict of name to sequence, or sequence of dicts
        A path is that of a CSV file, plain or compressed by gzip, or of a Parquet file.
    leave_out : collection of str
        Columns that are not looked at.
    header : bool, optional
        Whether the first row of a CSV file names the columns; else they are "column 1", ....
        Unless told it must, and not be numbers alone.
    delimiter, decimal, charset : str
        Of a CSV file: what stands between cells (found out, unless told), the decimal point, and
        how letters are stored.

    Raises
    ------
    FileError
        If a file is damaged or no table.
    ImportError
        For Parquet, if pandas or pyarrow is not installed (``pip install 'backprop[table]'``).
    TypeError, ValueError
        If it is no table; if a column holds dates.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source).expanduser()
        if _is_parquet(path):
            return _of_series(read_parquet(path), leave_out)
        return _read_csv(path, leave_out, header, delimiter, decimal, charset)
    if isinstance(source, Mapping):
        return _of_series(source, leave_out)
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):  # pandas, polars
        names = list(source.columns)
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            raise ValueError(f"table: two columns are called {twice[0]!r}")
        return _of_series({name: source[name] for name in names}, leave_out)
    if isinstance(source, (list, tuple)) and not source:
        raise ValueError("table: there are no rows")
    if isinstance(source, Sequence) and all(isinstance(r, Mapping) for r in source):
        names = list(dict.fromkeys(name for row in source for name in row))
        return _of_series({n: [row.get(n) for row in source] for n in names}, leave_out)
    raise TypeError(
        "table: the table must be the path of a CSV or Parquet file, a DataFrame, a dict of "
        f"columns or a list of dicts, got {type(source).__name__}"
        + ": of an array give dict(zip(names, array.T))"
        * isinstance(source, np.ndarray)
    )


def opened(source: Any) -> Any:
    """Return the columns of a Parquet file as a dict, and anything else as it is."""
    path = Path(source).expanduser() if isinstance(source, (str, os.PathLike)) else None
    return read_parquet(path) if path is not None and _is_parquet(path) else source


def names_in(source: Any, **reading: Any) -> list[str]:
    """Return the names of all columns of what `read_columns` takes."""
    if isinstance(source, (str, os.PathLike)):
        return column_names(Path(source).expanduser(), **reading)
    if isinstance(source, (list, tuple)):
        return list(dict.fromkeys(name for row in source for name in row))
    return list(source if isinstance(source, Mapping) else getattr(source, "columns", ()))


def categorical_of(source: Any) -> list[str]:
    """Return the columns of a DataFrame, or dict of Series, that are Categoricals without order."""
    names = source if isinstance(source, Mapping) else getattr(source, "columns", ())
    dtypes: list[Any] = [getattr(source[name], "dtype", None) for name in names]
    pairs = zip(names, dtypes, strict=True)
    return [name for name, dtype in pairs if str(dtype) == "category" and not dtype.ordered]


def column_names(
    path: Path,
    header: bool | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    charset: str = "utf-8",
) -> list[str]:
    """Return the names of the columns of a CSV or Parquet file; arguments as of `read_columns`."""
    if _is_parquet(path):
        return list(read_parquet(path))
    with _rows_of(path, delimiter, decimal, charset) as rows:
        first: list[str] = next(rows, [])
        if not first:
            raise FileError(f"{path} is empty")
        return _names(path, first, header)[0]


# -- CSV -------------------------------------------------------------------------------------


def _read_csv(
    path: Path,
    leave_out: Collection[str],
    header: bool | None,
    delimiter: str | None,
    decimal: str,
    charset: str,
) -> Columns:
    if decimal not in (".", ","):
        raise ValueError(f"table: decimal must be '.' or ',', got {decimal!r}")
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1):
        raise ValueError(f"table: delimiter must be one character, got {delimiter!r}")
    with _rows_of(path, delimiter, decimal, charset) as rows:
        return _columns_of_rows(path, rows, leave_out, header, decimal)


@contextlib.contextmanager
def _rows_of(path: Path, delimiter: str | None, decimal: str, charset: str) -> Iterator[Any]:
    """Give the rows of a CSV file, and say what is wrong with it if they cannot be read."""
    if _begins(path) in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise FileError(
            f"{path} is an archive, as spreadsheets are, and no text: unpack it, or save the sheet "
            "as CSV"
        )
    charset = "utf-8-sig" if charset.lower().replace("_", "-") in ("utf-8", "utf8") else charset
    try:
        with open_text(path, charset) as file:
            first = file.readline()
            while first and not first.strip():
                first = file.readline()
            delimiter = delimiter or _delimiter_of(first, decimal)
            yield csv.reader(itertools.chain([first], file), delimiter=delimiter)
    except LookupError as error:
        raise ValueError(f"table: charset: {error}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileError(f"{path} is a damaged gzip file: {error}") from error
    except UnicodeDecodeError as error:
        utf_16 = error.start == 0 and error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise FileError(
            f"{path} is not text in {charset.removesuffix('-sig')} ({error.reason} at byte "
            f"{error.start} of a block): "
            + ("give charset='utf-16'" if utf_16 else "of older programs give charset='cp1252'")
        ) from error
    except csv.Error as error:
        raise FileError(f"{path} is no table of text: {error}") from error


def _delimiter_of(first: str, decimal: str) -> str:
    """Return what stands between the cells: a decimal comma only where nothing else does."""
    found = max(_DELIMITERS.replace(decimal, ""), key=first.count)
    if decimal == "," in first and found not in first and not _WITH_COMMA.fullmatch(first.strip()):
        return ","
    return found


def _columns_of_rows(
    path: Path, rows: Any, leave_out: Collection[str], header: bool | None, decimal: str
) -> Columns:
    first: list[str] = next(rows, [])
    if not first:
        raise FileError(f"{path} is empty")
    names, begin = _names(path, first, header)
    wanted = [(k, name) for k, name in enumerate(names) if name not in leave_out]
    parts: dict[str, list[np.ndarray]] = {name: [] for _, name in wanted}
    rows = itertools.chain(begin, rows)
    n = 0
    while block := [row for row in itertools.islice(rows, _ROWS) if row]:
        for k, row in enumerate(block, n + 1):
            if len(row) != len(names):
                raise FileError(
                    f"{path}: row {k} has {len(row)} cells, and there are {len(names)} columns"
                )
        cells = list(zip(*block, strict=True))
        for k, name in wanted:
            parts[name].append(_texts(path, name, cells[k]))
        n += len(block)
    if not n:
        raise FileError(f"{path} has no rows below its header")
    return {name: _finished(name, np.concatenate(part), decimal) for name, part in parts.items()}


def _names(path: Path, first: list[str], header: bool | None) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns, and the first row if it is not these."""
    if header is False:
        return [f"column {k}" for k in range(1, len(first) + 1)], [first]
    if header is None and all(is_number(cell) for cell in first):
        raise ValueError(
            f"table: the first row of {path} holds numbers alone: give header=True if these are "
            "the names of the columns, or header=False if there are none"
        )
    names = [cell.strip() or f"column {k}" for k, cell in enumerate(first, 1)]
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise FileError(f"{path} has two columns called {twice[0]!r}")
    return names, []


def _texts(path: Path, name: str, cells: Iterable[str]) -> np.ndarray:
    texts = [cell.strip() for cell in cells]
    longest = max(map(len, texts))
    if longest > _LONGEST:
        raise ValueError(
            f"table: the column {name!r} of {path} holds text of up to {longest} characters: leave "
            f"it out, drop=[{name!r}]"
        )
    return np.array(texts, dtype=str)


def _finished(name: str, texts: np.ndarray, decimal: str) -> np.ndarray:
    """Return a column with its gaps as "", and numbers with a decimal point."""
    texts = np.where(np.isin(np.char.lower(texts), GAPS), "", texts)
    if decimal == ",":
        pointed = np.char.replace(np.char.replace(texts, ".", ""), ",", ".")
        number = np.array([bool(_NUMBER.fullmatch(text)) for text in texts.tolist()])
        texts = np.where(number, pointed, texts)
    _refuse_dates(name, texts)
    return _flags_alike(texts)


def _flags_alike(texts: np.ndarray) -> np.ndarray:
    """Return a column of true and false as Python spells them, so that TRUE and True are one."""
    lower = np.char.lower(texts)
    return np.char.capitalize(texts) if np.isin(lower, ("true", "false", "")).all() else texts


_NUMBER = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+)(,\d*)?(e[-+]?\d+)?", re.IGNORECASE)


# -- pandas, dicts, rows ---------------------------------------------------------------------


def _is_parquet(path: Path) -> bool:
    """Say whether a file is one of Parquet, by its name or as it begins."""
    return path.suffix.lower() in (".parquet", ".pq") or _begins(path) == b"PAR1"


def _begins(path: Path) -> bytes:
    """Return the first bytes of a file; of what is none, such as a pipe, nothing is taken."""
    if not path.is_file():
        return b""
    with open(path, "rb") as file:
        return file.read(4)


def read_parquet(path: Path) -> dict[str, Any]:
    """Return the columns of a file as Series of pandas."""
    with needs("table", "reading Parquet"):
        import pandas
        import pyarrow  # noqa: F401 - which pandas reads it by
    if not path.exists():
        raise FileNotFoundError(2, "No such file", str(path))
    with what_is_read(path, "is no Parquet file, or is damaged"):
        frame = pandas.read_parquet(path, engine="pyarrow")
        return {name: frame[name] for name in frame.columns}


def _of_series(series: Mapping[Any, Any], leave_out: Collection[str]) -> Columns:
    found: Columns = {}
    for name, values in series.items():
        if not isinstance(name, str):
            raise TypeError(
                f"table: the names of columns must be strings, got {name!r}: of a DataFrame give "
                "df.rename(columns=str)"
            )
        if name not in leave_out:
            found[name] = _of_values(name, values)
    lengths = {len(column) for column in found.values()}
    if len(lengths) > 1:
        raise ValueError(f"table: the columns have several lengths, {sorted(lengths)}")
    if lengths == {0}:
        raise ValueError("table: there are no rows")
    return found


def _of_values(name: str, values: Any) -> np.ndarray:
    """Return a column of any sequence: float64, or text."""
    if isinstance(values, str):
        raise TypeError(f"table: the column {name!r} must be a sequence, got a string")
    if not isinstance(values, Iterable):
        raise TypeError(
            f"table: the column {name!r} must be a sequence, got {values!r:.40}: of one row give a "
            "list of one dict, [{...}]"
        )
    array = values.to_numpy() if hasattr(values, "to_numpy") else values
    if not isinstance(array, np.ndarray):
        array = _objects(list(array))
    if array.ndim != 1:
        raise ValueError(f"table: the column {name!r} must have one axis, got {array.shape}")
    kind = array.dtype.kind
    if kind in "mM":
        raise _dates(name, array[:SHOWN].astype(str).tolist())
    if kind in "iuf":
        return array.astype(np.float64)
    items = [None if is_gap(item) else item for item in array.tolist()]
    odd = next((item for item in items if isinstance(item, _SEVERAL)), None)
    if odd is not None:
        raise ValueError(
            f"table: the column {name!r} holds what is no number or text, such as {odd!r:.40}: "
            f"make columns of what matters in it, or leave it out, drop=[{name!r}]"
        )
    items = [item.decode() if isinstance(item, bytes) else item for item in items]
    if any(isinstance(item, (datetime.date, datetime.time)) for item in items):
        raise _dates(name, [str(item) for item in items if item is not None][:SHOWN])
    known = [item for item in items if item is not None]
    if known and all(
        isinstance(item, numbers.Real) and not isinstance(item, bool) for item in known
    ):
        return np.array([np.nan if item is None else float(item) for item in items])
    texts = np.array(["" if item is None else str(item).strip() for item in items], dtype=str)
    texts = np.where(np.isin(np.char.lower(texts), GAPS), "", texts)
    _refuse_dates(name, texts)
    return _flags_alike(texts)


_SEVERAL = (list, tuple, dict, set, np.ndarray, complex)


def _objects(items: list[Any]) -> np.ndarray:
    """Return items, which may be lists themselves, along one axis."""
    array = np.empty(len(items), object)
    array[:] = items
    return array


def is_gap(item: Any) -> bool:
    """Say whether an element is missing: None, NaN, pandas' NA and NaT."""
    if item is None or type(item).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(item, float) and item != item


# -- dates -----------------------------------------------------------------------------------


def _refuse_dates(name: str, texts: np.ndarray) -> None:
    """Raise a ValueError if all texts of a column, but for gaps, are dates or times."""
    known = texts[texts != ""]
    if not known.size or not _DATE.fullmatch(str(known[0])):
        return
    found = np.unique(known).tolist()
    if all(_DATE.fullmatch(text) and not is_number(text) for text in found):
        raise _dates(name, found[:SHOWN])


def _dates(name: str, some: Sequence[str]) -> ValueError:
    return ValueError(
        f"table: the column {name!r} holds dates or times, such as {some[0]}: leave it out, "
        f"drop=[{name!r}], and put what matters of it into columns of numbers or categories, such "
        "as the month, the weekday, or the days since some day"
    )
