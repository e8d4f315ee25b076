"""Attributions of digits: the experiment writes a map of every method for every class."""

import numpy as np


def test_every_method_has_a_map_of_every_digit(small_run):
    run = small_run("research.attribution")
    result = run.result("attribution")
    assert result["labels"][0] == 0
    assert np.shape(result["images"]) == (28, 28, 10)
    assert len(result["maps"]) == 6
    for found in result["maps"].values():
        assert np.shape(found) == (28, 28, 10)
        assert np.abs(found).max() == 1
