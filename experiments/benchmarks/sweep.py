"""How time and memory grow: against width, depth, size of the minibatch, and number of examples.

Fully connected networks with ReLU and softmax, trained by SGD on random numbers. Beside what was
measured stands what the operation count says: a line through our figure for the largest size.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from experiments.benchmarks.figure import STYLES
from experiments.benchmarks.measure import Bench
from experiments.benchmarks.report import reference
from experiments.benchmarks.workloads import SEED, Files, Workload, chain
from experiments.common import figure, tidy

STEPS = 20  # minibatches in an epoch, where width or depth is swept
EXAMPLES = 8192  # examples in an epoch, where the minibatch is
CLASSES = 10
SIZES = {
    "width": [64, 128, 256, 512, 1024, 2048, 4096],
    "depth": [1, 2, 5, 10, 20, 50],
    "batch": [1, 4, 16, 64, 256, 1024, 4096],
    "examples": [1000, 3000, 10_000, 30_000, 60_000],
}
QUICK_SIZES = {"width": [64, 256], "depth": [1, 5], "batch": [1, 64], "examples": [200, 1000]}


class Point(NamedTuple):
    """One size of one axis, and its network."""

    axis: str
    size: int
    sizes: tuple[int, ...]
    batch: int
    steps: int

    @property
    def work(self) -> Workload:
        """Return the workload of the point."""
        return Workload(
            f"{self.axis}-{self.size}", "", chain(self.sizes, "relu", "softmax"), "softmax",
            ("sgd", 0.01), self.batch, self.steps, (self.sizes[0],),
        )  # fmt: skip


def point(axis: str, size: int) -> Point:
    """Return a point: what is not swept is of middle size."""
    middle = (256, 256, 256, CLASSES)
    if axis == "width":
        return Point(axis, size, (size, size, size, CLASSES), 128, STEPS)
    if axis == "depth":
        return Point(axis, size, (*[256] * (size + 1), CLASSES), 128, STEPS)
    if axis == "batch":
        return Point(axis, size, middle, size, EXAMPLES // size)
    return Point(axis, size, middle, 100, size // 100)


def operations(sizes: Sequence[int]) -> int:
    """Return multiplications and additions of the matrix products of one example.

    Three products with each layer's weights, forward, for their gradient and for the gradient of
    the layer's input, which the first layer does without.
    """
    products = [2 * m * n for m, n in pairwise(sizes)]
    return 3 * sum(products) - products[0]


def arrays(p: Point) -> int:
    """Return the bytes of the arrays that training needs: data, parameters, gradients, z, a, delta.

    The minibatch is gathered, and in the last layer's softmax and cost everything counts as one
    more delta: an estimate, not an account.
    """
    parameters = sum((m + 1) * n for m, n in pairwise(p.sizes))
    states = p.batch * (p.sizes[0] + 3 * sum(p.sizes[1:]))
    data = p.batch * p.steps * (4 * p.sizes[0] + 8)
    return data + 4 * (2 * parameters + states)


def measure(bench: Bench, rounds: int) -> Iterator[None]:
    """Measure every point in every framework; yield after each round."""
    sizes = QUICK_SIZES if bench.limit else SIZES
    points = [point(axis, size) for axis, values in sizes.items() for size in values]
    bench.seconds = min(bench.seconds, 0.5)
    bench.results["sweep"] = [p._asdict() for p in points]
    for number in range(rounds):
        for p in points:
            files = _files(bench, p)
            for framework in bench.able(p.work.name):
                found = bench.do(framework, "train", p.work, files=files)
                bench.record(p.work.name, framework, number, found, ("epoch", "memory"))
                if "epoch" in found:
                    each = 1e6 * found["epoch"] / p.work.examples
                    bench.tell(p.work.name, framework, f"{each:.4g} us an example", number)
        yield


def _files(bench: Bench, p: Point) -> Files:
    """Write random examples for a point, and its first parameters; return where they are."""
    from experiments.benchmarks.frameworks.ours import first_parameters

    n = p.work.examples
    files = Files(*(str(bench.folder / f"sweep-{name}") for name in ("x", "labels", "w.npz")))
    rng = np.random.default_rng(SEED)
    rng.random((n, p.sizes[0]), np.float32).tofile(files.x)
    rng.integers(CLASSES, size=n).tofile(files.labels)
    np.savez(files.weights, **first_parameters(p.work))
    return files


# -- the figure ------------------------------------------------------------------------------


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw time per example and peak memory against every axis, log-log."""
    points = [Point(**{**fields, "sizes": tuple(fields["sizes"])}) for fields in results["sweep"]]
    axes = list(dict.fromkeys(p.axis for p in points))
    with figure(path, 2.8 * len(axes), 5.6) as drawn:
        panels = drawn.subplots(2, len(axes), squeeze=False, sharey="row")
        for column, axis in enumerate(axes):
            chosen = [p for p in points if p.axis == axis]
            top, bottom = panels[:, column]
            _curves(top, results, chosen, "epoch")
            _curves(bottom, results, chosen, "memory")
            top.set_title(f"{TITLES[axis]}\n{top.get_title('left')}")
            bottom.set_xlabel(axis)
        panels[0, 0].set_ylabel("time per example (us)")
        panels[1, 0].set_ylabel("peak memory (MiB)")
        drawn.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center",
                     ncols=7, frameon=False)  # fmt: skip


