"""The compiler and the cache: whatever is the matter with them, trainings go on, and rightly."""

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from backprop import SGD, Network, Trainer
from backprop.compiled import NotBuilt, builder, cache, selftest
from tests.compiled.support import needs_compiler

X = np.random.default_rng(0).standard_normal((3, 8)).astype("float32")


def train(compiled=None, epochs=1):
    """Return a trainer that has trained 3-2."""
    network = Network.from_sizes([3, 2], rng=0)
    settings = {"compiled": compiled, "progress": False, "monitor_training": False}
    trainer = Trainer(network, SGD(1.0), 4, rng=0, **settings)
    trainer.fit(X, np.abs(X[:2]) / 4, epochs=epochs)
    return trainer


@pytest.fixture(autouse=True)
def soonest_builds(monkeypatch):
    """Build as fast as may be: what is built here is one small program, again and again."""
    monkeypatch.setenv("BACKPROP_CFLAGS", "-O0")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """Give an empty cache, and forget what this process has loaded."""
    path = tmp_path / "cache"
    monkeypatch.setenv("BACKPROP_CACHE", str(path))
    monkeypatch.setattr(builder, "_loaded", {})
    return path


@pytest.fixture
def every_epoch_is_long(monkeypatch):
    """Let a program be worth while for the smallest training."""
    monkeypatch.setattr("backprop.training.paths.WORTH_WHILE", 0.0)


def script(path: Path, text: str) -> Path:
    """Write a program for the shell."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# -- the compiler ----------------------------------------------------------------------------


def without_compiler(monkeypatch, tmp_path):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return "no C compiler"


def with_another_name(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "no-such-compiler -O3")
    return "CC names the compiler 'no-such-compiler', which is not there"


def turned_off(monkeypatch, tmp_path):
    monkeypatch.setenv("BACKPROP_COMPILED", "0")
    return "BACKPROP_COMPILED=0"


def one_that_cannot_be_read(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "'cc -O3")
    return "CC='cc -O3 cannot be read: No closing quotation"


def flags_that_cannot_be_read(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", str(script(tmp_path / "cc", "echo cc 1.0")))
    monkeypatch.setenv("BACKPROP_CFLAGS", '-O1 "-DX')
    return "BACKPROP_CFLAGS=-O1 .-DX cannot be read"


def one_that_speaks_another_alphabet(monkeypatch, tmp_path):
    text = """case "$1" in
        --version) printf 'c\\374 1\\n';;
        *) printf 'error \\374' >&2; exit 1;;
    esac"""
    monkeypatch.setenv("CC", str(script(tmp_path / "cc", text)))
    return "refuses the program: error \N{REPLACEMENT CHARACTER}"


def one_that_refuses(monkeypatch, tmp_path):
    text = 'case "$1" in --version) echo cc 1.0;; *) echo "error: no" >&2; exit 1;; esac'
    monkeypatch.setenv("CC", str(script(tmp_path / "cc", text)))
    return "refuses the program: error: no"


def one_that_crashes(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", str(script(tmp_path / "crashing", "exit 139")))
    return "crashing does not run: status 139"


def one_that_makes_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", str(script(tmp_path / "idle", "echo idle 1.0")))
    return "idle makes no program"


def one_that_makes_rubbish(monkeypatch, tmp_path):
    text = 'case "$1" in --version) echo bad 1.0;; *) echo rubbish > program.so;; esac'
    monkeypatch.setenv("CC", str(script(tmp_path / "bad", text)))
    return "cannot be loaded"


def one_that_makes_a_part(monkeypatch, tmp_path):
    real = shutil.which(builder.compiler()[0])
    cut = "head -c 9000 program.so > part; mv part program.so"
    text = f'{real} "$@"; case "$1" in --version) ;; *) {cut};; esac'
    monkeypatch.setenv("CC", str(script(tmp_path / "half", text)))
    return "half makes a program that cannot be loaded: it ends the process, by signal"


TROUBLES = [
    without_compiler,
    with_another_name,
    one_that_cannot_be_read,
    flags_that_cannot_be_read,
    one_that_speaks_another_alphabet,
    turned_off,
    one_that_refuses,
    one_that_crashes,
    one_that_makes_nothing,
    one_that_makes_rubbish,
    pytest.param(one_that_makes_a_part, marks=needs_compiler),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_without_a_compiler_that_works_numpy_trains(
    trouble, monkeypatch, tmp_path, empty_cache, every_epoch_is_long
):
    expected = train(compiled=False).network.theta
    why = trouble(monkeypatch, tmp_path)
    trainer = train()
    np.testing.assert_array_equal(trainer.network.theta, expected)
    assert trainer.computed_by.startswith("NumPy: ")
    assert re.search(why, trainer.computed_by)
    assert trainer.history.computed_by == [trainer.computed_by]
    with pytest.raises(NotBuilt, match=why):
        train(compiled=True)


@needs_compiler
def test_cc_may_name_arguments(monkeypatch, empty_cache):
    monkeypatch.setenv("CC", f"{builder.compiler()[0]} -DANYTHING")
    assert train(compiled=True).computed_by == "compiled"


@needs_compiler
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_it_may_be_any_of_these(name, monkeypatch, empty_cache):
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name}")
    monkeypatch.setenv("CC", name)
    assert train(compiled=True).computed_by == "compiled"


@needs_compiler
def test_cc_may_be_a_path_from_here(monkeypatch, tmp_path, empty_cache):
    real = shutil.which(builder.compiler()[0])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "with space").mkdir()
    for name in ("mine", "with space/cc"):
        script(tmp_path / name, f'exec {real} "$@"')
    for words in ("./mine", "'./with space/cc'", "./with space/cc", "'./with space/cc' -O1"):
        monkeypatch.setenv("CC", words)
        monkeypatch.setattr(builder, "_loaded", {})
        assert train(compiled=True).computed_by == "compiled"


@pytest.mark.parametrize("word", ["0", "no", "off", "False"])
def test_words_for_off(word, monkeypatch):
    monkeypatch.setenv("BACKPROP_COMPILED", word)
    with pytest.raises(NotBuilt, match=f"BACKPROP_COMPILED={word} turns compiled programs off"):
        train(compiled=True)


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no groups of processes")
def test_a_compiler_that_hangs_is_ended_with_all_that_it_began(tmp_path):
    hanging = script(tmp_path / "hanging", f"sleep 300 & echo $! > {tmp_path}/pid; wait")
    started = time.perf_counter()
    with pytest.raises(subprocess.TimeoutExpired):
        builder._run([str(hanging)], timeout=0.5)
    assert time.perf_counter() - started < 60
    pid = int((tmp_path / "pid").read_text())
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("what the compiler began goes on")


def test_nobody_looks_for_a_compiler_before_a_training_needs_one():
    code = """
