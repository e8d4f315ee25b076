"""The verbs of make: what they do, or, where a test cannot do it once more, what they would."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import PAGES, ROOT, blocks
from tests.support import experiment_names

PARALLEL = "python -m pytest -n 2 --dist loadfile --no-loadscope-reorder"


def make(arguments, tmp_path, environment):
    """Call make in a copy of the checkout, with this interpreter's environment as its .venv."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    for name in ("backprop", "experiments", "tests"):
        os.symlink(ROOT / name, copy / name)
    venv = copy / ".venv"
    venv.mkdir()
    os.symlink(Path(sys.executable).parent, venv / "bin")
    for stamp in (".package", ".test", ".lint"):  # not .peers: PyTorch may not be there
        (venv / stamp).touch()
    return subprocess.run(
        f"make {arguments}", shell=True, cwd=copy, env=environment, capture_output=True, text=True
    ), copy


def dry_run(target, tmp_path, environment):
    """Return the lines that make would have a shell run."""
    found, _ = make(f"--dry-run {target}", tmp_path, environment)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip().splitlines()


def test_make_train(tmp_path, environment):
    """Four of its twenty epochs get there."""
    found, copy = make('train ARGS="--epochs 4"', tmp_path, environment)
    assert found.returncode == 0, found.stderr
    accuracy = re.search(r"test accuracy (.*)%; everything is in (.*)", found.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 97.0
    assert (copy / accuracy[2] / "accuracy.png").exists()


def test_make_train_takes_data_and_arguments(tmp_path, environment, idx_folder):
    arguments = f'train DATA={idx_folder} ARGS="--epochs 3 --sizes 42,4 --out here"'
    found, copy = make(arguments, tmp_path, environment)
    assert found.returncode == 0, found.stderr
    assert "epoch 3/3" in found.stdout
    assert (copy / "here" / "result.json").exists()


def test_make_fuzz_runs_so_many_tries(tmp_path, environment):
    found, _ = make('fuzz ARGS="--tries 70 --seed 3"', tmp_path, environment)
    assert found.returncode == 0, found.stdout
    assert found.stdout.endswith("70 tries with seed 3, 0 failed\n")


def test_make_crash_test_kills_so_many_trainings(tmp_path, environment):
    found, _ = make('crash-test ARGS="--kills 1 --others 0 --only momentum"', tmp_path, environment)
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(r"^1 kills with seed 0 in \d+ s: 0 wrong\n$", found.stdout, re.MULTILINE)


def test_make_test_runs_all_tests_on_two_cores(tmp_path, environment):
    """Not by running them once more: what it would run is shown."""
    *_, last = dry_run("test", tmp_path, environment)
    assert last.startswith("env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 ")  # each on its own
    assert last.endswith(f"{PARALLEL} --durations=10")


def test_make_quick_leaves_out_what_is_marked_slow(tmp_path, environment):
    *_, last = dry_run("quick", tmp_path, environment)
    assert last.endswith(f"{PARALLEL} -m 'not slow'")


def test_make_test_peers_installs_pytorch_first(tmp_path, environment):
    install, *_, run = dry_run("test-peers", tmp_path, environment)
    assert install.endswith("torch==2.13.0")
    assert run.endswith("python -m pytest tests/peers")


def test_make_gradcheck(tmp_path, environment):
    *_, last = dry_run("gradcheck", tmp_path, environment)
    assert last.endswith("python -m tests.peers.gradient_errors")


def test_pytorch_is_no_dependency():
    needed = (ROOT / "setup.cfg").read_text().split("install_requires =")[1].split("[")[0]
    assert "numpy" in needed
    assert "torch" not in needed


def test_make_knows_the_other_commands_that_are_named(tmp_path, environment):
    """Shown, not run: the tests of the gradients and of each experiment run what they run."""
    named = set()
    for page, text in PAGES.items():
        typed = "\n".join(blocks(page, "sh"))
        named |= set(re.findall(r"`make ([a-z-]+)[^`]*`", text))
        named |= set(re.findall(r"^make .*?([a-z-]+)(?: [A-Z]+=.*)?$", typed, re.MULTILINE))
    assert {"experiments", "gradcheck", "test-peers", "quick", "lint"} <= named
    for number, target in enumerate(sorted(named)):
        (tmp_path / str(number)).mkdir()
        lines = "\n".join(dry_run(target, tmp_path / str(number), environment))
        if target == "experiments":
            by_itself = {"benchmarks", "book.__main__", "book.results", "book.mnist_best"}
            for name in set(experiment_names()) - by_itself:
                assert f"experiments.{name}" in lines


def test_make_test_interop_installs_the_extras_and_runs_their_tests(tmp_path, environment):
    *installing, testing, last = dry_run("test-interop", tmp_path, environment)[-4:]
    assert "'.[interop]'" in " ".join(installing)
    assert "tests/interop" in f"{testing} {last}"


def test_make_test_oldest_installs_the_oldest_versions_and_checks_it(tmp_path, environment):
    *_, install, more, check, run = dry_run("test-oldest", tmp_path, environment)
    assert "--constraint build/oldest/constraints.txt --editable '.[interop]'" in f"{install}{more}"
    assert check == "build/oldest/bin/python -m tests.versions oldest --installed"
    assert f"build/oldest/bin/{PARALLEL} -m 'not slow' -W default::" in run
    (tmp_path / "newest").mkdir()
    *_, run = dry_run("test-newest", tmp_path / "newest", environment)
    assert run.endswith(f"build/newest/bin/{PARALLEL} -m 'not slow'")
