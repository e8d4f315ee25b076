"""What a hidden layer can do without: interventions on its delta in training, and ablation after.

Writes interventions.json, with the test accuracies after every epoch under each intervention on the
hidden layer's delta, and those when more and more of its neurons are held at 0; draws
interventions.png from that file.

    python -m experiments.research.interventions [--epochs 5] [--seed 0] [--out FOLDER]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backprop import SGD, Network, Trainer, datasets
from backprop.research import Ablate, ClampNorm, Noise, Quantise, Zero
from experiments.common import figure, option_parser, read_result, tidy, write_and_draw

HIDDEN = 30
COLOURS = ("0.4", "#0072B2", "#009E73", "#D55E00", "#CC79A7")


def run(data: str, train_size: int, epochs: int, seed: int) -> dict[str, Any]:
    """Train a network under every intervention; ablate the one that was trained without."""
    source = datasets.load(data)
    x, labels = datasets.to_columns(source.x_train[:train_size]), source.labels_train[:train_size]
    test = datasets.to_columns(source.x_test), source.labels_test
    interventions = {
        "none": Zero(when=()),
        "delta in 2 bits": Quantise(2, rng=seed),
        "norm of at most 0.05": ClampNorm(0.05),
        "noise of 0.1": Noise(0.1, rng=seed),
        "delta = 0": Zero(),
    }
    result: dict[str, Any] = {"data": source.name, "accuracy": {}}
    for name, intervention in interventions.items():
        network = Network.from_sizes([len(x), HIDDEN, 10], cost="softmax_cross_entropy", rng=seed)
        trainer = Trainer(network, SGD(0.5), rng=seed, monitor_training=False, progress=False)
        with intervention.on(network[0]):
            history = trainer.fit(x, labels, epochs, test)
        result["accuracy"][name] = history["validation_accuracy"]
        print(f"{name:>20}: test accuracy {history['validation_accuracy'][-1]:.2%}")
        if name == "none":
            result["ablated"] = ablated(network, *test, seed)
    return result


def ablated(network: Network, x: np.ndarray, labels: np.ndarray, seed: int) -> list[list[float]]:
    """Return the accuracy with 0, 1, 2, ... hidden neurons held at 0, in five random orders."""
    found = []
    for order in np.random.default_rng(seed).permuted(np.tile(np.arange(HIDDEN), (5, 1)), axis=1):
        accuracies = []
        for count in range(HIDDEN + 1):
            with Ablate(order[:count]).on(network[0]):
                a = network.forward(x, keep=True)
            accuracies.append(float((a.argmax(axis=0) == labels).mean()))
        found.append(accuracies)
    return found


def draw(path: Path) -> None:
    """Draw the figure from the JSON file, beside it."""
    result = read_result(path)
    with figure(path, 8, 3.2) as drawn:
        left, right = drawn.subplots(1, 2)
        for (name, found), colour in zip(result["accuracy"].items(), COLOURS, strict=True):
            epochs = np.arange(1, 1 + len(found))
            left.plot(epochs, 100 * np.array(found), color=colour, label=name)
        left.set_xticks(epochs)
        left.set_xlabel("epoch")
        left.set_ylabel("test accuracy in %")
        left.set_title("interventions on the hidden delta", fontsize=9)
        left.legend(loc="center", bbox_to_anchor=(0.5, 0.58), ncols=2, fontsize=7, frameon=False)
        tidy(left)
        accuracies = 100 * np.array(result["ablated"])
        right.plot(accuracies.T, color="0.7", linewidth=0.8)
        right.plot(accuracies.mean(axis=0), color="#0072B2")
        right.set_xlabel(f"hidden neurons held at 0, of {HIDDEN}, in five random orders")
        right.set_title("ablation after training", fontsize=9)
        tidy(right)


if __name__ == "__main__":
    parser = option_parser(__doc__ or "", data="builtin", train_size=5000, epochs=5, seed=0)
    options = parser.parse_args()
    found = run(options.data, options.train_size, options.epochs, options.seed)
    write_and_draw(options.out / "interventions.json", found, draw)
