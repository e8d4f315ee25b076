"""What a hidden layer is for: the same digits with none, and with one of 30 and of 100 neurons.

Without a hidden layer the network is softmax regression, a linear classifier. Writes the accuracy
after every epoch to hidden_layer.json, and draws hidden_layer.png from that file.

    python experiments/hidden_layer.py [--data mnist] [--epochs 20] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from backprop import Network, Trainer, datasets, plots
from backprop.core.storage import write_text
from backprop.schedules import CosineDecay

HIDDEN = {"no hidden layer": [], "30 hidden": [30], "100 hidden": [100]}
COLOURS = ("#D55E00", "#0072B2", "#009E73")  # told apart by every kind of colour vision


def run(data: str, epochs: int, train_size: int | None, seed: int) -> dict:
    """Train each network for `epochs`; return its test accuracy after every one of them."""
    source = datasets.load(data)
    x = datasets.to_columns(source.x_train[:train_size])
    y = source.labels_train[:train_size]
    x_test, y_test = datasets.to_columns(source.x_test), source.labels_test
    n_classes = int(source.labels_train.max()) + 1
    accuracy = {}
    for name, hidden in HIDDEN.items():
        sizes = [len(x), *hidden, n_classes]
        schedule = CosineDecay(0.5, epochs)  # to 0, so that no curve ends on a chance fluctuation
        network = Network.from_sizes(sizes, cost="softmax_cross_entropy", rng=seed)
        trainer = Trainer(
            network, "sgd", 10, schedule=schedule, rng=seed + 1, monitor_training=False
        )
        accuracy[name] = trainer.fit(x, y, epochs, (x_test, y_test))["validation_accuracy"]
        print(f"{name:>15}: test accuracy {accuracy[name][-1]:.2%}")
    linear, one_layer = accuracy["no hidden layer"], accuracy["30 hidden"]
    print(f"30 hidden neurons gain {100 * (one_layer[-1] - linear[-1]):.1f} points")
    return {"data": source.name, "examples": len(y), "seed": seed, "test_accuracy": accuracy}


def draw(path: Path) -> None:
    """Draw hidden_layer.png beside the JSON file that `run` filled."""
    result = json.loads(path.read_text(encoding="utf-8"))
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(6.4, 4), layout="constrained")
        FigureCanvasAgg(figure)
        ax = figure.add_subplot()
        best = 100 * max(values[-1] for values in result["test_accuracy"].values())
        for (name, values), colour in zip(result["test_accuracy"].items(), COLOURS, strict=True):
            epochs = np.arange(1, len(values) + 1)
            percent = 100 * np.array(values)
            ax.plot(epochs, percent, marker="o", markersize=3, color=colour)
            text = f"{name}, {percent[-1]:.1f}%"
            ax.annotate(text, (epochs[-1], percent[-1]), (8, 0), textcoords="offset points",
                        color=colour, va="bottom" if percent[-1] == best else "top")  # fmt: skip
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", **plots.GRID)
        ax.set(
            xlabel="epoch",
            ylabel="test accuracy (%)",
            title=f"What a hidden layer is for: {result['data']} digits",
        )
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        plots.save(ax, path.with_suffix(".png"))


def main() -> None:
    """Run and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="builtin", help="as in `backprop train`")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--train-size", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"))
    arguments = parser.parse_args()
    result = run(arguments.data, arguments.epochs, arguments.train_size, arguments.seed)
    path = arguments.out / "hidden_layer.json"
    write_text(path, json.dumps(result, indent=1) + "\n")
    draw(path)
    print(f"drawn in {path.with_suffix('.png')}")


if __name__ == "__main__":
    main()
