"""No file of the current folder is ever imported, whatever its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import backprop

CHECKOUT = os.path.dirname(os.path.dirname(backprop.__file__))
LIBRARIES = {"numpy", "scipy", "matplotlib", "tqdm", "pooch", "threadpoolctl", "PIL", "packaging"}
NAMES = sorted((sys.stdlib_module_names | LIBRARIES | {"sitecustomize", "usercustomize"}) - {"sys"})
BY_PYTHON = {"runpy", "pkgutil"}  # what Python imports for -m before it imports this package
ENTRY = "from backprop.application.cli import entry; entry()"


@pytest.fixture(scope="module")
def trap(tmp_path_factory):
    """Return a folder that holds a module of every name, each of which ends the process."""
    folder = tmp_path_factory.mktemp("trap")
    for name in [*NAMES, "backprop"]:
        text = f"raise SystemExit('imported {name} of the current folder')\n"
        (folder / f"{name}.py").write_text(text)
    for name in ("numpy", "json", "backprop"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text((folder / f"{name}.py").read_text())
    return folder


@pytest.fixture
def command(tmp_path):
    """Return the installed command, as pip writes it: a script in a folder of its own."""
    script = tmp_path / "bin" / "backprop"
    script.parent.mkdir()
    script.write_text(f"import sys\n{ENTRY}\n")
    return [sys.executable, str(script)]


def run(command, folder, **variables):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "OPENBLAS_CORE"))}
    found = subprocess.run(
        command,
        cwd=folder,
        env={**kept, "PYTHONPATH": CHECKOUT, **variables},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_the_trap_is_one(trap):
    found = subprocess.run([sys.executable, "-m", "backprop"], cwd=trap, capture_output=True)
    assert b"of the current folder" in found.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["doctor"], ["environment"], ["--help"]])
def test_the_command_imports_nothing_from_the_current_folder(trap, command, arguments):
    run([*command, *arguments], trap)


def test_a_training_imports_nothing_from_the_current_folder(trap, command, idx_folder, tmp_path):
    options = ["--data", str(idx_folder), "--sizes", "42,4", "--epochs", "1"]
    run([*command, "train", *options, "--out", str(tmp_path / "run")], trap)
    assert (tmp_path / "run" / "model.npz").exists()
    printed = run([*command, "evaluate", str(tmp_path / "run")], trap)
    assert "test accuracy" in printed
    assert "right" in run([*command, "gradcheck", str(tmp_path / "run")], trap)


@pytest.fixture
def trap_for_m(tmp_path):
    """Return a folder like `trap`, without what Python itself imports for -m."""
    for name in set(NAMES) - BY_PYTHON:
        text = f"raise SystemExit('imported {name} of the current folder')\n"
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


# What the options change is the same of every command; what doctor imports, of all options.
@pytest.mark.parametrize("options", [["-m"], ["-X", "dev", "-m"], ["-W", "error", "-m"], ["-Bm"]])
@pytest.mark.parametrize("arguments", [["backprop", "--version"], ["backprop.kernels.environment"]])
def test_python_m_imports_nothing_from_the_current_folder_but_what_python_does(
    trap_for_m, options, arguments
):
    run([sys.executable, *options, *arguments], trap_for_m)


def test_nor_does_doctor_which_imports_the_most(trap_for_m):
    run([sys.executable, "-m", "backprop", "doctor"], trap_for_m)


def test_the_options_of_python_hold_for_the_process_that_does_the_work():
    code = "import sys; from backprop.application import cli; print(cli._interpreter_options())"
    printed = run([sys.executable, "-W", "error", "-X", "dev", "-c", code], CHECKOUT)
    assert "-Werror" in printed
    assert "dev" in printed


def test_the_very_package_goes_on_that_was_started(tmp_path, command):
    """Of two checkouts the one that began: not the one that is found first."""
    other = tmp_path / "other"
    (other / "backprop").mkdir(parents=True)
    (other / "backprop" / "__init__.py").write_text("raise SystemExit('another checkout')\n")
    main = str(Path(backprop.__file__).with_name("__main__.py"))
    printed = run([sys.executable, main, "--version"], other, PYTHONPATH=str(other))
    assert printed == f"backprop {backprop.__version__}\n"


def test_the_environment_is_printed_for_the_shell(trap, command):
    from backprop.kernels import environment

    printed = run([*command, "environment"], trap)
    found = dict(word.split("=") for word in printed.split())
    if environment.for_memory():
        assert environment.MEMORY.items() <= found.items()


def test_a_program_of_anybody_else_keeps_its_search_path(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("import backprop\n")
    (tmp_path / "mine" / "__main__.py").write_text("import helper\n")
    (tmp_path / "helper.py").write_text("print('of the current folder')\n")
    assert run([sys.executable, "-m", "mine"], tmp_path) == "of the current folder\n"
    (tmp_path / "script.py").write_text("import backprop, helper\n")
    assert run([sys.executable, "script.py"], tmp_path) == "of the current folder\n"
