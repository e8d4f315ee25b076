"""Why deep networks have ways past their layers: plain and residual nets of 4 to 40 layers.

The nets are dense and 64 neurons wide. In the plain one every layer is relu(w a + b). In the
residual one every two of these layers are a block of He et al., relu(a + w2 relu(w1 a + b1) + b2):
the same layers and parameters, and nothing new but the sum. Both train for the same epochs with
Adam, each at every depth with the best of four etas, that of the least training cost.

The plain net has a fair chance: He's weights, N(0, 2/n), were made to keep a and delta from fading
or growing in layers of ReLUs. With them a residual net would double the square of a with every
block, so w2 of k blocks starts with N(0, 1/(n k)) instead. There is no batch normalisation.

Expected: that beyond some depth the plain net gets worse, on the training data, too, which He et
al. call degradation, and the residual one does not. And that delta reaches the first layers of the
residual net undiminished, as every sum hands nabla_a down as it is.

Measured: both, but the second does not explain the first. In the plain net He's weights keep the
mean square of delta as well, over many draws of them (single draws scatter, the more the narrower
and the deeper the net), and delta inside the blocks is smaller still. He et al. say of their plain
nets, too, that vanishing gradients are not what is wrong with them. What fades is the input: every
plain layer makes the images more alike, until the activations of any two have a cosine of almost 1
and there is next to nothing left to tell digits apart by. A block adds to its input, which stays.

Writes residual.json, and draws residual.png from that file.

    python -m experiments.images.residual [--epochs 10] [--seeds 5] [--out FOLDER]

Source: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2016, section 4.1;
"Delving Deep into Rectifiers", 2015, for the weights; Hanin, "Which Neural Net Architectures Give
Rise to Exploding and Vanishing Gradients?", 2018, for the scatter; Schoenholz et al., "Deep
Information Propagation", 2017, for the cosine.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from backprop import Adam, Dense, Layer, Network, ReLU, Residual, Sequential, Trainer, datasets
from backprop.initializers import Normal
from backprop.schedules import CosineDecay
from experiments.common import (
    figure,
    option_parser,
    read_result,
    rounded,
    ticks_at_1_2_5,
    tidy,
    write_and_draw,
)

N, BATCH = 64, 50
ETAS = (0.0005, 0.001, 0.002, 0.004)
COLOURS = {"plain": "#D55E00", "residual": "#0072B2"}


def build(kind: str, depth: int, n_in: int, seed: int) -> Network:
    """Return a net of `depth` dense layers, an even number, of which the last is the output."""
    k = depth // 2 - 1  # blocks of two layers
    layers: list[Layer] = [Dense(n_in, N, "relu", "he_normal", "zeros")]
    for _ in range(k):
        first = Dense(N, N, "relu", "he_normal", "zeros")
        if kind == "plain":
            block = [first, Dense(N, N, "relu", "he_normal", "zeros")]
        else:
            second = Dense(N, N, "identity", Normal(1 / math.sqrt(N * k)), "zeros")
            block = [Residual([first, second]), ReLU()]
        layers.append(Sequential(block))
    layers.append(Dense(N, 10, "softmax", "lecun_normal", "zeros"))
    return Network(layers, "softmax_cross_entropy", rng=seed)


def at_the_start(network: Network, x: np.ndarray, y: np.ndarray) -> dict[str, list[float]]:
    """Return how large delta is in every dense layer, and how alike the digits are after a block.

    The former is ||B delta|| of one example (root mean square), C being the mean over the batch.
    """
    network.forward(x, training=True)
    network.backward(y)
    size = math.sqrt(x.shape[-1])
    dense = [layer for _, layer in network.walk() if isinstance(layer, Dense)]
    return {
        "delta": rounded([size * np.linalg.norm(layer.delta) for layer in dense]),
        "cosine": rounded([mean_cosine(layer.a) for layer in network.layers[:-1]]),
    }


def mean_cosine(a: np.ndarray) -> float:
    """Return the mean cosine between the columns of a, of all pairs of different ones."""
    u = a / np.maximum(np.linalg.norm(a, axis=0), np.finfo(a.dtype).tiny)
    n = u.shape[-1]
    return float((np.square(u.sum(axis=1)).sum() - n) / (n * (n - 1)))


def run(data: str, depths: list[int], train_size: int, epochs: int, seeds: int) -> dict[str, Any]:
    """Train both nets at every depth, from every seed and with every eta; return what is drawn."""
    source = datasets.load(data)
    x, y = datasets.to_columns(source.x_train[:train_size]), source.labels_train[:train_size]
    test = datasets.to_columns(source.x_test), source.labels_test
    result: dict[str, Any] = {"data": source.name, "examples": len(y), "epochs": epochs}
    result |= {"depths": depths, "nets": {}}
    for kind in COLOURS:
        found: dict[str, Any] = {"eta": [], "training_cost": [], "test_accuracy": []}
        for depth in depths:
            costs, accuracies = {}, {}
            for eta in ETAS:
                networks = [train(build(kind, depth, len(x), s), x, y, eta, epochs, s)
                            for s in range(seeds)]  # fmt: skip
                costs[eta] = [network.evaluate(x, y)["cost"] for network in networks]
                accuracies[eta] = [network.evaluate(*test)["accuracy"] for network in networks]
            eta = min(ETAS, key=lambda eta: np.median(costs[eta]))
            found["eta"].append(eta)
            found["training_cost"].append(rounded(costs[eta]))
            found["test_accuracy"].append(rounded(accuracies[eta]))
            print(
                f"{kind:>8}, {depth:2} layers: training cost {np.median(costs[eta]):.3f} "
                f"({min(costs[eta]):.3f} to {max(costs[eta]):.3f}), "
                f"test accuracy {np.median(accuracies[eta]):.1%}, eta {eta}"
            )
        networks = [build(kind, depths[-1], len(x), seed) for seed in range(seeds)]
        found["start"] = [at_the_start(network, x[:, :500], y[:500]) for network in networks]
        result["nets"][kind] = found
    return result


def train(
    network: Network, x: np.ndarray, y: np.ndarray, eta: float, epochs: int, seed: int
) -> Network:
    """Return the network, trained."""
    schedule = CosineDecay(eta, epochs)
    trainer = Trainer(
        network, Adam(eta), BATCH, schedule=schedule, rng=seed, monitor_training=False
    )
    trainer.fit(x, y, epochs)
    return network


# -- the figure ------------------------------------------------------------------------------


def draw(path: Path) -> None:
    """Draw residual.png beside the JSON file that `run` filled."""
    result = read_result(path)
    with figure(path, 7.4, 6, dpi=95) as drawn:
        (cost, accuracy), (delta, cosine) = drawn.subplots(2, 2)
        for kind, found in result["nets"].items():
            colour = COLOURS[kind]
            band(cost, result["depths"], np.transpose(found["training_cost"]), colour, kind)
            band(accuracy, result["depths"], 100 * np.transpose(found["test_accuracy"]), colour)
            deltas = np.array([start["delta"] for start in found["start"]])
            layers = np.arange(1, 1 + deltas.shape[1])
            cosines = np.array([start["cosine"] for start in found["start"]])
            if kind == "plain":
                band(delta, layers, deltas, colour)
            else:  # of a block's two layers the second ends where the ways meet
                band(delta, layers[::2], deltas[:, ::2], colour)
                band(delta, layers[1:-1:2], deltas[:, 1:-1:2], colour, "inside the blocks", "o:")
            band(cosine, layers[:-1:2], cosines, colour)
        for ax in (cost, accuracy):
            ax.set_xticks(result["depths"])
        for ax in (cost, delta):
            ax.set_yscale("log")
            ticks_at_1_2_5(ax.yaxis)
            ax.legend(frameon=False, fontsize=8)
        delta.set_ylim(0.05, 5)
        drawn.suptitle(
            f"Plain and residual nets on {result['examples']:,} {result['data']} digits: median and"
            f" range of {len(found['start'])} seeds", x=0.01, ha="left", fontsize=9,
        )  # fmt: skip
        deepest = f"at the start, {result['depths'][-1]} layers"
        finish(cost, f"after {result['epochs']} epochs", "layers", "training cost C")
        finish(accuracy, f"after {result['epochs']} epochs", "layers", "test accuracy (%)")
        finish(delta, deepest, "layer", "size of an example's error ‖δ‖")
        finish(cosine, deepest, "after layer", "mean cosine of two digits' a")


def band(
    ax: Axes, x: Any, values: np.ndarray, colour: str, label: str = "", line: str = "o-"
) -> None:
    """Draw the median of the seeds (seeds x places) and their range."""
    ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, lw=0)
    ax.plot(x, np.median(values, axis=0), line, markersize=3, color=colour, label=label or None)


def finish(ax: Axes, title: str, x: str, y: str) -> None:
    """Name the axes, and tidy them up."""
    ax.set(title=title, xlabel=x, ylabel=y)
    tidy(ax)


def main() -> None:
    """Run and draw."""
    parser = option_parser(__doc__, data="builtin", train_size=2000, epochs=10, seeds=5)
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 8, 16, 28, 40])
    arguments = parser.parse_args()
    result = run(
        arguments.data,
        arguments.depths,
        arguments.train_size,
        arguments.epochs,
        arguments.seeds,
    )
    write_and_draw(arguments.out / "residual.json", result, draw)


if __name__ == "__main__":
    main()
