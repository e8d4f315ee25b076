from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from backprop import (
    Dense,
    Dropout,
    Flatten,
    GradientHealth,
    History,
    Layer,
    Network,
    Parallel,
    Residual,
    Sequential,
    plots,
)


@pytest.fixture(autouse=True)
def _leave_matplotlib_alone() -> Iterator[None]:
    before = dict(matplotlib.rcParams)
    yield
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def ax() -> Axes:
    return Figure(figsize=(5, 4), layout="constrained").subplots()


def history(epochs: int = 30) -> History:
    return History(
        {
            "epoch": epoch,
            "training_cost": 1 / epoch,
            "validation_cost": 1 / epoch + 0.002 * epoch,
            "training_accuracy": 1 - 0.5 / epoch,
            "validation_accuracy": 0.9 - 0.001 * (epoch - 12) ** 2,
        }
        for epoch in range(1, epochs + 1)
    )


def trained_network() -> Network:
    """Return a network after one forward and backward of 50 examples."""
    layers = [Dense(6, 8, "relu", rng=0), Dropout(0.25, rng=0), Dense(8, 3, "softmax", rng=1)]
    network = Network(layers, "softmax_cross_entropy")
    rng = np.random.default_rng(2)
    network.forward(rng.normal(size=(6, 50)).astype(np.float32), training=True)
    network.backward(rng.integers(0, 3, 50))
    return network


