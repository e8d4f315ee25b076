"""The book's chapter 5 figures: the speed of learning is what the book's programs compute."""

import numpy as np

from backprop import Network
from experiments.book import learning_speed


def test_it_records_ends_and_curves_of_every_layer(small_run):
    run = small_run("book.learning_speed")
    assert "4 hidden layers: median (range) of 2 seeds, and the book's" in run.stdout
    assert "after 6 steps (the book: 499)" in run.stdout
    result = run.result("learning_speed")
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


def test_the_speed_is_the_norm_of_the_mean_bias_gradient():
    """One example at a time and without the penalty, as the book's program computes it."""
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
