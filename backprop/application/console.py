"""What the command prints: progress on stdout, errors in one line on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator

from backprop.core.terminal import tell_note, write_line
from backprop.training.divergence import DivergenceError


def tell(text: str) -> None:
    """Print `text`; a reader that has gone, or a full disk behind stdout, ends no training."""
    try:
        print(text, flush=True)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            write_line(f"backprop: cannot write to stdout: {error.strerror}", sys.stderr)
        with contextlib.suppress(OSError, ValueError):
            discard_stdout()  # nobody will read what comes after


def tell_error(message: str) -> None:
    """Print `message` to stderr as one line that names the command."""
    write_line(f"backprop: error: {' '.join(message.split())}", sys.stderr)


def failure(error: BaseException) -> tuple[str, int] | None:
    """Return the line and the exit status of an error; None of one that is a fault of ours."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    if isinstance(error, DivergenceError):
        return str(error), 1
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}", 2
    if isinstance(error, OSError) and error.strerror:  # without its number
        return f"{error.strerror}{f': {error.filename}' * (error.filename is not None)}", 2
    if isinstance(error, (ValueError, OSError, ImportError)):
        return str(error), 2
    return None


def discard_stdout() -> None:
    """Let what this process still prints, or has buffered, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def warnings_as_notes(category: type[Warning]) -> Iterator[None]:
    """Within this, warnings of a kind become notes, told at its end."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", category)
        yield
    for warning in caught:
        tell_note(str(warning.message))
