"""The compiler and the cache: whatever is the matter with them, trainings go on, and rightly."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backprop import SGD, Network, Trainer
from backprop.compiled import NotBuilt, builder, cache
from tests.compiled.support import needs_compiler

X = np.random.default_rng(0).standard_normal((3, 8)).astype("float32")


def train(compiled=None, epochs=1):
    """Return a trainer that has trained 3-2."""
    network = Network.from_sizes([3, 2], rng=0)
    settings = {"compiled": compiled, "progress": False, "monitor_training": False}
    trainer = Trainer(network, SGD(1.0), 4, rng=0, **settings)
    trainer.fit(X, np.abs(X[:2]) / 4, epochs=epochs)
    return trainer


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


def one_that_refuses(monkeypatch, tmp_path):
    text = 'case "$1" in --version) echo cc 1.0;; *) echo "error: no" >&2; exit 1;; esac'
    monkeypatch.setenv("CC", str(script(tmp_path / "cc", text)))
    return "refuses the program: error: no"


def one_that_crashes(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", str(script(tmp_path / "crashing", "exit 139")))
    return "does not run"


def one_that_makes_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", str(script(tmp_path / "idle", "echo idle 1.0")))
    return "cannot be built"


def one_that_makes_rubbish(monkeypatch, tmp_path):
    text = 'case "$1" in --version) echo bad 1.0;; *) echo rubbish > program.so;; esac'
    monkeypatch.setenv("CC", str(script(tmp_path / "bad", text)))
    return "cannot be loaded"


TROUBLES = [
    without_compiler,
    with_another_name,
    turned_off,
    one_that_refuses,
    one_that_crashes,
    one_that_makes_nothing,
    one_that_makes_rubbish,
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
    assert why in trainer.computed_by
    assert trainer.history.computed_by == [trainer.computed_by]
    with pytest.raises(NotBuilt, match=why):
        train(compiled=True)


@needs_compiler
def test_cc_may_name_arguments(monkeypatch, empty_cache):
    monkeypatch.setenv("CC", f"{builder.compiler()[0]} -DANYTHING")
    assert train(compiled=True).computed_by == "compiled"


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
def test_a_full_disk_leaves_no_part_of_a_file(empty_cache, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "replace", full)
        with pytest.raises(NotBuilt, match="No space left"):
            train(compiled=True)
    assert not files(empty_cache)
    assert train(compiled=True).computed_by == "compiled"


@needs_compiler
def test_twenty_processes_begin_on_an_empty_cache(empty_cache):
    code = f"""
import numpy as np, backprop as bp
network = bp.Network.from_sizes([3, 2], rng=0)
x = np.frombuffer({X.tobytes()!r}, "f4").reshape(3, 8)
trainer = bp.Trainer(network, bp.SGD(1.0), 4, rng=0, compiled=True, progress=False)
trainer.fit(x, np.abs(x[:2]) / 4)
print(trainer.computed_by, network.theta.tobytes().hex())
"""
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(20)]
    results = {process.communicate(timeout=300)[0] for process in running}
    assert len(results) == 1, results
    assert results.pop().startswith("compiled ")
    assert all(path.suffix == ".so" for path in files(empty_cache))
