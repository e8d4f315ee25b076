"""What the command prints: progress on stdout, errors in one line on stderr."""

from __future__ import annotations

import contextlib
import os
import sys


def tell(text: str) -> None:
    """Print `text`; a reader that has gone, or a full disk behind stdout, ends no training."""
    try:
        print(text, flush=True)
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and sys.stderr is not None:
            print(f"backprop: cannot write to stdout: {error.strerror}", file=sys.stderr)
        with contextlib.suppress(OSError, ValueError):
            discard_stdout()  # nobody will read what comes after


def tell_error(message: str) -> None:
    """Print `message` to stderr as one line that names the command."""
    line = " ".join(message.split())
    if sys.stderr is not None:  # None where it was closed, and print would take stdout
        print(f"backprop: error: {line}", file=sys.stderr)


def discard_stdout() -> None:
    """Let what this process still prints, or has buffered, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
