"""One function, its derivative by six ways: f(x) = sqrt(x^2 + exp(x^2)) + cos(x^2 + exp(x^2)).

Its intermediate values are a = x^2, b = exp(a), c = a + b, d = sqrt(c), e = cos(c), f = d + e.
Forward accumulation carries da/dx, db/dx, ... along with the values; reverse accumulation carries
df/de, df/dd, ... back. Both are written out here line by line, and held against the graph, against
the trace of the graph, central differences, the complex step and, where sympy is installed
(pip install sympy), symbolic differentiation. Writes composite_function.json, and draws accuracy
and cost of each to composite_function.png.

    python -m experiments.worked_examples.composite_function [--x 0.5] [--out FOLDER]

Source: Griewank and Walther, *Evaluating Derivatives*, 2nd edition, chapters 2 and 3.
"""

from __future__ import annotations

import cmath
import math
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from backprop import Dense, Network, plots
from backprop.gradients import jacobian, jacobian_size
from backprop.graph import Graph, Input, MatMul, Sum, cos, exp, sqrt
from backprop.inspection.graph_trace import GraphTrace
from backprop.layers import Sigmoid
from experiments.common import figure, option_parser, read_result, tidy, write_and_draw

NO_SYMPY = "sympy is not installed, so symbolic differentiation is missing: pip install sympy"
POINTS = np.linspace(0.05, 1.5, 59)
BATCH = 1000


def f_by_hand(x: Any, m: Any = math) -> Any:
    """Return f(x); `m` is the module whose exp, sqrt and cos are used."""
    a = x * x
    b = m.exp(a)
    c = a + b
    return m.sqrt(c) + m.cos(c)


def forward_by_hand(x: float) -> dict[str, float]:
    """Return the derivative of every value by x, in the order of the values."""
    a, dx = x * x, 1.0
    da = 2 * x * dx
    b = math.exp(a)
    db = b * da
    c, dc = a + b, da + db
    d = math.sqrt(c)
    dd = dc / (2 * d)
    de = -math.sin(c) * dc
    return {"x": dx, "a": da, "b": db, "c": dc, "d": dd, "e": de, "f": dd + de}


def reverse_by_hand(x: float) -> dict[str, float]:
    """Return the derivative of f by every value, from the last value back."""
    a = x * x
    b = math.exp(a)
    c = a + b
    d = math.sqrt(c)
    df = 1.0
    de = df  # f = d + e
    dd = df
    dc = dd / (2 * d) - de * math.sin(c)  # d = sqrt c, e = cos c: two paths meet
    db = dc  # c = a + b
    da = dc + db * b  # and b = exp a: two paths meet
    return {"x": da * 2 * x, "a": da, "b": db, "c": dc, "d": dd, "e": de, "f": df}


def make_network() -> Network:
    """Return the graph of f as a network, in float64."""
    x = Input("x", shape=(1,))
    a = (x**2).named("a")
    b = exp(a).named("b")
    c = (a + b).named("c")
    d = sqrt(c).named("d")
    e = cos(c).named("e")
    return Network(Graph((d + e).named("f"))).astype("float64")


def forward_by_trace(trace: GraphTrace) -> dict[str, float]:
    """Return what `forward_by_hand` does: local gradients times the tangents of the inputs."""
    tangents = {"x": 1.0}
    for row in trace.rows[1:]:
        tangents[row.name] = sum(
            float(local[0, 0]) * tangents[name]
            for name, local in zip(row.inputs, row.local, strict=True)
            if local is not None
        )
    return tangents


