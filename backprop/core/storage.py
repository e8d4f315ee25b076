"""Files written whole or not at all, and the archive (arrays plus JSON) that models are kept in.

Every file that the package writes goes through `write_atomically`: the content lands in a
temporary file beside the target, is flushed to the disk, and is then renamed into place. A full
disk, a crash or a Ctrl-C therefore leaves the earlier file as it was.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import re
import secrets
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from backprop.core.plain import from_json
from backprop.core.temporary import LOCKS, hold, remove_if_left

_META = "__meta__"
_HEADER = re.compile(  # of a .npy file: the type of the elements, their order, and the shape
    r"\{'descr': '([<>|][biufcSU]\d{1,6})', 'fortran_order': (True|False), "
    r"'shape': \(([0-9, ]*)\), \} *\n"
)


class FileError(ValueError):
    """A file is damaged, or not of the kind expected; the message names it and says why."""


@contextlib.contextmanager
def what_is_read(path: str | os.PathLike[str], fault: str) -> Iterator[None]:
    """Within this, whatever a damaged file brings about becomes a `FileError` that names it.

    Its message is one line, ``"{path} {fault}: {what was raised}"``. Damage makes parsers and
    constructors raise almost anything; NumPy does not warn meanwhile of numbers out of range.
    """
    try:
        with np.errstate(all="ignore"):
            yield
    except FileError:
        raise
    except Exception as error:
        reason = " ".join(f"{error}".split()) or type(error).__name__
        shown = reason if len(reason) <= 300 else reason[:297] + "..."
        printable = shown.encode("utf-8", "backslashreplace").decode("utf-8")
        raise FileError(f"{path} {fault}: {printable}") from error


def write_atomically(
    path: str | os.PathLike[str],
    write: Callable[[BinaryIO], object],
    mode: int = 0o666,
    new: bool = False,
) -> Path:
    """Call `write` with a binary file, and let `path` have what it wrote, whole or not at all.

    Missing parent folders are made. A file that was there keeps its permissions and its owner; a
    new one gets those of any new file, or `mode`, as far as the umask leaves them. Of a symbolic
    link the file is written that it points to; other names of the same file (hard links) keep the
    earlier content. What is no file but a device or a pipe is written to as it stands. With `new`
    nothing may be there yet; of several processes that write at the same moment one does. Returns
    `path`.

    Raises
    ------
    FileExistsError
        If there is something, and with `new` there must not be.
    OSError
        If the file cannot be written (no such folder, no permission for the file or its folder, a
        full disk): the message names `path`, and what was there before is untouched.
    """
    path = Path(path)
    try:
        _write(path, write, mode, new)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write {path}: {reason}") from error
    return path


def _write(path: Path, write: Callable[[BinaryIO], object], mode: int, new: bool) -> None:
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        before = os.stat(path)  # /dev/stdout links to a name that nothing need have
    except FileNotFoundError:
        before = None
    if before is not None and new:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    if before is not None and not _is_file_or_folder(before.st_mode):
        with open(path, "wb") as file:  # such as /dev/null, which is not to become a file
            write(file)
        return
    if before is not None and stat.S_ISDIR(before.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if before is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "it is write-protected")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, descriptor = _open_beside(target, mode if before is None else 0o600)
    try:
        with open(descriptor, "wb") as file:
            if before is not None:
                _keep_owner_and_mode(temporary, before)
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if not LOCKS:  # Windows renames no file that is open
                file.close()
            if new:
                _give_new_name(temporary, target)
            else:
                os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _open_beside(target: Path, mode: int) -> tuple[Path, int]:
    """Make the temporary file of a target, in the place of one that a kill has left.

    While another process writes the same target, it has another name.
    """
    name = f".{target.name[:40]}"
    path = target.parent / f"{name}.tmp"
    remove_if_left(path)
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except PermissionError as error:
            raise PermissionError(
                error.errno, f"in {target.parent} nothing can be made, and files are replaced whole"
            ) from error
        except FileExistsError:
            pass
        else:
            if hold(descriptor, path):
                return path, descriptor
            os.close(descriptor)
        path = target.parent / f"{name}.{secrets.token_hex(4)}.tmp"


def _give_new_name(temporary: Path, target: Path) -> None:
    """Rename a file, unless the name is taken: a link is made of that name, and the other removed.

    Raises
    ------
    FileExistsError
        If it is.
    """
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(temporary, target)
    else:
        os.unlink(temporary)


def _is_file_or_folder(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _keep_owner_and_mode(path: Path, before: os.stat_result) -> None:
    now = path.stat()
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(OSError):  # only root may give a file away
            os.chown(path, before.st_uid, before.st_gid)
    os.chmod(path, stat.S_IMODE(before.st_mode))


def check_no_folder(owner: str, path: str, example: str) -> None:
    """Raise a ValueError if there is a folder where a file is to be written."""
    if os.path.isdir(path):
        inside = os.path.join(path, example)
        raise ValueError(f"{owner}: {path} is a folder: give a file, such as {inside}")


def write_text(path: str | os.PathLike[str], text: str, new: bool = False) -> Path:
    """Write `text` as UTF-8, atomically."""
    return write_atomically(path, lambda file: file.write(text.encode("utf-8")), new=new)


def write_archive(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
) -> Path:
    """Write named arrays and a JSON-able description into one .npz file, atomically.

    The names are written down as well: damage to a zip file may hide an array that it holds.
    """
    description = json.dumps({"arrays": list(arrays), "meta": meta}, allow_nan=False)
    text = np.frombuffer(description.encode("utf-8"), dtype=np.uint8)
    whole = io.BytesIO()  # a ZipFile that cannot write its end would complain when it is collected
    np.savez(whole, **{_META: text}, **arrays)  # type: ignore[arg-type]
    return write_atomically(path, lambda file: file.write(whole.getbuffer()))


def read_archive(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_archive` wrote: the arrays and the description. Never unpickles.

    No more memory is taken than the file is large, whatever sizes it declares.

    Raises
    ------
    FileError
        If the file is not such an archive, is truncated or damaged.
    OSError
        If it cannot be opened.
    """
    path = Path(path)
    content = path.read_bytes()
    with what_is_read(path, "is not a backprop archive, or is damaged"):
        arrays = dict(_members(content))
        if _META not in arrays:
            raise ValueError("it has no description")
        description = from_json(arrays.pop(_META).tobytes())
        meta = description["meta"]
        if description["arrays"] != list(arrays):
            raise ValueError(f"it holds {list(arrays)}, not {description['arrays']}")
        if not isinstance(meta, dict):
            raise ValueError("its description is not an object")
    return arrays, meta


