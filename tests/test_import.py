"""What `import backprop` brings with it, and what it must not."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

import backprop

SLOW = ["matplotlib", "scipy.stats", "tqdm", "pooch", "threadpoolctl", "sklearn", "torch", "onnx"]
SLOW += ["mpi4py", "PIL", "pytest"]


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_cheap():
    code = f"import sys, backprop; print([name for name in {SLOW} if name in sys.modules])"
    assert run(code) == "[]\n"


def test_import_leaves_the_process_as_it_was():
    code = """
import os, sys, numpy
before = dict(os.environ), numpy.geterr(), str(numpy.random.get_state()), list(sys.path)
import backprop
after = dict(os.environ), numpy.geterr(), str(numpy.random.get_state()), list(sys.path)
print(before == after)
"""
    assert run(code) == "True\n"


ABOVE_THE_NETWORK = {"trainer", "callbacks", "checkpoint", "runs", "cli", "plots", "datasets"}
ABOVE_THE_LAYERS = ABOVE_THE_NETWORK | {"network", "costs", "optimizers", "metrics", "gradcheck"}
PACKAGE = Path(backprop.__file__).parent


def imported(path: Path) -> set[str]:
    """Return the parts of the package that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = str(node.module)
            names |= (
                {f"{module}.{a.name}" for a in node.names} if module == "backprop" else {module}
            )
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("backprop.")}


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("layers/*.py")), ids=lambda path: path.name)
def test_layers_know_nothing_of_networks(path: Path):
    assert not imported(path) & ABOVE_THE_LAYERS


@pytest.mark.parametrize("name", ["network", "costs", "storage", "config", "gradcheck", "metrics"])
def test_networks_know_nothing_of_training(name: str):
    assert not imported(PACKAGE / f"{name}.py") & ABOVE_THE_NETWORK


def test_imported_finds_what_it_should():
    assert {"layers", "costs"} <= imported(PACKAGE / "network.py")
    assert "layers" in imported(PACKAGE / "__init__.py")  # from backprop import layers


def test_every_exported_name_is_there():
    for module in (backprop, backprop.layers):
        assert len(set(module.__all__)) == len(module.__all__)
        for name in module.__all__:
            assert not isinstance(getattr(module, name), types.ModuleType)
    assert set(backprop.layers.__all__) <= set(backprop.__all__)
    assert backprop.__version__.count(".") == 2
