"""The gradients behind the mean: wrong labels stand out, and noise overtakes the signal.

A network is trained on digits, of which one in twenty has a wrong label. After every epoch the
norms of the examples' gradients and the simple noise scale are computed, of the same examples.
Right examples are learnt and fall silent one by one; the wrong ones are outvoted, and their
gradients stay large. The noise scale, tr(Sigma) /
|G|^2, is how large a minibatch could usefully be: it grows as the common signal is used up.

Writes gradient_norms.json, and draws gradient_norms.png from it.

    python -m experiments.per_example.gradient_norms [--epochs 15] [--out FOLDER]

Source: McCandlish, Kaplan and Amodei, "An Empirical Model of Large-Batch Training", 2018.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from backprop import SGD, Network, Trainer, datasets
from backprop.research import ExampleGradients
from experiments.common import (
    figure,
    option_parser,
    read_result,
    ticks_at_1_2_5,
    tidy,
    write_and_draw,
)

WRONG = 0.05  # of the labels
ETA, BATCH = 0.1, 20
RIGHT_COLOUR, WRONG_COLOUR = "#0072B2", "#D55E00"


def run(data: str, train_size: int, epochs: int, seed: int) -> dict[str, Any]:
    """Train, and look at the same examples after every epoch; return what is drawn."""
    source = datasets.load(data)
    x = datasets.to_columns(source.x_train[:train_size])
    labels = source.labels_train[:train_size].astype(int)
    classes = int(labels.max()) + 1
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(labels)) < WRONG
    shift = rng.integers(1, classes, len(labels))
    labels = np.where(wrong, (labels + shift) % classes, labels)
    network = Network.from_sizes([len(x), 30, classes], "relu", "softmax_cross_entropy", rng=seed)
    trainer = Trainer(network, SGD(ETA), BATCH, rng=seed, monitor_training=False, progress=False)
    groups = {"wrong labels": wrong, "right labels": ~wrong}
    result: dict[str, Any] = {"data": source.name, "epochs": []}
    for epoch in range(epochs + 1):
        if epoch:
            trainer.fit(x, labels, epochs=1)
        found = ExampleGradients(network, x, labels)
        norms = found.norms()
        result["epochs"].append(
            {
                "norms": {
                    name: np.quantile(norms[chosen].astype(float), (0.25, 0.5, 0.75)).tolist()
                    for name, chosen in groups.items()
                },
                "noise_scale": found.noise_scale(),
            }
        )
        right, of_wrong = (result["epochs"][-1]["norms"][name][1] for name in reversed(groups))
        largest = np.argsort(norms)[len(norms) - int(wrong.sum()) :]
        share = wrong[largest].mean()
        print(
            f"after epoch {epoch:2}: median |g| {right:.3f}, of wrong labels {of_wrong:.3f}; "
            f"{share:.0%} of the largest are wrong; noise scale {found.noise_scale():.1f}"
        )
    return result


def draw(path: Path) -> None:
    """Draw gradient_norms.png beside the JSON file that `run` filled."""
    result = read_result(path)
    with figure(path, 7.2, 2.7) as drawn:
        left, right = drawn.subplots(1, 2, width_ratios=(3, 2))
        draw_norms(left, result)
        draw_noise(right, result)


def draw_norms(ax: Axes, result: dict[str, Any]) -> None:
    """Draw median and the middle half of the norms, of right and of wrong labels."""
    epochs = np.arange(len(result["epochs"]))
    for name, colour in (("wrong labels", WRONG_COLOUR), ("right labels", RIGHT_COLOUR)):
        low, middle, high = np.array([epoch["norms"][name] for epoch in result["epochs"]]).T
        ax.fill_between(epochs, low, high, color=colour, alpha=0.2, lw=0)
        ax.plot(epochs, middle, color=colour, marker="o", markersize=3)
        ax.annotate(name, (epochs[-1], middle[-1]), (6, 0), textcoords="offset points",
                    color=colour, va="center", fontsize=8, annotation_clip=False)  # fmt: skip
    ax.set_yscale("log")
    ticks_at_1_2_5(ax.yaxis)
    tidy(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel="norm of an example's gradient")
    ax.set_title("median and middle half", fontsize=9)


def draw_noise(ax: Axes, result: dict[str, Any]) -> None:
    """Draw the noise scale, against the size of the minibatches."""
    noise = [epoch["noise_scale"] for epoch in result["epochs"]]
    ax.plot(range(len(noise)), noise, color="black", marker="o", markersize=3)
    ax.axhline(BATCH, color="0.6", lw=1)
    ax.annotate(f"B = {BATCH}", (len(noise) - 1, BATCH), (0, 3), textcoords="offset points",
                color="0.4", ha="right", fontsize=8)  # fmt: skip
    ax.set_yscale("log")
    ticks_at_1_2_5(ax.yaxis)
    tidy(ax)
    ax.set(xlabel="epoch", ylabel="noise scale tr(Σ) / |G|²")


def main() -> None:
    """Run with the arguments of the command line, write and draw."""
    parser = option_parser(__doc__ or "", data="builtin", train_size=5000, epochs=15, seed=0)
    options = parser.parse_args()
    path = options.out / "gradient_norms.json"
    result = run(options.data, options.train_size, options.epochs, options.seed)
    write_and_draw(path, result, draw, indent=None)


if __name__ == "__main__":
    main()
