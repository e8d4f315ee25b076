"""The environment variables under which the library runs fastest, for processes of our own.

They are read when a process begins, so the command line sets them and begins anew; importing the
library sets nothing.
"""

from __future__ import annotations

import os
import platform

from backprop.kernels import blas

# The C library of Linux gives larger arrays back to the system as soon as they are freed, and the
# system clears what it hands out again, page by page: to fill a new array of 1 MB then takes ten
# times as long. With these it keeps up to 256 MB, and takes arrays of up to 32 MB from it.
MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}


def for_this_machine() -> dict[str, str]:
    """Return the variables to set before Python starts, for the full speed; {} if none."""
    return {**blas.environment(), **for_memory()}


def for_memory() -> dict[str, str]:
    """Return those for the allocation of arrays; {} if one is set, or they have no effect."""
    if platform.libc_ver()[0] != "glibc" or MEMORY.keys() & os.environ.keys():
        return {}
    return dict(MEMORY)


def show() -> None:
    """Print them for the shell: ``env $(backprop environment) python script.py``."""
    print(*map("=".join, for_this_machine().items()))


if __name__ == "__main__":
    show()
