"""The book's ``mnist.pkl.gz``, read without running anything that it says.

A pickle is a program for a small machine with a stack, and one of its instructions calls any
function that there is. This reader knows only the instructions that arrays, tuples, lists, numbers
and strings need, calls nothing, and makes the arrays itself out of their shapes, types and bytes;
everything else is refused. Pickles of Python 2, whose strings are bytes, are read as well.

The instructions are those of `pickle`'s protocols 0 to 5, as the module `pickletools` lists them.
"""

from __future__ import annotations

import codecs
import gzip
import math
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backprop.core.storage import FileError, what_is_read
from backprop.datasets.dataset import Dataset, checked

_LARGEST = 2**33  # bytes that a compressed file may unpack to
_NUMBER = re.compile(r"[<>|=]?[biuf][1248]")


def read_pickle(path: Path) -> Dataset:
    """Read a data set that was pickled as ``(training, validation, test)``, each ``(x, labels)``.

    Training and validation data are joined, in this order, as the book's 50,000 and 10,000 are
    the 60,000 of MNIST. Rows of n x n numbers become images.

    Raises
    ------
    FileError
        If it is no such pickle, or holds anything but arrays.
    """
    made = unpickle_arrays(path)
    pairs = _is_sequence(made) and all(_is_sequence(one) and len(one) == 2 for one in made)
    if not pairs or len(made) not in (2, 3):
        raise FileError(
            f"{path} does not hold (training, validation, test) or (training, test) of pairs "
            "(x, labels)"
        )
    flat = [array for pair in made for array in pair]
    if not all(isinstance(array, np.ndarray) for array in flat):
        raise FileError(f"{path} holds something else than arrays: pairs (x, labels) of them")
    source = f"pickled arrays in {path}"
    if len(made) == 3:
        source += ", its validation data at the end of its training data"
        with what_is_read(path, "has training and validation data that do not fit"):
            joined = [np.concatenate(both) for both in zip(made[0], made[1], strict=True)]
        flat = [*joined, *made[2]]
    for k in (0, 2):
        flat[k] = _images(flat[k])
    return checked(path.name, source, flat, [path] * 4)


def _images(rows: np.ndarray) -> np.ndarray:
    side = math.isqrt(rows.shape[1]) if rows.ndim == 2 else 0
    square = side > 1 and side * side == rows.shape[1]
    return rows.reshape(-1, side, side) if square else rows


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (tuple, list))


def unpickle_arrays(path: Path) -> Any:
    """Return what a pickle holds, if that is arrays, tuples, lists, numbers, strings.

    Raises
    ------
    FileError
        If it is damaged, or needs anything else.
    """
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if compressed else open(path, "rb") as file:
            content = file.read(_LARGEST)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileError(f"{path} is a damaged gzip file: {error}") from error
    with what_is_read(path, "is no pickle of arrays alone, and nothing else is unpickled"):
        return _Machine(content).run()


# -- what stands for what a pickle names ------------------------------------------------------


class _Name(NamedTuple):
    """A function or class that a pickle names; it is only compared, and never called."""

    module: str
    name: str