import subprocess, shutil
subprocess.run = shutil.which = None
import numpy as np, backprop as bp
network = bp.Network.from_sizes([2, 1])
bp.Trainer(network, progress=False).fit(np.ones((2, 4), "f"), np.ones((1, 4), "f"))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# -- the cache -------------------------------------------------------------------------------


def files(path):
    """Return what the cache holds."""
    return sorted(path.iterdir())


@needs_compiler
def test_a_program_is_built_once(empty_cache, monkeypatch):
    first = train(compiled=True)
    (built,) = files(empty_cache)
    assert stat.S_IMODE(empty_cache.stat().st_mode) == 0o700
    assert not stat.S_IMODE(built.stat().st_mode) & 0o077
    monkeypatch.setattr(builder, "_loaded", {})
    monkeypatch.setattr(builder, "_build", None)
    again = train(compiled=True)
    np.testing.assert_array_equal(first.network.theta, again.network.theta)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:1000])


def one_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def emptied(path):
    path.write_bytes(b"")


def writable_by_all(path):
    path.chmod(0o777)


def a_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@needs_compiler
@pytest.mark.parametrize("damage", [cut_short, one_bit, emptied, writable_by_all, a_link])
def test_a_damaged_or_foreign_file_is_built_anew_and_never_loaded(damage, empty_cache, monkeypatch):
    theta = train(compiled=True).network.theta
    (built,) = files(empty_cache)
    # Where the file is mapped, it must not be written to: put a copy in its place.
    data = built.read_bytes()
    built.unlink()
    built.write_bytes(data)
    built.chmod(0o700)
    damage(built)
    monkeypatch.setattr(builder, "_loaded", {})
    loaded = []
    real = builder.ctypes.CDLL
    monkeypatch.setattr(builder.ctypes, "CDLL", lambda path: loaded.append(path) or real(path))
    builds = []
    build = builder._build
    monkeypatch.setattr(builder, "_build", lambda *a: builds.append(a) or build(*a))
    np.testing.assert_array_equal(train(compiled=True).network.theta, theta)
    assert (len(builds), len(loaded)) == (1, 1)
    assert cache.trusted(Path(loaded[0]))


@needs_compiler
def test_a_folder_that_others_may_write_to_is_not_used(empty_cache, monkeypatch):
    empty_cache.mkdir()
    empty_cache.chmod(0o777)
    assert train(compiled=True).computed_by == "compiled"
    assert not files(empty_cache)


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no owners")
def test_a_folder_of_another_user_is_not_used(empty_cache, monkeypatch):
    empty_cache.mkdir(mode=0o700)
    monkeypatch.setattr(cache.os, "geteuid", lambda: 12345)
    assert cache.usable() is None
    assert train(compiled=True).computed_by == "compiled"
    assert not files(empty_cache)


