"""What a report says, and in what words."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from backprop import CrossEntropy
from backprop.gradients.check import check_gradients
from backprop.gradients.report import ArrayCheck, Report


def test_the_worst_come_first_and_not_too_many():
    x = np.arange(1.0, 11)
    off = 1 + np.arange(10) / 1000
    report = check_gradients(lambda x: (x**2).sum(), x, gradient=2 * x * off)
    assert report.arrays[0].worst() == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    lines = str(report).splitlines()
    assert "x: wrong in 9 of 10 elements, the worst are" in str(report)
    assert sum("backward" in line for line in lines) == 5
    assert report.central_error == pytest.approx(0.009 / 1.009, rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_wrong(bad: float):
    x = np.array([1.0, 2.0])
    assert not check_gradients(lambda x: (x**2).sum(), x, gradient=np.array([2.0, bad])).passed
    assert not check_gradients(lambda x: bad * x.sum(), x, gradient=np.array([2.0, 4.0])).passed


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_function_that_is_not_finite_is_not_judged(bad: float):
    report = check_gradients(lambda x: bad * x.sum(), np.ones(2), gradient=np.ones(2))
    assert not report.passed
    assert report.verdict == "not judged"
    text = str(report)
    assert text.startswith("<lambda>: NOT JUDGED\n")
    assert "x[0]: backward 1, numeric unknown, the function is not finite there" in text
    assert "WRONG" not in text


def test_one_infinite_example_leaves_the_others_to_be_checked():
    z, y = np.array([[40.0, 1.0]]), np.array([[0.5, 0.5]])
    report = check_gradients(CrossEntropy(), z, y)
    a, by_z = report.arrays
    assert a.unknown.tolist() == [True, False]
    assert a.not_judged.tolist() == [True, False]
    assert a.passed.tolist() == [False, True]
    assert by_z.passed.all()
    assert report.verdict == "not judged"


def test_what_cannot_be_judged_is_said():
    def f(x):
        return float(1e8 + 1e-8 * np.sin(x).sum())

    x = np.array([0.3, 0.4])
    report = check_gradients(f, x, gradient=lambda x: 1e-8 * np.cos(x))
    assert not report.passed
    assert "f, x: not judged in 2 of 2 elements, such as\n  x[0]: backward 9.55" in str(report)
    assert re.search(r"x\[1\]: backward 9.21.*, numeric \S+ is only known to \de-0\d", str(report))
    assert "not judged" not in str(check_gradients(lambda x: x.sum(), x, gradient=np.ones(2)))


def test_the_errors_shown_for_wrong_elements_are_undistorted():
    def f(x):
        return float(1 + 1e-9 * x[0])  # of which rounding leaves few digits

    report = check_gradients(f, np.array([0.5]), gradient=np.array([2e-9]))
    assert not report.passed
    assert report.central_error == pytest.approx(0.5, rel=1e-3)
    assert "relative error 5.0e-01" in str(report)


# -- as it is printed --------------------------------------------------------------------------


def checked(name, analytic, central, **more) -> ArrayCheck:
    """Return the check of a vector whose central differences are known to 1e-12."""
    n = len(analytic)
    values = {
        "uncertainty": np.full(n, 1e-12),
        "step": np.full(n, 1e-4),
        "left": np.array(central),
        "right": np.array(central),
        "kink": np.zeros(n, bool),
        "exact": np.array(central),
        "exact_uncertainty": np.full(n, 1e-16),
        "scale": np.ones(n),
        "note": "",
        "float32": False,
        **more,
    }
    indices = [(i,) for i in range(n)]
    analytic, central = np.array(analytic), np.array(central)
    limits = {"tolerance": 1e-7, "exact_tolerance": 1e-10}
    return ArrayCheck(name, (n,), indices, analytic, central, **values, **limits)


def test_a_report_in_full():
    kinks = {"left": np.zeros(7), "right": np.ones(7), "kink": np.ones(7, bool)}
    none = {"exact": None, "exact_uncertainty": None, "note": "no such numbers"}
    arrays = (
        checked("input", [1.0, -2.0], [1.0, -2.0], step=np.array([1e-4, 1e-6])),
        checked("w", [1.0, 2.0, 3.0], [1.0, 1.0, 3.0], float32=True),
        checked("b", [0.0] * 7, [0.5] * 7, **kinks, **none),
    )
    slopes = "kink, slope 0 to the left and 1 to the right"
    report = Report("Target", arrays)
    assert not report.passed
    assert report.central_error == 0.5
    assert report.exact_error is None
    assert str(report).splitlines() == [
        "Target: WRONG GRADIENTS",
        "  gradient by  shape  checked  central  complex  step            kinks",
        "  input        (2,)   all 2    0.0e+00  0.0e+00  1e-06 to 1e-04  0      right",
        "  w            (3,)   all 3    5.0e-01  5.0e-01  1e-04           0      WRONG",
        "  b            (7,)   all 7    0.0e+00  -        1e-04           7      right",
        "Target, w: wrong in 1 of 3 elements, the worst are",
        "  w[1]: backward 2, numeric 1, ratio 2, relative error 5.0e-01",
        *(f"  b[{i}]: backward 0, {slopes}" for i in range(5)),
        "  and 2 more kinks",
        "the function computes in float32: only coarse errors can be seen",
        "no complex step: no such numbers",
    ]
    assert str(Report("Target", arrays[:1])).startswith("Target: the gradients are right\n")
    assert repr(report) == str(report)
    assert repr(arrays[1]) == "<ArrayCheck of w, (3,): of 3 elements 2 right, 1 wrong>"


def test_a_disagreement_alone_is_wrong():
    report = Report("Target", (checked("w", [1.0], [1.0]),), ("w: two ways lead to two gradients",))
    assert report.verdict == "wrong"
    assert not report.passed
    assert str(report).splitlines()[0] == "Target: WRONG GRADIENTS"
    assert "w: two ways lead to two gradients" in str(report).splitlines()
