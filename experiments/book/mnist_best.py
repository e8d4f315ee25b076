"""One network beyond the book: convolutions, batch normalisation, dropout, distorted images.

Two stages of three convolutions, 32 maps and then 64, the third of each with stride 2, a ReLU and
batch normalisation after every one, and dropout. In every epoch each training image is moved,
turned, scaled and slanted anew, by random amounts. Momentum, the eta rising for an epoch and then
falling as a cosine to 0. The aim is 99.75% of the test images, by one network.

`--choose` is what settings are chosen by: it trains on the first five sixths of the training
images, prints the accuracy on the rest, and does not look at the test images. Without it the
network is trained on all, and the test images are looked at once, after the last epoch. Every seed
writes a JSON file of its own; one that was interrupted goes on from its checkpoint.

    python -m experiments.book.mnist_best [--data FOLDER] [--epochs 30] [--seeds 3] [--choose]

Source: Nielsen, *Neural Networks and Deep Learning*, chapter 6, on what lies beyond it; Ioffe and
Szegedy, "Batch Normalization", 2015; Simard, Steinkraus and Platt, "Best Practices for
Convolutional Neural Networks", 2003, for distorted images.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from backprop import (
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Nesterov,
    Network,
    Trainer,
    datasets,
)
from backprop.core.storage import write_text
from backprop.layers import ReLU
from backprop.schedules import CosineDecay, Warmup
from backprop.training import checkpoint
from experiments.book.data import split
from experiments.book.drawing import COLOURS
from experiments.book.training import versions
from experiments.common import figure, find_mnist, load_mnist, option_parser, read_result, tidy

SETTING: dict[str, Any] = {
    "maps": (32, 64),
    "hidden": 128,
    "dropout": 0.4,
    "eta": 0.05,
    "batch_size": 64,
    "pixels": 2.0,  # an image moves by at most so many,
    "degrees": 12.0,  # turns by so much,
    "scale": 0.12,  # grows or shrinks by such a part,
    "slant": 0.15,  # and a column of so many pixels leans by so many
}
AIM = 0.9975


def network_of(shape: tuple[int, ...], n_classes: int, seed: int) -> Network:
    """Return the network, for images of this shape."""
    layers: list[Any] = []
    channels = shape[0]
    for maps in SETTING["maps"]:
        for kernel, stride in ((3, 1), (3, 1), (5, 2)):
            layers += [
                Conv2d(channels, maps, kernel, stride, "same", activation="identity"),
                BatchNorm(maps),
                ReLU(),
            ]
            channels = maps
        layers.append(Dropout(SETTING["dropout"]))
    layers.append(Flatten())
    n = channels * math.prod((size + 3) // 4 for size in shape[1:])
    layers += [
        Dense(n, SETTING["hidden"], "identity"),
        BatchNorm(SETTING["hidden"]),
        ReLU(),
        Dropout(SETTING["dropout"]),
        Dense(SETTING["hidden"], n_classes, "softmax"),
    ]
    return Network(layers, "softmax_cross_entropy", input_shape=shape, rng=seed)


def distorted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images N x H x W of floats, each moved, turned, scaled and slanted at random.

    The number at a place is interpolated between the four pixels where it comes from, and 0 where
    these lie outside.
    """
    n, h, w = images.shape

    def uniform(most: float) -> np.ndarray:
        return rng.uniform(-most, most, (n, 1, 1)).astype(np.float32)

    turn = uniform(np.deg2rad(SETTING["degrees"]))
    across, down = (np.exp(uniform(SETTING["scale"])) for _ in range(2))
    slant = uniform(SETTING["slant"])
    moves = uniform(SETTING["pixels"]), uniform(SETTING["pixels"])
    v, u = np.mgrid[:h, :w].astype(np.float32)
    v, u = v - (h - 1) / 2, u - (w - 1) / 2
    out = np.empty_like(images)
    for start in range(0, n, 2000):  # in blocks that fit the caches
        part = slice(start, start + 2000)
        cos, sin = np.cos(turn[part]), np.sin(turn[part])
        x = across[part] * (cos * u + sin * v) + slant[part] * v + moves[0][part] + (w - 1) / 2
        y = down[part] * (cos * v - sin * u) + moves[1][part] + (h - 1) / 2
        out[part] = _interpolated(images[part], y, x)
    return out


