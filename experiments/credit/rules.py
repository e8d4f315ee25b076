"""Credit rules on the real MNIST: the test error, and the angle between their delta and the true.

Three networks, each by the chain rule and by others in its place: 784-1000-10 by feedback
alignment, 784-800-800-10 by direct feedback alignment, a convolutional net by sign symmetry. What
is trained, and how, is in `NETWORKS` and `RUNS`. All 60,000 training images are trained on; the
test error is that of the last epoch. Of two learning rates for feedback alignment one was chosen by
a short trial in which it was seen; nothing else was. The angles are those of 500 training images.

Every run writes a JSON file of its own, and is left out where that is there already; one that was
interrupted goes on from its checkpoint. The figure is drawn from the files.

    python -m experiments.credit.rules [--data FOLDER] [--seeds 3] [--only fa] [--quick]

Source: Lillicrap et al., "Random synaptic feedback weights support error backpropagation for deep
learning", 2016: 2.1% (784-1000-10); Nokland, "Direct Feedback Alignment Provides Learning in Deep
Neural Networks", 2016: 1.74% by DFA and 1.59% by backpropagation (2 x 800 tanh); Moskovitz,
Litwin-Kumar and Abbott, arXiv 1812.06488, 2018, for sign symmetry in convolutional nets.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from backprop import Adam, Callback, Checkpoint, Momentum, Network, Trainer, datasets
from backprop.core.storage import write_text
from backprop.layers import Conv2d, Dense, Flatten, MaxPool2d
from backprop.research import AlignmentAngle
from backprop.research.credit import from_config
from backprop.schedules import CosineDecay
from backprop.training import checkpoint
from experiments.common import figure, find_mnist, load_mnist, option_parser, read_result, tidy

NETWORKS: dict[str, dict[str, Any]] = {
    "one hidden layer": {
        "hidden": [1000],
        "optimizer": {"class": "Momentum", "eta": 0.015, "mu": 0.9},
        "batch_size": 64,
        "epochs": 15,
    },
    "two hidden layers": {
        "hidden": [800, 800],
        "optimizer": {"class": "Adam", "eta": 0.0005},
        "batch_size": 64,
        "epochs": 12,
    },
    "convolutional": {
        "maps": [16, 32],
        "hidden": [100],
        "optimizer": {"class": "Momentum", "eta": 0.01, "mu": 0.9},
        "batch_size": 64,
        "epochs": 5,
    },
}
RUNS: dict[str, dict[str, Any]] = {
    "fa": {"network": "one hidden layer", "credit": {"class": "FeedbackAlignment"}},
    "dfa": {"network": "two hidden layers", "credit": {"class": "DirectFeedbackAlignment"}},
    "conv_sign": {"network": "convolutional", "credit": {"class": "SignSymmetry"}},
    "conv_bp": {"network": "convolutional", "credit": None},
    "fa_bp": {"network": "one hidden layer", "credit": None},
    "dfa_bp": {"network": "two hidden layers", "credit": None},
}
OPTIMIZERS = {"Momentum": Momentum, "Adam": Adam}
PUBLISHED = {"one hidden layer": {"FA": 2.1}, "two hidden layers": {"DFA": 1.74, "BP": 1.59}}
SHORT = {"FeedbackAlignment": "FA", "DirectFeedbackAlignment": "DFA", "SignSymmetry": "sign"}
MEASURED = 500  # examples of which the angles are


class Report(Callback):
    """Print the test error after every epoch, and the angles."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        record = trainer.history.records[-1]
        angles = [f"{record[name]:.1f}" for name in record if name.startswith("angle_")]
        wrong, seconds = 1 - record["validation_accuracy"], record["seconds"]
        said = f", angles {' '.join(angles)}" if trainer.network.credit else ""
        print(f"  epoch {trainer.epoch:2}: {wrong:.2%} wrong{said}, {seconds:.0f} s", flush=True)


def network_of(setting: dict[str, Any], image: tuple[int, ...], classes: int, rng: Any) -> Network:
    """Return the network of one of `NETWORKS`, for such images."""
    layers: list[Any] = []
    shape: tuple[int, ...] = image if "maps" in setting else (int(np.prod(image)),)
    for maps in setting.get("maps", ()):
        layers += [Conv2d(shape[0], maps, 5 if shape[1] > 10 else 3), MaxPool2d(2)]
        for layer in layers[-2:]:
            shape = layer.output_shape(shape)
    if len(shape) > 1:
        layers.append(Flatten())
        shape = (int(np.prod(shape)),)
    sigma = "relu" if "maps" in setting else "tanh"
    for n in setting["hidden"]:
        layers.append(Dense(shape[0], n, sigma, w_init="lecun_normal", b_init="zeros"))
        shape = (n,)
    layers.append(Dense(shape[0], classes, "softmax", b_init="zeros"))
    first = image if "maps" in setting else None
    return Network(layers, "softmax_cross_entropy", input_shape=first, rng=rng)


