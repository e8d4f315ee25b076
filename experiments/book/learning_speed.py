"""How fast each hidden layer learns: the vanishing gradient of the book's chapter 5.

The speed of learning of a layer is the length of its gradient by the biases, ||dC/db||: delta
summed over the examples, C being their mean. That is what the book plots: it adds the bias
gradients of the first 1,000 training images, divides by 1,000 and takes the Euclidean norm, of
each hidden layer and without the penalty. (Its text calls this ||delta||.) The networks are
784-30-...-30-10 with two, three and four hidden layers, all sigmoid, with cross-entropy,
w ~ N(0, 1/n_in) and b ~ N(0, 1). They descend for 500 steps on all 1,000 images at once, eta 0.1,
lambda 5.0: w is multiplied by 1 - eta lambda / 1,000 in each step.

The book has one random draw; here is one for each of 20 seeds, and the book's figures beside
them. Writes learning_speed.json, and draws learning_speed.png from that file.

    python -m experiments.book.learning_speed [--data mnist --name MNIST] [--seeds 20]

Source: Nielsen, *Neural Networks and Deep Learning*, chapter 5, "The vanishing gradient problem";
the book's figures are those of its programs' output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from backprop import L2, SGD, Callback, Network, Trainer, datasets
from experiments.common import (
    figure,
    option_parser,
    read_result,
    rounded,
    tidy,
    write_and_draw,
)

EXAMPLES = 1000
ETA, LMBDA = 0.1, 5.0
BOOK: dict[int, dict[str, list[float]]] = {  # hidden layers: the norm of each, on real MNIST
    2: {"first": [0.0657, 0.309], "last": [3.4e-3, 9.6e-3]},
    3: {"first": [0.0118, 0.0600, 0.283], "last": [8.6e-5, 2.2e-4, 1.3e-3]},
    4: {"first": [0.00298, 0.0171, 0.0695, 0.285], "last": [8.2e-6, 2.6e-5, 1.8e-4, 9.2e-4]},
}  # "last" is the book's record after 499 steps
CURVES = ("low", "median", "high")  # of the seeds
SAMPLE = 5  # steps from one point of the stored curves to the next
COLOURS = ("#440154", "#31688e", "#21918c", "#5ec962")  # first hidden layer to last


class Speeds(Callback):
    """Keep ||dC/db|| of the hidden layers in every step; the penalty has no part in it."""

    def __init__(self) -> None:
        self.norms: list[list[float]] = []

    def on_step_end(self, trainer: Trainer) -> None:
        hidden = trainer.network.layers[:-1]
        self.norms.append([float(np.linalg.norm(layer.nabla_b)) for layer in hidden])


def speeds(x: np.ndarray, y: np.ndarray, hidden: int, steps: int, seed: int) -> np.ndarray:
    """Return ||dC/db|| before each of `steps` full-batch steps, steps x hidden layers."""
    sizes = [len(x), *[30] * hidden, len(y)]
    network = Network.from_sizes(sizes, cost="cross_entropy", rng=seed)
    recorder = Speeds()
    n = x.shape[-1]
    trainer = Trainer(
        network,
        SGD(ETA),
        batch_size=n,
        regularizer=L2.book(LMBDA, n),
        rng=seed,
        callbacks=[recorder],
        metrics={},
        monitor_training=False,
        progress=False,
    )
    trainer.fit(x, y, epochs=steps)
    return np.array(recorder.norms)


def run(data: str, name: str | None, steps: int, seeds: int) -> dict[str, Any]:
    """Train the three networks from every seed; return what is drawn, and print the comparison."""
    source = datasets.load(data)
    labels = source.labels_train[:EXAMPLES]
    x = datasets.to_columns(source.x_train[:EXAMPLES])
    y = datasets.one_hot(labels, int(source.labels_train.max()) + 1)
    result: dict[str, Any] = {
        "data": name or source.name,
        "examples": len(labels),
        "eta": ETA,
        "lambda": LMBDA,
        "seeds": seeds,
        "hidden_layers": {},
    }
    sampled = sorted({*range(0, steps, SAMPLE), steps - 1})
    for hidden in BOOK:
        norms = np.array([speeds(x, y, hidden, steps, seed) for seed in range(seeds)])
        print_comparison(hidden, norms)
        curves = np.quantile(norms[:, sampled], (0, 0.5, 1), axis=0)
        result["hidden_layers"][str(hidden)] = {
            "first": rounded(norms[:, 0]),  # seeds x layers
            "last": rounded(norms[:, -1]),
            "steps": sampled,
            **{name: rounded(curve.T) for name, curve in zip(CURVES, curves, strict=True)},
        }
    return result


def print_comparison(hidden: int, norms: np.ndarray) -> None:
    """Print the range over the seeds (seeds x steps x layers) beside the book's one draw."""
    print(f"{hidden} hidden layers: median (range) of {len(norms)} seeds, and the book's")
    for when, step in (("first", 0), ("last", norms.shape[1] - 1)):
        ours, book = norms[:, step].T, np.array(BOOK[hidden][when])
        print(f"  after {step} steps{' (the book: 499)' if step else ''}")
        rows = [(f"layer {i + 1}", ours[i], book[i]) for i in range(hidden)]
        rows += [
            (f"layer {i + 2} / layer {i + 1}", ours[i + 1] / ours[i], book[i + 1] / book[i])
            for i in range(hidden - 1)
        ]
        rows.append(("last / first", ours[-1] / ours[0], book[-1] / book[0]))
        for name, values, reference in rows:
            spread = f"({values.min():.3g} to {values.max():.3g})"
            print(f"    {name:<17} {np.median(values):8.3g} {spread:<24} {reference:8.3g}")