class _Dtype:
    def __init__(self, name: Any) -> None:
        text = name.decode("latin-1") if isinstance(name, bytes) else name
        if not isinstance(text, str) or not _NUMBER.fullmatch(text):
            raise ValueError(f"it holds arrays of the type {text!r:.40}")
        self.dtype = np.dtype(text)

    def build(self, state: Any) -> None:
        order: Any = state[1].decode("latin-1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"it has the byte order {order!r:.40}")
        if order in "<>":
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    array: np.ndarray | None = None

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        self.array = _array(content, dtype, shape, "F" if fortran else "C")


def _array(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, _Dtype) or not isinstance(content, (bytes, bytearray)):
        raise ValueError("an array is not made of a type and of bytes")
    native = dtype.dtype.newbyteorder("=")
    lengths = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not lengths or math.prod(shape) * native.itemsize != len(content):
        raise ValueError("an array is not as large as it says")
    if order not in ("C", "F"):
        raise ValueError("an array has no order")
    return np.ndarray(shape, dtype.dtype, content, order=order).astype(native)


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")


def _reduce(name: Any, arguments: Any) -> Any:
    """Return what a call that a pickle asks for would make, if that is part of an array."""
    if not isinstance(name, _Name) or not isinstance(arguments, tuple):
        raise ValueError("it calls something")
    module, function = name
    if function == "_reconstruct" and module in _MULTIARRAY:
        return _Array()
    if name == ("numpy", "dtype"):
        return _Dtype(arguments[0])
    if function == "_frombuffer" and module in _NUMERIC:
        return _array(*arguments)
    if name == ("_codecs", "encode"):  # of bytes, in protocols 0 to 2
        text, coding = arguments
        if coding not in ("latin1", b"latin1"):
            raise ValueError(f"it has the coding {coding!r:.40}")
        return text.encode("latin-1")
    raise ValueError(f"it calls {module}.{function}")


class _Machine:
    """The stack, the marks on it, and the memo of what has been made."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            code = self.take(1)
            if code == b".":
                return _finished(self.stack.pop())
            self.step(code)

    # -- reading ----------------------------------------------------------------------------

    def take(self, n: int) -> bytes:
        """Return the next n bytes, if there are so many."""
        self.at += n
        if n < 0 or self.at > len(self.content):
            raise ValueError("it is truncated")
        return self.content[self.at - n : self.at]

    def number(self, n: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(n), "little", signed=signed)

    def line(self) -> bytes:
        end = self.content.find(b"\n", self.at)
        if end < 0:
            raise ValueError("it is truncated")
        line, self.at = self.content[self.at : end], end + 1
        return line

    # -- the stack --------------------------------------------------------------------------

    def after_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, n: int) -> list[Any]:
        if n > len(self.stack):
            raise ValueError("it takes what is not there")
        items = self.stack[len(self.stack) - n :]
        del self.stack[len(self.stack) - n :]
        return items

    def step(self, code: bytes) -> None:
        """Do what one instruction says."""
        if code in _LENGTHS:  # strings and bytes, their length before them
            width, text = _LENGTHS[code]
            found = self.take(self.number(width))
            self.stack.append(found.decode("utf-8") if text else found)
        elif code in _CONSTANTS:
            self.stack.append(_CONSTANTS[code])
        elif code in _INTEGERS:
            self.stack.append(self.number(_INTEGERS[code], code == b"J"))
        elif code in b"\x85\x86\x87":
            self.stack.append(tuple(self.last(code[0] - 0x84)))
        elif code in _SKIPPED:
            self.take(_SKIPPED[code])
        elif code in _MEMO_PUT or code in b"p\x94":
            key = len(self.memo) if code == b"\x94" else self._key(code, _MEMO_PUT)
            self.memo[key] = self.stack[-1]
        elif code in _MEMO_GET or code == b"g":
            self.stack.append(self.memo[self._key(code, _MEMO_GET)])
        else:
            self._other(code)

    def _key(self, code: bytes, widths: dict[bytes, int]) -> int:
        return self.number(widths[code]) if code in widths else int(self.line())

    def _other(self, code: bytes) -> None:
        stack = self.stack
        if code == b"(":
            self.marks.append(len(stack))
        elif code == b"t":
            stack.append(tuple(self.after_mark()))
        elif code == b"l":
            stack.append(self.after_mark())
        elif code == b"]":
            stack.append([])
        elif code in b"ae":
            items = self.after_mark() if code == b"e" else self.last(1)
            if type(stack[-1]) is not list:
                raise ValueError("it appends to what is no list")
            stack[-1].extend(items)
        elif code == b"c":
            module, name = self.line().decode(), self.line().decode()
            stack.append(_Name(module, name))
        elif code == b"\x93":
            stack.append(_Name(*self.last(2)))
        elif code == b"R":
            stack.append(_reduce(*self.last(2)))
        elif code == b"b":
            (state,) = self.last(1)
            if not isinstance(stack[-1], (_Array, _Dtype)):
                raise ValueError("it sets the state of what is no array")
            stack[-1].build(state)
        elif code in b"IL":
            line = self.line().removesuffix(b"L")
            stack.append({b"00": False, b"01": True}[line] if line[:1] == b"0" and line[1:]
                         else int(line))  # fmt: skip
        elif code == b"\x8a":
            stack.append(self.number(self.number(1), signed=True))
        elif code == b"S":
            stack.append(_escaped(self.line()))
        elif code == b"V":
            stack.append(self.line().decode("raw-unicode-escape"))
        elif code == b"0":
            self.last(1)
        else:
            raise ValueError(f"it has the instruction {code!r}")


def _escaped(line: bytes) -> bytes:
    """Return the bytes that a string of Python 2 stands for, in quotes and with escapes."""
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
        raise ValueError("a string is not in quotes")
    return codecs.escape_decode(line[1:-1])[0]  # type: ignore[attr-defined, no-any-return]


def _finished(made: Any, depth: int = 0) -> Any:
    """Return what was made, an array in the place of everything that stands for one."""
    if isinstance(made, (tuple, list)) and depth < 4:
        if len(made) > 20:  # and each may be the same one, twenty times over
            raise ValueError(f"it holds {len(made)} things, which are no arrays of numbers")
        return type(made)(_finished(one, depth + 1) for one in made)
    if isinstance(made, _Array):
        if made.array is None:
            raise ValueError("an array has no content")
        return made.array
    if isinstance(made, (_Dtype, _Name)):
        raise ValueError("it holds something else than arrays")
    return made


_LENGTHS = {  # bytes of the length, and whether it is text
    b"U": (1, False),
    b"T": (4, False),
    b"C": (1, False),
    b"B": (4, False),
    b"\x8e": (8, False),
    b"\x96": (8, False),
    b"\x8c": (1, True),
    b"X": (4, True),
    b"\x8d": (8, True),
}
_CONSTANTS: dict[bytes, Any] = {b"N": None, b"\x88": True, b"\x89": False, b")": ()}
_INTEGERS = {b"K": 1, b"M": 2, b"J": 4}
_SKIPPED = {b"\x80": 1, b"\x95": 8}  # the protocol, and how long a frame is
_MEMO_PUT = {b"q": 1, b"r": 4}
_MEMO_GET = {b"h": 1, b"j": 4}