@needs_compiler
def test_without_room_for_a_cache_programs_are_built_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("BACKPROP_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(builder, "_loaded", {})
    assert train(compiled=True).computed_by == "compiled"


@needs_compiler
@pytest.mark.parametrize("name", [".", "here", "~/there"])
def test_the_folder_may_be_named_from_here_or_from_home(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BACKPROP_CACHE", name)
    monkeypatch.setattr(builder, "_loaded", {})
    assert train(compiled=True).computed_by == "compiled"
    (built,) = files(tmp_path / name.replace("~/", ""))
    assert built.suffix == ".so"


@needs_compiler
def test_without_a_home_programs_are_built_all_the_same(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("BACKPROP_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.Path, "home", no_home)
    monkeypatch.setattr(builder, "_loaded", {})
    assert cache.usable() is None
    assert train(compiled=True).computed_by == "compiled"
    assert "(Could not determine home directory.) cannot be used" in "\n".join(selftest.report()[0])


@needs_compiler
def test_where_nothing_may_be_run_from_the_cache(empty_cache, monkeypatch):
    real = builder.ctypes.CDLL

    def only_elsewhere(path):
        if path.startswith(str(empty_cache)):
            raise OSError("failed to map segment from shared object")
        return real(path)

    monkeypatch.setattr(builder.ctypes, "CDLL", only_elsewhere)
    assert train(compiled=True).computed_by == "compiled"
    assert len(files(empty_cache)) == 1


@needs_compiler
def test_what_is_no_library_is_not_kept(empty_cache, monkeypatch):
    monkeypatch.setattr(builder, "_build", lambda *a: b"rubbish")
    with pytest.raises(NotBuilt, match="cannot be loaded"):
        train(compiled=True)
    assert not files(empty_cache)


@needs_compiler
def test_what_a_kill_has_left_is_removed_after_a_day(empty_cache):
    empty_cache.mkdir(mode=0o700)
    old, new = empty_cache / ".old.tmp", empty_cache / ".new.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    train(compiled=True)
    assert new.exists()
    assert not old.exists()


@needs_compiler
def test_a_full_disk_leaves_no_part_of_a_file(empty_cache, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "replace", full)
        assert train(compiled=True).computed_by == "compiled"
    assert not files(empty_cache)


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked")
def test_twenty_processes_begin_on_an_empty_cache(empty_cache):
    """They have imported everything, so that nothing but this takes them time."""
    code = f"""
import os, numpy as np, backprop as bp, backprop.compiled
network = bp.Network.from_sizes([3, 2], rng=0)
x = np.frombuffer({X.tobytes()!r}, "f4").reshape(3, 8)
trainer = bp.Trainer(network, bp.SGD(1.0), 4, rng=0, compiled=True, progress=False)
children = []
for _ in range(20):
    children.append(os.fork())
    if not children[-1]:
        trainer.fit(x, np.abs(x[:2]) / 4)
        os.write(1, f"{{trainer.computed_by}} {{network.theta.tobytes().hex()}}\\n".encode())
        os._exit(0)
print([os.waitpid(child, 0)[1] for child in children], flush=True)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    *results, statuses = done.stdout.splitlines()
    assert statuses == str([0] * 20)
    assert len(results) == 20
    assert len(set(results)) == 1, results
    assert results[0].startswith("compiled ")
    assert all(path.suffix == ".so" for path in files(empty_cache))


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no groups of processes")
def test_what_a_kill_leaves_of_a_build_is_removed_by_the_next(tmp_path, empty_cache, monkeypatch):
    code = f"""
import os, subprocess, sys, tempfile
tempfile.tempdir = {str(tmp_path)!r}
start = subprocess.Popen.__init__
def die(self, command, **named):
    start(self, command, **named)
    if "--version" not in command:
        os.kill(os.getpid(), 9)
subprocess.Popen.__init__ = die
from tests.compiled.test_builder import train
train(compiled=True)
"""
    root = Path(__file__).parents[2]
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == -9
        (left,) = tmp_path.glob("backprop-*")
        assert (left / "program.c").exists()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert train(compiled=True).computed_by == "compiled"
    assert list(tmp_path.glob("backprop-*")) == []


@needs_compiler
def test_the_compiler_makes_its_own_temporary_files_where_it_builds(
    tmp_path, empty_cache, monkeypatch
):
    real = shutil.which(builder.compiler()[0])
    look = f'case "$1" in --version) ;; *) echo "$TMPDIR" "$PWD" > {tmp_path}/where;; esac'
    monkeypatch.setenv("CC", str(script(tmp_path / "cc", f'{look}; exec {real} "$@"')))
    assert train(compiled=True).computed_by == "compiled"
    temporary, here = (tmp_path / "where").read_text().split()
    assert temporary == here
