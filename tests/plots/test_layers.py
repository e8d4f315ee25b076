from __future__ import annotations

import numpy as np
import pytest

from backprop import Dense, Network, Residual, Sequential, plots
from tests.plots.examples import texts, tick_labels, trained_network


def test_each_layer_has_a_row_of_its_activations() -> None:
    network = trained_network()
    ax = plots.activation_histograms(network)
    assert tick_labels(ax, "y") == [
        "0: Dense(6 -> 8, relu)",
        "1: Dropout(0.25)",
        "2: Dense(8 -> 3, softmax)",
    ]
    assert ax.get_xlabel() == "activation a"
    assert ax.yaxis_inverted()
    for y, (layer, ridge) in enumerate(zip(network.layers, ax.patches, strict=True)):
        values, edges, baseline = ridge.get_data()
        counts = np.histogram(layer.a[layer.a != 0], edges)[0]
        assert baseline == y
        np.testing.assert_allclose(y - values, 0.85 * counts / counts.max())
    everything = np.concatenate([layer.a.ravel() for layer in network.layers])
    assert edges[0] == everything[everything != 0].min()
    assert edges[-1] == everything.max()


def test_the_share_of_zeros_and_of_the_infinite_stands_at_the_end_of_the_row() -> None:
    network = trained_network()
    hidden = network[0].a
    hidden[...] = 1
    hidden.flat[:100] = 0
    network[1].a.flat[0] = np.nan
    network[1].a.flat[1:] = np.inf
    network[2].a[...] = 1
    assert texts(plots.activation_histograms(network)) == ["25% zero", "100% not finite", ""]
    hidden[...] = 1
    hidden.flat[0] = 0
    assert texts(plots.activation_histograms(network))[0] == "<1% zero"


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("low", [0.05, 0.45])
def test_between_two_peaks_that_dominate_the_others_are_seen(activation: str, low: float) -> None:
    network = saturated(activation, low)
    a = network[0].a
    ax = plots.activation_histograms(network)
    ridge = ax.patches[0]
    values, edges, _ = ridge.get_data()
    heights, counts = -values, np.histogram(a, edges)[0]
    ceiling = heights.max()
    assert ceiling == pytest.approx(0.85)
    first, last = sorted(np.argsort(counts)[-2:])  # the two peaks
    assert (first, last) == (0, 79)
    assert heights[first] == heights[last] == ceiling
    between = heights[1:-1]
    assert 0.15 * ceiling < np.median(between) < 0.5 * ceiling
    uncut = between < 0.999 * ceiling  # all else is on one scale
    np.testing.assert_allclose((between / counts[1:-1])[uncut], between[1] / counts[2])
    assert ax.get_title(loc="left").startswith("bars with a gap are cut off")
    gaps = [segment[:, 0] for lines in ax.collections for segment in lines.get_segments()]
    assert {*np.round(np.ravel(gaps), 6)} >= {*np.round([edges[0], edges[-1]], 6)}
    below, above = texts(ax)[0].splitlines()
    share_below, share_above = (float(text.split("%")[0]) / 100 for text in (below, above))
    assert share_below == pytest.approx(np.mean(a < float(below.split()[-1])), abs=0.02)
    assert share_above == pytest.approx(np.mean(a > float(above.split()[-1])), abs=0.02)


def saturated(activation: str, low: float) -> Network:
    """Return a network whose layer has that share at its lowest, 0.9 - low at its highest."""
    network = Network.from_sizes([4, 50, 2], activation, rng=0)
    network.forward(np.ones((4, 200), np.float32), training=True)
    a, rng = network[0].a, np.random.default_rng(0)
    least, size = (0.0 if activation == "sigmoid" else -1.0), a.size
    values = rng.uniform(least, 1, size)
    values[: int(low * size)] = rng.uniform(least + 1e-6, least + 1e-3, int(low * size))
    values[int(low * size) : int(0.9 * size)] = rng.uniform(
        0.999, 1, int(0.9 * size) - int(low * size)
    )
    a[...] = values.reshape(a.shape)
    return network


def test_without_peaks_no_bar_is_cut() -> None:
    network = Network.from_sizes([4, 50, 2], "tanh", rng=0)
    network.forward(np.ones((4, 200), np.float32), training=True)
    rng = np.random.default_rng(0)
    for draw in (rng.normal, rng.uniform, rng.laplace):
        network[0].a[...] = draw(size=network[0].a.shape)
        network[1].a[...] = draw(size=network[1].a.shape)
        assert plots.activation_histograms(network).get_title(loc="left") == ""


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_delta_is_the_book_s_of_an_example_whatever_the_batch(batch: int) -> None:
    """The same example, once or many times: the same picture, though layer.delta has 1/B."""
    network = Network.from_sizes([6, 5, 3], rng=0, dtype="float64")
    x = np.random.default_rng(0).normal(size=(6, 1)).repeat(batch, axis=1)
    network.forward(x, training=True)
    network.backward(np.eye(3)[:, [1]].repeat(batch, axis=1))
    ax = plots.delta_histograms(network)
    sizes = np.abs(network.trace(x[:, :1], np.eye(3)[:, [1]])[1].delta)  # of one example
    assert ax.patches[-1].get_data()[1][-1] == pytest.approx(sizes.max())


