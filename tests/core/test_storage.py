"""Files appear whole or not at all, and keep their permissions and links."""

from __future__ import annotations

import errno
import os
import re
import stat

import numpy as np
import pytest

from backprop.core import storage
from backprop.core.storage import write_archive, write_atomically, write_text
from tests.core.support import ARRAYS, META, largest_file, names
from tests.support import name_of

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


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="there is no /dev/fd")
def test_the_end_of_a_pipe_is_written_to_by_its_name():
    read, written = os.pipe()
    write_text(f"/dev/fd/{written}", "through")
    assert os.read(read, 100) == b"through"
    os.close(read)
    os.close(written)


def test_a_name_as_long_as_names_may_be(tmp_path):
    path = tmp_path / ("n" * 255)
    assert write_text(path, "text").read_text() == "text"
