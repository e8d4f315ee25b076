"""Temporary files and folders: nothing stays of a process that was killed, nothing in use goes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from backprop.core import temporary
from backprop.core.storage import write_atomically, write_text
from backprop.core.temporary import hold, remove_if_left, temporary_folder
from tests.core.support import names

pytestmark = pytest.mark.skipif(not temporary.LOCKS, reason="there are no locks")


@pytest.fixture
def tmp(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def start(code, *arguments):
    """Start a process, and return it when it says so."""
    command = [sys.executable, "-c", f"{code}\nprint(flush=True); input()", *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"\n"
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


WRITES = """
import sys
from backprop.core.storage import write_atomically
def write(file):
    file.write(b"half")
    file.flush()
    print(flush=True); input()
write_atomically(sys.argv[1], write)
"""


def test_what_a_kill_has_left_is_removed_when_the_target_is_written_next(tmp_path):
    path = tmp_path / "file"
    for _ in range(3):
        kill(start(WRITES, path))
        assert names(tmp_path) == [".file.tmp"]
    write_text(path, "whole")
    assert names(tmp_path) == ["file"]


def test_what_another_process_is_writing_stays(tmp_path):
    path = tmp_path / "file"
    other = start(WRITES, path)
    write_text(path, "mine")
    assert names(tmp_path) == [".file.tmp", "file"]
    other.communicate(b"\n\n")
    assert path.read_text() == "half"
    assert names(tmp_path) == ["file"]


def test_two_writes_of_one_target_in_one_process(tmp_path):
    path = tmp_path / "file"

    def write(file):
        write_text(path, "inner")
        file.write(b"outer")

    write_atomically(path, write)
    assert path.read_text() == "outer"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "elsewhere"])
def test_what_is_none_of_ours_stays_and_is_not_written_to(tmp_path, kind):
    left, other = tmp_path / ".file.tmp", tmp_path / "other"
    other.write_text("precious")
    if kind == "folder":
        left.mkdir()
        (left / "more").write_text("precious")
    elif kind == "link":
        left.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(left)
    else:
        left.symlink_to("nowhere")
    write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"
    assert other.read_text() == "precious"
    assert names(tmp_path) == [".file.tmp", "file", "other"]


def test_a_file_of_another_user_stays(tmp_path, monkeypatch):
    (tmp_path / "left").write_text("")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    remove_if_left(tmp_path / "left")
    assert names(tmp_path) == ["left"]


def test_a_file_that_was_removed_before_it_was_locked_is_not_taken(tmp_path):
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    remove_if_left(path)
    assert not path.exists()
    assert not hold(descriptor, path)
    os.close(descriptor)


@pytest.mark.parametrize("error", [BlockingIOError(), OSError(95, "not supported")])
def test_where_there_are_no_locks_nothing_is_removed_and_all_is_written(
    tmp_path, monkeypatch, error
):
    def flock(descriptor, how):
        raise error

    (tmp_path / ".file.tmp").write_text("left")
    monkeypatch.setattr(temporary.fcntl, "flock", flock)
    if type(error) is BlockingIOError:  # somebody has it
        remove_if_left(tmp_path / ".file.tmp")
    else:
        write_text(tmp_path / "file", "text")
        assert (tmp_path / "file").read_text() == "text"
    assert ".file.tmp" in names(tmp_path)


def test_a_folder_is_removed_afterwards_whatever_happens(tmp):
    with temporary_folder("mine") as folder:
        assert folder == tmp / "mine"
        (folder / "file").write_text("")
        assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(KeyboardInterrupt), temporary_folder("mine") as folder:
        raise KeyboardInterrupt
    assert names(tmp) == []


FOLDER = """
import sys, tempfile
from backprop.core.temporary import temporary_folder
tempfile.tempdir = sys.argv[1]
with temporary_folder("mine") as folder:
    (folder / "file").write_text("")
    print(flush=True); input()
"""


def test_a_folder_that_a_kill_has_left_is_emptied_and_one_in_use_is_not(tmp):
    kill(start(FOLDER, tmp))
    assert names(tmp / "mine") == ["file"]
    with temporary_folder("mine") as folder:
        assert names(folder) == []
        with temporary_folder("mine") as another:
            assert another.name.startswith("mine-")
        assert names(tmp) == ["mine"]
    assert names(tmp) == []
    other = start(FOLDER, tmp)
    with temporary_folder("mine") as folder:
        assert folder != tmp / "mine"
    assert names(tmp / "mine") == ["file"]
    other.communicate(b"\n\n")
    assert names(tmp) == []


def test_what_has_the_name_of_the_folder_and_is_none_stays(tmp):
    (tmp / "precious").write_text("x")
    (tmp / "mine").symlink_to(tmp)
    with temporary_folder("mine") as folder:
        assert folder.name.startswith("mine-")
    assert names(tmp) == ["mine", "precious"]
    assert Path(tmp / "mine").is_symlink()


def test_a_folder_goes_though_a_compiler_left_alone_still_writes_there(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    really, late = shutil.rmtree, ["cc1.s", "cc2.o"]

    def remove(path, **named):
        really(path, **named)
        if late:
            path.mkdir()
            (path / late.pop()).touch()

    monkeypatch.setattr("shutil.rmtree", remove)
    with temporary.temporary_folder("backprop-test"):
        pass
    assert list(tmp_path.iterdir()) == []
    assert not late
