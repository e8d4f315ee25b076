"""The worked example of the graph runs, with sympy and without, and draws."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backprop.gradients.numeric import central_difference

SCRIPT = Path(__file__).parents[2] / "experiments" / "worked_examples" / "composite_function.py"

# Just enough of sympy and mpmath for the script: what it computes with them is known in advance.
FAKE_SYMPY = """
import math
class Symbol(str):
    def __mul__(self, other): return Symbol("x * x")
    def __add__(self, other): return Symbol(f"{self} + {other}")
    def count_ops(self): return 1
exp = sqrt = cos = lambda u: Symbol(f"g({u})")
diff = lambda f, x: Symbol(f"({f})'")
cse = lambda d: ([("x0", d)], [d])
count_ops = lambda f: 3
def lambdify(x, derivative, modules, cse=False):
    def prime(x):
        c = x * x + math.exp(x * x)
        return (0.5 / math.sqrt(c) - math.sin(c)) * 2 * x * (1 + math.exp(x * x))
    return prime
"""
FAKE_MPMATH = """
import contextlib
from cmath import cos, exp, sqrt
mpf = float
workdps = lambda digits: contextlib.nullcontext()
diff = lambda f, x: f(complex(x, 1e-20)).imag / 1e-20
"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("composite_function", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(tmp_path, modules: dict[str, str]) -> tuple[str, dict]:
    """Run the script where sympy and mpmath are these modules; return its output and figures."""
    code = "import sys, runpy; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv.pop(1))\n"
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text)
    code += "".join(
        f"sys.modules[{name!r}] = None\n" for name in {"sympy", "mpmath"} - set(modules)
    )
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-W", "error", "-c", code, str(SCRIPT), str(tmp_path)]
    found = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert found.stderr == ""
    assert (tmp_path / "out" / "composite_function.png").read_bytes().startswith(b"\x89PNG")
    return found.stdout, json.loads((tmp_path / "out" / "composite_function.json").read_text())


def check(result: dict, names: set[str]) -> None:
    assert set(result["error"]) == set(result["cost"]) == names
    for name, error in result["error"].items():
        assert error["median"] <= error["largest"]
        assert error["largest"] < (1e-6 if name == "central differences" else 1e-13)
    assert 1e-12 < result["error"]["central differences"]["median"]
    assert result["by_hand_against_graph"] < 1e-14


BY_HAND = {"central differences", "forward, by hand", "reverse, by hand", "graph",
           "graph, batch of 1000"}  # fmt: skip


def test_without_sympy(tmp_path):
    text, result = run(tmp_path, {})
    assert "sympy is not installed" in text
    assert "pip install sympy" in text
    assert result["reference"] == "the complex step"
    assert result["operations"] == {}
    check(result, BY_HAND)


def test_with_sympy(tmp_path):
    text, result = run(tmp_path, {"sympy": FAKE_SYMPY, "mpmath": FAKE_MPMATH})
    assert "not installed" not in text
    assert "sympy: f'(x) = (" in text
    assert result["reference"] == "mpmath, 60 digits"
    assert result["operations"] == {"f": 3, "symbolic": 3, "symbolic, shared": 4}
    check(result, BY_HAND | {"complex step", "symbolic", "symbolic, shared"})


@pytest.mark.parametrize("x", [0.3, -0.8, 1.4])
def test_both_accumulations_by_hand(script, x):
    forward, reverse = script.forward_by_hand(x), script.reverse_by_hand(x)
    numeric = central_difference(lambda v: script.f_by_hand(v.item()), np.array([x]))
    assert forward["f"] == pytest.approx(numeric.item(), rel=1e-7)
    assert reverse["x"] == pytest.approx(forward["f"], rel=1e-14)
    trace = script.make_graph().trace(np.array([[x]]))
    assert script.forward_by_trace(trace) == pytest.approx(forward, rel=1e-14)


def test_the_jacobians_are_printed(script, capsys):
    script.show_jacobians()
    text = capsys.readouterr().out
    assert "vector to scalar, sum: [[1. 1.]]" in text
    assert "an array of shape (3, 4, 2, 4)" in text
    assert "512 x 128 x 784 x 128 = 6,576,668,672 numbers, 24.5 GiB" in text
