"""Files written whole or not at all, and the archive (arrays plus JSON) that models are kept in.

Every file that the package writes goes through `write_atomically`: the content lands in a
temporary file beside the target, is flushed to the disk, and is then renamed into place. A full
disk, a crash or a Ctrl-C therefore leaves the earlier file as it was.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_META = "__meta__"


class FileError(ValueError):
    """A file is damaged, or not of the kind expected; the message names it and says why."""


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> Path:
    """Call `write` with a binary file, and let `path` have what it wrote, whole or not at all.

    Missing parent folders are made. Returns `path`.

    Raises
    ------
    OSError
        If the file cannot be written (no such folder, no permission, a full disk): the message
        names `path`, and what was there before is untouched.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"cannot write {path}: {reason}") from error
        raise
    return path


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` as UTF-8, atomically."""
    return write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def write_archive(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
) -> Path:
    """Write named arrays and a JSON-able description into one .npz file, atomically.

    The names are written down as well: damage to a zip file may hide an array that it holds.
    """
    description = json.dumps({"arrays": list(arrays), "meta": meta})
    text = np.frombuffer(description.encode("utf-8"), dtype=np.uint8)
    whole = io.BytesIO()  # a ZipFile that cannot write its end would complain when it is collected
    np.savez(whole, **{_META: text}, **arrays)  # type: ignore[arg-type]
    return write_atomically(path, lambda file: file.write(whole.getbuffer()))


def read_archive(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_archive` wrote: the arrays and the description. Never unpickles.

    Raises
    ------
    FileError
        If the file is not such an archive, is truncated or damaged.
    OSError
        If it cannot be opened.
    """
    path = Path(path)
    whole = io.BytesIO(path.read_bytes())
    if not zipfile.is_zipfile(whole):
        raise FileError(f"{path} is not a backprop archive, or is damaged: it is no zip file")
    try:
        with np.load(whole, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if _META not in arrays:
            raise ValueError("it has no description")
        description = json.loads(arrays.pop(_META).tobytes().decode("utf-8"))
        meta = description["meta"]
        if description["arrays"] != list(arrays):
            raise ValueError(f"it holds {list(arrays)}, not {description['arrays']}")
    except Exception as error:  # damage makes zipfile and numpy raise almost anything
        reason = " ".join(str(error).split())  # on one line
        raise FileError(f"{path} is not a backprop archive, or is damaged: {reason}") from error
    if not isinstance(meta, dict):
        raise FileError(f"{path} is not a backprop archive: its description is not an object")
    return arrays, meta
