"""One network beyond the book: convolutions, batch normalisation, dropout, distorted images.

Two stages of three convolutions, 32 maps and then 64, the third of each with stride 2, a ReLU and
batch normalisation after every one, and dropout. In every epoch each training image is moved,
turned, stretched and slanted anew, by random amounts. Momentum, the eta rising for an epoch and
then falling as a cosine to 0. The aim is 99.75% of the test images, by one network.

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

from backprop import (
    BatchNorm,
    Checkpoint,
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
from experiments.book.training import TimeIsUp, Watch, versions
from experiments.common import (
    check_same,
    figure,
    find_mnist,
    load_mnist,
    option_parser,
    read_result,
    rounded,
    tidy,
)

SETTING: dict[str, Any] = {
    "maps": (32, 64),
    "hidden": 128,
    "dropout": 0.4,
    "eta": 0.05,
    "batch_size": 64,
    "transform": {"pixels": 2.0, "degrees": 12.0, "scale": 0.12, "shear": 0.15},
}


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


def train(
    parts: dict[str, Any], n_classes: int, seed: int, epochs: int, path: Path, deadline: float
) -> None:
    """Train from one seed on ``parts["training"]``, then measure on the other part, once.

    Raises
    ------
    KeyboardInterrupt, TimeIsUp
        If it ends before: the checkpoint beside `path` has all minibatches up to then.
    """
    images, labels = parts["training"]
    images = datasets.to_images(images)
    network = network_of(images.shape[:-1], n_classes, seed)
    saved = path.with_suffix(".npz")
    trainer = Trainer(
        network,
        Nesterov(SETTING["eta"], 0.9),
        SETTING["batch_size"],
        schedule=Warmup(1, then=CosineDecay(SETTING["eta"], max(1, epochs - 1))),
        rng=seed,
        callbacks=[Watch(f"seed {seed}", epochs, deadline), Checkpoint(saved)],
        monitor_training=1000,
        progress=False,
        transform=datasets.Affine(**SETTING["transform"]),
    )
    if saved.exists():
        checkpoint.restore(trainer, saved)
    print(f"seed {seed}: {network.n_parameters:,} parameters", flush=True)
    trainer.fit(images, labels, epochs - trainer.epoch)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if trainer.stopping:
        raise TimeIsUp
    (judged,) = (name for name in parts if name != "training")
    x, y = parts[judged]
    found = network.evaluate(datasets.to_images(x), y)
    result = {
        "seed": seed,
        **what_is_run(parts, epochs),
        "versions": versions(),
        "path": trainer.computed_by,
        "seconds": round(sum(trainer.history["seconds"]), 1),
        "parameters": network.n_parameters,
        "training_cost": rounded(trainer.history["training_cost"]),
        f"{judged}_accuracy": found["accuracy"],
        f"{judged}_cost": found["cost"],
    }
    write_text(path, json.dumps(result) + "\n")
    saved.unlink()
    print(f"  {judged} accuracy {found['accuracy']:.2%}", flush=True)


def what_is_run(parts: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Return what the result of a seed depends on, as its JSON file has it."""
    setting = json.loads(json.dumps(SETTING))
    return {"epochs": epochs, "setting": setting, "training": len(parts["training"][1])}


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
        ax.set(xlabel="epoch", ylabel="cost of 1,000 training images")
        ax.legend(frameon=False, fontsize=8)
        tidy(ax)


def main() -> int:
    """Train every seed that is not there yet, and draw; return the status."""
    parser = option_parser(__doc__ or "", data=None, epochs=30, seeds=3)
    parser.add_argument("--choose", action="store_true", help="judge by validation data alone")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
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
    deadline = time.monotonic() + 60 * arguments.minutes
    for seed in range(seeds):
        path = arguments.out / f"{name}.{seed}.json"
        if path.exists():
            check_same("mnist_best", path, read_result(path), what_is_run(parts, epochs))
            continue
        try:
            train(parts, book.n_classes, seed, epochs, path, deadline)
        except TimeIsUp:
            print("time is up; the same command goes on")
            return 0
        except KeyboardInterrupt:
            print("interrupted; the same command goes on")
            return 130
    draw(arguments.out / f"{name}.json")
    print(f"drawn in {arguments.out / name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
