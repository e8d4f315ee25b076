"""Files appear whole or not at all, and what is damaged is refused in one line."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pickle
import re
import resource
import zipfile

import numpy as np
import pytest

from backprop.core import storage
from backprop.core.storage import (
    FileError,
    read_archive,
    write_archive,
    write_atomically,
    write_text,
)
from tests.support import name_of

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


# -- whole or not at all -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_write(tmp_path, kind):
    path = tmp_path / "new" / "folder" / "file.txt"
    for text in ("first δ\n", "second\n"):
        assert write_text(kind(path), text) == path
        assert path.read_bytes() == text.encode("utf-8")
        assert names(path.parent) == ["file.txt"]


def test_a_file_is_as_readable_as_any_other(tmp_path):
    write_text(tmp_path / "ours", "")
    (tmp_path / "usual").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize(
    "error",
    [RuntimeError("half-way"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")],
    ids=name_of,
)
def test_a_write_that_fails_leaves_the_earlier_file(tmp_path, error):
    path = tmp_path / "file"
    write_text(path, "before")

    def write(file):
        file.write(b"half of")
        assert len(names(tmp_path)) == 2
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failing_system_call_leaves_the_earlier_file(tmp_path, monkeypatch, function):
    path = tmp_path / "file"
    write_text(path, "before")

    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(storage.os, function, fail)
    message = f"cannot write {re.escape(str(path))}: Input/output error$"
    with pytest.raises(OSError, match=message) as error:
        write_text(path, "after")
    assert error.value.errno == errno.EIO
    assert path.read_text() == "before"
    assert names(tmp_path) == ["file"]


def test_a_disk_that_is_full(tmp_path):
    path = tmp_path / "file"
    write_archive(path, ARRAYS, META)
    before = path.read_bytes()
    for size in (0, 100, 5000):
        with (
            largest_file(size),
            pytest.raises(OSError, match=re.escape(f"cannot write {path}: ")) as error,
        ):
            write_archive(path, {"theta": np.ones(100_000)}, META)
        assert "\n" not in str(error.value)
        assert path.read_bytes() == before
        assert names(tmp_path) == ["file"]


def test_a_path_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    for path, kind in [
        (tmp_path / "file" / "below", (NotADirectoryError, FileExistsError)),
        (tmp_path / "file" / "further" / "below", NotADirectoryError),
        (tmp_path / "folder", IsADirectoryError),
        (tmp_path / ("long" * 100), OSError),
    ]:
        with pytest.raises(kind, match=re.escape(f"cannot write {path}: ")) as error:
            write_text(path, "text")
        assert "\n" not in str(error.value)
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "a file"


@pytest.mark.parametrize("path", ["", ".", ".."])
def test_a_path_without_a_name(tmp_path, monkeypatch, path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(OSError, match=r"cannot write \.+: "):
        write_text(path, "text")
    assert names(tmp_path) == ["here"]
    assert names(tmp_path / "here") == []


def test_an_error_without_a_number_names_the_path_as_well(tmp_path):
    def write(file):
        raise OSError("something else")

    with pytest.raises(
        OSError, match=re.escape(f"cannot write {tmp_path / 'file'}: something else")
    ):
        write_atomically(tmp_path / "file", write)


# -- archives ----------------------------------------------------------------------------------


def test_archive(tmp_path):
    path = write_archive(tmp_path / "model", ARRAYS, META)
    assert path == tmp_path / "model"  # no ending is added
    arrays, meta = read_archive(str(path))
    assert meta == META
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    write_archive(path, {}, {})
    assert read_archive(path) == ({}, {})


def test_special_numbers_survive(tmp_path):
    numbers = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, np.finfo(float).max])
    write_archive(tmp_path / "file", {"x": numbers, "f": np.asfortranarray(np.eye(3))}, META)
    arrays, _ = read_archive(tmp_path / "file")
    assert arrays["x"].tobytes() == numbers.tobytes()
    np.testing.assert_array_equal(arrays["f"], np.eye(3))


def test_a_description_that_is_no_json_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_archive(tmp_path / "folder" / "file", ARRAYS, {"rng": object()})
    assert names(tmp_path) == []


def refused(path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(
        FileError, match=r"^" + re.escape(f"{path} is not a backprop archive")
    ) as error:
        read_archive(path)
    assert "\n" not in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        read_archive(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_archive(tmp_path)


def test_a_truncated_file(tmp_path):
    path = write_archive(tmp_path / "file", ARRAYS, META)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        refused(path, whole[:size])


def is_refused(path) -> bool:
    try:
        arrays, meta = read_archive(path)
    except FileError:
        return True
    assert meta == META
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    return False


@pytest.mark.parametrize("mask", [0xFF, 0x08])
def test_a_damaged_byte_is_noticed_or_means_nothing(tmp_path, mask):
    path = write_archive(tmp_path / "file", ARRAYS, META)
    whole, noticed = path.read_bytes(), 0
    for index in range(len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= mask
        path.write_bytes(damaged)
        noticed += is_refused(path)
    assert noticed > len(whole) / 2  # the others are dates, versions and the like


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def text(content: str) -> np.ndarray:
    return np.frombuffer(content.encode(), np.uint8)


def test_foreign_files(tmp_path):
    path = tmp_path / "file"
    npy = io.BytesIO()
    np.save(npy, np.ones(3))
    refused(path, b"")
    refused(path, b"a text\n" * 100)
    refused(path, npy.getvalue())
    refused(path, npz(theta=np.ones(3)))  # no description
    refused(path, npz(__meta__=text("no json")))
    refused(path, npz(__meta__=text("[1, 2]")))
    refused(path, npz(__meta__=text('{"arrays": [], "meta": [1, 2]}')))  # not an object
    refused(path, npz(__meta__=text('{"arrays": ["theta"], "meta": {}}')))  # which is missing
    refused(path, npz(__meta__=text('{"arrays": [], "meta": {}}'), theta=np.ones(3)))
    refused(path, npz(__meta__=np.array([255, 254], np.uint8)))  # not UTF-8


def test_a_reason_of_several_lines_becomes_one(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }".ljust(59_999) + b"\n"
    with zipfile.ZipFile(tmp_path / "npz", "w") as archive:
        size = len(header).to_bytes(2, "little")
        archive.writestr("theta.npy", b"\x93NUMPY\x01\x00" + size + header)
    refused(tmp_path / "file", (tmp_path / "npz").read_bytes())


class Bomb:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_nothing_is_ever_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bomb = np.array([Bomb()], dtype=object)
    path = tmp_path / "file"
    refused(path, npz(__meta__=text("{}"), theta=bomb))
    refused(path, npz(__meta__=bomb))
    refused(path, pickle.dumps(Bomb()))
    assert names(tmp_path) == ["file"]


def test_file_errors_are_value_errors():
    assert issubclass(FileError, ValueError)
    assert not issubclass(FileError, OSError)
