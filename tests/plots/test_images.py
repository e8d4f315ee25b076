from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from backprop import Dense, Flatten, plots
from backprop.plots.images import _mosaic_columns
from tests.plots.examples import guesses, texts

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
    columns = _mosaic_columns(n)
    rows = -(-n // columns)
    assert rows <= columns <= 2.5 * rows + 1
    assert columns * rows - n <= max(1, 0.1 * n)


@pytest.mark.parametrize(
    ("w", "shape", "error", "message"),
    [
        (Flatten(), None, TypeError, r"weights: expected a layer with .*got Flatten\(\)"),
        ([[1.0]], None, TypeError, r"expected a layer with weights w.*got \[\[1.0\]\]"),
        (np.eye(4) * 1j, None, TypeError, "weights: w must be an array of real.*got complex128"),
        (np.ones(4), None, ValueError, r"w must have the shape \(n_out, n_in\), got \(4,\)"),
        (np.ones((0, 4)), None, ValueError, r"must have the shape .* got \(0, 4\)"),
        (np.full((2, 4), np.nan), None, ValueError, "weights: w must be finite, got NaN"),
        (np.ones((2, 12)), None, ValueError, "weights: 12 pixels make no square image"),
        (
            np.ones((2, 12)),
            (3, 5),
            ValueError,
            "weights: image_shape 3 x 5 has 15 pixels, expected 12",
        ),
        (np.ones((2, 12)), (3, 4.0), TypeError, "weights: image_shape must be an integer, got 4.0"),
        (np.ones((2, 12)), (-3, -4), ValueError, "weights: image_shape must be at least 1, got -3"),
    ],
)
def test_what_are_no_weights_of_images(
    w: Any, shape: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plots.weights(w, shape)


def test_no_neurons_to_show_is_an_error() -> None:
    with pytest.raises(ValueError, match="weights: count must be at least 1, got 0"):
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
        ({"images": np.ones((12, 6))}, ValueError, "misclassified: 12 pixels make no square image"),
        (
            {"images": [[1.0]]},
            TypeError,
            "misclassified: images must be an array of real numbers, got list",
        ),
        ({"images": np.full((4, 6), np.inf)}, ValueError, "misclassified: images must be finite"),
        ({"labels": np.array([0, 1])}, ValueError, r"y of shape \(2,\) does not fit"),
        ({"labels": np.array([0, 2, 1, 0, 2, 3])}, ValueError, "label 3 is out of range"),
        (
            {"class_names": ["a", "b"]},
            ValueError,
            "misclassified: class_names must hold 3 names, got 2",
        ),
        ({"count": 0}, ValueError, "misclassified: count must be at least 1, got 0"),
    ],
)
def test_mistakes_that_do_not_fit(
    changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = dict(zip(("images", "a", "labels"), guesses(), strict=True))
    with pytest.raises(error, match=message):
        plots.misclassified(**{**arguments, **changed})
