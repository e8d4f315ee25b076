from __future__ import annotations

from typing import Any

import pytest

from backprop import History
from backprop.training.comparison import comparison_table, quantities_of

ONE = History(
    [
        {"epoch": 1, "seconds": 1.5, "eta": 0.5, "training_cost": 0.5, "validation_cost": 0.4,
         "validation_accuracy": 0.9},
        {"epoch": 2, "seconds": 2.0, "eta": 0.5, "training_cost": 0.25, "validation_cost": 0.45,
         "validation_accuracy": 0.95},
    ]
)  # fmt: skip
OTHER = History([{"epoch": 1, "seconds": 9.0, "training_cost": 123456.0, "penalty": 3.0}])


def test_the_table_has_epochs_seconds_best_and_last_values_and_what_differs() -> None:
    settings = {"one": {"eta": 0.5, "sizes": [4, 3], "seed": 1}, "other": {"eta": 3.0, "seed": 1}}
    results = {"one": {"test_accuracy": "93.00%"}}
    assert comparison_table({"one": ONE, "other": OTHER}, settings, results) == [
        ("", "one", "other"),
        ("epochs", "2", "1"),
        ("seconds", "3.5", "9.0"),
        ("last training cost", "0.25", "1.235e+05"),
        ("best validation cost", "0.4 at 1", "-"),
        ("last validation cost", "0.45", "-"),
        ("best validation accuracy", "95.00% at 2", "-"),
        ("last validation accuracy", "95.00%", "-"),
        ("test accuracy", "93.00%", "-"),
        ("eta", "0.5", "3.0"),
        ("sizes", "4-3", "-"),
    ]


def test_runs_that_differ_in_nothing_have_no_settings_in_their_table() -> None:
    settings = {"one": {"eta": 0.5}, "other": {"eta": 0.5}}
    rows = comparison_table({"one": ONE, "other": ONE}, settings)
    assert [row[0] for row in rows][-1] == "last validation accuracy"


def test_quantities_come_in_the_order_in_which_they_were_recorded() -> None:
    assert quantities_of([OTHER, ONE]) == ["cost", "accuracy"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, ValueError, "expected at least one History, got an empty dict"),
        ([ONE], TypeError, "expected a dict of name to History, got list"),
        ({"a": ONE.records}, TypeError, "'a' must be a History, got list; a trainer's is"),
    ],
)
def test_what_cannot_be_compared(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        comparison_table(given)
