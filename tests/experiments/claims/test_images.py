"""Guards what is said of the committed figures of experiments/images, not what the code does."""

import numpy as np
import pytest

from tests.experiments.claims import committed


@pytest.fixture(scope="module")
def residual():
    return committed("residual")


def test_a_convolution_beats_ten_times_as_many_parameters():
    networks = committed("digits_convnet")["networks"]
    convolutional, few, many = networks.values()
    assert few["parameters"] <= convolutional["parameters"] < 0.11 * many["parameters"]
    worst = min(values[-1] for values in convolutional["test_accuracy"])
    assert worst >= 0.99
    assert worst > max(values[-1] for values in many["test_accuracy"])
    assert worst > 0.05 + max(values[-1] for values in few["test_accuracy"])


def test_every_seed_reaches_99_percent_on_mnist_in_15_minutes():
    result = committed("mnist_convnet")
    assert [result[name] for name in ("training", "validation", "test")] == [50_000, 10_000, 10_000]
    assert len(result["runs"]) == 3
    for net in result["runs"]:
        assert net["test_accuracy"] >= 0.99
        assert net["seconds"] <= 15 * 60


def test_the_deep_plain_net_is_worse_on_its_own_training_data(residual):
    assert residual["depths"][-1] == 40
    plain = np.array(residual["nets"]["plain"]["training_cost"])  # depths x seeds
    assert plain.shape[1] >= 3
    assert plain[-1].min() > 5 * plain[0].max()


def test_the_deep_residual_net_is_not(residual):
    nets = residual["nets"]
    cost = np.array(nets["residual"]["training_cost"])
    assert np.median(cost[-1]) < np.median(cost[0])
    accuracy = {kind: np.array(net["test_accuracy"]) for kind, net in nets.items()}
    assert accuracy["residual"][-1].min() > accuracy["plain"][-1].max() + 0.1


def test_delta_reaches_the_first_layer_of_the_residual_net_undiminished(residual):
    delta = np.array([start["delta"] for start in residual["nets"]["residual"]["start"]])
    sums = delta[:, :-1:2]  # where the two ways meet, from the first layer up
    assert (sums.max(axis=1) < 2 * sums.min(axis=1)).all()
    plain = np.array([start["delta"] for start in residual["nets"]["plain"]["start"]])
    assert np.median(plain[:, 0] / plain[:, -1]) > 0.1  # not what is wrong with it


def test_the_plain_net_makes_all_images_alike(residual):
    cosine = {
        kind: np.median([start["cosine"] for start in net["start"]], axis=0)
        for kind, net in residual["nets"].items()
    }
    assert cosine["plain"][0] == cosine["residual"][0] < 0.7
    assert cosine["plain"][-1] > 0.95
    assert cosine["residual"][-1] < 0.9
