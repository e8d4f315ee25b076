"""Plain and residual nets: the experiment runs, and its figure shows what it says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backprop import Dense

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def committed():
    return json.loads((ROOT / "experiments" / "figures" / "residual.json").read_text())


@pytest.fixture
def residual(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import residual

    return residual


def test_the_experiment_runs_on_little_data(tmp_path, idx_folder):
    script = ROOT / "experiments" / "residual.py"
    options = ["--depths", "4", "12", "--epochs", "2", "--seeds", "2", "--out", str(tmp_path)]
    found = subprocess.run(
        [sys.executable, str(script), "--data", str(idx_folder), *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stderr == ""
    assert "residual, 12 layers: training cost" in found.stdout
    result = json.loads((tmp_path / "residual.json").read_text())
    assert (result["data"], result["depths"]) == ("tiny", [4, 12])
    for net in result["nets"].values():
        assert np.shape(net["training_cost"]) == np.shape(net["test_accuracy"]) == (2, 2)
        assert [len(start["delta"]) for start in net["start"]] == [12, 12]
        assert [len(start["cosine"]) for start in net["start"]] == [6, 6]
    assert (tmp_path / "residual.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("depth", [4, 10])
def test_both_nets_have_the_same_layers_and_one_sum_a_block_more(residual, depth):
    x = np.random.default_rng(0).random((6, 5), dtype=np.float32)
    nets = {kind: residual.build(kind, depth, 6, seed=1) for kind in ("plain", "residual")}
    shapes = {
        kind: [layer.w.shape for _, layer in net.walk() if isinstance(layer, Dense)]
        for kind, net in nets.items()
    }
    assert shapes["plain"] == shapes["residual"]
    assert len(shapes["plain"]) == depth
    for kind, net in nets.items():
        a = x
        dense = [layer for _, layer in net.walk() if isinstance(layer, Dense)]
        a = np.maximum(dense[0].w @ a, 0)  # b starts at 0
        for first, second in zip(dense[1:-1:2], dense[2:-1:2], strict=True):
            f = second.w @ np.maximum(first.w @ a, 0)
            a = np.maximum(f if kind == "plain" else a + f, 0)
        z = dense[-1].w @ a
        np.testing.assert_allclose(net.predict(x), np.exp(z) / np.exp(z).sum(axis=0), rtol=1e-4)


def test_delta_is_that_of_one_example_and_the_cosine_that_of_pairs(residual):
    rng = np.random.default_rng(0)
    x, y = rng.random((6, 5), dtype=np.float32), np.arange(5)
    net = residual.build("residual", 6, 6, seed=1)
    start = residual.at_the_start(net, x, y)
    a = net.layers[1].a
    pairs = [
        a[:, i] @ a[:, j] / (np.linalg.norm(a[:, i]) * np.linalg.norm(a[:, j]))
        for i in range(5)
        for j in range(5)
        if i != j
    ]
    assert start["cosine"][1] == pytest.approx(np.mean(pairs), rel=1e-3)
    squares = []
    for j in range(5):
        net.forward(x[:, [j]], training=True)
        net.backward(y[[j]])
        squares.append(np.square(net.layers[0].delta).sum())
    assert start["delta"][0] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-3)


def test_the_deep_plain_net_is_worse_on_its_own_training_data(committed):
    assert committed["depths"][-1] == 40
    plain = np.array(committed["nets"]["plain"]["training_cost"])  # depths x seeds
    assert plain.shape[1] >= 3
    assert plain[-1].min() > 5 * plain[0].max()


def test_the_deep_residual_net_is_not(committed):
    nets = committed["nets"]
    cost = np.array(nets["residual"]["training_cost"])
    assert np.median(cost[-1]) < np.median(cost[0])
    accuracy = {kind: np.array(net["test_accuracy"]) for kind, net in nets.items()}
    assert accuracy["residual"][-1].min() > accuracy["plain"][-1].max() + 0.1


def test_delta_reaches_the_first_layer_of_the_residual_net_undiminished(committed):
    delta = np.array([start["delta"] for start in committed["nets"]["residual"]["start"]])
    sums = delta[:, :-1:2]  # where the two ways meet, from the first layer up
    assert (sums.max(axis=1) < 2 * sums.min(axis=1)).all()
    plain = np.array([start["delta"] for start in committed["nets"]["plain"]["start"]])
    assert np.median(plain[:, 0] / plain[:, -1]) > 0.1  # not what is wrong with it


def test_the_plain_net_makes_all_images_alike(committed):
    cosine = {
        kind: np.median([start["cosine"] for start in net["start"]], axis=0)
        for kind, net in committed["nets"].items()
    }
    assert cosine["plain"][0] == cosine["residual"][0] < 0.7
    assert cosine["plain"][-1] > 0.95
    assert cosine["residual"][-1] < 0.9
