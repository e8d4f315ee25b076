"""Guards what is said of the committed figures of experiments/book, not what the code does."""

import numpy as np
import pytest

from tests.experiments.claims import committed

# Of the book's one random draw, on the first 1,000 images of MNIST, before any training.
BOOK = {
    "2": [0.0657, 0.309],
    "3": [0.0118, 0.0600, 0.283],
    "4": [0.00298, 0.0171, 0.0695, 0.285],
}


@pytest.fixture(scope="module")
def learning_speed():
    return committed("learning_speed")


def test_a_hidden_layer_gains_four_points_on_the_built_in_digits():
    """A softmax regression stays at least 4 points below a net with one hidden layer."""
    accuracy = committed("hidden_layer")["test_accuracy"]
    assert max(accuracy["no hidden layer"]) <= accuracy["30 hidden"][-1] - 0.04


@pytest.mark.parametrize("hidden", BOOK)
def test_at_the_start_every_earlier_layer_is_slower(learning_speed, hidden):
    first = np.array(learning_speed["hidden_layers"][hidden]["first"])
    assert first.shape == (20, int(hidden))
    assert (first[:, 1:] > 2 * first[:, :-1]).all()


@pytest.mark.parametrize("hidden", BOOK)
def test_the_book_s_norms_at_the_start_are_among_ours(learning_speed, hidden):
    assert learning_speed["data"] == "MNIST"
    first = np.array(learning_speed["hidden_layers"][hidden]["first"])
    book = np.array(BOOK[hidden])
    assert (first.min(axis=0) < book).all()
    assert (book < first.max(axis=0)).all()
    ratio = np.median(first, axis=0) / book
    assert (ratio > 0.5).all()
    assert (ratio < 2).all()


def test_the_first_of_four_hidden_layers_is_about_a_hundred_times_slower(learning_speed):
    first = np.array(learning_speed["hidden_layers"]["4"]["first"])
    assert 30 < np.median(first[:, -1] / first[:, 0]) < 300


def test_while_four_hidden_layers_train_the_order_stays(learning_speed):
    net = learning_speed["hidden_layers"]["4"]
    assert net["steps"][-1] == 499
    median = np.array(net["median"])
    assert (median[1:] > 2 * median[:-1]).all()
    last = np.median(net["last"], axis=0)
    ratio = last / [8.2e-6, 2.6e-5, 1.8e-4, 9.2e-4]  # the book's
    assert (ratio > 0.5).all()
    assert (ratio < 2).all()
