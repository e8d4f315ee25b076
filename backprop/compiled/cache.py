"""Where built programs are kept: a folder of the user's own, in which a file is whole or not there.

A file's name holds what it was built from and what it contains, ``<key>.<digest>.so``: one that has
been damaged is never loaded. Files are written under another name and then renamed, so no process
waits for another, and any number may begin on an empty cache at once.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

from backprop.core.storage import write_atomically

VARIABLE = "BACKPROP_CACHE"
MOST_FILES = 1000


def folder() -> Path:
    """Return the folder that is asked for: BACKPROP_CACHE, or the system's for caches.

    Raises
    ------
    OSError
        If none is asked for, and the user has no home.
    """
    named = os.environ.get(VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        if named:
            path = Path(named).expanduser()
        elif sys.platform == "darwin":
            path = Path.home() / "Library" / "Caches" / "backprop"
        else:  # what is not absolute does not count, says the standard
            path = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "backprop"
    except RuntimeError as error:
        raise OSError(f"{error}") from None
    return path.absolute()


def trusted(path: Path) -> bool:
    """Say whether a file or folder is the user's, and nobody else may write to it."""
    try:
        found = path.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(found.st_mode):
        return False
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def usable() -> Path | None:
    """Return the cache's folder, made if need be; None where it cannot be written or trusted."""
    try:
        path = folder()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return path if trusted(path) and os.access(path, os.W_OK) else None


def find(key: str) -> Path | None:
    """Return the library with this key, if it is there, whole, and the user's."""
    with suppress(OSError):
        path = folder()
        for found in sorted(path.glob(f"{key}.*.so")) if trusted(path) else ():
            with suppress(OSError):
                if trusted(found) and _digest(found.read_bytes()) == found.name.split(".")[1]:
                    return found
                found.unlink()
    return None


def keep(key: str, library: bytes) -> Path | None:
    """Write a library where `find` finds it; return where, or None where that cannot be."""
    path = usable()
    if path is None:
        return None
    try:
        name = f"{key}.{_digest(library)}.so"
        found = write_atomically(path / name, lambda file: file.write(library), mode=0o700)
    except OSError:
        return None
    with suppress(OSError):
        _prune(path)
    return found


def _prune(path: Path) -> None:
    """Remove the oldest files where there are very many, and what a kill has left half written."""
    files = sorted(path.glob("*.so"), key=lambda file: file.stat().st_mtime)
    long_ago = time.time() - 24 * 60 * 60
    parts = [part for part in path.glob(".*.tmp") if part.stat().st_mtime < long_ago]
    for file in [*files[:-MOST_FILES], *parts]:
        with suppress(OSError):
            file.unlink()


def _digest(library: bytes) -> str:
    return hashlib.sha256(library).hexdigest()[:32]
