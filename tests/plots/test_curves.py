from __future__ import annotations

import gc
import math
import weakref
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from backprop import History, plots
from tests.plots.examples import history, overlaps, texts, tick_labels

# -- one run ---------------------------------------------------------------------------------


def test_the_curves_are_the_columns_of_the_history() -> None:
    run = history()
    ax = plots.learning_curves(run)
    training, validation, best = ax.lines
    assert list(training.get_xdata()) == run["epoch"]
    assert list(training.get_ydata()) == run["training_cost"]
    assert list(validation.get_ydata()) == run["validation_cost"]
    epoch = run.best("validation_cost")["epoch"]
    assert list(best.get_xdata()) == [epoch]
    assert list(best.get_ydata()) == [run["validation_cost"][epoch - 1]]
    assert [line.get_label() for line in ax.lines] == ["training", "validation", "best"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "cost C")
    assert texts(ax) == ["training", f"validation\nbest 0.08945\nat epoch {epoch}"]
    assert training.get_color() != validation.get_color() == best.get_color()


def test_accuracy_is_in_percent_and_its_best_the_largest() -> None:
    run = history()
    ax = plots.learning_curves(run, "accuracy")
    training, validation, best = ax.lines
    np.testing.assert_allclose(training.get_ydata(), 100 * np.array(run["training_accuracy"]))
    np.testing.assert_allclose(validation.get_ydata(), 100 * np.array(run["validation_accuracy"]))
    assert list(best.get_xdata()) == [12]
    assert ax.get_ylabel() == "accuracy (%)"
    assert texts(ax)[1] == "validation\nbest 90.00%\nat epoch 12"


def test_a_logarithmic_accuracy_is_the_error() -> None:
    run = history()
    ax = plots.learning_curves(run, "accuracy", log=True)
    training, _, best = ax.lines
    np.testing.assert_allclose(training.get_ydata(), 100 - 100 * np.array(run["training_accuracy"]))
    assert list(best.get_xdata()) == [12]
    assert best.get_ydata() == pytest.approx([10])
    assert (ax.get_yscale(), ax.get_ylabel()) == ("log", "error (%)")
    assert texts(ax)[1] == "validation\nbest 10.00%\nat epoch 12"


@pytest.mark.parametrize(
    ("name", "greater", "percent", "label", "factor"),
    [
        ("inaccuracy", False, False, "inaccuracy", None),
        ("inaccuracy", False, True, "inaccuracy (%)", (0, 100)),
        ("dice", True, True, "1 - dice (%)", (100, -100)),
        ("my_accuracy", True, True, "my error (%)", (100, -100)),
    ],
)
def test_a_metric_of_ones_own_is_drawn_as_it_says(name, greater, percent, label, factor) -> None:
    values, column = [0.3, 0.1, 0.2], f"validation_{name}"
    run = History({"epoch": e, column: value} for e, value in enumerate(values, 1))
    run.declare(column, greater, percent)
    start, by = factor or (0, 1)
    drawn = [start + by * value for value in values]
    ax = plots.learning_curves(run, name, log=True)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), drawn)
    assert list(ax.lines[1].get_xdata()) == [1 if greater else 2]  # the best
    assert ax.get_ylabel() == label
    ax = plots.learning_curves(run, name)
    by = 100 if percent else 1
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [by * value for value in values])


