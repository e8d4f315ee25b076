"""The adding problem: its data, and what delta tells of the steps."""

import numpy as np
import pytest

from experiments.sequences import adding_problem


def test_the_target_is_the_sum_of_the_two_marked_numbers():
    x, y = adding_problem.sequences(200, 11, np.random.default_rng(0))
    numbers, marked = x
    assert (marked[:5].sum(axis=0) == 1).all()
    assert (marked[5:].sum(axis=0) == 1).all()
    np.testing.assert_allclose((numbers * marked).sum(axis=0), y[0], rtol=1e-6)


def test_the_reach_is_relative_to_the_last_step_and_of_the_marked_steps():
    x, y = adding_problem.sequences(300, 12, np.random.default_rng(1))
    network = adding_problem.build("RNN", 12, 0)
    found = adding_problem.reach(network, x, y)
    assert found[-1] == 1
    norms = np.linalg.norm(network[0].delta.astype(float), axis=0)
    for t in (0, 7):
        marked = x[1, t] == 1
        expected = np.sqrt(np.mean(norms[t, marked] ** 2) / np.mean(norms[-1, x[1, -1] == 1] ** 2))
        assert found[t] == pytest.approx(expected, rel=1e-5)


def test_it_records_error_and_reach_of_every_layer(small_run):
    result = small_run("sequences.adding_problem").result("adding_problem")
    assert list(result["lengths"]) == ["12", "20"]
    for length, found in result["lengths"].items():
        assert list(found) == ["RNN", "LSTM", "GRU"]
        for curves in found.values():
            assert len(curves["error"]) == len(curves["reach"]) == 2
            assert len(curves["start"]) == len(curves["end"]) == int(length)
            assert curves["start"][-1] == curves["end"][-1] == 1
