"""Helpers of the tests of files."""

from __future__ import annotations

import contextlib
import resource

import numpy as np

ARRAYS = {"theta": np.arange(5, dtype=np.float32), "other/m": np.ones((2, 3))}
META = {"format": "test 1", "numbers": [1, 2.5, None], "text": "δ = ∂C/∂z"}


def names(folder) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@contextlib.contextmanager
def largest_file(size: int):
    """Let the system refuse to write more than `size` bytes into a file, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