def show(network: Network, x: float) -> float:
    """Print both accumulations beside the graph's; return the largest relative difference."""
    column = np.array([[x]])
    trace = network.trace(column)
    forward, reverse = forward_by_hand(x), reverse_by_hand(x)
    carried = network.root.tangents(column, np.ones_like(column))
    traced = forward_by_trace(trace)
    print(f"{trace}\n\n{'':6}{'forward: d(node)/dx':>34}{'reverse: df/d(node)':>34}")
    print(f"node  {'by hand':>17}{'graph':>17}{'by hand':>17}{'graph':>17}")
    worst = 0.0
    for row in trace.rows:
        upstream, tangent = float(row.upstream[0, 0]), float(carried[row.name][0, 0])
        pairs = [(forward[row.name], tangent), (forward[row.name], traced[row.name]),
                 (reverse[row.name], upstream)]  # fmt: skip
        worst = max(worst, *(abs(u - v) / abs(u) for u, v in pairs))
        print(f"{row.name:6}{forward[row.name]:17.12f}{tangent:17.12f}"
              f"{reverse[row.name]:17.12f}{upstream:17.12f}")  # fmt: skip
    print(f"largest relative difference {worst:.1e}\n")
    return worst


def methods(network: Network) -> dict[str, Callable[[float], float]]:
    """Return every way to f'(x) that needs no symbolic algebra."""
    one, h = np.ones((1, 1)), 1e-20

    def central(x: float) -> float:
        step = 6e-6 * max(1.0, abs(x))
        return (f_by_hand(x + step) - f_by_hand(x - step)) / (2 * step)

    def through_graph(x: float) -> float:
        network.forward(np.array([[x]]), training=True)
        return network.backpropagate(one).item()

    return {
        "central differences": central,
        "complex step": lambda x: f_by_hand(complex(x, h), cmath).imag / h,
        "forward, by hand": lambda x: forward_by_hand(x)["f"],
        "reverse, by hand": lambda x: reverse_by_hand(x)["x"],
        "graph": through_graph,
    }


def symbolic() -> tuple[dict[str, Callable[[float], float]], dict[str, int]]:
    """Return sympy's derivative, as it is and with common parts shared, and operation counts."""
    import sympy

    x = sympy.Symbol("x")
    function = f_by_hand(x, sympy)
    derivative = sympy.diff(function, x)
    shared, (rest,) = sympy.cse(derivative)
    counts = {
        "f": int(sympy.count_ops(function)),
        "symbolic": int(sympy.count_ops(derivative)),
        "symbolic, shared": int(sympy.count_ops(rest) + sum(s.count_ops() for _, s in shared)),
    }
    print(f"sympy: f'(x) = {derivative}\n{counts}\n")
    return {
        "symbolic": sympy.lambdify(x, derivative, "math"),
        "symbolic, shared": sympy.lambdify(x, derivative, "math", cse=True),
    }, counts


def exact() -> tuple[str, Callable[[float], float]]:
    """Return f' to more digits than a float has, by mpmath, which comes with sympy."""
    import mpmath

    def derivative(x: float) -> float:
        with mpmath.workdps(60):
            return float(mpmath.diff(lambda t: f_by_hand(t, mpmath), mpmath.mpf(x)))

    return "mpmath, 60 digits", derivative


def seconds(call: Callable[[], object]) -> float:
    """Return the least time of a call, of several runs of at least 10 ms."""
    timer = timeit.Timer(call)
    number = 1
    while (once := timer.timeit(number)) < 0.01:
        number *= 4
    return min(once, *timer.repeat(4, number)) / number


def run(x: float) -> dict[str, Any]:
    """Compare all methods; return the figures that the picture shows."""
    network = make_network()
    worst = show(network, x)
    ways, counts = methods(network), {}
    try:
        reference, derivative = exact()
        more, counts = symbolic()
        ways |= more
    except ImportError:
        print(f"{NO_SYMPY}\n")
        reference, derivative = "the complex step", ways.pop("complex step")
    exact_values = np.array([derivative(float(point)) for point in POINTS])
    of_f = seconds(lambda: f_by_hand(x))
    error, cost = {}, {}
    for name, way in ways.items():
        found = np.array([way(float(point)) for point in POINTS])
        size = np.abs(found - exact_values) / np.maximum(1, np.abs(exact_values))
        error[name] = {"median": float(np.median(size)), "largest": float(size.max())}
        cost[name] = seconds(lambda way=way: way(x)) / of_f
    batch, ones = np.full((1, BATCH), x), np.ones((1, BATCH))

    def whole_batch() -> None:
        network.forward(batch, training=True)
        network.backpropagate(ones)

    name = f"graph, batch of {BATCH}"
    cost[name], error[name] = seconds(whole_batch) / BATCH / of_f, error["graph"]
    print(f"error against {reference}, relative to max(1, |f'|), at {len(POINTS)} points")
    print(f"{'':22}{'median':>10}{'largest':>10}{'cost / f':>10}")
    for name, size in error.items():
        print(f"{name:22}{size['median']:10.1e}{size['largest']:10.1e}{cost[name]:10.2f}")
    return {
        "x": x,
        "reference": reference,
        "by_hand_against_graph": worst,
        "error": error,
        "cost": cost,
        "operations": counts,
    }