def guesses() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return six 4×5 images, outputs for three classes and labels; images 1, 3 and 4 are wrong."""
    a = np.array(
        [
            [0.9, 0.7, 0.1, 0.0, 0.1, 0.3],
            [0.0, 0.2, 0.8, 0.1, 0.8, 0.3],
            [0.1, 0.1, 0.1, 0.95, 0.1, 0.4],
        ]
    )
    labels = np.array([0, 2, 1, 0, 2, 2])
    images = np.arange(6.0) + np.zeros((4, 5, 1))  # every pixel of image i is i
    return images, a, labels


def health(layers: int = 4, records: int = 30, every: int = 20) -> GradientHealth:
    """Return the records of layers, ReLU and sigmoid in turn, each ten times the one below."""
    found = GradientHealth()
    found.layers = {i: f"Dense({30 + i} -> {31 + i}, relu)" for i in range(layers)}
    for n in range(records):
        record: dict[str, Any] = {"step": 1 + n * every}
        for i in range(layers):
            size = 10.0 ** (i - layers) * (1 + 0.5 * math.sin(n + i))
            record |= {f"delta_{i}": size, f"nabla_w_{i}": 3 * size, f"update_ratio_{i}": size / 9}
            if i % 2:
                record[f"saturated_{i}"] = 0.04 * i
            elif n >= records // 2:
                record[f"dead_{i}"] = 0.01 * (i + 1)
        found.history.append(record)
    return found


MATRIX = np.array([[90, 10, 0], [1, 7, 2], [0, 0, 1000]])

DRAWINGS: dict[str, Callable[..., Axes]] = {
    "learning_curves": lambda **k: plots.learning_curves(history(), **k),
    "learning_curves_log": lambda **k: plots.learning_curves(history(), "accuracy", True, **k),
    "weights": lambda **k: plots.weights(np.eye(9), **k),
    "misclassified": lambda **k: plots.misclassified(*guesses(), **k),
    "misclassified_none": lambda **k: plots.misclassified(np.ones((4, 1)), np.eye(1), [1], **k),
    "confusion": lambda **k: plots.confusion(MATRIX, **k),
    "activation_histograms": lambda **k: plots.activation_histograms(trained_network(), **k),
    "delta_histograms": lambda **k: plots.delta_histograms(trained_network(), **k),
    "network_diagram": lambda **k: plots.network_diagram(
        small_network().trace(np.ones((4, 1)), np.ones((2, 1))), **k
    ),
    "gradient_norms": lambda **k: plots.gradient_norms(health(), **k),
    "gradient_norms_long": lambda **k: plots.gradient_norms(health(8, 300), "update_ratio", **k),
    "unit_health": lambda **k: plots.unit_health(health(), **k),
}

drawings = pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def tick_labels(ax: Axes, axis: str) -> list[str]:
    ax.figure.draw_without_rendering()
    return [label.get_text() for label in getattr(ax, f"get_{axis}ticklabels")()]


# -- all of them -----------------------------------------------------------------------------


@drawings
def test_a_new_figure_is_made_and_drawn(draw: Callable[..., Axes], tmp_path: Path) -> None:
    ax = draw()
    assert isinstance(ax, Axes)
    assert isinstance(ax.figure, Figure)
    plots.save(ax, tmp_path / "picture.png")
    pixels = plt.imread(tmp_path / "picture.png")
    assert min(pixels.shape[:2]) > 80
    assert pixels[..., :3].std() > 0.02


@drawings
def test_an_axes_is_drawn_into_and_returned(draw: Callable[..., Axes], ax: Axes) -> None:
    assert draw(ax=ax) is ax
    assert ax.has_data() or ax.texts
    assert ax.figure.axes == [ax]
    ax.figure.canvas.draw()


@drawings
def test_a_pyplot_figure_and_a_subfigure_will_do(draw: Callable[..., Axes], tmp_path: Path) -> None:
    figure = plt.figure(figsize=(8, 3), layout="constrained")
    try:
        left, right = figure.subfigures(1, 2)
        draw(ax=left.subplots())
        ax = draw(ax=right.subplots())
        plots.save(ax, tmp_path / "both.png", dpi=50)
    finally:
        plt.close(figure)
    assert plt.imread(tmp_path / "both.png").shape[1] > 300


@drawings
def test_no_text_leaves_the_saved_picture_or_meets_another(draw: Callable[..., Axes]) -> None:
    ax = draw()
    ax.figure.canvas.draw()
    canvas = ax.figure.bbox
    shown = [*ax.texts, ax._left_title, *([ax.xaxis.label, ax.yaxis.label] if ax.axison else [])]
    boxes = [text.get_window_extent() for text in shown if text.get_text()]
    for box in boxes:
        assert canvas.x0 <= box.x0 < box.x1 <= canvas.x1
        assert canvas.y0 <= box.y0 < box.y1 <= canvas.y1
    notes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    for index, one in enumerate(notes):
        for other in notes[:index]:
            assert not one.overlaps(other)


def test_a_figure_shows_itself_in_a_notebook() -> None:
    figure = plots.confusion(MATRIX).figure
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_it_works_without_a_screen_and_without_pyplot(tmp_path: Path) -> None:
    code = (
        "import sys, backprop\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from backprop import plots, History\n"
        "run = History([{'epoch': 1, 'training_cost': 0.5}])\n"
        f"plots.save(plots.learning_curves(run), {str(tmp_path / 'curve.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    environment = {key: value for key, value in os.environ.items() if key not in screens}
    root = Path(plots.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


# -- learning curves -------------------------------------------------------------------------


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


# -- weights ---------------------------------------------------------------------------------


def test_weights_are_tiles_in_reading_order() -> None:
    w = np.random.default_rng(0).normal(size=(7, 9)).astype(np.float32)
    (image,) = plots.weights(w).images
    tiles = image.get_array()
    assert tiles.shape == (2 * 3 + 1, 4 * 3 + 3)
    assert tiles.dtype == np.float32
    hidden = np.ma.getmaskarray(tiles)
    for index, row in enumerate(w.reshape(7, 3, 3)):
        top, left = 4 * (index // 4), 4 * (index % 4)
        np.testing.assert_array_equal(tiles[top : top + 3, left : left + 3], row)
    assert hidden.sum() == hidden.size - w.size


def test_the_scale_of_weights_is_symmetric_and_not_ruled_by_outliers() -> None:
    w = np.random.default_rng(0).uniform(-1, 0.5, (30, 784))
    w[3, 5] = 50
    ax = plots.weights(w)
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert 0.99 < high < 1
    (bar,) = ax.child_axes
    assert bar.get_ylabel() == "weight w"
    assert ax.images[0].get_cmap().name == "RdBu_r"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_weights_of_one_value(value: float) -> None:
    w = np.zeros((4, 900))
    w[0, 0] = value
    assert plots.weights(w).images[0].get_clim() == (-1, 1)


def test_weights_of_a_layer_of_given_shape() -> None:
    layer = Dense(12, 1, rng=0)
    (image,) = plots.weights(layer, image_shape=(3, 4)).images
    np.testing.assert_array_equal(image.get_array(), layer.w.reshape(3, 4))


def test_only_the_first_neurons_are_shown() -> None:
    ax = plots.weights(np.eye(9), count=2)
    assert ax.images[0].get_array().shape == (3, 3 + 1 + 3)
    assert ax.get_title(loc="left") == "the first 2 of 9 neurons"
    assert plots.weights(np.eye(9), count=9).get_title(loc="left") == ""


@pytest.mark.parametrize("n", [1, 2, 7, 10, 30, 97, 100])
def test_a_mosaic_is_wide_rather_than_high(n: int) -> None:
    columns = plots._columns(n)
    rows = -(-n // columns)
    assert rows <= columns <= 2.5 * rows + 1
    assert columns * rows - n <= max(1, 0.1 * n)


@pytest.mark.parametrize(
    ("w", "shape", "error", "message"),
    [
        (Flatten(), None, TypeError, r"expected a layer with weights w.*got Flatten\(\)"),
        ([[1.0]], None, TypeError, r"expected a layer with weights w.*got \[\[1.0\]\]"),
        (np.eye(4) * 1j, None, TypeError, "weights must be an array of real.*got complex128"),
        (np.ones(4), None, ValueError, r"must have the shape \(n_out, n_in\), got \(4,\)"),
        (np.ones((0, 4)), None, ValueError, r"must have the shape .* got \(0, 4\)"),
        (np.full((2, 4), np.nan), None, ValueError, "weights must be finite, got NaN"),
        (np.ones((2, 12)), None, ValueError, "12 pixels make no square image"),
        (np.ones((2, 12)), (3, 5), ValueError, "image_shape 3×5 has 15 pixels, expected 12"),
        (np.ones((2, 12)), (3, 4.0), TypeError, "image_shape must be an integer, got 4.0"),
        (np.ones((2, 12)), (-3, -4), ValueError, "image_shape must be at least 1, got -3"),
    ],
)
def test_what_are_no_weights_of_images(
    w: Any, shape: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plots.weights(w, shape)


def test_no_neurons_to_show_is_an_error() -> None:
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        plots.weights(np.eye(4), count=0)


# -- misclassified ---------------------------------------------------------------------------


def shown_images(ax: Axes) -> list[float]:
    """Return the pixel at the middle of each tile of `guesses`, along the first row."""
    pixels = ax.images[0].get_array()
    centres = [round(text.get_position()[0]) for text in ax.texts]
    return [float(pixels[2, x]) for x in centres]


def test_the_most_confident_mistakes_come_first() -> None:
    ax = plots.misclassified(*guesses())
    assert texts(ax) == ["2, is 0", "1, is 2", "0, is 2"]
    assert shown_images(ax) == [3, 4, 1]
    assert ax.get_title(loc="left") == "3 of 6 wrong (50.00%)"


def test_images_as_columns_and_targets_instead_of_labels() -> None:
    _, a, labels = guesses()
    images = np.arange(6, dtype=np.uint8) * np.ones((9, 1), np.uint8)
    ax = plots.misclassified(images, a, np.eye(3)[:, labels], count=2)
    assert texts(ax) == ["2, is 0", "1, is 2"]
    pixels = ax.images[0].get_array()
    assert (pixels[:3, :3] == 3).all()
    assert (pixels[:3, 4:7] == 4).all()
    assert ax.get_title(loc="left") == "3 of 6 wrong (50.00%), 2 shown"


def test_a_page_is_filled_row_by_row() -> None:
    n = 19
    a = np.stack([np.linspace(1, 0.6, n), np.zeros(n)])
    ax = plots.misclassified(np.ones((196, n)), a, np.ones(n, int))
    assert len(ax.texts) == n
    rows = sorted({round(text.get_position()[1], 6) for text in ax.texts})
    assert len(rows) == 3
    below = [rows.index(round(text.get_position()[1], 6)) for text in ax.texts]
    assert below == [0] * 8 + [1] * 8 + [2] * 3
    ax.figure.canvas.draw()
    corner = ax.transData.inverted().transform(ax.texts[0].get_window_extent().min)
    assert rows[0] < corner[1] < rows[1] - 14  # between its image and the one below


def test_class_names_stand_below_the_images() -> None:
    names = ["T-shirt/top", "Sandal", "Ankle boot"]
    ax = plots.misclassified(*guesses(), class_names=names)
    assert texts(ax)[0] == "Ankle boot,\nis T-shirt/top"
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_a_single_output_decides_at_a_half() -> None:
    a = np.array([[0.9, 0.2, 0.6, 0.05]])
    ax = plots.misclassified(np.ones((4, 4)), a, np.array([1, 1, 0, 1]))
    assert texts(ax) == ["0, is 1", "0, is 1", "1, is 0"]


def test_nothing_misclassified() -> None:
    images, a, _ = guesses()
    ax = plots.misclassified(images, a, a.argmax(axis=0))
    assert texts(ax) == ["nothing misclassified: all 6 right"]
    assert not ax.images


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"images": np.ones((4, 5))}, ValueError, r"shape \(n, 6\) or .* got \(4, 5\)"),
        ({"images": np.ones(6)}, ValueError, r"images must have the shape .* got \(6,\)"),
        ({"images": np.ones((12, 6))}, ValueError, "12 pixels make no square image"),
        ({"images": [[1.0]]}, TypeError, "images must be an array of real numbers, got list"),
        ({"images": np.full((4, 6), np.inf)}, ValueError, "images must be finite"),
        ({"labels": np.array([0, 1])}, ValueError, r"y of shape \(2,\) does not fit"),
        ({"labels": np.array([0, 2, 1, 0, 2, 3])}, ValueError, "label 3 is out of range"),
        ({"class_names": ["a", "b"]}, ValueError, "class_names must hold 3 names, got 2"),
        ({"count": 0}, ValueError, "count must be at least 1, got 0"),
    ],
)
def test_mistakes_that_do_not_fit(
    changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = dict(zip(("images", "a", "labels"), guesses(), strict=True))
    with pytest.raises(error, match=message):
        plots.misclassified(**{**arguments, **changed})


# -- confusion -------------------------------------------------------------------------------


def test_the_cells_hold_the_counts() -> None:
    ax = plots.confusion(MATRIX)
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells == {(j, i): str(MATRIX[i, j]) for i in range(3) for j in range(3)}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert tick_labels(ax, "x") == tick_labels(ax, "y") == ["0", "1", "2"]
    assert ax.get_title(loc="left") == "1,097 of 1,110 right (98.83%)"


def test_the_colour_is_the_share_of_the_row_and_not_of_the_diagonal() -> None:
    ax = plots.confusion(MATRIX)
    (image,) = ax.images
    shares = image.get_array()
    expected = np.array([[0, 10, 0], [10, 0, 20], [0, 0, 0]])
    np.testing.assert_allclose(shares.filled(0), expected)
    np.testing.assert_array_equal(np.ma.getmaskarray(shares), np.eye(3, dtype=bool))
    assert image.get_clim() == (0, 20)
    (bar,) = ax.child_axes
    assert bar.get_ylabel() == "errors, % of the true class"
    colours = image.to_rgba(shares)
    assert tuple(colours[0, 2]) == (1, 1, 1, 1)
    np.testing.assert_allclose(colours[1, 1], (0.9, 0.9, 0.9, 1), atol=0.01)


@pytest.mark.parametrize("n", [2, 10, 26])
def test_every_count_fits_its_cell(n: int) -> None:
    matrix = np.full((n, n), 88) + np.diag([60000] * n)
    ax = plots.confusion(matrix)
    ax.figure.canvas.draw()
    side = ax.get_window_extent().width / n
    for text in ax.texts:
        box = text.get_window_extent()
        assert box.width < side
        assert box.height < side
    assert ax.texts[0].get_fontsize() >= 5.5


def test_class_names_on_both_axes() -> None:
    ax = plots.confusion(MATRIX, ["bag", "coat", "sandal"])
    assert tick_labels(ax, "x") == tick_labels(ax, "y") == ["bag", "coat", "sandal"]
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_no_errors_and_an_absent_class() -> None:
    (image,) = plots.confusion(np.diag([3, 0, 5])).images
    assert image.get_clim() == (0, 1)
    assert not image.get_array().filled(0).any()


@pytest.mark.parametrize(
    ("matrix", "names", "error", "message"),
    [
        ([[1]], None, TypeError, "an array of integers, got list"),
        (np.eye(2), None, TypeError, "an array of integers, got float64"),
        (np.ones((2, 3), int), None, ValueError, r"is square, got the shape \(2, 3\)"),
        (np.ones(2, int), None, ValueError, r"is square, got the shape \(2,\)"),
        (np.zeros((2, 2), int), None, ValueError, "holds counts, got .* only zeros"),
        (np.zeros((0, 0), int), None, ValueError, "holds counts, got .* only zeros"),
        (np.array([[1, -1], [0, 1]]), None, ValueError, "holds counts, got negative numbers"),
        (MATRIX, ["a", "b"], ValueError, "class_names must hold 3 names, got 2"),
    ],
)
def test_what_is_no_confusion_matrix(
    matrix: Any, names: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plots.confusion(matrix, names)


# -- histograms ------------------------------------------------------------------------------


def test_each_layer_has_a_row_of_its_activations() -> None:
    network = trained_network()
    ax = plots.activation_histograms(network)
    assert tick_labels(ax, "y") == [
        "0: Dense(6 -> 8, relu)",
        "1: Dropout(0.25)",
        "2: Dense(8 -> 3, softmax)",
    ]
    assert ax.get_xlabel() == "activation a"
    assert ax.yaxis_inverted()
    for y, (layer, ridge) in enumerate(zip(network.layers, ax.patches, strict=True)):
        values, edges, baseline = ridge.get_data()
        counts = np.histogram(layer.a[layer.a != 0], edges)[0]
        assert baseline == y
        np.testing.assert_allclose(y - values, 0.85 * counts / counts.max())
    everything = np.concatenate([layer.a.ravel() for layer in network.layers])
    assert edges[0] == everything[everything != 0].min()
    assert edges[-1] == everything.max()


def test_the_share_of_zeros_and_of_the_infinite_stands_at_the_end_of_the_row() -> None:
    network = trained_network()
    hidden = network[0].a
    hidden[...] = 1
    hidden.flat[:100] = 0
    network[1].a.flat[0] = np.nan
    network[1].a.flat[1:] = np.inf
    network[2].a[...] = 1
    assert texts(plots.activation_histograms(network)) == ["25% zero", "100% not finite", ""]
    hidden[...] = 1
    hidden.flat[0] = 0
    assert texts(plots.activation_histograms(network))[0] == "<1% zero"


def test_each_layer_with_delta_has_a_row_split_by_sign() -> None:
    network = trained_network()
    ax = plots.delta_histograms(network)
    assert tick_labels(ax, "y") == ["0: Dense(6 -> 8, relu)", "2: Dense(8 -> 3, softmax)"]
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "size of the error |δ|")
    assert ax.get_title(loc="left") == "above the line δ > 0, below it δ < 0"
    deltas = [network[0].delta.astype(float), network[2].delta.astype(float)]
    ridges = iter(ax.patches)
    for y, delta in enumerate(deltas):
        (up, edges, _), (down, _, _) = next(ridges).get_data(), next(ridges).get_data()
        counts = [
            np.histogram(np.log10(side), np.log10(edges))[0]
            for side in (delta[delta > 0], -delta[delta < 0])
        ]
        top = max(map(np.max, counts))
        np.testing.assert_allclose(y - up, 0.425 * counts[0] / top, atol=0.425 / top + 1e-9)
        np.testing.assert_allclose(down - y, 0.425 * counts[1] / top, atol=0.425 / top + 1e-9)
        assert (y - up).max() > 0
        assert (down - y).max() > 0
    assert edges[-1] == pytest.approx(max(np.abs(delta).max() for delta in deltas))
    sizes = [np.abs(delta[delta != 0]) for delta in deltas]
    smallest = min(10 ** np.quantile(np.log10(size), 0.01) for size in sizes)
    assert edges[0] == pytest.approx(smallest)


def test_layers_that_are_all_zero_have_empty_rows() -> None:
    network = Network.from_sizes([4, 3, 2], activation="relu")
    network.theta[:] = 0
    network.forward(np.ones((4, 5), np.float32), training=True)
    network.backward(np.zeros((2, 5), np.float32))
    for draw in (plots.activation_histograms, plots.delta_histograms):
        ax = draw(network)
        assert texts(ax) == ["100% zero", "100% zero"]
        ax.figure.canvas.draw()


@pytest.mark.parametrize("n_layers", [1, 3, 8])
def test_a_row_has_the_same_height_whatever_their_number(n_layers: int) -> None:
    network = Network.from_sizes([5] * (n_layers + 1), rng=0)
    network.forward(np.ones((5, 4), np.float32), training=True)
    network.backward(np.zeros((5, 4), np.float32))
    for draw in (plots.activation_histograms, plots.delta_histograms):
        ax = draw(network)
        ax.figure.canvas.draw()
        low, high = sorted(ax.get_ylim())
        inches = ax.get_window_extent().height / ax.figure.dpi / (high - low)
        assert 0.4 < inches < 0.9
        assert len(ax.get_yticks()) == n_layers


def test_histograms_need_the_two_passes() -> None:
    network = Network.from_sizes([4, 3, 2], rng=0)
    with pytest.raises(RuntimeError, match=r"no activations to draw: call network.forward\(x, tr"):
        plots.activation_histograms(network)
    with pytest.raises(RuntimeError, match=r"no δ to draw: call network.forward\(x, training=True"):
        plots.delta_histograms(network)
    network.forward(np.ones((4, 5), np.float32), training=True)
    plots.activation_histograms(network)
    with pytest.raises(RuntimeError, match=r"and network.backward\(y\) first"):
        plots.delta_histograms(network)


def test_the_rows_are_those_of_the_layers_inside() -> None:
    inner = Sequential([Dense(4, 3, "tanh", rng=0), Dense(3, 4, "tanh", rng=1)])
    network = Network([Residual([inner]), Dense(4, 2, rng=2)], "quadratic")
    network.forward(np.ones((4, 5), np.float32), training=True)
    network.backward(np.ones((2, 5), np.float32))
    for ax in (plots.activation_histograms(network), plots.delta_histograms(network)):
        names = [label.get_text() for label in ax.get_yticklabels()]
        assert names == [
            "0.0.0: Dense(4 -> 3, tanh)",
            "0.0.1: Dense(3 -> 4, tanh)",
            "1: Dense(4 -> 2, sigmoid)",
        ]


# -- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("png", b"\x89PNG"), ("PNG", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")],
)
def test_the_same_picture_is_the_same_file(suffix: str, start: bytes, tmp_path: Path) -> None:
    one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    for path in (one, two):
        plots.save(plots.confusion(MATRIX), path)
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes().startswith(start)
    for trace in (b"atplotlib v", b"CreationDate", b"dc:date"):
        assert trace not in one.read_bytes()


def test_dpi_scales_the_picture(tmp_path: Path) -> None:
    ax = plots.learning_curves(history())
    widths = []
    for dpi in (50, 100):
        plots.save(ax, tmp_path / "curve.png", dpi=dpi)
        widths.append(plt.imread(tmp_path / "curve.png").shape[1])
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.02)


@pytest.mark.parametrize("name", ["picture.gif", "picture", ".png"])
def test_an_unknown_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a picture is a .png, .pdf or .svg file, got '.*'"):
        plots.save(plots.confusion(MATRIX), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"earlier")
    ax = plots.confusion(MATRIX)

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=r"cannot write .*picture.png: No space left"):
        plots.save(ax, path)
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]
    assert path.read_bytes() == b"earlier"


# -- gradient health -------------------------------------------------------------------------


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
    found.layers = {10: "c", "2.10": "b", "2.9": "a", 0: "first"}
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
    with pytest.raises(ValueError, match=r"quantity must be 'delta', .* got 'gradient'"):
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


# -- the diagram of a small network ----------------------------------------------------------


def diagram_of(network: Network, y: Any) -> Axes:
    x = np.linspace(-1, 1.5, network.input_shape[0], dtype=network.dtype)[:, np.newaxis]
    return plots.network_diagram(network.trace(x, np.asarray(y)))


def small_network() -> Network:
    return Network.from_sizes([4, 3, 2], "tanh", dtype="float64", rng=0)


def test_a_diagram_shows_activations_and_gradients(tmp_path: Path) -> None:
    network = small_network()
    x, y = np.array([[0.5], [-1.0], [0.25], [12.5]]), np.array([[1.0], [0.0]])
    trace = network.trace(x, y)
    ax = plots.network_diagram(trace)
    found = texts(ax)
    for a in [*x[:, 0], *trace[0].a[:, 0], *trace[1].a[:, 0]]:
        assert f"{a:.3g}" in found if a > 9.995 else f"{a:.2f}" in found
    for name in ("input", "layer 1\ntanh", "layer 2\ntanh", "$x_{4}$", "$y$ = 1", "$y$ = 0"):
        assert name in found
    assert ax.get_title(loc="left") == f"C = {trace.cost:.4g}"

    [lines] = ax.collections
    drawn = np.asarray(lines.get_array())
    gradients = [*trace[0].nabla_w.ravel(), *trace[1].nabla_w.ravel()]
    np.testing.assert_array_equal(np.sort(drawn), np.sort(gradients))
    limit = max(np.abs(gradients).max(), *(np.abs(t.nabla_b).max() for t in trace.layers))
    assert lines.get_clim() == (-limit, limit)
    widths = lines.get_linewidths()
    assert (np.argsort(widths, kind="stable") == np.argsort(np.abs(drawn), kind="stable")).all()
    places = {tuple(np.round(end, 9)) for ends in lines.get_segments() for end in ends}
    circles = [p for p in ax.patches if isinstance(p, Circle)]
    assert {tuple(np.round(c.center, 9)) for c in circles} == places
    squares = [p for p in ax.patches if isinstance(p, Rectangle)]
    biases = [g for t in trace.layers for g in t.nabla_b[:, 0]]
    for square, gradient in zip(squares, biases, strict=True):
        assert square.get_facecolor() == pytest.approx(lines.to_rgba(gradient))
    assert [child.get_ylabel() for child in ax.child_axes] == ["∂C/∂w (lines)\n∂C/∂b (squares)"]


def test_a_line_joins_the_neurons_that_its_weight_joins() -> None:
    network = Network([Dense(3, 2, "identity", dtype="float64", rng=0)], "quadratic")
    network.theta[...] = 0
    x, y = np.array([[1.0], [10.0], [100.0]]), np.array([[-1.0], [2.0]])  # dC/dw[j, k] = -y_j x_k
    ax = plots.network_diagram(network.trace(x, y))
    [lines] = ax.collections
    for (start, end), gradient in zip(lines.get_segments(), lines.get_array(), strict=True):
        k, j = round(1 - start[1]), round(0.5 - end[1])  # neuron 0 is on top
        assert gradient == -y[j, 0] * x[k, 0]


def test_a_diagram_of_other_layers() -> None:
    layers = [Dense(3, 4, "identity", rng=0), Dropout(0.5, rng=0), Dense(4, 2, "softmax", rng=1)]
    network = Network(layers, "softmax_cross_entropy")
    ax = diagram_of(network, [1])
    assert len(ax.collections[0].get_segments()) == 12 + 4 + 8
    assert len([p for p in ax.patches if isinstance(p, Rectangle)]) == 4 + 2
    assert {"layer 2\nDropout(0.5)", "layer 3\nsoftmax", "$y$ = 0", "$y$ = 1"} <= set(texts(ax))


def test_a_diagram_without_any_gradient() -> None:
    network = Network([Dense(2, 2, "relu", dtype="float64", rng=0)], "quadratic")
    network.theta = [0, 0, 0, 0, -1, -1]
    ax = diagram_of(network, [[0.0], [0.0]])
    assert ax.collections[0].get_clim() == (-1, 1)
    network = Network([Dropout(0.0, rng=0)], "quadratic", input_shape=(2,))
    assert len(diagram_of(network, np.zeros((2, 1), np.float32)).collections[0].get_segments()) == 2


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [([12, 1], 1), ([2] * 7, 1), ([13, 1], 0), ([1, 13, 1], 0), ([1] * 8, 0)],
)
def test_a_diagram_has_a_limit(sizes: list[int], fits: bool) -> None:
    network = Network.from_sizes(sizes, dtype="float64", rng=0)
    y = np.zeros((sizes[-1], 1))
    if fits:
        circles = [p for p in diagram_of(network, y).patches if isinstance(p, Circle)]
        assert len(circles) == sum(sizes)
        return
    match = f"at most 6 layers and 12 neurons in each, this network has {len(sizes) - 1} and " + (
        "-".join(map(str, sizes))
    )
    with pytest.raises(ValueError, match=match):
        diagram_of(network, y)


def test_a_chain_inside_a_layer_is_drawn_as_the_network_s() -> None:
    layers = [dense(3, 4), Sequential([dense(4, 2), Sequential([dense(2, 2)])])]
    ax = diagram_of(Network(layers, "quadratic"), np.zeros((2, 1)))
    assert len(ax.collections[0].get_segments()) == 12 + 8 + 4
    assert {"layer 1\nsigmoid", "layer 2.1\nsigmoid", "layer 2.2.1\nsigmoid"} <= set(texts(ax))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Residual([dense(3, 3)]),
        lambda: Sequential([Residual([dense(3, 3)])]),
        lambda: Parallel([dense(3, 2), dense(3, 1)]),
    ],
)
def test_a_diagram_of_branches_is_refused(layer: Callable[[], Layer]) -> None:
    with pytest.raises(ValueError, match=r"columns of neurons: it cannot show (Residual|Parallel)"):
        diagram_of(Network([layer()], "quadratic"), np.zeros((3, 1)))


def dense(n_in: int, n_out: int) -> Dense:
    return Dense(n_in, n_out, dtype="float64", rng=0)


def test_what_is_no_diagram() -> None:
    network = small_network()
    with pytest.raises(TypeError, match=r"expected a trace, network.trace\(x, y\), got Network"):
        plots.network_diagram(network)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a diagram shows one example, got a trace of 3"):
        plots.network_diagram(network.trace(np.ones((4, 3)), np.ones((2, 3))))
    layers = [Flatten(), Dense(4, 2, dtype="float64", rng=0)]
    network = Network(layers, "quadratic", input_shape=(2, 2))
    with pytest.raises(ValueError, match=r"columns of neurons: it cannot show Flatten\(\)"):
        plots.network_diagram(network.trace(np.ones((2, 2, 1)), np.ones((2, 1))))
