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
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

VARIABLE = "BACKPROP_CACHE"
MOST_FILES = 1000


def folder() -> Path:
    """Return the folder that is asked for: BACKPROP_CACHE, or the system's for caches."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "backprop"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "backprop"


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
    except (OSError, RuntimeError):
        return None
    return path if trusted(path) and os.access(path, os.W_OK) else None


@lru_cache
def _own_folder() -> Path:
    """Return a folder of this process, where there is no cache."""
    holder = tempfile.TemporaryDirectory(prefix="backprop-")
    _holders.append(holder)
    return Path(holder.name)


_holders: list[tempfile.TemporaryDirectory] = []


def find(key: str) -> Path | None:
    """Return the library with this key, if it is there, whole, and the user's."""
    path = folder()
    if not trusted(path):
        return None
    with suppress(OSError):
        for found in sorted(path.glob(f"{key}.*.so")):
            if trusted(found) and _digest(found.read_bytes()) == found.name.split(".")[1]:
                return found
            with suppress(OSError):
                found.unlink()
    return None


def keep(key: str, library: bytes) -> Path:
    """Write a library where `find` finds it; where that cannot be, for this process alone.

    Raises
    ------
    OSError
        If it can be written nowhere.
    """
    name = f"{key}.{_digest(library)}.so"
    path = usable()
    if path is not None:
        with suppress(OSError):
            found = _write(path, name, library)
            _prune(path)
            return found
    return _write(_own_folder(), name, library)


def _write(path: Path, name: str, library: bytes) -> Path:
    handle, unnamed = tempfile.mkstemp(dir=path, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(library)
        os.chmod(unnamed, 0o700)
        os.replace(unnamed, path / name)
    except BaseException:
        with suppress(OSError):
            os.unlink(unnamed)
        raise
    return path / name


def _prune(path: Path) -> None:
    """Remove the oldest files where there are very many."""
    files = sorted(path.glob("*.so"), key=lambda file: file.stat().st_mtime)
    for file in files[:-MOST_FILES]:
        with suppress(OSError):
            file.unlink()


def _digest(library: bytes) -> str:
    return hashlib.sha256(library).hexdigest()[:32]