def show_jacobians() -> None:
    """Print a local Jacobian of each of the four kinds, and the size of a large one."""
    print("\nlocal Jacobians")
    column = np.array([0.5, -1.0])
    dense = Dense(2, 3, dtype="float64", rng=0)
    print(f"scalar to scalar, sigmoid: {jacobian(Sigmoid(), column[:1])}")
    print(f"vector to scalar, sum: {jacobian(Sum(), column)}")
    print(f"vector to vector, {dense}:\n{jacobian(dense, column).round(4)}")
    small = jacobian(MatMul(), (np.ones((3, 2)), np.ones((2, 4))))[1]
    print(f"matrix to matrix, w v with w 3 x 2 and v 2 x 4: an array of shape {small.shape}")
    print(f"w 512 x 784 and v 784 x 128: {jacobian_size(MatMul(), ((512, 784), (784, 128)), 4)}")


def draw(path: Path) -> None:
    """Draw composite_function.png beside the JSON file that `run` filled."""
    result = read_result(path)
    names = sorted(result["cost"], key=result["cost"].get, reverse=True)
    rows = np.arange(len(names))
    with figure(path, 7.2, 3.6) as drawn:
        drawn.suptitle("f(x) = √(x² + exp x²) + cos(x² + exp x²)", fontsize=10)
        left, right = drawn.subplots(1, 2, sharey=True)
        floor = 1e-18  # stands for an error of 0
        for key, marker, colour in (
            ("median", "o", plots.BLUE),
            ("largest", "D", plots.VERMILLION),
        ):
            values = [max(result["error"][name][key], floor) for name in names]
            left.plot(values, rows, marker, color=colour, markersize=5, label=key)
        left.axvline(np.finfo(float).eps, color="0.5", linewidth=0.8, zorder=0, label="rounding")
        left.legend(frameon=False, loc="upper right")
        left.set(xscale="log", xlabel="error, relative to max(1, |f′|)", title="accuracy of f′(x)")
        left.set_yticks(rows, names)
        costs = [result["cost"][name] for name in names]
        right.plot(costs, rows, "o", color=plots.BLUE, markersize=5)
        for row, cost in zip(rows, costs, strict=True):
            side = {"xytext": (6, 0)} if cost > 1 else {"xytext": (-6, 0), "ha": "right"}
            right.annotate(f"{cost:.2f}" if cost < 10 else f"{cost:.0f}", (cost, row),
                           textcoords="offset points", va="center", **side)  # fmt: skip
        right.axvline(1, color="0.5", linewidth=0.8, zorder=0)
        right.set(xscale="log", xlabel="time, in evaluations of f in plain Python",
                  title="cost of one f′(x)", xlim=(min(costs) / 4, max(costs) * 6))  # fmt: skip
        for ax in (left, right):
            tidy(ax)
            ax.tick_params(axis="y", length=0)
            ax.margins(y=0.08)


def main() -> None:
    """Run and draw."""
    parser = option_parser(__doc__)
    parser.add_argument("--x", type=float, default=0.5, help="where both accumulations are shown")
    arguments = parser.parse_args()
    result = run(arguments.x)
    show_jacobians()
    write_and_draw(arguments.out / "composite_function.json", result, draw)


if __name__ == "__main__":
    main()