@pytest.mark.parametrize(
    ("last", "labels"),
    [
        (0.1, {"0.1", "0.2", "0.5", "1"}),
        (0.15, {"0.2", "0.5", "1"}),
        (0.001, {"0.001", "0.01", "0.1", "1"}),
        (0.5, {"0.5", "0.6", "0.8", "1"}),
        (1.0, {"1"}),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers(last: float, labels: set[str]) -> None:
    records = [{"epoch": 1, "training_cost": 1.0}, {"epoch": 2, "training_cost": last}]
    ax = plots.learning_curves(History(records), log=True)
    assert labels <= set(tick_labels(ax, "y"))
    assert not any(label.get_text() for label in ax.get_yticklabels(minor=True))


def test_another_metric_of_the_training_data_alone() -> None:
    run = History({"epoch": e, "training_top_3_accuracy": 0.1 * e} for e in (5, 6))
    ax = plots.learning_curves(run, "top_3_accuracy")
    assert len(ax.lines) == 1
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [50, 60])
    assert ax.get_ylabel() == "top 3 accuracy (%)"
    assert texts(ax) == ["training"]


def test_an_epoch_without_a_value_is_passed_over() -> None:
    validation = [None, 0.4, math.nan, 0.3, 0.35]
    run = History(
        {"epoch": e, "training_cost": 1 / e, "validation_cost": value}
        for e, value in enumerate(validation, start=1)
    )
    _, line, best = plots.learning_curves(run).lines
    assert list(line.get_xdata()) == [2, 4, 5]
    assert list(line.get_ydata()) == [0.4, 0.3, 0.35]
    assert list(best.get_xdata()) == [4]


def test_zeros_fall_below_a_logarithmic_axis() -> None:
    run = History(
        {"epoch": e, "training_cost": max(0, 0.5 - 0.1 * e), "validation_cost": 0.0}
        for e in range(1, 10)
    )
    ax = plots.learning_curves(run, log=True)
    assert [line.get_label() for line in ax.lines] == ["training", "validation"]
    assert ax.get_ylim()[0] > 0.05
    assert texts(ax)[1] == "validation\nbest 0\nat epoch 1"
    ax.figure.canvas.draw()
    assert all(ax.figure.bbox.contains(*t.get_window_extent().min) for t in ax.texts)


@pytest.mark.parametrize("epochs", [1, 2, 5, 30, 400])
def test_ticks_are_whole_epochs_within_the_training(epochs: int) -> None:
    ax = plots.learning_curves(history(epochs))
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
    assert ticks == [round(tick) for tick in ticks]
    assert 2 <= len(ticks) <= 10
    assert low <= 1 <= epochs <= high
    assert high - epochs < 0.05 * (high - low)


@pytest.mark.parametrize(("epochs", "marker"), [(1, "."), (20, "."), (21, "")])
def test_few_epochs_are_marked(epochs: int, marker: str) -> None:
    assert plots.learning_curves(history(epochs)).lines[0].get_marker() == marker


@pytest.mark.parametrize("gap", [0.0, 1e-9, 0.01, 0.5])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("power", [-1, 1])
def test_the_notes_of_near_curves_do_not_meet(gap: float, sign: int, power: int) -> None:
    run = History(
        {"epoch": e, "training_cost": (e / 29) ** power, "validation_cost": cost}
        for e in range(1, 30)
        for cost in [(e / 29) ** power + sign * gap]
    )
    ax = plots.learning_curves(run)
    ax.figure.canvas.draw()
    one, other = (text.get_window_extent() for text in ax.texts)
    assert not one.overlaps(other)
    frame = ax.get_window_extent()
    for box in (one, other):
        assert box.x0 > frame.x1 - 0.05 * frame.width
        assert frame.y0 - 3 <= box.y0 < box.y1 <= frame.y1 + 3


@pytest.mark.parametrize(
    ("run", "quantity", "log", "message"),
    [
        (History(), "cost", False, r"no training_cost or .* the history has 0 epochs of nothing"),
        (
            history(3),
            "precision",
            False,
            r"no training_precision or validation_precision to draw: .* 3 epochs of epoch, train",
        ),
        (
            History([{"epoch": 1, "training_cost": 0.0}]),
            "cost",
            True,
            r"no training_cost or validation_cost above 0 to draw",
        ),
        (History([{"epoch": 1, "training_cost": None}]), "cost", False, r"no training_cost or"),
    ],
)
def test_a_history_without_the_quantity(
    run: History, quantity: str, log: bool, message: str, ax: Axes
) -> None:
    with pytest.raises(ValueError, match=message):
        plots.learning_curves(run, quantity, log, ax=ax)
    assert not ax.has_data()


def test_a_history_without_epochs_is_an_error() -> None:
    with pytest.raises(KeyError, match="no column 'epoch'"):
        plots.learning_curves(History([{"training_cost": 1.0}]))


@pytest.mark.parametrize(
    ("quantity", "best"),
    [("rmse", 3), ("mse", 3), ("mae", 3), ("log_loss", 3), ("r2", 2), ("f1_macro", 2), ("mine", 2)],
)
def test_the_ring_is_where_the_metric_says_that_it_is_best(quantity: str, best: int) -> None:
    values = [0.5, 0.9, 0.1, 0.4]
    run = History({"epoch": e, f"validation_{quantity}": v} for e, v in enumerate(values, start=1))
    if quantity == "mine":
        with pytest.raises(ValueError, match="whether more or less of 'validation_mine' is better"):
            plots.learning_curves(run, quantity)
        run.declare("validation_mine", greater_is_better=True)
    for given in (run, {"a": run, "b": run}):
        ax = plots.learning_curves(given, quantity)
        (ring, *_) = [line for line in ax.lines if line.get_label().endswith("best")]
        assert list(ring.get_xdata()) == [best]


# -- several runs ----------------------------------------------------------------------------


def runs(n: int, epochs: int = 30) -> dict[str, History]:
    """Return histories that differ, the later the shorter and the better."""
    found = {}
    for i in range(n):
        records = [dict(record) for record in history(epochs - i).records]
        for record in records:
            record["training_cost"] *= 1 - 0.05 * i
            record["validation_cost"] *= 1 - 0.04 * i
        found[f"run {chr(65 + i)}"] = History(records)
    return found


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_each_run_has_one_colour_its_training_dashed_its_validation_full(n: int) -> None:
    given = runs(n)
    ax = plots.learning_curves(given)
    lines = {line.get_label(): line for line in ax.lines}
    assert len(lines) == len(ax.lines) == 3 * n
    colours = []
    for name, run in given.items():
        training, validation = lines[f"{name}: training"], lines[f"{name}: validation"]
        best = lines[f"{name}: validation, best"]
        assert list(training.get_ydata()) == run["training_cost"]
        assert list(validation.get_ydata()) == run["validation_cost"]
        assert (training.get_linestyle(), validation.get_linestyle()) == ("--", "-")
        record = run.best("validation_cost")
        assert (*best.get_xdata(), *best.get_ydata()) == (
            record["epoch"],
            record["validation_cost"],
        )
        colour = to_hex(training.get_color())
        assert {to_hex(line.get_color()) for line in (validation, best)} == {colour}
        colours.append(colour)
        text = f"{name}: {record['validation_cost']:.4g} at {record['epoch']}"
        (note,) = [note for note in ax.texts if note.get_text() == text]
        assert to_hex(note.get_color()) == colour
    assert len(set(colours)) == n
    assert len(ax.texts) == n
    assert ax.get_title(loc="left") == "training: dashed, validation: full line"
    assert overlaps(ax) == []
    assert ax.get_xlim()[1] > 30


def test_the_names_of_many_runs_stay_apart_in_small_axes(ax: Axes) -> None:
    plots.learning_curves(runs(25), "accuracy", ax=ax)
    assert overlaps(ax) == []
    frame = ax.get_window_extent()
    for text in ax.texts:
        box = text.get_window_extent()
        assert frame.y0 - 3 <= box.y0 < box.y1 <= frame.y1 + 3


def test_a_run_without_validation_data_has_its_name_all_the_same() -> None:
    alone = History({"epoch": e, "training_cost": 1 / e} for e in (1, 2, 3))
    ax = plots.learning_curves({"one": alone, "two": history(5)})
    assert texts(ax)[0] == "one"
    assert texts(ax)[1].startswith("two: ")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, ValueError, "learning_curves: expected at least one History, got an empty dict"),
        ({"a": 3}, TypeError, "learning_curves: 'a' must be a History, got int; a trainer's is"),
        ([history(3)], TypeError, "learning_curves: expected a History, .* dict .*, got list"),
        (
            {"a": history(3), "b": History([{"epoch": 1, "training_cost": 1.0}])},
            ValueError,
            "no training_accuracy or .* to draw: the history of 'b' has 1 epochs of epoch, train",
        ),
    ],
)
def test_what_are_no_runs(given: Any, error: type[Exception], message: str, ax: Axes) -> None:
    with pytest.raises(error, match=message):
        plots.learning_curves(given, "accuracy", ax=ax)
    assert not ax.has_data()


