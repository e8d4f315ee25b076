"""What a hidden layer is for: the same digits with none, and with one of 30 and of 100 neurons.

Without a hidden layer the network is softmax regression, a linear classifier. Writes the accuracy
after every epoch to hidden_layer.json, and draws hidden_layer.png from that file.

    python -m experiments.book.hidden_layer [--data mnist] [--epochs 20] [--out FOLDER]
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from backprop import Network, Trainer, datasets
from backprop.schedules import CosineDecay
from experiments.common import figure, option_parser, read_result, tidy, write_and_draw

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
    result = read_result(path)
    with figure(path, 6.4, 4) as drawn:
        ax = drawn.add_subplot()
        best = 100 * max(values[-1] for values in result["test_accuracy"].values())
        for (name, values), colour in zip(result["test_accuracy"].items(), COLOURS, strict=True):
            epochs = np.arange(1, len(values) + 1)
            percent = 100 * np.array(values)
            ax.plot(epochs, percent, marker="o", markersize=3, color=colour)
            text = f"{name}, {percent[-1]:.1f}%"
            ax.annotate(text, (epochs[-1], percent[-1]), (8, 0), textcoords="offset points",
                        color=colour, va="bottom" if percent[-1] == best else "top")  # fmt: skip
        tidy(ax)
        ax.set(
            xlabel="epoch",
            ylabel="test accuracy (%)",
            title=f"What a hidden layer is for: {result['data']} digits",
        )
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def main() -> None:
    """Run and draw."""
    parser = option_parser(__doc__, data="builtin", epochs=20, train_size=None, seed=0)
    arguments = parser.parse_args()
    result = run(arguments.data, arguments.epochs, arguments.train_size, arguments.seed)
    write_and_draw(arguments.out / "hidden_layer.json", result, draw)


if __name__ == "__main__":
    main()
