"""The adding problem: its data, what delta tells, and the committed figure."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def adding(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import adding_problem

    return adding_problem


def test_the_target_is_the_sum_of_the_two_marked_numbers(adding):
    x, y = adding.sequences(200, 11, np.random.default_rng(0))
    numbers, marked = x
    assert (marked[:5].sum(axis=0) == 1).all()
    assert (marked[5:].sum(axis=0) == 1).all()
    np.testing.assert_allclose((numbers * marked).sum(axis=0), y[0], rtol=1e-6)


def test_the_reach_is_relative_to_the_last_step_and_of_the_marked_steps(adding):
    x, y = adding.sequences(300, 12, np.random.default_rng(1))
    network = adding.build("RNN", 12, 0)
    found = adding.reach(network, x, y)
    assert found[-1] == 1
    norms = np.linalg.norm(network[0].delta.astype(float), axis=0)
    for t in (0, 7):
        marked = x[1, t] == 1
        expected = np.sqrt(np.mean(norms[t, marked] ** 2) / np.mean(norms[-1, x[1, -1] == 1] ** 2))
        assert found[t] == pytest.approx(expected, rel=1e-5)


def test_the_experiment_runs_on_short_sequences(tmp_path):
    script = ROOT / "experiments" / "adding_problem.py"
    options = ["--lengths", "12", "20", "--epochs", "1", "--out", str(tmp_path)]
    found = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False
    )
    assert found.stderr == ""
    assert found.returncode == 0
    assert (tmp_path / "adding_problem.png").stat().st_size > 10_000


def test_the_committed_figure_shows_what_it_says():
    result = json.loads((ROOT / "experiments" / "figures" / "adding_problem.json").read_text())
    longest = result["lengths"][max(result["lengths"], key=int)]
    assert longest["RNN"]["error"][-1] > 0.1  # of always 1: 0.167
    assert longest["LSTM"]["error"][-1] < 0.02
    assert longest["LSTM"]["reach"][-1] > 10 * longest["RNN"]["reach"][-1]