def read_format(path: str | os.PathLike[str]) -> Any:
    """Return what the description of an archive says that its format is; errors as above."""
    return read_archive(path)[1].get("format")


READERS = {
    "backprop network": "Network.load",
    "backprop checkpoint": "backprop.training.checkpoint.load_network",
}
"""What reads a network out of which archive, told to who reads it with something else."""


def check_format(
    path: str | os.PathLike[str], meta: dict[str, Any], wanted: str, what: str
) -> None:
    """Raise a FileError unless the description of an archive says that it is of this format."""
    got = meta.get("format")
    if got == wanted:
        return
    shown = repr(got) if got is None or isinstance(got, str) else f"a {type(got).__name__}"
    kind = wanted.rpartition(" ")[0]
    ways = (
        f": {reader}({os.fspath(path)!r}) reads its network"
        for begin, reader in READERS.items()
        if isinstance(got, str) and got.startswith(begin) and begin != kind
    )
    raise FileError(f"{path} is not {what}, but {shown:.80}{next(ways, '')}")


def _members(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays in a zip file of .npy files, stored as they are, with their names."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > len(content):
            raise ValueError("its members are larger than the file")
        if len({member.filename.removesuffix(".npy") for member in members}) < len(members):
            raise ValueError("two members have one name")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} is compressed")
            yield (
                member.filename.removesuffix(".npy"),
                _array(member.filename, archive.read(member)),
            )


def _array(name: str, content: bytes) -> np.ndarray:
    """Return the array in a .npy file of version 1.0: never an object, nor larger than the file.

    `numpy.load` would take memory for whatever shape the header declares.
    """
    start = 10 + int.from_bytes(content[8:10], "little")
    header = _HEADER.fullmatch(content[10:start].decode("latin-1"))
    if content[:8] != b"\x93NUMPY\x01\x00" or header is None:
        raise ValueError(f"{name} is no array of numbers")
    dtype = np.dtype(header[1])
    shape = tuple(int(size) for size in header[3].replace(" ", "").split(",") if size)
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(content) - start:
        raise ValueError(f"{name} is {shape} of {dtype}, but has {len(content) - start} bytes")
    order: Literal["F", "C"] = "F" if header[2] == "True" else "C"
    return np.ndarray(shape, dtype, bytearray(content[start:]), order=order)
