"""The book's chapter 5 figures: the experiment runs, and what is committed keeps their message."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

# Of the book's one random draw, on the first 1,000 images of MNIST, before any training.
BOOK = {
    "2": [0.0657, 0.309],
    "3": [0.0118, 0.0600, 0.283],
    "4": [0.00298, 0.0171, 0.0695, 0.285],
}


@pytest.fixture(scope="module")
def committed():
    path = ROOT / "experiments" / "figures" / "learning_speed.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_experiment_runs_on_little_data(tmp_path, idx_folder):
    script = ROOT / "experiments" / "learning_speed.py"
    options = ["--data", str(idx_folder), "--steps", "7", "--seeds", "2", "--out", str(tmp_path)]
    found = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False
    )
    assert found.stderr == ""
    assert "4 hidden layers: median (range) of 2 seeds, and the book's" in found.stdout
    assert "after 6 steps (the book: 499)" in found.stdout
    result = json.loads((tmp_path / "learning_speed.json").read_text(encoding="utf-8"))
    assert (result["data"], result["examples"], result["seeds"]) == ("tiny", 240, 2)
    for hidden, net in result["hidden_layers"].items():
        assert np.shape(net["first"]) == np.shape(net["last"]) == (2, int(hidden))
        assert net["steps"] == [0, 5, 6]
        assert np.shape(net["median"]) == (int(hidden), 3)
        for layer in range(int(hidden)):
            ends = np.transpose([net["first"], net["last"]])[layer]
            for at, values in ((0, ends[:, 0]), (-1, ends[:, 1])):
                assert net["low"][layer][at] == min(values)
                assert net["high"][layer][at] == max(values)
    assert (tmp_path / "learning_speed.png").read_bytes().startswith(b"\x89PNG")


def test_the_speed_is_the_norm_of_the_mean_bias_gradient(monkeypatch, tmp_path):
    """One example at a time and without the penalty, as the book's program computes it."""
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import learning_speed

    from backprop import Network

    rng = np.random.default_rng(0)
    x = rng.random((12, 25), dtype=np.float32)
    y = np.eye(3, dtype=np.float32)[:, rng.integers(3, size=25)]
    found = learning_speed.speeds(x, y, hidden=2, steps=3, seed=5)
    assert found.shape == (3, 2)

    network = Network.from_sizes([12, 30, 30, 3], cost="cross_entropy", rng=5)
    w = [layer.w.astype(float) for layer in network.layers]
    b = [layer.b.astype(float) for layer in network.layers]
    for step in range(3):
        nabla_w, nabla_b = [0.0] * 3, [0.0] * 3
        for j in range(25):
            a = [x[:, [j]]]
            for k in range(3):
                a.append(1 / (1 + np.exp(-(w[k] @ a[k] + b[k]))))
            delta = a[3] - y[:, [j]]
            for k in (2, 1, 0):
                nabla_w[k] = nabla_w[k] + delta @ a[k].T / 25
                nabla_b[k] = nabla_b[k] + delta / 25
                delta = (w[k].T @ delta) * a[k] * (1 - a[k])
        norms = [np.linalg.norm(nabla_b[k]) for k in range(2)]
        np.testing.assert_allclose(found[step], norms, rtol=1e-4)
        for k in range(3):
            w[k] = (1 - 0.1 * 5.0 / 25) * w[k] - 0.1 * nabla_w[k]
            b[k] = b[k] - 0.1 * nabla_b[k]


@pytest.mark.parametrize("hidden", BOOK)
def test_at_the_start_every_earlier_layer_is_slower(committed, hidden):
    first = np.array(committed["hidden_layers"][hidden]["first"])
    assert first.shape == (20, int(hidden))
    assert (first[:, 1:] > 2 * first[:, :-1]).all()


@pytest.mark.parametrize("hidden", BOOK)
def test_the_book_s_norms_at_the_start_are_among_ours(committed, hidden):
    assert committed["data"] == "MNIST"
    first = np.array(committed["hidden_layers"][hidden]["first"])
    book = np.array(BOOK[hidden])
    assert (first.min(axis=0) < book).all()
    assert (book < first.max(axis=0)).all()
    ratio = np.median(first, axis=0) / book
    assert (ratio > 0.5).all()
    assert (ratio < 2).all()


def test_the_first_of_four_hidden_layers_is_about_a_hundred_times_slower(committed):
    first = np.array(committed["hidden_layers"]["4"]["first"])
    assert 30 < np.median(first[:, -1] / first[:, 0]) < 300


def test_while_four_hidden_layers_train_the_order_stays(committed):
    net = committed["hidden_layers"]["4"]
    assert net["steps"][-1] == 499
    median = np.array(net["median"])
    assert (median[1:] > 2 * median[:-1]).all()
    last = np.median(net["last"], axis=0)
    ratio = last / [8.2e-6, 2.6e-5, 1.8e-4, 9.2e-4]  # the book's
    assert (ratio > 0.5).all()
    assert (ratio < 2).all()
