"""What can be written to a stream, and how to say in ASCII what cannot.

A terminal of Windows, or a pipe, may have an encoding without Greek letters, and printing one then
raises UnicodeEncodeError. Whatever is printed while a training runs goes through `readable`.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import itertools
import sys
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

ASCII = {
    "δ": "delta", "σ": "sigma", "ε": "eps", "η": "eta", "θ": "theta", "λ": "lambda", "μ": "mu",
    "Δ": "Delta ", "Σ": "sum", "∂": "d", "∇": "nabla ", "√": "sqrt", "⊙": "(.)", "⋆": "(*)",
    "∗": "*", "·": ".", "×": "x", "÷": "/", "−": "-", "±": "+-", "≤": "<=", "≥": ">=", "≠": "!=",
    "≈": "~", "∞": "inf", "→": "->", "←": "<-", "′": "'", "‖": "||", "…": "...", "⁄": "/",
    "–": "-", "—": "--", "‘": "'", "’": "'", "“": '"', "”": '"', "█": "#", "▏": "|",
}  # fmt: skip
"""What characters that we print are called where they cannot be printed."""


def can_write(stream: Any, text: str) -> bool:
    """Return whether a stream's encoding has all characters of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def in_ascii(text: str) -> str:
    r"""Return a text in ASCII: "delta" for a Greek letter, "^2" for a raised 2, "u" for a u umlaut.

    What has no such name is written as in a string of Python, ``\u4e2d``.
    """
    if text.isascii():
        return text
    words, before = [], ""
    for character in text:
        form, _, codes = unicodedata.decomposition(character).partition(" ")
        form = {"<super>": "^", "<sub>": "_"}.get(form, "")
        if form:  # of several raised numbers in a row only the first says so
            raised = "".join(chr(int(code, 16)) for code in codes.split())
            words.append(("" if form == before else form) + in_ascii(raised))
        else:
            words.append(_in_ascii(character))
        before = form
    return "".join(words)


def _in_ascii(character: str) -> str:
    if character.isascii():
        return character
    if character in ASCII:
        return ASCII[character]
    letters = unicodedata.normalize("NFKD", character)
    letters = "".join(c for c in letters if not unicodedata.combining(c))
    if letters in ("", character):
        return character.encode("ascii", "backslashreplace").decode()
    return in_ascii(letters)


def readable(text: str, stream: Any) -> str:
    """Return the text, with the characters that the stream's encoding lacks in ASCII."""
    return spelling(text, stream)(text)


def spelling(text: str, stream: Any) -> Callable[[str], str]:
    """Return how a text that is written to a stream is to be spelled, for every part of it alike.

    A table is aligned after that: "delta" is longer than the letter it stands for.
    """
    if can_write(stream, text):
        return str
    missing = {c for c in set(text) if not can_write(stream, c)}
    small = {c for c in set(text) if unicodedata.decomposition(c).startswith(("<super>", "<sub>"))}
    if missing & small:  # all of a number is raised, or nothing is
        missing |= small

    def spelled(part: str) -> str:
        runs = itertools.groupby(part, missing.__contains__)
        return "".join(in_ascii("".join(run)) if gone else "".join(run) for gone, run in runs)

    return spelled


def write_line(text: str, stream: Any) -> None:
    """Write a line at once, if the stream takes it: what was to be told ends no training.

    It may be None, closed, full, without a reader, of a narrow encoding, or something else.
    """
    with contextlib.suppress(Exception):
        stream.write(readable(text, stream) + "\n")
        stream.flush()


def tell_note(text: str) -> None:
    """Print a line to stderr that is no error: what stdout is read for has it not."""
    write_line(f"backprop: {text}", sys.stderr)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Do for a codec what `readable` does: the handler that a stream can be told to use."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return in_ascii(error.object[error.start : error.end]), error.end


@contextlib.contextmanager
def readable_streams(*streams: Any) -> Iterator[None]:
    """Have text streams write in ASCII what their encoding lacks, for as long as this lasts."""
    codecs.register_error("backprop.readable", _replace)
    before = []
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):  # not None, nor something of somebody's own
            before.append((stream, stream.errors))
            stream.reconfigure(errors="backprop.readable")
    try:
        yield
    finally:
        for stream, errors in before:
            with contextlib.suppress(ValueError, OSError):  # closed meanwhile, or full
                stream.reconfigure(errors=errors)
