from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backprop import Conv2d, plots
from tests.plots.examples import MATRIX, guesses, health, history, small_network, trained_network

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
    "network_diagram_without_trace": lambda **k: plots.network_diagram(small_network(), **k),
    "learning_curves_of_runs": lambda **k: plots.learning_curves(
        {"one": history(), "other": history(20)}, **k
    ),
    "kernels": lambda **k: plots.weights(Conv2d(3, 4, 3, rng=0), **k),
    "confusion_fractions": lambda **k: plots.confusion(MATRIX, fractions=True, **k),
    "gradient_norms": lambda **k: plots.gradient_norms(health(), **k),
    "gradient_norms_long": lambda **k: plots.gradient_norms(health(8, 300), "update_ratio", **k),
    "unit_health": lambda **k: plots.unit_health(health(), **k),
}

drawings = pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)


# -- every picture ---------------------------------------------------------------------------


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
@pytest.mark.parametrize("first", ["weights", "delta_histograms"])
def test_a_picture_takes_the_place_of_another_in_the_same_axes(
    draw: Callable[..., Axes], first: str
) -> None:
    """Pixel by pixel: nothing of the first is left, neither ticks, titles, scales nor notes."""
    with plots.new_figure(5, 4) as figure, plots.new_figure(5, 4) as expected:
        ax = figure.subplots()
        DRAWINGS[first](ax=ax)
        draw(ax=ax)
        draw(ax=expected.subplots())
        for each in (figure, expected):
            each.canvas.draw()
    assert figure.axes == [ax]
    np.testing.assert_array_equal(figure.canvas.buffer_rgba(), expected.canvas.buffer_rgba())


@drawings
def test_a_picture_drawn_twice_is_the_picture(draw: Callable[..., Axes]) -> None:
    if draw in (DRAWINGS["learning_curves"], DRAWINGS["learning_curves_log"]):
        pytest.skip("another run is added: test_curves.py")
    with plots.new_figure(5, 4) as figure:
        ax = figure.subplots()
        counts = []
        for _ in range(2):
            draw(ax=ax)
            figure.canvas.draw()
            counts.append((len(ax.get_children()), len(ax.texts), len(ax.child_axes)))
    assert counts[0] == counts[1]


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


def test_every_public_name_is_there() -> None:
    assert len(set(plots.__all__)) == len(plots.__all__)
    for name in plots.__all__:
        assert not isinstance(getattr(plots, name), types.ModuleType)


def test_a_figure_shows_itself_in_a_notebook() -> None:
    figure = plots.confusion(MATRIX).figure
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_an_axes_shows_its_figure_in_a_notebook() -> None:
    ax = plots.confusion(MATRIX)
    assert ax._repr_png_() == ax.figure._repr_png_()
    assert not hasattr(Figure().subplots(), "_repr_png_")  # one of your own is shown by you


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
    root = Path(plots.__file__).parents[2]
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


# -- figures and files -----------------------------------------------------------------------


def test_a_figure_of_ours_is_drawn_in_our_style_and_saved_whole(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    with plots.new_figure(6, 2) as figure:
        assert {**matplotlib.rcParams, **plots.STYLE} == dict(matplotlib.rcParams)
        left, right = figure.subplots(1, 2)
        plots.learning_curves(history(), ax=left)
        right.plot([1, 2], color=plots.BLUE)
    assert dict(matplotlib.rcParams) == before
    assert tuple(figure.get_size_inches()) == (6, 2)
    assert right.spines["left"].get_linewidth() == plots.STYLE["axes.linewidth"]
    for name, picture in (("figure", figure), ("axes", left)):
        plots.save(picture, tmp_path / f"{name}.png", dpi=100)
    one, two = (tmp_path / f"{name}.png" for name in ("figure", "axes"))
    assert one.read_bytes() == two.read_bytes()
    assert plt.imread(one).shape[1] > 500


def test_the_style_ends_with_the_block_whatever_happens_in_it() -> None:
    before = dict(matplotlib.rcParams)
    with pytest.raises(KeyError), plots.new_figure(6, 2):
        raise KeyError
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        ((0, 2), ValueError, r"new_figure: width must be in \(0, inf\), got 0"),
        ((6, "2"), TypeError, "new_figure: height must be a number, got '2'"),
    ],
)
def test_a_figure_without_a_size(size: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message), plots.new_figure(*size):
        pass


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
