from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from backprop.datasets import digits, make_digits


@pytest.fixture(scope="module")
def sample():
    return make_digits(2000, seed=11)


def test_shapes_and_types(sample):
    images, labels = sample
    assert images.shape == (2000, 28, 28)
    assert images.dtype == np.uint8
    assert labels.shape == (2000,)
    assert labels.dtype == np.uint8


def test_labels_are_balanced_and_shuffled(sample):
    runs = sample[1].reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(runs, axis=1), np.tile(np.arange(10), (200, 1)))
    assert len(np.unique(runs, axis=0)) > 190


def test_the_same_seed_gives_the_same_bits():
    for first, second in zip(make_digits(40, seed=5), make_digits(40, seed=5), strict=True):
        np.testing.assert_array_equal(first, second)
    assert (make_digits(40, seed=5)[0] != make_digits(40, seed=6)[0]).any(axis=(1, 2)).all()


@pytest.mark.parametrize("n", [0, 1, 499, 500, 501, 1207])
def test_an_image_depends_on_seed_and_position_alone(sample, n):
    images, labels = make_digits(n, seed=11)
    np.testing.assert_array_equal(images, sample[0][:n])
    np.testing.assert_array_equal(labels, sample[1][:n])


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_digits(10, seed=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(("n", "seed", "name"), [(-1, 0, "n"), (1, -1, "seed")])
def test_negative_arguments(n, seed, name):
    with pytest.raises(ValueError, match=f"^make_digits: {name} must be at least 0, got -1"):
        make_digits(n, seed)


@pytest.mark.parametrize(("n", "seed", "name"), [(1.5, 0, "n"), (1, "0", "seed")])
def test_arguments_that_are_not_integers(n, seed, name):
    with pytest.raises(TypeError, match=f"^make_digits: {name} must be an integer, got "):
        make_digits(n, seed)


def test_white_ink_on_black_in_the_middle(sample):
    images = sample[0] / 255
    assert 0.11 < images.mean() < 0.15  # MNIST: 0.13
    assert 0.28 < images.std() < 0.33  # MNIST: 0.31
    assert (images.max(axis=(1, 2)) > 0.8).all()
    assert (images == 0).mean() > 0.6
    rim = images.copy()
    rim[:, 1:-1, 1:-1] = 0
    assert rim.sum() < 0.002 * images.sum()
    # Longer side of the ink, up to the blur; and where its centre of mass lies.
    inked = images > 0.5
    sides = np.maximum(inked.any(axis=1).sum(axis=1), inked.any(axis=2).sum(axis=1))
    assert sides.min() >= 13
    assert sides.max() <= 22
    rows = (images.sum(axis=2) @ np.arange(28)) / images.sum(axis=(1, 2))
    assert abs(rows - 13.5).max() < 3.5


def test_strokes_are_unbroken(sample):
    images, labels = sample
    pieces = np.array([ndimage.label(image > 60, np.ones((3, 3)))[1] for image in images])
    assert (pieces <= 3).all()
    in_one_piece = np.isin(labels, [0, 1, 2, 3, 6, 8, 9])  # 4, 5 and 7 may be drawn in pieces
    assert (pieces[in_one_piece] == 1).all()


def test_an_8_has_two_holes_and_a_0_has_one(sample):
    images, labels = sample
    holes = np.array([ndimage.label(image < 60)[1] - 1 for image in images])
    assert (holes[labels == 0] == 1).mean() > 0.95
    assert (holes[labels == 8] == 2).mean() > 0.75
    assert (holes[np.isin(labels, [1, 5, 7])] == 0).mean() > 0.9


def test_neighbours_tell_the_digits_better_than_means_do(sample):
    # Recognisable, but not by one template per digit.
    x, labels = sample[0].reshape(2000, -1) / 255, sample[1]
    train, test = slice(0, 1500), slice(1500, 2000)

    def distances(centres):
        return (centres**2).sum(axis=1) - 2 * x[test] @ centres.T

    nearest = labels[train][distances(x[train]).argmin(axis=1)]
    means = np.stack([x[train][labels[train] == digit].mean(axis=0) for digit in range(10)])
    by_neighbour = (nearest == labels[test]).mean()
    by_mean = (distances(means).argmin(axis=1) == labels[test]).mean()
    assert by_neighbour > 0.85
    assert by_mean < 0.8


def test_every_digit_has_several_skeletons_within_the_box():
    assert len(digits._WAYS) == 10
    for ways in digits._WAYS:
        assert len(ways) >= 3
        for strokes in ways:
            points = np.array([point for stroke in strokes for point in stroke])
            assert points.min(axis=0).tolist() >= [0, 0]
            assert np.ptp(points[:, 1]) >= 94
            assert points.max(axis=0)[1] <= 100


def test_pieces_of_path_are_too_short_to_show_as_beads():
    for skeleton in digits._skeletons():
        assert skeleton.path.shape == skeleton.step.shape == (100, len(skeleton.points))
        pieces = np.hypot(*(skeleton.step @ skeleton.points).T) * digits._BOX[1] / 100
        assert pieces.max() < 1.5 * digits._PEN[0]
        np.testing.assert_allclose(skeleton.path.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(skeleton.step.sum(axis=1), 0, atol=1e-5)


def test_the_spline_goes_through_its_points():
    at = np.arange(5.0)
    np.testing.assert_allclose(digits._catmull_rom(at, 5, closed=False), np.eye(5), atol=1e-15)


def test_the_spline_between_points_matches_the_cubic_worked_by_hand():
    # Half way: (-1, 9, 9, -1) / 16; at the end of an open curve the missing neighbour of points
    # 0 and 1 is 2 p0 - p1, which gives (9 - 2) / 16, (9 + 1) / 16, -1 / 16.
    rows = digits._catmull_rom(np.array([1.5, 0.5]), 4, closed=False) * 16
    np.testing.assert_allclose(rows, [[-1, 9, 9, -1], [7, 10, -1, 0]], atol=1e-14)


def test_a_straight_open_curve_stays_straight_and_even():
    t = np.linspace(0, 3, 13)
    rows = digits._catmull_rom(t, 4, closed=False)
    np.testing.assert_allclose(rows @ [0.0, 2.0, 4.0, 6.0], 2 * t, atol=1e-14)


def test_a_closed_curve_is_smooth_where_it_closes():
    points = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 1.0]])
    h = 1e-6
    rows = digits._catmull_rom(np.array([0, h, 4 - h, 4]), 5, closed=True) @ points
    np.testing.assert_allclose((rows[1] - rows[0]) / h, [1, 0], atol=1e-5)
    np.testing.assert_allclose((rows[3] - rows[2]) / h, [1, 0], atol=1e-5)


def test_ink_is_shared_by_distance_and_none_is_lost():
    path = np.array([[[10.5], [20.75]], [[5.5], [7.0]]], dtype=np.float32)  # 2 x samples x N
    ink = digits._deposit(path, np.array([[2.0], [4.0]], dtype=np.float32))
    assert ink.shape == (1, 56, 56)
    expected = np.zeros((56, 56))
    expected[5, 10] = 2.0  # the middle of a cell
    expected[6:8, 20:22] = [[4 * 0.5 * 0.75, 4 * 0.5 * 0.25]] * 2
    np.testing.assert_allclose(ink[0], expected, atol=1e-6)
