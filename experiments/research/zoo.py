"""What the faults of the zoo look like: slopes as the layers say, over slopes as they are.

Each of the twenty layers of `backprop.zoo` goes up and back with a first minibatch, and then with a
second. What it then says of every number, of its input and of its parameters, is set against the
central difference of its own forward pass: where layer and difference agree, on the diagonal. A
forgotten factor is a line of another slope, a wrong transposition a cloud, and a generator that no
seed governs has no slope at all.

Writes zoo.json, and draws zoo.png from it.

    python -m experiments.research.zoo [--out FOLDER]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from backprop.layers.mode import TRAINING
from backprop.zoo import EXHIBITS, Exhibit
from experiments.common import figure, option_parser, read_result, write_and_draw

STEP = 1e-4
SIZES = {"softplus": 5000.0}  # of an input, where only large numbers tell
COLOURS = {"input": "#0072B2", "parameters": "#D55E00"}
COLUMNS = 5

Slopes = dict[str, dict[str, list[float]]]


def measure(exhibit: Exhibit, source: str) -> Slopes:
    """Return what a layer says of every number on its second way back, and its differences."""
    layer = exhibit.layer_of(source, exhibit.name)
    layer = layer.astype("float64") if layer.dtype is not None else layer
    np.random.seed(0)  # noqa: NPY002, one of the layers draws from it
    rng = np.random.default_rng(1)
    for _ in range(2):
        x = SIZES.get(exhibit.name, 1.0) * rng.standard_normal((*exhibit.shape, 3))
        drawn = None if layer.rng is None else layer.rng.bit_generator.state
        a = layer.run(x, TRAINING)
        nabla_a = rng.standard_normal(a.shape)
        below = np.array(layer.go_back(nabla_a))
    said = {"input": below.ravel(), "parameters": layer.nabla.copy()}

    def output() -> np.ndarray:
        if drawn is not None:
            layer.rng.bit_generator.state = drawn
        return np.array(layer.run(x, TRAINING))

    found = {
        "input": differences(output, nabla_a, x),
        "parameters": differences(output, nabla_a, layer.theta),
    }
    return {name: {"said": rounded(said[name]), "found": rounded(found[name])} for name in said}


def differences(
    output: Callable[[], np.ndarray], nabla_a: np.ndarray, array: np.ndarray
) -> np.ndarray:
    """Return the central differences of the sum of nabla_a * a by the numbers of an array.

    They are moved in place. An output that is infinite and stays so has the slope 0.
    """
    slopes = []
    for index in np.ndindex(array.shape):
        ends, before = [], array[index]
        for step in (STEP, -STEP):
            array[index] = before + step
            ends.append(output())
        array[index] = before
        above, below = ends
        moved = np.subtract(above, below, out=np.zeros_like(above), where=above != below)
        slopes.append((nabla_a * moved).sum() / (2 * STEP))
    return np.array(slopes)


def rounded(numbers: np.ndarray) -> Any:
    """Return numbers for a file."""
    return [float(f"{n:.5g}") for n in numbers]


def run() -> dict[str, Slopes]:
    """Measure all layers as they stand in the zoo."""
    with np.errstate(all="ignore"):
        return {name: measure(exhibit, exhibit.source) for name, exhibit in EXHIBITS.items()}


def draw(path: Path) -> None:
    """Draw zoo.png beside the JSON file that `run` filled."""
    result = read_result(path)
    with figure(path, 7.2, 6.2) as drawn:
        axes = drawn.subplots(len(result) // COLUMNS, COLUMNS)
        for ax, (name, slopes) in zip(axes.flat, result.items(), strict=True):
            draw_one(ax, name, slopes)
        handles = [ax.plot([], [], "o", color=c, ms=4, label=n)[0] for n, c in COLOURS.items()]
        drawn.legend(handles=handles, loc="outside lower right", ncols=2, frameon=False, fontsize=8)
        drawn.supxlabel("slope by central differences", fontsize=9)
        drawn.supylabel("slope as the layer says", fontsize=9)


def draw_one(ax: Axes, name: str, slopes: Slopes) -> None:
    """Draw the slopes of one layer, and on the diagonal where they should be."""
    largest = 0.0
    for part, of_part in slopes.items():
        ax.plot(of_part["found"], of_part["said"], "o", color=COLOURS[part], ms=3, alpha=0.8, mew=0)
        largest = max([largest, *map(abs, of_part["found"]), *map(abs, of_part["said"])])
    reach = 1.15 * largest
    ax.axline((0, 0), slope=1, color="0.6", lw=0.8, zorder=0)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
    ax.set_title(name.replace("_", " "), fontsize=8)


def main() -> None:
    """Run with the arguments of the command line, write and draw."""
    options = option_parser(__doc__ or "").parse_args()
    write_and_draw(options.out / "zoo.json", run(), draw, indent=None)


if __name__ == "__main__":
    main()
