from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle

from backprop import Dense, Dropout, Flatten, Layer, Network, Parallel, Residual, Sequential, plots
from tests.plots.examples import overlaps, small_network, texts
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


@pytest.mark.parametrize(("layers", "fits"), [(6, True), (7, False)])
def test_a_diagram_has_a_limit(layers: int, fits: bool) -> None:
    network = Network.from_sizes([2] * (layers + 1), dtype="float64", rng=0)
    for draw in (
        lambda: diagram_of(network, np.zeros((2, 1))),
        lambda: plots.network_diagram(network),
    ):
        if fits:
            circles = [p for p in draw().patches if isinstance(p, Circle)]
            assert len(circles) == 2 * (layers + 1)
        else:
            with pytest.raises(ValueError, match="at most 6 layers, this network has 7, 2-2-2-2-2"):
                draw()


# -- without a trace, and with its weights ---------------------------------------------------


def segments(ax: Axes) -> dict[tuple[Any, ...], tuple[float, float]]:
    """Return value and width of every line, by its two ends."""
    [lines] = ax.collections
    ends = [tuple(np.round(segment, 6).ravel()) for segment in lines.get_segments()]
    return dict(zip(ends, zip(lines.get_array(), lines.get_linewidths(), strict=True), strict=True))


def test_a_network_shows_its_weights_by_colour_and_width() -> None:
    network = small_network()
    ax = plots.network_diagram(network)
    drawn = segments(ax)
    assert len(drawn) == 4 * 3 + 3 * 2
    for (_, y0, _, y1), (value, _) in drawn.items():
        k, j = (1.5 - y0, 1 - y1) if len({1.5 - y0} & {0.0, 1.0, 2.0, 3.0}) else (1 - y0, 0.5 - y1)
        layer = network[0] if float(k).is_integer() and float(1.5 - y0).is_integer() else network[1]
        assert value == layer.w[round(j), round(k)]
    values, widths = np.array(list(drawn.values())).T
    assert (np.argsort(np.abs(values), kind="stable") == np.argsort(widths, kind="stable")).all()
    largest = max(np.abs(network.theta))
    assert ax.collections[0].get_clim() == (-largest, largest)
    biases = [*network[0].b[:, 0], *network[1].b[:, 0]]
    squares = [p for p in ax.patches if isinstance(p, Rectangle)]
    for square, bias in zip(squares, biases, strict=True):
        assert square.get_facecolor() == pytest.approx(ax.collections[0].to_rgba(bias))
    assert [child.get_ylabel() for child in ax.child_axes] == ["weight w (lines)\nbias b (squares)"]
    assert ax.get_title(loc="left") == "4-3-2: 23 parameters"
    assert {"$x_{4}$", "$a_{2}$", "layer 1\ntanh"} <= set(texts(ax))
    assert not any(text.replace(".", "").lstrip("-").isdigit() for text in texts(ax))


def test_of_a_trace_the_weights_may_be_shown_too() -> None:
    network = small_network()
    trace = network.trace(np.ones((4, 1)), np.ones((2, 1)))
    ax = plots.network_diagram(trace, "weights")
    assert segments(ax) == segments(plots.network_diagram(network))
    assert segments(ax) != segments(plots.network_diagram(trace, lines="gradients"))
    assert f"{trace[1].a[0, 0]:.2f}" in texts(ax)


def test_the_network_of_the_book_is_drawn_with_dots_for_the_neurons_left_out(
    tmp_path: Path,
) -> None:
    network = Network.from_sizes([784, 30, 10], rng=0)
    ax = plots.network_diagram(network)
    assert texts(ax).count("\u22ee") == 2
    circles = [p for p in ax.patches if isinstance(p, Circle)]
    assert len(circles) == 9 + 9 + 10
    [lines] = ax.collections
    drawn = np.sort(lines.get_array())
    hidden, inputs = [*range(5), *range(26, 30)], [*range(5), *range(780, 784)]
    expected = [network[0].w[np.ix_(hidden, inputs)], network[1].w[:, hidden]]
    np.testing.assert_array_equal(drawn, np.sort(np.concatenate([w.ravel() for w in expected])))
    found = texts(ax)
    assert {"$x_{1}$", "$x_{5}$", "$x_{781}$", "$x_{784}$", "$a_{10}$"} <= set(found)
    assert "$x_{6}$" not in found
    assert {"input\n784 neurons", "layer 0\nsigmoid\n30 neurons", "layer 1\nsigmoid"} <= set(found)
    assert ax.get_title(loc="left") == "784-30-10: 23,860 parameters"
    assert overlaps(ax) == []


def test_a_trace_of_the_network_of_the_book_has_the_numbers_of_the_neurons_drawn() -> None:
    network = Network.from_sizes([784, 30, 10], rng=0, dtype="float64")
    x = np.linspace(0, 1, 784)[:, np.newaxis]
    trace = network.trace(x, np.eye(10)[:, [3]])
    ax = plots.network_diagram(trace)
    hidden = [f"{a:.2f}" for a in trace[0].a[[*range(5), *range(26, 30)], 0]]
    numbers = [text for text in texts(ax) if "." in text]
    assert numbers == [*(f"{a:.2f}" for a in x[[*range(5), *range(780, 784)], 0]), *hidden,
                       *(f"{a:.2f}" for a in trace[1].a[:, 0])]  # fmt: skip
    assert [text for text in texts(ax) if text.startswith("$y$")] == [
        f"$y$ = {int(j == 3)}" for j in range(10)
    ]
    assert overlaps(ax) == []


@pytest.mark.parametrize(("n", "circles"), [(12, 12), (13, 9), (1000, 9)])
def test_up_to_twelve_neurons_are_drawn_one_and_all(n: int, circles: int) -> None:
    network = Network([dense(n, n), Dropout(0.5, rng=0)], "quadratic")
    ax = plots.network_diagram(network)
    assert len([p for p in ax.patches if isinstance(p, Circle)]) == 3 * circles
    assert len(segments(ax)) == circles**2 + circles


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
    network = Network([layer()], "quadratic")
    message = r"columns of neurons: it cannot show (Residual|Parallel)"
    with pytest.raises(ValueError, match=message):
        diagram_of(network, np.zeros((3, 1)))
    with pytest.raises(ValueError, match=message):
        plots.network_diagram(network)


def test_what_is_no_diagram() -> None:
    network = small_network()
    with pytest.raises(TypeError, match=r"expected a network or a trace, network.tr.*, got list"):
        plots.network_diagram([network])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lines must be 'gradients' or 'weights', got 'w'"):
        plots.network_diagram(network, "w")
    with pytest.raises(ValueError, match=r"of an example: give network.trace\(x, y\)"):
        plots.network_diagram(network, "gradients")
    with pytest.raises(ValueError, match="a diagram shows one example, got a trace of 3"):
        plots.network_diagram(network.trace(np.ones((4, 3)), np.ones((2, 3))))
    layers = [Flatten(), dense(4, 2)]
    network = Network(layers, "quadratic", input_shape=(2, 2))
    with pytest.raises(ValueError, match=r"columns of neurons: it cannot show the input"):
        plots.network_diagram(network)
    with pytest.raises(ValueError, match=r"columns of neurons: it cannot show the input"):
        plots.network_diagram(network.trace(np.ones((2, 2, 1)), np.ones((2, 1))))
