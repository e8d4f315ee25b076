"""Plain and residual nets: that they are comparable, and how delta and likeness are measured."""

import numpy as np
import pytest

from backprop import Dense
from experiments.images import residual


def test_it_records_both_nets_at_every_depth(small_run):
    run = small_run("images.residual")
    assert "residual, 12 layers: training cost" in run.stdout
    result = run.result("residual")
    assert (result["data"], result["depths"]) == ("tiny", [4, 12])
    for net in result["nets"].values():
        assert np.shape(net["training_cost"]) == np.shape(net["test_accuracy"]) == (2, 2)
        assert [len(start["delta"]) for start in net["start"]] == [12, 12]
        assert [len(start["cosine"]) for start in net["start"]] == [6, 6]


@pytest.mark.parametrize("depth", [4, 10])
def test_both_nets_have_the_same_layers_and_one_sum_a_block_more(depth):
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


def test_delta_is_that_of_one_example_and_the_cosine_that_of_pairs():
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
