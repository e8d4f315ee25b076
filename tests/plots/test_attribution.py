"""Attributions over images: a row of images, and a row of maps for every method."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import plots
from tests.plots.examples import texts


def test_rows_of_images_and_maps() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((1, 5, 6, 4))
    maps = {"one": rng.standard_normal(images.shape), "two": np.zeros(images.shape)}
    ax = plots.attributions(images, maps, count=3, titles=["a", "b", "c"])
    (image,) = ax.images
    assert image.get_array().shape == (3 * 5 + 2, 3 * 6 + 2, 3)
    assert texts(ax)[:6] == ["input", "one", "two", "a", "b", "c"]


def test_red_speaks_for_and_blue_against() -> None:
    images = np.zeros((4, 1))
    ax = plots.attributions(images, np.array([[1.0], [-1.0], [0.0], [0.0]]))
    found = ax.images[0].get_array()
    assert found[3, 0, 0] > found[3, 0, 2]  # below the gap, the first pixel of the map
    assert found[3, 1, 2] > found[3, 1, 0]
    np.testing.assert_allclose(found[4, :2], 0.97, atol=0.02)  # 0 is white


def test_the_image_is_seen_under_its_map() -> None:
    images = np.array([[0.0], [1.0], [0.0], [0.0]])
    found = plots.attributions(images, np.zeros((4, 1))).images[0].get_array()
    assert found[3, 1].max() < 0.6 < found[3, 0].min()


def test_mistakes() -> None:
    images = np.zeros((4, 2))
    with pytest.raises(ValueError, match=r"attributions: lrp must have the shape of the images"):
        plots.attributions(images, {"lrp": np.zeros((4, 3))})
    with pytest.raises(ValueError, match=r"attributions: maps\[0, 0\] is nan: maps must be"):
        plots.attributions(images, np.full((4, 2), np.nan))
    with pytest.raises(TypeError, match="attributions: the images must be a numpy array, got list"):
        plots.attributions(images.tolist(), images)
    with pytest.raises(ValueError, match="expected 2 titles, got 1"):
        plots.attributions(images, images, titles=["a"])
    with pytest.raises(ValueError, match="make no square image"):
        plots.attributions(np.zeros((5, 2)), np.zeros((5, 2)))