# -- several calls on one axes ---------------------------------------------------------------


def test_a_second_call_adds_its_run_as_one_call_with_both_would() -> None:
    one, other = runs(2).values()
    ax = plots.learning_curves(one)
    assert plots.learning_curves(other, ax=ax) is ax
    both = plots.learning_curves({"run 1": one, "run 2": other})
    for mine, expected in zip(ax.lines, both.lines, strict=True):
        assert mine.get_label() == expected.get_label()
        np.testing.assert_array_equal(mine.get_xydata(), expected.get_xydata())
    assert texts(ax) == texts(both)
    assert ax.get_title(loc="left") == both.get_title(loc="left")
    assert overlaps(ax) == []
    assert ax.figure.axes == [ax]


def test_named_runs_are_added_and_one_of_the_same_name_takes_its_place() -> None:
    a, b, c = runs(3).values()
    ax = plots.learning_curves({"a": a, "b": b})
    plots.learning_curves({"b": c}, ax=ax)
    validation = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert validation["a: validation"] == a["validation_cost"]
    assert validation["b: validation"] == c["validation_cost"]
    assert len(ax.texts) == 2


def test_the_same_history_again_is_drawn_as_it_is_by_then() -> None:
    run = history(5)
    ax = plots.learning_curves(run)
    run.append({"epoch": 6, "training_cost": 0.1, "validation_cost": 0.05})
    plots.learning_curves(run, ax=ax)
    assert [line.get_label() for line in ax.lines] == ["training", "validation", "best"]
    assert list(ax.lines[2].get_xdata()) == [6]
    assert len(ax.texts) == 2


