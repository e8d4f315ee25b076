"""One function, its derivative by six ways: they agree, and without sympy there are four."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from backprop.gradients import central_difference
from experiments.worked_examples import composite_function


def check_errors(result: dict, names: set[str]) -> None:
    assert set(result["error"]) == set(result["cost"]) == names
    for name, error in result["error"].items():
        assert error["median"] <= error["largest"]
        assert error["largest"] < (1e-6 if name == "central differences" else 1e-13)
    assert 1e-12 < result["error"]["central differences"]["median"]
    assert result["by_hand_against_graph"] < 1e-14


BY_HAND = {"central differences", "forward, by hand", "reverse, by hand", "graph",
           "graph, batch of 1000"}  # fmt: skip


def test_with_sympy(small_run):
    run = small_run("worked_examples.composite_function")
    assert "not installed" not in run.stdout
    assert "sympy: f'(x) = " in run.stdout
    result = run.result("composite_function")
    assert result["reference"] == "mpmath, 60 digits"
    check_errors(result, BY_HAND | {"complex step", "symbolic", "symbolic, shared"})
    # What sharing common parts is for; how it counts is sympy's affair.
    operations = result["operations"]
    assert 8 <= operations["f"] < operations["symbolic, shared"] < operations["symbolic"]


def test_sympys_derivative_is_ours():
    ways, _ = composite_function.symbolic()
    _, exact = composite_function.exact()
    for x in (0.3, 0.9, 1.4):
        expected = composite_function.reverse_by_hand(x)["x"]
        assert exact(x) == pytest.approx(expected, rel=1e-14)
        for way in ways.values():
            assert way(x) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("missing", ["sympy", "mpmath"])
def test_without_sympy(missing, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)  # importing it is an ImportError
    result = composite_function.run(0.5)
    text = capsys.readouterr().out
    assert "sympy is not installed" in text
    assert "pip install sympy" in text
    assert result["reference"] == "the complex step"
    assert result["operations"] == {}
    check_errors(result, BY_HAND)


@pytest.mark.parametrize("x", [0.3, -0.8, 1.4])
def test_both_accumulations_by_hand(x):
    forward, reverse = composite_function.forward_by_hand(x), composite_function.reverse_by_hand(x)
    numeric = central_difference(lambda v: composite_function.f_by_hand(v.item()), np.array([x]))
    assert forward["f"] == pytest.approx(numeric.item(), rel=1e-7)
    assert reverse["x"] == pytest.approx(forward["f"], rel=1e-14)
    trace = composite_function.make_network().trace(np.array([[x]]))
    assert composite_function.forward_by_trace(trace) == pytest.approx(forward, rel=1e-14)


def test_the_jacobians_are_printed(capsys):
    composite_function.show_jacobians()
    text = capsys.readouterr().out
    assert "vector to scalar, sum: [[1. 1.]]" in text
    assert "an array of shape (3, 4, 2, 4)" in text
    assert "512 x 128 x 784 x 128 = 6,576,668,672 numbers, 24.5 GiB" in text