TITLES = {
    "width": "Width n: n-n-n-10, B = 128",
    "depth": "Hidden layers of 256, B = 128",
    "batch": "Minibatch: 256-256-256-10",
    "examples": "Data: 256-256-256-10, B = 100",
}


def _curves(ax: Axes, results: dict[str, Any], points: list[Point], quantity: str) -> None:
    first = reference(results)
    for framework, about in results["frameworks"].items():
        values = [figure_of(results, p, framework, quantity) for p in points]
        pairs = zip(points, values, strict=True)
        found = {p: value for p, value in pairs if value is not None}
        colour, marker = STYLES[framework]
        ax.plot([p.size for p in found], list(found.values()), color=colour, marker=marker,
                markersize=3, linewidth=1.6 if framework == first else 1, label=about["title"],
                zorder=3 if framework == first else 2)  # fmt: skip
        if framework == first and found:
            counted = expected(list(found), list(found.values()), quantity)
            ax.plot([p.size for p in found], counted, color="0.4", linestyle="--", linewidth=1,
                    label="by the count")  # fmt: skip
            _write_slopes(ax, [p.size for p in found], list(found.values()), counted)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks([p.size for p in points], [f"{p.size:,}" for p in points], fontsize=7)
    ax.minorticks_off()
    ax.yaxis.set_major_locator(LogLocator(10, (1, 3)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    tidy(ax, grid="both")


def _write_slopes(ax: Axes, sizes: list[int], measured: list[float], counted: list[float]) -> None:
    """Write how steep both curves of ours end."""
    if len(sizes) > 1:
        ends = [slope(sizes[-2:], values[-2:]) for values in (measured, counted)]
        ax.set_title(f"ends with slope {ends[0]:.2f}, by the count {ends[1]:.2f}", fontsize=7)


def slope(sizes: list[int], values: list[float]) -> float:
    """Return the slope of a line in log-log through two points."""
    return math.log(values[1] / values[0]) / math.log(sizes[1] / sizes[0])


def figure_of(results: dict[str, Any], p: Point, framework: str, quantity: str) -> float | None:
    """Return the median of a point: microseconds per example, or MiB."""
    values = [
        record["value"]
        for record in results["records"]
        if record["row"] == p.work.name
        and (record["framework"], record["quantity"]) == (framework, quantity)
    ]
    if not values:
        return None
    scale = 1e6 / p.work.examples if quantity == "epoch" else 2**-20
    return scale * statistics.median(values)


def expected(points: list[Point], found: list[float], quantity: str) -> list[float]:
    """Return what the count says of our own figures.

    Time is in proportion to the operations, through the figure of the largest size. Memory is
    the arrays on top of what the process takes without them, through that of the smallest.
    """
    if quantity == "epoch":
        return [found[-1] * operations(p.sizes) / operations(points[-1].sizes) for p in points]
    return [found[0] + (arrays(p) - arrays(points[0])) / 2**20 for p in points]
