from __future__ import annotations

import math
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes

from backprop import GradientHealth, plots
from tests.plots.examples import health, texts, tick_labels


@pytest.mark.parametrize(
    ("quantity", "label"),
    [
        ("delta", "size of an example's error ‖δ‖\n(B × layer.delta)"),
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


def cells_of(ax: Axes) -> np.ma.MaskedArray:
    """Return the percentages of a picture of units, a row a layer."""
    (mesh,) = ax.collections
    return np.ma.asarray(mesh.get_array()).reshape(len(ax.get_yticks()), -1)


def test_each_layer_with_such_units_is_a_row_of_percentages_step_by_step() -> None:
    found = health(4)
    ax = plots.unit_health(found)
    assert tick_labels(ax, "y") == [
        "0: Dense(30 -> 31, relu)\n1% dead",
        "1: Dense(31 -> 32, relu)\n4% saturated",
        "2: Dense(32 -> 33, relu)\n3% dead",
        "3: Dense(33 -> 34, relu)\n12% saturated",
    ]
    cells = cells_of(ax)
    assert cells.shape == (4, 30)
    for row, (value, first) in zip(cells, ((1, 15), (4, 0), (3, 15), (12, 0)), strict=True):
        assert np.ma.getmaskarray(row).sum() == first  # what is not known yet
        np.testing.assert_allclose(row.compressed(), value)
    (mesh,) = ax.collections
    assert mesh.get_clim() == (0, 12)
    (bar,) = ax.child_axes
    assert (ax.get_xlabel(), bar.get_ylabel()) == ("step", "dead (%)\nsaturated (%)")
    edges = mesh.get_coordinates()[0, :, 0]
    np.testing.assert_allclose((edges[1:] + edges[:-1]) / 2, found.history["step"])
    assert ax.yaxis_inverted()


def test_few_dead_units_look_like_few() -> None:
    ax = plots.unit_health(health(1))
    assert ax.collections[0].get_clim() == (0, 10)
    assert ax.child_axes[0].get_ylabel() == "dead (%)"


def test_a_single_record_is_a_picture_too() -> None:
    found = health(2, records=1)
    found.history.records[0]["dead_0"] = 0.5
    np.testing.assert_allclose(cells_of(plots.unit_health(found)).ravel(), [50, 4])


def test_of_many_records_every_few_are_shown_by_their_median() -> None:
    found = health(2, records=1000)
    for n, record in enumerate(found.history.records):
        record["saturated_1"] = n / 1000
    cells = cells_of(plots.unit_health(found))
    assert cells.shape == (2, 50)
    np.testing.assert_allclose(cells[1], np.arange(50) * 2 + 0.95)
    assert np.ma.getmaskarray(cells[0]).sum() == 25
    assert tick_labels(plots.unit_health(found), "y")[1].endswith("\n100% saturated")


@pytest.mark.parametrize("layers", [2, 12, 24])
def test_the_rows_of_many_layers_have_room_for_their_names(layers: int) -> None:
    ax = plots.unit_health(health(layers))
    ax.figure.canvas.draw()
    labels = ax.get_yticklabels()
    boxes = [label.get_window_extent() for label in labels]
    assert len(boxes) == layers
    assert all(low.y0 >= high.y1 for low, high in pairwise(boxes))
    assert all(label.get_fontsize() >= 8 for label in labels)
    canvas = ax.figure.bbox
    assert all(canvas.x0 <= box.x0 and canvas.y0 <= box.y0 for box in boxes)


@pytest.mark.parametrize("layers", [2, 5, 8, 16])
def test_the_names_of_many_layers_stay_apart(layers: int) -> None:
    ax = plots.gradient_norms(health(layers))
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    boxes.sort(key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


def test_health_that_has_nothing_to_draw() -> None:
    with pytest.raises(
        ValueError, match=r"gradient_norms: quantity must be 'delta', .* got 'gradient'"
    ):
        plots.gradient_norms(health(), "gradient")
    with pytest.raises(ValueError, match="above 0 to draw, in 0 records: give Trainer"):
        plots.gradient_norms(GradientHealth())
    with pytest.raises(ValueError, match=r"known, in 0 records: give Trainer.*, and fit$"):
        plots.unit_health(GradientHealth())
    found = health(1, records=3)
    for record in found.history.records:
        record["delta_0"] = 0.0
        record.pop("dead_0", None)
    with pytest.raises(ValueError, match="no delta above 0 to draw, in 3 records"):
        plots.gradient_norms(found)
    with pytest.raises(
        ValueError, match=r"known, in 3 records; a ReLU is judged when 500 .*every=1"
    ):
        plots.unit_health(found)