def test_a_second_quantity_has_its_scale_on_the_right() -> None:
    run = history()
    ax = plots.learning_curves(run)
    assert plots.learning_curves(run, "accuracy", ax=ax) is ax
    left, right = ax.figure.axes
    assert left is ax
    assert (left.get_ylabel(), right.get_ylabel()) == ("cost C", "accuracy (%)")
    assert list(left.lines[1].get_ydata()) == run["validation_cost"]
    np.testing.assert_allclose(
        right.lines[1].get_ydata(), 100 * np.array(run["validation_accuracy"])
    )
    assert right.yaxis.get_label_position() == "right"
    colours = [to_hex(side.lines[1].get_color()) for side in (left, right)]
    assert colours == [to_hex(side.yaxis.label.get_color()) for side in (left, right)]
    assert colours[0] != colours[1]
    cost, accuracy = run.best("validation_cost"), run.best("validation_accuracy")
    assert ax.get_title(loc="left") == (
        "training: dashed, validation: full line\n"
        f"best: cost C {cost['validation_cost']:.4g} at {cost['epoch']}, "
        f"accuracy {accuracy['validation_accuracy']:.2%} at {accuracy['epoch']}"
    )
    assert texts(left) == texts(right) == []
    plots.learning_curves(run, "accuracy", log=True, ax=ax)  # its own scale alone
    left, right = ax.figure.axes
    assert (left.get_yscale(), right.get_yscale()) == ("linear", "log")


def test_what_one_axes_has_no_room_for_is_refused_and_leaves_it_as_it_was() -> None:
    run, other = history(), history(7)
    for record in run:
        record["training_rmse"] = record["training_cost"]
    ax = plots.learning_curves(run)
    plots.learning_curves(run, "accuracy", ax=ax)
    before = [[line.get_label() for line in side.lines] for side in ax.figure.axes]
    with pytest.raises(ValueError, match="has no room for cost, accuracy, rmse of 1 run: give an"):
        plots.learning_curves(run, "rmse", ax=ax)
    with pytest.raises(ValueError, match="has no room for cost, accuracy of 2 runs: give another"):
        plots.learning_curves(other, "accuracy", ax=ax)
    after = [[line.get_label() for line in side.lines] for side in ax.figure.axes]
    assert before == after


def test_another_picture_takes_the_place_of_both_scales() -> None:
    ax = plots.learning_curves(history())
    plots.learning_curves(history(), "accuracy", ax=ax)
    plots.confusion(np.eye(3, dtype=int), ax=ax)
    assert ax.figure.axes == [ax]
    plots.learning_curves(history(), ax=ax)  # and the curves do not come back
    assert [line.get_label() for line in ax.lines] == ["training", "validation", "best"]


def test_an_axes_that_was_cleared_is_empty_and_what_was_drawn_there_then_stays() -> None:
    one, other = runs(2).values()
    ax = plots.learning_curves(one)
    plots.learning_curves(one, "accuracy", ax=ax)
    ax.clear()
    ax.axhline(0.5, label="mine")
    plots.learning_curves(other, ax=ax)
    assert [line.get_label() for line in ax.lines] == ["mine", "training", "validation", "best"]
    assert list(ax.lines[1].get_ydata()) == other["training_cost"]
    assert ax.figure.axes == [ax]


def test_what_was_drawn_is_forgotten_with_its_axes() -> None:
    run = History(history(3).records)
    ax = plots.learning_curves(run)
    plots.learning_curves(run, "accuracy", ax=ax)
    gone = weakref.ref(run)
    del ax, run
    gc.collect()
    assert gone() is None
