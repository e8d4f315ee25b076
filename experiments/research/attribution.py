"""What a convolutional net goes by: six attributions of the same digits, side by side.

Writes attribution.json, with the digits, their classes, and the relevance of every pixel by every
method; draws attribution.png from that file.

    python -m experiments.research.attribution [--epochs 3] [--seed 0] [--out FOLDER]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backprop import Adam, Trainer, datasets, plots
from backprop.research import (
    LRPAlphaBeta,
    LRPBox,
    LRPGamma,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    lrp,
    saliency,
)
from experiments.common import option_parser, read_result, write_and_draw
from experiments.images.digits_convnet import convolutional


def run(data: str, train_size: int, epochs: int, seed: int) -> dict[str, Any]:
    """Train a net; return digits that it gets right, one of each class, and their attributions."""
    source = datasets.load(data)
    x, labels = datasets.to_images(source.x_train[:train_size]), source.labels_train[:train_size]
    network = convolutional(rng=seed)
    trainer = Trainer(network, Adam(0.002), 50, rng=seed, monitor_training=False, progress=False)
    trainer.fit(x, labels, epochs)
    x_test, right = datasets.to_images(source.x_test), source.labels_test
    found = network.predict(x_test).argmax(axis=0)
    which = [np.argmax((right == k) & (found == k)) for k in range(10)]
    x, target = np.ascontiguousarray(x_test[..., which]), right[which].astype(int)
    accuracy = float((found == right).mean())
    print(f"test accuracy {accuracy:.2%}")
    maps = {
        "saliency": saliency(network, x, target),
        "guided": guided_backpropagation(network, x, target),
        "gradient x input": gradient_times_input(network, x, target),
        "integrated gradients": integrated_gradients(network, x, target, tolerance=0.01),
        "LRP, gamma": lrp(network, x, target, LRPGamma(0.25), {"0": LRPBox(0, 1)}),
        "LRP, alpha 2 beta 1": lrp(network, x, target, LRPAlphaBeta(2)),
    }
    for name, found in maps.items():
        print(f"{name:>21}: the pixels' sum is {found.reshape(-1, 10).sum(axis=0).mean():8.2f}")
    return {
        "data": source.name,
        "accuracy": accuracy,
        "labels": target.tolist(),
        "images": np.round(x[0].astype(float), 3).tolist(),  # H x W x B
        "maps": {
            name: np.round(found[0] / abs(found).max(), 4).tolist() for name, found in maps.items()
        },
    }


def draw(path: Path) -> None:
    """Draw the figure from the JSON file, beside it."""
    result = read_result(path)
    maps = {name: np.array(found) for name, found in result["maps"].items()}
    ax = plots.attributions(np.array(result["images"]), maps, count=10)
    plots.save(ax, path.with_suffix(".png"))


if __name__ == "__main__":
    parser = option_parser(__doc__ or "", data="builtin", train_size=5000, epochs=3, seed=0)
    options = parser.parse_args()
    found = run(options.data, options.train_size, options.epochs, options.seed)
    write_and_draw(options.out / "attribution.json", found, draw, indent=None)
