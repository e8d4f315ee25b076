from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from backprop import plots
from tests.plots.examples import MATRIX, tick_labels


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
    ax = plots.confusion(MATRIX, class_names=["bag", "coat", "sandal"])
    assert tick_labels(ax, "x") == tick_labels(ax, "y") == ["bag", "coat", "sandal"]
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def some_outputs(k: int, n: int = 500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return outputs, labels, and by hand how often which is taken for which."""
    rng = np.random.default_rng(k)
    labels = rng.integers(0, k, n)
    a = rng.random((k, n))
    a[labels, np.arange(n)] += rng.random(n) > 0.3
    counts = np.zeros((k, k), int)
    for true, predicted in zip(labels, a.argmax(axis=0), strict=True):
        counts[true, predicted] += 1
    return a, labels, counts


@pytest.mark.parametrize("k", [2, 10, 26])
@pytest.mark.parametrize("one_hot", [False, True])
def test_outputs_and_labels_are_counted(k: int, one_hot: bool) -> None:
    a, labels, counts = some_outputs(k)
    ax = plots.confusion(a, np.eye(k)[:, labels] if one_hot else labels)
    cells = {text.get_position()[::-1]: text.get_text() for text in ax.texts}
    assert cells == {place: str(count) for place, count in np.ndenumerate(counts)}
    right = counts.trace()
    assert ax.get_title(loc="left") == f"{right} of 500 right ({right / 500:.2%})"


def test_a_single_output_has_two_classes() -> None:
    ax = plots.confusion(np.array([[0.9, 0.2, 0.6, 0.4]]), np.array([1, 0, 0, 1]))
    assert [text.get_text() for text in ax.texts] == ["1"] * 4


@pytest.mark.parametrize("k", [10, 26])
def test_fractions_are_percentages_of_the_true_class_that_fit_their_cells(k: int) -> None:
    a, labels, counts = some_outputs(k, 5000)
    ax = plots.confusion(a, labels, fractions=True)
    shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    for text in ax.texts:
        j, i = text.get_position()
        written = text.get_text()
        if written != "<.1":
            assert float(written) == pytest.approx(
                shares[i, j], abs=0.05 if len(written) > 2 else 1
            )
        assert (written == "0") == (counts[i, j] == 0)
        assert (written == "100") == (shares[i, j] == 100)
    ax.figure.canvas.draw()
    side = ax.get_window_extent().width / k
    assert all(text.get_window_extent().width < side for text in ax.texts)
    assert ax.get_title(loc="left").endswith("; cells: % of the true class")


def test_outputs_without_labels_lead_on_to_them() -> None:
    with pytest.raises(TypeError, match=r"got float64; .* give the labels too: confusion\(a, lab"):
        plots.confusion(np.eye(3))
    with pytest.raises(ValueError, match="does not fit outputs of shape"):
        plots.confusion(np.eye(3), np.array([0, 1]))


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
        (MATRIX, ["a", "b"], ValueError, "confusion: class_names must hold 3 names, got 2"),
    ],
)
def test_what_is_no_confusion_matrix(
    matrix: Any, names: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plots.confusion(matrix, class_names=names)
