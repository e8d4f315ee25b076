"""Files appear whole or not at all, and what is damaged is refused in one line."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pickle
import re
import resource
import stat
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from backprop.core import storage
from backprop.core.storage import (
    FileError,
    read_archive,
    what_is_read,
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


# -- permissions, links, and what is no file ----------------------------------------------------


def mode_of(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o400, 0o755])
def test_a_file_keeps_its_permissions(tmp_path, mode):
    path = write_text(tmp_path / "file", "before")
    path.chmod(mode)
    if not os.access(path, os.W_OK):
        pytest.skip("only root writes to a file that is write-protected")
    write_text(path, "after")
    assert path.read_text() == "after"
    assert mode_of(path) == mode
    write_archive(path, ARRAYS, META)
    assert mode_of(path) == mode


def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path, umask):
    assert mode_of(write_text(tmp_path / "new", "")) == 0o666 & ~umask


def test_what_replaces_a_private_file_is_never_readable_by_others(tmp_path):
    path = write_text(tmp_path / "file", "secret")
    path.chmod(0o600)

    def write(file):
        (temporary,) = (entry for entry in tmp_path.iterdir() if entry != path)
        assert mode_of(temporary) == 0o600
        file.write(b"secret")

    write_atomically(path, write)


def test_a_symbolic_link_is_written_through_and_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link, second = tmp_path / "elsewhere" / "file", tmp_path / "link", tmp_path / "second"
    target.write_text("before")
    target.chmod(0o600)
    link.symlink_to(target)
    second.symlink_to("link")  # of a link, and relative
    for path, text in ((link, "one"), (second, "two")):
        assert write_text(path, text) == path
        assert target.read_text() == text
        assert (link.is_symlink(), second.is_symlink()) == (True, True)
        assert mode_of(target) == 0o600
    assert names(tmp_path) == ["elsewhere", "link", "second"]
    assert names(target.parent) == ["file"]


def test_a_link_to_what_is_not_there_yet_makes_it(tmp_path):
    (tmp_path / "link").symlink_to("folder/file")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "folder" / "file").read_text() == "text"
    assert (tmp_path / "link").is_symlink()


def test_a_file_in_a_folder_that_is_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    write_text(tmp_path / "link" / "file", "text")
    assert (tmp_path / "folder" / "file").read_text() == "text"
    assert (tmp_path / "link").is_symlink()


def test_links_in_a_circle_are_refused_and_stay(tmp_path):
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    with pytest.raises(OSError, match=re.escape(f"cannot write {tmp_path / 'one'}: ")) as error:
        write_text(tmp_path / "one", "text")
    assert error.value.errno == errno.ELOOP
    assert (tmp_path / "one").is_symlink()


def test_another_name_of_the_same_file_keeps_the_earlier_content(tmp_path):
    path = write_text(tmp_path / "file", "before")
    os.link(path, tmp_path / "other")
    write_text(path, "after")
    assert ((tmp_path / "other").read_text(), path.read_text()) == ("before", "after")


def test_a_write_protected_file_is_refused(tmp_path, monkeypatch):
    path = write_text(tmp_path / "file", "before")
    path.chmod(0o444)
    if os.geteuid() == 0:  # who may write to it all the same
        monkeypatch.setattr(storage.os, "access", lambda path, mode: False)
    with pytest.raises(
        PermissionError, match=re.escape(f"cannot write {path}: it is write-protected")
    ):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert mode_of(path) == 0o444
    assert names(tmp_path) == ["file"]


def test_a_file_in_a_folder_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    path = write_text(folder / "file", "before")
    folder.chmod(0o555)
    if os.geteuid() == 0:

        def refuse(*arguments):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(storage.os, "open", refuse)
    match = f"cannot write {path}: in {folder} nothing can be made, and files are replaced whole"
    with pytest.raises(PermissionError, match=re.escape(match)):
        write_text(path, "after")
    folder.chmod(0o755)
    assert path.read_text() == "before"
    assert names(folder) == ["file"]


def test_a_pipe_or_a_device_is_written_to_and_does_not_become_a_file(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_text(path, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)
    (tmp_path / "null").symlink_to(os.devnull)
    write_archive(tmp_path / "null", ARRAYS, META)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert names(tmp_path) == ["null", "pipe"]


def test_a_name_as_long_as_names_may_be(tmp_path):
    path = tmp_path / ("n" * 255)
    assert write_text(path, "text").read_text() == "text"


# -- sizes that are only declared ----------------------------------------------------------------


def member(shape: str, data: bytes = b"", descr: str = "'<f8'", order: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        member("(1000000000000,)"),
        member("(1000000, 1000000)", bytes(80)),
        member("(18446744073709551616,)"),
        member("(-1,)", bytes(8)),
        member("(3,)", bytes(23)),
        member("(3,)", bytes(25)),
        member("(1,)", bytes(8), "'|O'"),
        member("(1,)", bytes(8), "[('a', '<f8')]"),
        member("(1,)", bytes(8), "'<f3'"),
        member("(" + "9" * 5000 + ",)"),
        member("(" * 300 + ")" * 300),
        member("(1,)", bytes(8))[:9],
        b"",
    ],
)
def test_an_array_that_is_not_what_it_declares_takes_no_memory(tmp_path, content):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("theta.npy", content)
    tracemalloc.start()
    refused(tmp_path / "file", whole.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_members_that_are_compressed_twice_there_or_larger_than_the_file(tmp_path):
    zeros = io.BytesIO()
    np.savez_compressed(zeros, __meta__=text('{"arrays": [], "meta": {}}'), x=np.zeros(10**6))
    refused(tmp_path / "file", zeros.getvalue())
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("theta.npy", member("(0,)"))
    refused(tmp_path / "file", twice.getvalue())


def test_two_members_whose_names_mean_one_array_are_refused(tmp_path):
    path = tmp_path / "file"
    write_archive(path, {"theta": np.zeros(1)}, {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("theta", archive.read("theta.npy"))
    with pytest.raises(FileError, match="two members have one name"):
        read_archive(path)


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "[" * 5000 + "]" * 5000, "1e", "9" * 5000])
def test_a_description_that_is_no_strict_json_is_refused(tmp_path, value):
    content = f'{{"arrays": [], "meta": {{"a": {value}}}}}'
    refused(tmp_path / "file", npz(__meta__=text(content)))


def test_nothing_that_is_no_json_is_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_archive(tmp_path / "file", {}, {"eta": float("nan")})
    assert names(tmp_path) == []


def test_what_is_read_becomes_one_short_line(tmp_path):
    for error, shown in (
        (OverflowError("too\nlarge"), "too large"),
        (RecursionError(), "RecursionError"),
        (KeyError("\ud800"), "'\\ud800'"),
        (ValueError("x\ud800"), "x\\ud800"),
        (ValueError("y" * 9999), "y" * 297 + "..."),
    ):
        with pytest.raises(FileError) as raised, what_is_read("file", "is damaged"):
            raise error
        assert str(raised.value) == f"file is damaged: {shown}"
    with pytest.raises(KeyboardInterrupt), what_is_read("file", "is damaged"):
        raise KeyboardInterrupt


# -- files that must be new ----------------------------------------------------------------------


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_must_be_new(tmp_path, monkeypatch, links):
    if not links:

        def link(*arguments):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(storage.os, "link", link)
    path = tmp_path / "file"
    assert write_text(path, "first", new=True) == path
    with pytest.raises(FileExistsError, match=re.escape(f"cannot write {path}: File exists")):
        write_text(path, "second", new=True)

    def write(file):
        file.write(b"third")
        write_text(tmp_path / "other", "of somebody faster", new=True)

    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "other", write, new=True)
    assert path.read_text() == "first"
    assert (tmp_path / "other").read_text() == "of somebody faster"
    assert names(tmp_path) == ["file", "other"]


def test_a_new_file_on_a_full_disk_is_not_there(tmp_path):
    with largest_file(10), pytest.raises(OSError, match="cannot write"):
        write_text(tmp_path / "file", "x" * 100, new=True)
    assert names(tmp_path) == []


def test_the_permissions_of_a_new_file_may_be_told(tmp_path):
    path = write_atomically(tmp_path / "file", lambda file: file.write(b"x"), mode=0o700)
    assert mode_of(path) == 0o700