# -- the figure ------------------------------------------------------------------------------


def draw(path: Path) -> None:
    """Draw learning_speed.png beside the JSON file that `run` filled."""
    result = read_result(path)
    networks = {int(hidden): found for hidden, found in result["hidden_layers"].items()}
    with figure(path, 7.6, 6.2, dpi=200) as drawn:
        top, *rest = drawn.subplots(2, 2, sharey=True).flat
        draw_start(top, networks)
        for ax, (hidden, found) in zip(rest, networks.items(), strict=True):
            draw_training(ax, hidden, found)
        for ax in (top, rest[1]):
            ax.set_ylabel("speed of learning ‖∂C/∂b‖")
        drawn.suptitle(
            f"Speed of learning of the hidden layers, on {result['examples']:,} images of "
            f"{result['data']}: {result['seeds']} random starts, and ○ the book's",
            x=0.01, ha="left", fontsize=9,
        )  # fmt: skip


def draw_start(ax: Axes, networks: dict[int, dict[str, Any]]) -> None:
    """Draw the norms at initialisation: a point per seed, the book's as rings."""
    place, ticks = 0.0, []
    for hidden, found in networks.items():
        for layer, values in enumerate(np.transpose(found["first"])):
            across = place + np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else [place]
            ax.plot(across, values, ".", color=COLOURS[layer], ms=4, alpha=0.7, mew=0)
            ax.plot(place, BOOK[hidden]["first"][layer], "o", color="k", mfc="none", ms=7)
            ticks.append((place, str(layer + 1)))
            place += 1
        place += 0.7
    ax.set_xticks(*zip(*ticks, strict=True))
    _finish(ax, "at the start, in nets of 2, 3 and 4 hidden layers", "hidden layer")


def draw_training(ax: Axes, hidden: int, found: dict[str, Any]) -> None:
    """Draw the norms during training: the median of the seeds, their range, the book's ends."""
    steps, height = found["steps"], 0.0
    for layer in range(hidden):
        low, median, high = (found[name][layer] for name in CURVES)
        ax.fill_between(steps, low, high, color=COLOURS[layer], alpha=0.15, linewidth=0)
        ax.plot(steps, median, color=COLOURS[layer], linewidth=1.5)
        book = [BOOK[hidden][when][layer] for when in ("first", "last")]
        ax.plot([0, 499], book, "o", color="k", mfc="none", ms=6, clip_on=False, zorder=3)
        height = max(median[-1], 1.8 * height)  # not on the name below
        ax.annotate(f"layer {layer + 1}", (steps[-1], height), (8, 0), va="center",
                    textcoords="offset points", color=COLOURS[layer], fontsize=8,
                    annotation_clip=False)  # fmt: skip
    ax.set_xlim(-0.02 * steps[-1], None)
    _finish(ax, f"{hidden} hidden layers, while they train", "full-batch step")


def _finish(ax: Axes, title: str, x: str) -> None:
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(numticks=12))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_title(title)
    ax.set_xlabel(x)
    ax.tick_params(labelsize=8)
    tidy(ax)


def main() -> None:
    """Run and draw."""
    parser = option_parser(__doc__, data="builtin", seeds=20)
    parser.add_argument("--name", help="what to call the data in the figure")
    parser.add_argument("--steps", type=int, default=500)
    arguments = parser.parse_args()
    result = run(arguments.data, arguments.name, arguments.steps, arguments.seeds)
    write_and_draw(arguments.out / "learning_speed.json", result, draw)


if __name__ == "__main__":
    main()