def train(name: str, seed: int, data: datasets.Dataset, epochs: int | None, out: Path) -> None:
    """Make one of `RUNS`, from one seed, and write its JSON file."""
    setting = NETWORKS[RUNS[name]["network"]]
    epochs = setting["epochs"] if epochs is None else epochs
    shape = datasets.to_images if "maps" in setting else datasets.to_columns
    x, test = shape(data.x_train), shape(data.x_test)
    image = datasets.to_images(data.x_train[:1]).shape[:-1]
    network = network_of(setting, image, int(data.labels_train.max()) + 1, seed)
    if RUNS[name]["credit"] is not None:
        network.credit = from_config(RUNS[name]["credit"])
    how = dict(setting["optimizer"])
    kind = OPTIMIZERS[how.pop("class")]
    path = out / f"{name}_{seed}.json"
    saved = path.with_suffix(".npz")
    trainer = Trainer(
        network,
        kind(**how),
        setting["batch_size"],
        schedule=CosineDecay(how["eta"], epochs),
        rng=seed,
        callbacks=[
            AlignmentAngle(x[..., :MEASURED], data.labels_train[:MEASURED]),
            Report(),
            Checkpoint(saved),
        ],
        monitor_training=False,
        progress=False,
    )
    if saved.exists():
        checkpoint.restore(trainer, saved)
    print(f"{name}, seed {seed}: {network}", flush=True)
    history = trainer.fit(x, data.labels_train, epochs - trainer.epoch, (test, data.labels_test))
    if trainer.interrupted:
        raise KeyboardInterrupt
    records = [{**record, "eta": round(record["eta"], 8)} for record in history.records]
    result = {
        "name": name,
        "seed": seed,
        "data": data.name,
        "setting": {**setting, "epochs": epochs},
        **RUNS[name],
        "layers": [repr(layer) for layer in network.layers],
        "computed_by": trainer.computed_by,
        "test_error": 1 - history["validation_accuracy"][-1],
        "records": records,
    }
    write_text(path, json.dumps(result, indent=1) + "\n")
    saved.unlink()


def few_of(data: datasets.Dataset) -> datasets.Dataset:
    """Return the first 600 and 200 examples."""
    return replace(
        data,
        x_train=data.x_train[:600],
        labels_train=data.labels_train[:600],
        x_test=data.x_test[:200],
        labels_test=data.labels_test[:200],
    )


def draw(folder: Path) -> None:
    """Draw rules.png from the JSON files in a folder: errors above, angles below."""
    results = [read_result(path) for path in sorted(folder.glob("*_[0-9]*.json"))]
    with figure(folder / "rules.json", 9.6, 5.4) as drawn:
        trained = [name for name in NETWORKS if any(one["network"] == name for one in results)]
        axes = drawn.subplots(2, len(trained), sharex="col", squeeze=False)
        for column, network in enumerate(trained):
            found = [one for one in results if one["network"] == network]
            _draw_errors(axes[0, column], network, found)
            _draw_angles(axes[1, column], found)


COLOURS = {"BP": "0.45", "FA": "#0072b2", "DFA": "#d55e00", "sign": "#009e73"}


def short_name(result: dict[str, Any]) -> str:
    """Return how the figure calls the rule of a run."""
    return "BP" if result["credit"] is None else SHORT[result["credit"]["class"]]


def _draw_errors(ax: Any, network: str, found: list[dict[str, Any]]) -> None:
    rules: dict[str, list[float]] = {}
    for one in found:
        errors = [100 * (1 - record["validation_accuracy"]) for record in one["records"]]
        rules.setdefault(short_name(one), []).append(errors[-1])
        epochs = range(1, len(errors) + 1)
        ax.semilogy(epochs, errors, color=COLOURS[short_name(one)], linewidth=1)
    title = network
    for rule, last in rules.items():
        seeds = "1 seed" if len(last) == 1 else f"{len(last)} seeds"
        title += f"\n{rule}: {np.mean(last):.2f}% ({seeds})"
        ax.plot([], [], color=COLOURS[rule], label=rule)
    for rule, percent in PUBLISHED.get(network, {}).items():
        ax.axhline(percent, color=COLOURS[rule], linestyle=":", label=f"{rule}, published")
    ax.margins(y=0.08)
    ax.set_title(title, fontsize=9)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.tick_params(axis="y", which="minor", labelsize=7)
    ax.set_ylabel("test error (%)")
    if found:
        ax.legend(frameon=False, fontsize=8)
    tidy(ax)


def _draw_angles(ax: Any, found: list[dict[str, Any]]) -> None:
    styles = ["-", "--", ":", "-."]
    labels = set()
    for one in found:
        if one["credit"] is None:
            continue
        names = [name for name in one["records"][-1] if name.startswith("angle_")]
        for style, name in zip(styles, names, strict=False):
            angles = [record[name] for record in one["records"]]
            label = f"layer {name.removeprefix('angle_')}"
            colour = COLOURS[short_name(one)]
            shown = {} if label in labels else {"label": label}
            labels.add(label)
            epochs = range(1, len(angles) + 1)
            ax.plot(epochs, angles, linestyle=style, color=colour, linewidth=1, **shown)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.axhline(90, color="0.7", linewidth=0.8)
    ax.set_ylim(0, 95)
    ax.set_yticks([0, 30, 60, 90])
    ax.set_xlabel("epoch")
    ax.set_ylabel("angle to the true delta (degrees)")
    if labels:
        ax.legend(frameon=False, fontsize=8)
    tidy(ax)


def main() -> int:
    """Train what is not there yet, and draw; return the status."""
    parser = option_parser(__doc__, data=find_mnist(), epochs=None, seeds=3)
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), help="these runs")
    parser.add_argument("--quick", action="store_true", help="few images, two epochs, one seed")
    arguments = parser.parse_args()
    started = time.perf_counter()
    data = load_mnist("rules", arguments.data)
    seeds, epochs = arguments.seeds, arguments.epochs
    if arguments.quick:
        seeds, epochs = 1, 2
        data = few_of(data)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        for seed in range(seeds):
            if not (arguments.out / f"{name}_{seed}.json").exists():
                train(name, seed, data, epochs, arguments.out)
    draw(arguments.out)
    print(f"drawn in {arguments.out / 'rules.png'}; {time.perf_counter() - started:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