def _interpolated(images: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return what images show at fractional places, by the four pixels around each."""
    n, h, w = images.shape
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2)))
    y, x = np.clip(y + 1, 0, h + 1), np.clip(x + 1, 0, w + 1)
    top, left = y.astype(np.int32), x.astype(np.int32)
    y, x = y - top, x - left
    width = w + 3
    flat = padded.reshape(-1)
    first = (np.arange(n, dtype=np.int32) * (h + 3) * width)[:, None, None]
    at = first + top * width + left
    above = flat[at] * (1 - x) + flat[at + 1] * x
    below = flat[at + width] * (1 - x) + flat[at + width + 1] * x
    return (above * (1 - y) + below * y).astype(images.dtype)


def train(parts: dict[str, Any], n_classes: int, seed: int, epochs: int, path: Path) -> None:
    """Train from one seed on ``parts["training"]``, then measure on the other part, once."""
    images, labels = parts["training"]
    images = np.ascontiguousarray(np.moveaxis(datasets.to_images(images)[0], -1, 0))
    network = network_of((1, *images.shape[1:]), n_classes, seed)
    trainer = Trainer(
        network,
        Nesterov(SETTING["eta"], 0.9),
        SETTING["batch_size"],
        schedule=Warmup(1, then=CosineDecay(SETTING["eta"], max(1, epochs - 1))),
        rng=seed,
        monitor_training=1000,
        progress=False,
    )
    saved = path.with_suffix(".npz")
    if saved.exists():
        checkpoint.restore(trainer, saved)
    print(f"seed {seed}: {network.n_parameters:,} parameters", flush=True)
    while trainer.epoch < epochs:
        started = time.perf_counter()
        # They depend on seed and epoch alone, so that a resumed run sees the same.
        new = distorted(images, np.random.default_rng([seed, trainer.epoch]))
        trainer.fit(np.moveaxis(new[:, None], 0, -1), labels, 1)
        if trainer.interrupted:
            raise KeyboardInterrupt  # the checkpoint is that of the last whole epoch
        checkpoint.save(trainer, saved)
        record = trainer.history.records[-1]
        print(f"  epoch {trainer.epoch} of {epochs}: training cost {record['training_cost']:.4f}, "
              f"{time.perf_counter() - started:.0f} s", flush=True)  # fmt: skip
    (judged,) = (name for name in parts if name != "training")
    x, y = parts[judged]
    found = network.evaluate(datasets.to_images(x), y)
    result = {
        "seed": seed,
        "epochs": epochs,
        "setting": SETTING,
        "versions": versions(),
        "path": trainer.computed_by,
        "seconds": round(sum(trainer.history["seconds"]), 1),
        "parameters": network.n_parameters,
        "training": len(labels),
        "training_cost": [float(f"{c:.4g}") for c in trainer.history["training_cost"]],
        f"{judged}_accuracy": found["accuracy"],
        f"{judged}_cost": found["cost"],
    }
    write_text(path, json.dumps(result) + "\n")
    saved.unlink()
    print(f"  {judged} accuracy {found['accuracy']:.2%}", flush=True)


def draw(path: Path) -> None:
    """Draw the training cost by epoch of every seed, from the JSON files of a name."""
    found = [read_result(one) for one in sorted(path.parent.glob(f"{path.stem}.[0-9]*.json"))]
    with figure(path, 5.2, 3.2) as drawn:
        ax = drawn.add_subplot()
        for run, colour in zip(found, COLOURS, strict=False):
            name = next(key for key in run if key in ("test_accuracy", "validation_accuracy"))
            label = f"seed {run['seed']}: {name.split('_')[0]} {run[name]:.2%}"
            epochs = range(1, len(run["training_cost"]) + 1)
            ax.semilogy(epochs, run["training_cost"], color=colour, label=label)
        ax.set(xlabel="epoch", ylabel="cost of 1,000 distorted training images")
        ax.legend(frameon=False, fontsize=8)
        tidy(ax)


def main() -> int:
    """Train every seed that is not there yet, and draw; return the status."""
    parser = option_parser(__doc__ or "", data=None, epochs=30, seeds=3)
    parser.add_argument("--choose", action="store_true", help="judge by validation data alone")
    parser.add_argument("--quick", action="store_true", help="few images, two epochs, one seed")
    arguments = parser.parse_args()
    data = load_mnist("mnist_best", arguments.data or find_mnist())
    seeds, epochs, n = arguments.seeds, arguments.epochs, None
    if arguments.quick:
        seeds, epochs, n = 1, 2, 200
    book = split(data)
    if arguments.choose:
        parts = {"training": book.training, "validation": book.validation}
    else:
        parts = {"training": (data.x_train, data.labels_train), "test": book.test}
    parts = {name: (x[:n], y[:n]) for name, (x, y) in parts.items()}
    name = "mnist_best_chosen" if arguments.choose else "mnist_best"
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        path = arguments.out / f"{name}.{seed}.json"
        if not path.exists():
            train(parts, book.n_classes, seed, epochs, path)
    draw(arguments.out / f"{name}.json")
    print(f"drawn in {arguments.out / name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
