"""What a convolution learns: a small convolutional net on the digits, and dense nets beside it.

A kernel of 5 x 5 weights is laid over all places of the image, and the weighted input z is large
where what lies under it is like the kernel: one small pattern, looked for everywhere. A dense
neuron has a weight for every pixel, and learns a pattern at one place only. So the convolutional
net is compared with two dense nets: one of as many parameters, one of ten times as many.

Writes digits_convnet.json, with the test accuracies, the kernels of the first layer before and
after training, and their z and a for one digit; draws digits_convnet.png from that file.

    python -m experiments.images.digits_convnet [--epochs 8] [--seeds 3] [--out FOLDER]

Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998; Nielsen,
*Neural Networks and Deep Learning*, chapter 6.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from backprop import AdamW, Conv2d, Dense, Dropout, Flatten, MaxPool2d, Network, Trainer, datasets
from backprop.schedules import CosineDecay
from experiments.common import (
    figure,
    option_parser,
    read_result,
    ticks_at_1_2_5,
    tidy,
    write_and_draw,
)

ETA, DECAY, BATCH = 0.005, 0.3, 50  # the decay takes the noise of the start out of the kernels
COLOURS = ("#0072B2", "#009E73", "#D55E00")
DIGIT = 5  # the one whose maps are drawn: it has bars and a curve


def convolutional(
    maps: tuple[int, int] = (8, 16), hidden: int = 32, dropout: float = 0.0, rng: int = 0
) -> Network:
    """Return two stages of convolution and pooling, and one hidden layer, for 28 x 28 images."""
    first, second = maps
    layers = [
        Conv2d(1, first, kernel=5),  # 1 x 28 x 28 to first x 24 x 24
        MaxPool2d(2),  # to first x 12 x 12
        Conv2d(first, second, kernel=5),  # to second x 8 x 8
        MaxPool2d(2),  # to second x 4 x 4
        Flatten(),
        *dense(second * 4 * 4, hidden, dropout),
    ]
    return Network(layers, "softmax_cross_entropy", input_shape=(1, 28, 28), rng=rng)


def dense(n: int, hidden: int, dropout: float = 0.0) -> list[Any]:
    """Return one hidden layer and the output."""
    return [
        Dense(n, hidden, "relu", "he_normal", "zeros"),
        Dropout(dropout),
        Dense(hidden, 10, "softmax", "lecun_normal", "zeros"),
    ]


def without_convolution(hidden: int, rng: int) -> Network:
    """Return the net that has the hidden layer only."""
    layers = [Flatten(), *dense(28 * 28, hidden)]
    return Network(layers, "softmax_cross_entropy", input_shape=(1, 28, 28), rng=rng)


def run(data: str, train_size: int, epochs: int, seeds: int) -> dict[str, Any]:
    """Train the three nets from every seed; return what is drawn."""
    source = datasets.load(data)
    x, y = datasets.to_images(source.x_train[:train_size]), source.labels_train[:train_size]
    x_test, y_test = datasets.to_images(source.x_test), source.labels_test
    networks = {
        "convolutional": lambda seed: convolutional(rng=seed),
        "dense, 15 neurons": lambda seed: without_convolution(15, seed),
        "dense, 150 neurons": lambda seed: without_convolution(150, seed),
    }
    result: dict[str, Any] = {"data": source.name, "examples": len(y), "networks": {}}
    for name, make in networks.items():
        accuracy, seconds = [], []
        for seed in range(seeds):
            network = make(seed)
            trainer = Trainer(
                network,
                AdamW(ETA, weight_decay=DECAY),
                BATCH,
                schedule=CosineDecay(ETA, epochs),
                rng=seed,
                monitor_training=False,
            )
            history = trainer.fit(x, y, epochs, (x_test, y_test))
            accuracy.append(history["validation_accuracy"])
            seconds.append(sum(history["seconds"]))
            if name == "convolutional" and seed == 0:
                digit = x_test[..., [np.argmax(y_test == DIGIT)]]
                result["layer"] = first_layer(network, convolutional(rng=seed), digit)
        last = [values[-1] for values in accuracy]
        print(
            f"{name:>18}: {network.n_parameters:7,} parameters, {np.median(seconds):5.1f} s, "
            f"test accuracy {np.mean(last):.2%} ({min(last):.2%} to {max(last):.2%})"
        )
        result["networks"][name] = {
            "parameters": network.n_parameters,
            "test_accuracy": accuracy,  # seeds x epochs
        }
    return result


def first_layer(network: Network, untrained: Network, digit: np.ndarray) -> dict[str, Any]:
    """Return the kernels before and after training, and what a digit makes in every layer."""
    network.forward(digit, training=True)  # keeps z and a, the batch of one on the last axis
    convolution, pool = network.layers[:2]
    arrays = {
        "digit": digit[0, ..., 0],
        "start": untrained[0].w[:, 0],  # kernels x 5 x 5
        "learnt": convolution.w[:, 0],
        "z": convolution.z[..., 0],  # kernels x 24 x 24
        "pooled": pool.a[..., 0],  # kernels x 12 x 12
    }
    return {name: np.round(array.astype(float), 3).tolist() for name, array in arrays.items()}


# -- the figure ------------------------------------------------------------------------------


def draw(path: Path) -> None:
    """Draw digits_convnet.png beside the JSON file that `run` filled."""
    result = read_result(path)
    with figure(path, 7.2, 7.2, dpi=110) as drawn:
        top, bottom = drawn.subfigures(2, 1, height_ratios=(2.8, 4.4))
        draw_errors(top.subplots(), result)
        draw_layer(bottom, {name: np.array(image) for name, image in result["layer"].items()})


def draw_errors(ax: Axes, result: dict[str, Any]) -> None:
    """Draw the share of test digits that are taken for others: mean and range of the seeds."""
    for (name, found), colour in zip(result["networks"].items(), COLOURS, strict=True):
        percent = 100 * (1 - np.array(found["test_accuracy"]))
        epochs = np.arange(1, percent.shape[1] + 1)
        mean = percent.mean(axis=0)
        ax.fill_between(epochs, percent.min(0), percent.max(0), color=colour, alpha=0.2, lw=0)
        ax.plot(epochs, mean, marker="o", markersize=3, color=colour)
        text = f"{name}: {mean[-1]:.1f}% wrong\n{found['parameters']:,} parameters"
        ax.annotate(text, (epochs[-1], mean[-1]), (8, 0), textcoords="offset points",
                    color=colour, va="center", fontsize=8, annotation_clip=False)  # fmt: skip
    ax.set_yscale("log")
    ticks_at_1_2_5(ax.yaxis)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(ax)
    ax.set(xlabel="epoch", ylabel="test digits taken for another (%)")
    ax.set_title(f"Trained on {result['examples']:,} {result['data']} digits")


def draw_layer(figure: Any, layer: dict[str, np.ndarray]) -> None:
    """Draw the kernels, and below each what it makes of the digit; a column has one scale."""
    rows = [
        (
            "start",
            "learnt",
            "kernels w, first layer, at the start: red positive, blue negative",
        ),
        ("learnt", "start", "the same kernels, learnt"),
        ("z", "z", "a digit x, and z = w laid over x, + b: red where x is like the kernel"),
        ("pooled", "z", "a = max(0, z), of every 2 by 2 places the largest"),
    ]
    for row, (name, other, title) in zip(figure.subfigures(4, 1), rows, strict=True):
        row.suptitle(title, x=0.01, ha="left", fontsize=8)
        first, *axes = row.subplots(1, 1 + len(layer["z"]))
        first.set_axis_off()
        if name == "z":
            first.imshow(layer["digit"], "gray_r", vmin=0, vmax=1, interpolation="nearest")
        for ax, image, partner in zip(axes, layer[name], layer[other], strict=True):
            limit = max(np.abs(image).max(), np.abs(partner).max())
            ax.imshow(image, "RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
            ax.set_axis_off()


def main() -> None:
    """Run and draw."""
    parser = option_parser(__doc__, data="builtin", train_size=10_000, epochs=8, seeds=3)
    arguments = parser.parse_args()
    result = run(arguments.data, arguments.train_size, arguments.epochs, arguments.seeds)
    write_and_draw(arguments.out / "digits_convnet.json", result, draw, indent=None)


if __name__ == "__main__":
    main()
