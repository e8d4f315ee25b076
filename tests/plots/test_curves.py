from __future__ import annotations

import math
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes

from backprop import GradientHealth, History, plots
from tests.plots.examples import health, history, texts, tick_labels

# -- epoch by epoch --------------------------------------------------------------------------


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


# -- layer by layer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "label"),
    [
        ("delta", "size of an example's error ‖δ‖"),
        ("nabla_w", "size of the gradient ‖∂C/∂w‖"),
        ("update_ratio", "size of a step ‖Δw‖ / ‖w‖ (dotted: 0.001)"),
    ],
)
def test_each_layer_has_a_curve_of_its_norms(quantity: str, label: str) -> None:
    found = health()
    ax = plots.gradient_norms(found, quantity)
    for index, line in enumerate(ax.lines[:4]):
        assert list(line.get_xdata()) == found.history["step"]
        assert list(line.get_ydata()) == found.history[f"{quantity}_{index}"]
    marks = [list(line.get_ydata()) for line in ax.lines[4:]]
    assert marks == ([[1e-3, 1e-3]] if quantity == "update_ratio" else [])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("step", label, "log")
    assert texts(ax) == [f"{i}: {name}" for i, name in found.layers.items()]
    colours = [matplotlib.colors.to_hex(line.get_color()) for line in ax.lines[:4]]
    assert colours == [matplotlib.colors.to_hex(text.get_color()) for text in ax.texts]
    assert len(set(colours)) == 4


def test_the_curves_of_layers_inside_layers_come_in_the_order_of_the_walk() -> None:
    found = GradientHealth()
    found.layers = {"10": "c", "2.10": "b", "2.9": "a", "0": "first"}
    for step in range(3):
        found.history.append({"step": step + 1, **{f"delta_{i}": 1.0 for i in found.layers}})
    ax = plots.gradient_norms(found)
    assert texts(ax) == ["0: first", "2.9: a", "2.10: b", "10: c"]


@pytest.mark.parametrize("records", [100, 101, 1000])
def test_a_long_curve_is_a_median_with_a_band(records: int) -> None:
    found = health(2, records, every=10)
    ax = plots.gradient_norms(found)
    line = ax.lines[1]
    values = np.array(found.history["delta_1"])
    if records <= 100:
        assert not ax.collections
        assert list(line.get_ydata()) == list(values)
        return
    parts = np.array_split(values, 50)
    np.testing.assert_allclose(line.get_ydata(), [np.median(part) for part in parts])
    steps = np.array_split(found.history["step"], 50)
    np.testing.assert_allclose(line.get_xdata(), [np.mean(part) for part in steps])
    band = ax.collections[1].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(max(np.quantile(part, 0.9) for part in parts))
    assert band.min() == pytest.approx(min(np.quantile(part, 0.1) for part in parts))


def test_what_is_0_or_infinite_does_not_spoil_the_axis() -> None:
    found = health(2)
    for record in found.history.records[10:]:
        record["delta_0"] = 0.0
    found.history.records[5]["delta_1"] = math.inf
    ax = plots.gradient_norms(found)
    low, high = ax.get_ylim()
    assert 1e-4 < low < 0.005
    assert 0.1 < high < 1
    assert len(ax.lines[1].get_xdata()) == 29
    ax.figure.canvas.draw()
    assert ax.texts[0].xy[1] < ax.texts[1].xy[1]


def test_the_dead_are_full_lines_and_the_saturated_dashed() -> None:
    found = health(4)
    ax = plots.unit_health(found)
    drawn = {
        tuple(line.get_ydata()): (len(line.get_xdata()), line.get_linestyle()) for line in ax.lines
    }
    assert drawn == {
        (1.0,) * 15: (15, "-"),
        (3.0,) * 15: (15, "-"),
        (4.0,) * 30: (30, "--"),
        (12.0,) * 30: (30, "--"),
    }
    assert texts(ax) == [
        "0: Dense(30 -> 31, relu)\n1% dead",
        "2: Dense(32 -> 33, relu)\n3% dead",
        "1: Dense(31 -> 32, relu)\n4% saturated",
        "3: Dense(33 -> 34, relu)\n12% saturated",
    ]
    assert ax.get_ylabel() == "dead units (%), saturated activations (%)"
    assert ax.get_ylim() == pytest.approx((-0.36, 12.36))


def test_the_axis_is_as_long_as_the_training() -> None:
    ax = plots.unit_health(health(1))  # ReLUs, known from the middle on
    assert ax.get_ylabel() == "dead units (%)"
    assert ax.get_xlim()[0] < 1
    assert ax.get_ylim()[1] == pytest.approx(10.3)  # two per cent look like little


@pytest.mark.parametrize("layers", [2, 5, 8, 16])
def test_the_names_of_many_layers_stay_apart(layers: int) -> None:
    for ax in (plots.gradient_norms(health(layers)), plots.unit_health(health(layers))):
        ax.figure.canvas.draw()
        boxes = [text.get_window_extent() for text in ax.texts]
        boxes.sort(key=lambda box: box.y0)
        assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


def test_health_that_has_nothing_to_draw() -> None:
    with pytest.raises(
        ValueError, match=r"gradient_norms: quantity must be 'delta', .* got 'gradient'"
    ):
        plots.gradient_norms(health(), "gradient")
    with pytest.raises(ValueError, match="no delta above 0 to draw, in 0 records"):
        plots.gradient_norms(GradientHealth())
    found = health(1, records=3)
    for record in found.history.records:
        record["delta_0"] = 0.0
        record.pop("dead_0", None)
    with pytest.raises(ValueError, match="no delta above 0 to draw, in 3 records"):
        plots.gradient_norms(found)
    with pytest.raises(ValueError, match="no dead or saturated units known, in 3 records"):
        plots.unit_health(found)
