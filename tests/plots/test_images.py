from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from backprop import Conv1d, Conv2d, ConvTranspose2d, Dense, Flatten, Network, plots
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
        (np.eye(4) * 1j, None, TypeError, "weights: the w must be real, got complex128"),
        (np.ones(4), None, ValueError, r"w must have the shape \(n_out, n_in\), .* got \(4,\)"),
        (np.ones((2, 3, 4, 4)), (4, 4), ValueError, "image_shape is for a layer of neurons"),
        (
            np.ones((2, 12)),
            (2, 6, 1, 1),
            ValueError,
            "2 x 6 x 1 x 1 has 12 pixels, expec",
        ),
        (
            Network([Dense(4, 2)], "quadratic"),
            None,
            TypeError,
            r"a Network; its first is network\[0",
        ),
        (np.ones((0, 4)), None, ValueError, r"must have the shape .* got \(0, 4\)"),
        (np.full((2, 4), np.nan), None, ValueError, "weights: .* is nan: w must be finite"),
        (
            np.ones((2, 12)),
            None,
            ValueError,
            "weights: 12 pixels make no square image: give image_shape",
        ),
        (
            np.ones((2, 12)),
            (3, 5),
            ValueError,
            "weights: image_shape 3 x 5 has 15 pixels, expected 12 as",
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


def tiles_of(ax: Axes) -> list[np.ndarray]:
    """Return what stands in every frame of a picture of kernels."""
    (image,), (frames,) = ax.images, ax.collections
    pixels = image.get_array()
    found = []
    for path in frames.get_paths():
        (x0, y0), (x1, y1) = path.vertices.min(axis=0) + 0.5, path.vertices.max(axis=0) + 0.5
        found.append(np.asarray(pixels[round(y0) : round(y1), round(x0) : round(x1)]))
    return found


@pytest.mark.parametrize(
    ("channels", "maps", "kernel"), [(1, 6, 5), (3, 4, 3), (8, 3, (2, 4)), (9, 2, 3), (20, 40, 5)]
)
def test_of_a_convolution_each_kernel_is_an_image_its_channels_in_order(
    channels: int, maps: int, kernel: Any
) -> None:
    layer = Conv2d(channels, maps, kernel, rng=0)
    ax = plots.weights(layer)
    shown = min(maps, 256 // channels)
    expected = layer.w[:shown].reshape(-1, *layer.w.shape[2:])
    np.testing.assert_array_equal(tiles_of(ax), expected)
    assert ax.images[0].get_array().count() == expected.size  # nothing else is drawn
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert high == pytest.approx(np.quantile(np.abs(expected), 0.999))
    title = ax.get_title(loc="left")
    assert ("the first" in title) == (shown < maps)
    assert (f"{channels} channels" in title) == (channels > 1)


@pytest.mark.parametrize("groups", [1, 2])
def test_of_a_transposed_convolution_an_image_is_that_of_an_output_map(groups: int) -> None:
    layer = ConvTranspose2d(4, 6, 3, groups=groups, rng=0)
    tiles = tiles_of(plots.weights(layer))
    if groups == 1:
        expected = [layer.w[i, o] for o in range(6) for i in range(4)]
    else:  # output maps 0 to 2 see the channels 0 and 1, the others 2 and 3
        expected = [layer.w[i + 2 * (o // 3), o % 3] for o in range(6) for i in range(2)]
    np.testing.assert_array_equal(tiles, expected)


def test_of_a_convolution_over_time_a_channel_is_a_row() -> None:
    layer = Conv1d(3, 5, 4, rng=0)
    np.testing.assert_array_equal(tiles_of(plots.weights(layer)), layer.w)


def test_the_channels_of_an_image_in_colour_stand_side_by_side() -> None:
    layer = Dense(3 * 4 * 5, 2, rng=0)
    tiles = tiles_of(plots.weights(layer, (3, 4, 5)))
    np.testing.assert_array_equal(tiles, layer.w.reshape(6, 4, 5))


def test_as_many_maps_as_asked_for_are_shown() -> None:
    assert len(tiles_of(plots.weights(Conv2d(20, 40, 3, rng=0), count=30))) == 600


def test_no_neurons_to_show_is_an_error() -> None:
    with pytest.raises(ValueError, match="weights: count must be at least 1, got 0"):
        plots.weights(np.eye(4), count=0)


# -- misclassified ---------------------------------------------------------------------------


def shown_images(ax: Axes) -> list[float]:
    """Return the pixel at the middle of each tile of `guesses`, along the first row."""
    pixels = ax.images[0].get_array()
    centres = [round(text.get_position()[0]) for text in ax.texts]
    return [float(pixels[2, x]) for x in centres]


def test_the_most_confident_mistakes_come_first_with_prediction_confidence_and_truth() -> None:
    ax = plots.misclassified(*guesses())
    assert texts(ax) == ["2 (95%)\nis 0", "1 (80%)\nis 2", "0 (70%)\nis 2"]
    assert shown_images(ax) == [3, 4, 1]
    assert ax.get_title(loc="left") == "3 of 6 wrong (50.00%)"


def test_images_as_columns_and_targets_instead_of_labels() -> None:
    _, a, labels = guesses()
    images = np.arange(6, dtype=np.uint8) * np.ones((9, 1), np.uint8)
    ax = plots.misclassified(images, a, np.eye(3)[:, labels], count=2)
    assert texts(ax) == ["2 (95%)\nis 0", "1 (80%)\nis 2"]
    pixels = ax.images[0].get_array()
    assert (pixels[:3, :3] == 3).all()
    assert (pixels[:3, 4:7] == 4).all()
    assert ax.get_title(loc="left") == "3 of 6 wrong (50.00%), 2 shown"


LAYOUTS = {
    "n x N": lambda x: (x.reshape(20, 6), {"image_shape": (4, 5)}),
    "N x n": lambda x: (x.reshape(20, 6).T, {"image_shape": (4, 5)}),
    "H x W x N": lambda x: (x, {}),
    "N x H x W": lambda x: (x.transpose(2, 0, 1), {}),
    "1 x H x W x N": lambda x: (x[np.newaxis], {}),
    "N x 1 x H x W": lambda x: (x.transpose(2, 0, 1)[:, np.newaxis], {}),
    "N x H x W x 1": lambda x: (x.transpose(2, 0, 1)[..., np.newaxis], {}),
}
COLOURED = {
    "n x N": lambda x: (x.reshape(60, 6), {"image_shape": (3, 4, 5)}),
    "C x H x W x N": lambda x: (x, {}),
    "N x C x H x W": lambda x: (x.transpose(3, 0, 1, 2), {}),
    "N x H x W x C": lambda x: (x.transpose(3, 1, 2, 0), {}),
    "H x W x C x N": lambda x: (x.transpose(1, 2, 0, 3), {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_grey_images_in_every_layout(layout: str) -> None:
    _, a, labels = guesses()
    x = np.random.default_rng(0).random((4, 5, 6))
    images, options = LAYOUTS[layout](x)
    ax = plots.misclassified(images, a, labels, **options)
    pixels = ax.images[0].get_array()
    for column, index in enumerate((3, 4, 1)):
        np.testing.assert_array_equal(pixels[:4, 6 * column : 6 * column + 5], x[..., index])
    assert texts(ax) == ["2 (95%)\nis 0", "1 (80%)\nis 2", "0 (70%)\nis 2"]


@pytest.mark.parametrize("kind", ["from 0 to 1", "bytes", "other numbers"])
@pytest.mark.parametrize("layout", COLOURED)
def test_coloured_images_in_every_layout(layout: str, kind: str) -> None:
    _, a, labels = guesses()
    colours = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 6)).astype(np.uint8)
    colours[:, 0, 0, 3], colours[:, 0, 1, 3] = 0, 255  # both ends of the scale are shown
    x = {"bytes": colours, "from 0 to 1": colours / 255, "other numbers": colours * 7.0 - 5}[kind]
    images, options = COLOURED[layout](x)
    ax = plots.misclassified(images, a, labels, **options)
    pixels = np.asarray(ax.images[0].get_array(), dtype=float)
    for column, index in enumerate((3, 4, 1)):
        expected = colours[..., index].transpose(1, 2, 0) / 255
        tile = pixels[:4, 6 * column : 6 * column + 5]
        np.testing.assert_allclose(tile, expected, atol=1e-6)
    assert (pixels[:4, 5] == 1).all()  # white between them


def test_where_both_axes_are_as_long_the_last_is_that_of_the_examples() -> None:
    a, labels = np.eye(2)[:, [0, 1, 1, 1]], np.array([0, 0, 1, 1])  # the second is wrong
    x = np.random.default_rng(0).random((4, 4, 4))
    pixels = plots.misclassified(x, a, labels).images[0].get_array()
    np.testing.assert_array_equal(pixels[:4, :4], x[..., 1])


@pytest.mark.parametrize(
    ("a", "expected"),
    [
        ([[0.999], [0.0]], ">99%"),
        ([[1.0], [0.0]], "100%"),
        ([[0.004], [0.0]], "0%"),
        ([[12.345], [-3.0]], "12.3"),
        ([[0.62]], "62%"),
        ([[0.38]], "62%"),
        ([[2.5]], "2.5"),
    ],
)
def test_the_confidence_is_a_percentage_where_outputs_are_between_0_and_1(
    a: Any, expected: str
) -> None:
    outputs = np.array(a)
    wrong = 1 if len(outputs) == 2 or outputs[0] < 0.5 else 0
    ax = plots.misclassified(np.ones((4, 1)), outputs, np.array([wrong]))
    (text,) = texts(ax)
    assert text == f"{1 - wrong} ({expected})\nis {wrong}"


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
    assert texts(ax)[0] == "Ankle boot (95%)\nis T-shirt/top"
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_a_single_output_decides_at_a_half() -> None:
    a = np.array([[0.9, 0.2, 0.6, 0.05]])
    ax = plots.misclassified(np.ones((4, 4)), a, np.array([1, 1, 0, 1]))
    assert texts(ax) == ["0 (95%)\nis 1", "0 (80%)\nis 1", "1 (60%)\nis 0"]


def test_of_mapped_images_only_those_shown_are_looked_at() -> None:
    images, a, labels = guesses()
    right = np.flatnonzero(a.argmax(axis=0) == labels)
    unseen = np.array(images, np.float64)
    unseen[..., right] = np.nan
    shown = plots.misclassified(unseen, a, labels).images[0].get_array()
    wanted = plots.misclassified(np.array(images, np.float64), a, labels).images[0].get_array()
    np.testing.assert_array_equal(shown, wanted)


def test_nothing_misclassified() -> None:
    images, a, _ = guesses()
    ax = plots.misclassified(images, a, a.argmax(axis=0))
    assert texts(ax) == ["nothing misclassified: all 6 right"]
    assert not ax.images


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"images": np.ones((4, 5))}, ValueError, r"must hold 6, .* \(n x 6, .* shape \(4, 5\)"),
        ({"images": np.ones(6)}, ValueError, r"images must hold 6, .* got the shape \(6,\)"),
        ({"images": np.ones((2, 4, 4, 6))}, ValueError, r"one channel or three, .* \(2, 4, 4\)"),
        ({"images": np.ones((4, 6)), "image_shape": (3, 2)}, ValueError, "3 x 2 has 6 pixels, exp"),
        ({"images": np.ones((12, 6))}, ValueError, "misclassified: 12 pixels make no square image"),
        ({"images": [[1.0]]}, TypeError, "misclassified: the images must be a numpy array, got li"),
        ({"images": np.full((4, 6), np.inf)}, ValueError, "misclassified: .* images must be finit"),
        ({"labels": np.array([0, 1])}, ValueError, r"^misclassified: y of shape \(2,\) does"),
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