def test_each_layer_with_delta_has_a_row_split_by_sign() -> None:
    network = trained_network()
    ax = plots.delta_histograms(network)
    assert tick_labels(ax, "y") == ["0: Dense(6 -> 8, relu)", "2: Dense(8 -> 3, softmax)"]
    assert (ax.get_xscale(), ax.get_xlabel()) == (
        "log",
        "size of an example's error |δ| (B × layer.delta)",
    )
    assert ax.get_title(loc="left") == "above the line δ > 0, below it δ < 0"
    deltas = [50 * network[0].delta.astype(float), 50 * network[2].delta.astype(float)]  # B = 50
    ridges = iter(ax.patches)
    for y, delta in enumerate(deltas):
        (up, edges, _), (down, _, _) = next(ridges).get_data(), next(ridges).get_data()
        counts = [
            np.histogram(np.log10(side), np.log10(edges))[0]
            for side in (delta[delta > 0], -delta[delta < 0])
        ]
        top = max(map(np.max, counts))
        np.testing.assert_allclose(y - up, 0.425 * counts[0] / top, atol=0.425 / top + 1e-9)
        np.testing.assert_allclose(down - y, 0.425 * counts[1] / top, atol=0.425 / top + 1e-9)
        assert (y - up).max() > 0
        assert (down - y).max() > 0
    assert edges[-1] == pytest.approx(max(np.abs(delta).max() for delta in deltas))
    sizes = [np.abs(delta[delta != 0]) for delta in deltas]
    smallest = min(10 ** np.quantile(np.log10(size), 0.01) for size in sizes)
    assert edges[0] == pytest.approx(smallest)


def test_layers_that_are_all_zero_have_empty_rows() -> None:
    network = Network.from_sizes([4, 3, 2], activation="relu")
    network.theta[:] = 0
    network.forward(np.ones((4, 5), np.float32), training=True)
    network.backward(np.zeros((2, 5), np.float32))
    for draw in (plots.activation_histograms, plots.delta_histograms):
        ax = draw(network)
        assert texts(ax) == ["100% zero", "100% zero"]
        ax.figure.canvas.draw()


@pytest.mark.parametrize("n_layers", [1, 3, 8])
def test_a_row_has_the_same_height_whatever_their_number(n_layers: int) -> None:
    network = Network.from_sizes([5] * (n_layers + 1), rng=0)
    network.forward(np.ones((5, 4), np.float32), training=True)
    network.backward(np.zeros((5, 4), np.float32))
    for draw in (plots.activation_histograms, plots.delta_histograms):
        ax = draw(network)
        ax.figure.canvas.draw()
        low, high = sorted(ax.get_ylim())
        inches = ax.get_window_extent().height / ax.figure.dpi / (high - low)
        assert 0.4 < inches < 0.9
        assert len(ax.get_yticks()) == n_layers


@pytest.mark.parametrize("value", [1.0, 1e20])
def test_numbers_that_differ_by_rounding_alone_are_drawn(value: float) -> None:
    network = Network.from_sizes([4, 3], "identity", "quadratic", "identity").astype("float64")
    network.theta[:] = 0
    network[0].b[:, 0] = value, np.nextafter(value, 2 * value), value
    network.forward(np.ones((4, 1)), training=True)
    network.backward(np.zeros((3, 1)))
    for draw in (plots.activation_histograms, plots.delta_histograms):
        (ridge,) = [patch for patch in draw(network).patches if patch.get_data().values.min() < 0]
        assert np.count_nonzero(ridge.get_data().values != ridge.get_data().baseline) <= 2


def test_histograms_need_the_two_passes() -> None:
    network = Network.from_sizes([4, 3, 2], rng=0)
    with pytest.raises(RuntimeError, match=r"no activations to draw: call network.forward\(x, tr"):
        plots.activation_histograms(network)
    with pytest.raises(RuntimeError, match=r"no delta to draw: call network.forward\(x, trai"):
        plots.delta_histograms(network)
    network.forward(np.ones((4, 5), np.float32), training=True)
    plots.activation_histograms(network)
    with pytest.raises(RuntimeError, match=r"and network.backward\(y\) first"):
        plots.delta_histograms(network)


def test_the_rows_are_those_of_the_layers_inside() -> None:
    inner = Sequential([Dense(4, 3, "tanh", rng=0), Dense(3, 4, "tanh", rng=1)])
    network = Network([Residual([inner]), Dense(4, 2, rng=2)], "quadratic")
    network.forward(np.ones((4, 5), np.float32), training=True)
    network.backward(np.ones((2, 5), np.float32))
    for ax in (plots.activation_histograms(network), plots.delta_histograms(network)):
        names = [label.get_text() for label in ax.get_yticklabels()]
        assert names == [
            "0.0.0: Dense(4 -> 3, tanh)",
            "0.0.1: Dense(3 -> 4, tanh)",
            "1: Dense(4 -> 2, sigmoid)",
        ]
