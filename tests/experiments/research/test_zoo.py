"""The figure of the zoo: every fault is seen in it, and none once it is mended."""

import numpy as np
import pytest

from backprop.zoo import EXHIBITS
from experiments.research import zoo


def distance(slopes) -> float:
    """Return how far the worst point is from the diagonal, beside the largest slope."""
    parts = [zip(part["found"], part["said"], strict=True) for part in slopes.values()]
    pairs = np.array([pair for part in parts for pair in part])
    return float(np.abs(np.subtract(*pairs.T)).max() / np.abs(pairs).max())


def test_all_layers_are_measured(small_run):
    assert list(small_run("research.zoo").result("zoo")) == list(EXHIBITS)


@pytest.mark.parametrize("name", EXHIBITS)
def test_a_fault_is_seen_and_what_is_mended_lies_on_the_diagonal(name, small_run):
    assert distance(small_run("research.zoo").result("zoo")[name]) > 0.1
    assert distance(zoo.measure(EXHIBITS[name], EXHIBITS[name].solution)) < 1e-5
