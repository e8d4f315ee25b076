"""All that a picture says is inside its figure, also where a file is as large as that alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from backprop import Network, plots
from backprop.layers import Conv1d, Conv2d
from tests.plots.examples import (
    MATRIX,
    guesses,
    health,
    history,
    texts,
    trained_network,
)

BOOKS = Network.from_sizes([784, 30, 10], rng=0)
LONG = {"a name of a run that has very many words in it": history(8), "short": history(9)}
SIZES = {name: {"sizes": "784-" + "20-" * 9 * (name == "short") + "10"} for name in LONG}


def trace(n_in: int, size: float, y: float) -> Any:
    network = Network.from_sizes([n_in, 3, 2], rng=0)
    return network.trace(np.full((n_in, 1), size, np.float32), np.full((2, 1), y, np.float32))


PICTURES: dict[str, Callable[[], Any]] = {
    "784-30-10": lambda: plots.network_diagram(BOOKS),
    "2-1": lambda: plots.network_diagram(Network.from_sizes([2, 1], rng=0)),
    "12-1": lambda: plots.network_diagram(Network.from_sizes([12, 1], "gelu", rng=0)),
    "six layers": lambda: plots.network_diagram(Network.from_sizes([9] * 7, "leaky_relu", rng=0)),
    "large indices": lambda: plots.network_diagram(Network.from_sizes([2000, 1500, 1200], rng=0)),
    "trace": lambda: plots.network_diagram(trace(4, 0.5, 0.125)),
    "trace of large numbers": lambda: plots.network_diagram(trace(30, -1234.5, -1e-12)),
    "curves": lambda: plots.learning_curves(history()),
    "curves of runs": lambda: plots.learning_curves(LONG, "accuracy"),
    "comparison": lambda: plots.comparison(LONG, SIZES),
    "comparison of 12": lambda: plots.comparison({f"run {i}": history(9) for i in range(12)}),
    "norms": lambda: plots.gradient_norms(health()),
    "units": lambda: plots.unit_health(health(12)),
    "units of one layer": lambda: plots.unit_health(health(1)),
    "weights": lambda: plots.weights(BOOKS[0]),
    "weights of one neuron": lambda: plots.weights(BOOKS[0], count=1),
    "flat kernels": lambda: plots.weights(Conv1d(1, 2, 9, rng=0)),
    "kernels": lambda: plots.weights(Conv2d(8, 16, 3, groups=4, rng=0)),
    "activations": lambda: plots.activation_histograms(trained_network()),
    "deltas": lambda: plots.delta_histograms(trained_network()),
    "confusion": lambda: plots.confusion(MATRIX, class_names=["a long name", "b", "another one"]),
    "confusion of two": lambda: plots.confusion(MATRIX[:2, :2], class_names=["Ankle boot"] * 2),
    "percentages": lambda: plots.confusion(1000 * MATRIX, fractions=True),
    "mistakes": lambda: plots.misclassified(*guesses()),
}


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_nothing_that_is_written_leaves_the_figure(draw: Callable[[], Any]) -> None:
    picture = draw()
    figure: Figure = picture if isinstance(picture, Figure) else picture.figure
    for _ in range(2):  # drawn again it is laid out again
        figure.canvas.draw()
        room = figure.bbox.padded(0.5)
        outside = [
            (text.get_text(), box)
            for text in written(figure)
            if not (room.x0 < (box := text.get_window_extent()).x0 < box.x1 < room.x1)
            or not (room.y0 < box.y0 < box.y1 < room.y1)
        ]
        assert outside == []


def written(figure: Figure) -> list[Text]:
    """Return the texts of a figure that are seen."""
    ticks: set[Text] = set()
    seen: list[Text] = []
    for ax in [*figure.axes, *(child for parent in figure.axes for child in parent.child_axes)]:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                ticks |= {tick.label1, tick.label2}
                if ax.axison and low <= tick.get_loc() <= high:
                    seen += [label for label in (tick.label1, tick.label2) if label.get_visible()]
        if not ax.axison:
            ticks |= {ax.xaxis.label, ax.yaxis.label}
    seen += [text for text in figure.findobj(Text) if text not in ticks and text.get_visible()]
    return [text for text in seen if text.get_text().strip()]


def test_the_names_beside_neurons_can_be_read() -> None:
    ax = plots.network_diagram(BOOKS)
    assert {"$x_{784}$", "$a_{10}$"} <= set(texts(ax))
    assert all(text.get_fontsize() >= 8 for text in ax.texts)
    small = Figure(figsize=(5, 4), layout="constrained").subplots()
    assert all(t.get_fontsize() >= 6 for t in plots.network_diagram(BOOKS, ax=small).texts)


def test_a_number_fits_into_its_neuron() -> None:
    ax = plots.network_diagram(trace(4, -1234.5, 1.0))
    ax.figure.canvas.draw()
    [width, *_] = {round(p.get_window_extent().width, 3) for p in ax.patches[:4]}
    numbers = [text for text in ax.texts if text.get_text() == "-1.23e+03"]
    assert len(numbers) == 4
    assert all(text.get_window_extent().width < width for text in numbers)
