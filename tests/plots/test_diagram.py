from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle

from backprop import Dense, Dropout, Flatten, Layer, Network, Parallel, Residual, Sequential, plots
from tests.plots.examples import small_network, texts
from tests.support import dense


def diagram_of(network: Network, y: Any) -> Axes:
    x = np.linspace(-1, 1.5, network.input_shape[0], dtype=network.dtype)[:, np.newaxis]
    return plots.network_diagram(network.trace(x, np.asarray(y)))


def test_a_diagram_shows_activations_and_gradients(tmp_path: Path) -> None:
    network = small_network()
    x, y = np.array([[0.5], [-1.0], [0.25], [12.5]]), np.array([[1.0], [0.0]])
    trace = network.trace(x, y)
    ax = plots.network_diagram(trace)
    found = texts(ax)
    for a in [*x[:, 0], *trace[0].a[:, 0], *trace[1].a[:, 0]]:
        assert f"{a:.3g}" in found if a > 9.995 else f"{a:.2f}" in found
    for name in ("input", "layer 0\ntanh", "layer 1\ntanh", "$x_{4}$", "$y$ = 1", "$y$ = 0"):
        assert name in found
    assert ax.get_title(loc="left") == f"C = {trace.cost:.4g}"

    [lines] = ax.collections
    drawn = np.asarray(lines.get_array())
    gradients = [*trace[0].nabla_w.ravel(), *trace[1].nabla_w.ravel()]
    np.testing.assert_array_equal(np.sort(drawn), np.sort(gradients))
    limit = max(np.abs(gradients).max(), *(np.abs(t.nabla_b).max() for t in trace.layers))
    assert lines.get_clim() == (-limit, limit)
    widths = lines.get_linewidths()
    assert (np.argsort(widths, kind="stable") == np.argsort(np.abs(drawn), kind="stable")).all()
    places = {tuple(np.round(end, 9)) for ends in lines.get_segments() for end in ends}
    circles = [p for p in ax.patches if isinstance(p, Circle)]
    assert {tuple(np.round(c.center, 9)) for c in circles} == places
    squares = [p for p in ax.patches if isinstance(p, Rectangle)]
    biases = [g for t in trace.layers for g in t.nabla_b[:, 0]]
    for square, gradient in zip(squares, biases, strict=True):
        assert square.get_facecolor() == pytest.approx(lines.to_rgba(gradient))
    assert [child.get_ylabel() for child in ax.child_axes] == ["∂C/∂w (lines)\n∂C/∂b (squares)"]


def test_a_line_joins_the_neurons_that_its_weight_joins() -> None:
    network = Network([dense(3, 2, "identity")], "quadratic")
    network.theta[...] = 0
    x, y = np.array([[1.0], [10.0], [100.0]]), np.array([[-1.0], [2.0]])  # dC/dw[j, k] = -y_j x_k
    ax = plots.network_diagram(network.trace(x, y))
    [lines] = ax.collections
    for (start, end), gradient in zip(lines.get_segments(), lines.get_array(), strict=True):
        k, j = round(1 - start[1]), round(0.5 - end[1])  # neuron 0 is on top
        assert gradient == -y[j, 0] * x[k, 0]


def test_a_diagram_of_other_layers() -> None:
    layers = [Dense(3, 4, "identity", rng=0), Dropout(0.5, rng=0), Dense(4, 2, "softmax", rng=1)]
    network = Network(layers, "softmax_cross_entropy")
    ax = diagram_of(network, [1])
    assert len(ax.collections[0].get_segments()) == 12 + 4 + 8
    assert len([p for p in ax.patches if isinstance(p, Rectangle)]) == 4 + 2
    assert {"layer 1\nDropout(0.5)", "layer 2\nsoftmax", "$y$ = 0", "$y$ = 1"} <= set(texts(ax))


def test_a_diagram_without_any_gradient() -> None:
    network = Network([dense(2, 2, "relu")], "quadratic")
    network.theta = [0, 0, 0, 0, -1, -1]
    ax = diagram_of(network, [[0.0], [0.0]])
    assert ax.collections[0].get_clim() == (-1, 1)
    network = Network([Dropout(0.0, rng=0)], "quadratic", input_shape=(2,))
    assert len(diagram_of(network, np.zeros((2, 1), np.float32)).collections[0].get_segments()) == 2


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [([12, 1], 1), ([2] * 7, 1), ([13, 1], 0), ([1, 13, 1], 0), ([1] * 8, 0)],
)
def test_a_diagram_has_a_limit(sizes: list[int], fits: bool) -> None:
    network = Network.from_sizes(sizes, dtype="float64", rng=0)
    y = np.zeros((sizes[-1], 1))
    if fits:
        circles = [p for p in diagram_of(network, y).patches if isinstance(p, Circle)]
        assert len(circles) == sum(sizes)
        return
    match = f"at most 6 layers and 12 neurons in each, this network has {len(sizes) - 1} and " + (
        "-".join(map(str, sizes))
    )
    with pytest.raises(ValueError, match=match):
        diagram_of(network, y)


def test_a_chain_inside_a_layer_is_drawn_as_the_network_s() -> None:
    layers = [dense(3, 4), Sequential([dense(4, 2), Sequential([dense(2, 2)])])]
    ax = diagram_of(Network(layers, "quadratic"), np.zeros((2, 1)))
    assert len(ax.collections[0].get_segments()) == 12 + 8 + 4
    assert {"layer 0\ntanh", "layer 1.0\ntanh", "layer 1.1.0\ntanh"} <= set(texts(ax))


def test_a_layer_in_two_places_is_drawn_in_both_with_what_each_gives() -> None:
    shared = dense(3, 3)
    network = Network([shared, shared], "quadratic")
    trace = network.trace(np.ones((3, 1)), np.zeros((3, 1)))
    ax = plots.network_diagram(trace)
    assert {"layer 0\ntanh", "layer 1\ntanh"} <= set(texts(ax))
    drawn = np.asarray(ax.collections[0].get_array())
    whole, part = trace[0].nabla_w, trace[1].nabla_w
    np.testing.assert_array_equal(np.sort(drawn), np.sort([*whole.ravel(), *part.ravel()]))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Residual([dense(3, 3)]),
        lambda: Sequential([Residual([dense(3, 3)])]),
        lambda: Parallel([dense(3, 2), dense(3, 1)]),
    ],
)
def test_a_diagram_of_branches_is_refused(layer: Callable[[], Layer]) -> None:
    with pytest.raises(ValueError, match=r"columns of neurons: it cannot show (Residual|Parallel)"):
        diagram_of(Network([layer()], "quadratic"), np.zeros((3, 1)))


def test_what_is_no_diagram() -> None:
    network = small_network()
    with pytest.raises(TypeError, match=r"expected a trace, network.trace\(x, y\), got Network"):
        plots.network_diagram(network)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a diagram shows one example, got a trace of 3"):
        plots.network_diagram(network.trace(np.ones((4, 3)), np.ones((2, 3))))
    layers = [Flatten(), dense(4, 2)]
    network = Network(layers, "quadratic", input_shape=(2, 2))
    with pytest.raises(ValueError, match=r"columns of neurons: it cannot show Flatten\(\)"):
        plots.network_diagram(network.trace(np.ones((2, 2, 1)), np.ones((2, 1))))
