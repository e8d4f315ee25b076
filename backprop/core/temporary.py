"""Temporary files and folders, and what is done with those that a kill has left.

They have a name that is always the same, so that what has been left is found by the next that wants
the name. Whoever makes one keeps it locked for as long as it is used. The system takes a lock away
when its process ends, however that ends: what is there and not locked was left, and is removed.
Nobody ever waits for a lock, and where there are none nothing is removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    LOCKS = False
else:
    LOCKS = True


def hold(descriptor: int, path: Path) -> bool:
    """Lock a file or folder that was just made, for as long as it is open.

    Returns whether it is still there: another process may have taken it for one that was left.
    """
    if not LOCKS:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks, where nobody else gets one either
        return True
    return _is_at(path, descriptor)


def remove_if_left(path: Path, folder: bool = False) -> None:
    """Remove a file of ours, or a folder with all that is in it, if no process holds it."""
    if not LOCKS:
        return
    with contextlib.suppress(OSError):  # it is somebody else's, in use, or gone meanwhile
        way = os.O_RDONLY | os.O_DIRECTORY if folder else os.O_WRONLY | os.O_NONBLOCK
        descriptor = os.open(path, way | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            if found.st_uid == os.geteuid() and _is_at(path, descriptor):
                if folder:
                    _remove(path)
                elif stat.S_ISREG(found.st_mode):
                    path.unlink()
        finally:
            os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove(folder: Path) -> None:
    """Remove a folder, though a compiler that a kill has left alone may still write there."""
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.01)


@contextlib.contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """Give an empty folder of ours among the system's temporary ones, and remove it afterwards.

    It has this name, which nobody else should use, or one that begins so while the first is in use.

    Raises
    ------
    OSError
        If none can be made.
    """
    path = Path(tempfile.gettempdir(), name)
    descriptor = _made(path) if LOCKS else None
    if descriptor is None:
        with tempfile.TemporaryDirectory(prefix=f"{name}-") as another:
            yield Path(another)
        return
    try:
        yield path
    finally:
        _remove(path)
        os.close(descriptor)


def _made(path: Path) -> int | None:
    """Make a folder, and return what holds it; None where another process has it."""
    remove_if_left(path, folder=True)
    try:
        path.mkdir(mode=0o700)
        descriptor = os.open(path, os.O_RDONLY)
    except (FileExistsError, FileNotFoundError):  # the second if it was taken for one that was left
        return None
    if hold(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None
