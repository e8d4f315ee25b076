"""KFAC against momentum on a deep autoencoder: the training cost by steps, and by seconds.

Nine layers of neurons, 196-100-50-20-8-20-50-100-196, tanh and a sigmoid at the end, are to give
back digits of 14 x 14 pixels that have gone through the eight in the middle. It is the problem that
second-order methods were first shown on: the cost first falls to that of the mean image, and
stays there long, because what would lead away from it is along directions of little curvature.

Momentum is tuned: of all eta and mu on a grid, those that end at the least training cost count.
KFAC has one setting. Both take the same minibatches, from the same weights.

Expected: that KFAC is, after a third of the steps, where momentum ends. A step of KFAC costs more:
a pass up and one back on targets that it draws, and a small inverse for each factor.

Measured: it is there after 10 to 12% of the steps, of all three seeds. The best eta and mu, 0.03
and 0.5, are within the grid.

Writes autoencoder.json, and draws autoencoder.png from that file.

    python -m experiments.curvature.autoencoder [--epochs 120] [--seeds 3] [--quick] [--out FOLDER]

Source: Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate
Curvature", arXiv 1503.05671, 2015, section 13; Hinton and Salakhutdinov, "Reducing the
Dimensionality of Data with Neural Networks", 2006, for the problem.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from backprop import Momentum, Network, Optimizer, Trainer, datasets
from backprop.research import KFAC
from backprop.training.callback import Callback
from backprop.training.divergence import DivergenceError
from experiments.common import (
    figure,
    option_parser,
    read_result,
    ticks_at_1_2_5,
    tidy,
    write_and_draw,
)

SIZES, BATCH = (196, 100, 50, 20, 8, 20, 50, 100, 196), 500
ETAS, MUS = (0.001, 0.003, 0.01, 0.03, 0.1), (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)
QUICK_SIZES, QUICK_ETAS, QUICK_MUS = (196, 30, 8, 30, 196), (0.003, 0.01), (0.9, 0.99)
COLOURS = {"momentum": "#D55E00", "KFAC": "#0072B2"}

Curve = dict[str, list[float]]


def load(data: str, n: int) -> tuple[str, np.ndarray]:
    """Return the name of the data, and n images of 28 x 28 pixels at half the size, 196 x n."""
    source = datasets.load(data)
    x = datasets.to_columns(source.x_train[:n])
    x = x.reshape(14, 2, 14, 2, -1).mean(axis=(1, 3)).reshape(196, -1)
    return source.name, np.ascontiguousarray(x.T).T


class Clock(Callback):
    """Notes what the processor has spent, whatever else the machine has to do."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_fit_start(self, trainer: Any) -> None:
        self.started = time.process_time()

    def on_epoch_end(self, trainer: Any) -> None:
        self.seconds.append(time.process_time() - self.started)


def train(
    sizes: tuple[int, ...], optimizer: Optimizer, x: np.ndarray, epochs: int, seed: int
) -> Curve:
    """Return the training cost after every epoch, and the processor's seconds; inf for none."""
    network = Network.from_sizes(
        sizes, "tanh", "cross_entropy", "sigmoid", "glorot_normal", "zeros", rng=seed
    )
    clock = Clock()
    trainer = Trainer(
        network, optimizer, BATCH, rng=seed, progress=False, compiled=False, callbacks=[clock]
    )
    try:
        trainer.fit(x, x, epochs)
    except DivergenceError:
        return {"cost": [math.inf], "seconds": [math.inf]}
    history = trainer.history
    return {
        "cost": [float(f"{value:.5g}") for value in history["training_cost"]],
        "seconds": [float(f"{value:.3g}") for value in clock.seconds],
    }


def run(data: str, n: int, epochs: int, seeds: int, quick: bool) -> dict[str, Any]:
    """Tune momentum on the first seed, train with both from every seed; return what is drawn."""
    name, x = load(data, n)
    sizes, etas, mus = (QUICK_SIZES, QUICK_ETAS, QUICK_MUS) if quick else (SIZES, ETAS, MUS)
    result: dict[str, Any] = {"data": name, "examples": x.shape[1], "sizes": sizes}
    result |= {"steps_an_epoch": -(-x.shape[1] // BATCH), "grid": []}
    for eta in etas:
        for mu in mus:
            cost = train(sizes, Momentum(eta, mu), x, epochs, 0)["cost"][-1]
            ended = cost if math.isfinite(cost) else None
            result["grid"].append({"eta": eta, "mu": mu, "cost": ended})
            print(f"momentum, eta {eta}, mu {mu}: training cost {cost:.2f}", flush=True)
    ended = [one for one in result["grid"] if one["cost"] is not None]
    best = min(ended, key=lambda one: one["cost"])
    result |= {"eta": best["eta"], "mu": best["mu"], "curves": {}}
    result["KFAC"] = {"eta": 1.0, "mu": 0.5, "damping": 0.03, "trust": 0.3}
    result["curves"] = {
        "momentum": [
            train(sizes, Momentum(best["eta"], best["mu"]), x, epochs, seed)
            for seed in range(seeds)
        ],
        "KFAC": [
            train(sizes, KFAC(**result["KFAC"]), x, max(1, epochs // 3), seed)
            for seed in range(seeds)
        ],
    }
    result["shares"] = shares(result["curves"])
    for seed, share in enumerate(result["shares"]):
        when = "not in a third" if share is None else f"after {share:.1%}"
        print(f"seed {seed}: KFAC is where momentum ends {when} of the steps")
    return result


def shares(curves: dict[str, list[Curve]]) -> list[float | None]:
    """Return for every seed what share of momentum's steps KFAC needs; None if it has too few."""
    found = []
    for slow, fast in zip(curves["momentum"], curves["KFAC"], strict=True):
        there = np.flatnonzero(np.array(fast["cost"]) <= slow["cost"][-1])
        found.append(float(there[0] + 1) / len(slow["cost"]) if there.size else None)
    return found


def draw(path: Path) -> None:
    """Draw autoencoder.png beside the JSON file that `run` filled."""
    result = read_result(path)
    with figure(path, 7.4, 3.2, dpi=95) as drawn:
        by_steps, by_seconds = drawn.subplots(1, 2, sharey=True)
        for name, curves in result["curves"].items():
            for number, curve in enumerate(curves):
                label = None if number else labels(result)[name]
                steps = result["steps_an_epoch"] * np.arange(1, 1 + len(curve["cost"]))
                style = {"color": COLOURS[name], "lw": 1.2, "alpha": 0.8}
                by_steps.plot(steps, curve["cost"], label=label, **style)
                by_seconds.plot(curve["seconds"], curve["cost"], **style)
        by_steps.legend(frameon=False, fontsize=8)
        by_steps.set_ylabel("training cost C")
        finish(by_steps, "steps")
        finish(by_seconds, "seconds of one processor")
        drawn.suptitle(
            f"A deep autoencoder, {'-'.join(map(str, result['sizes']))}, on {result['examples']:,} "
            f"{result['data']} digits: {len(curves)} seeds", x=0.01, ha="left", fontsize=9,
        )  # fmt: skip


def labels(result: dict[str, Any]) -> dict[str, str]:
    """Return how the curves are called."""
    tuned = f"momentum, tuned (eta {result['eta']}, mu {result['mu']})"
    return {"momentum": tuned, "KFAC": "KFAC"}


def finish(ax: Axes, x: str) -> None:
    """Name the axis, and tidy it up."""
    ax.set(xlabel=x, xscale="log", yscale="log")
    ticks_at_1_2_5(ax.yaxis)
    tidy(ax, "both")


def main() -> None:
    """Run and draw."""
    parser = option_parser(__doc__, data="builtin", train_size=3000, epochs=120, seeds=3)
    parser.add_argument("--quick", action="store_true", help="a smaller net, and a smaller grid")
    arguments = parser.parse_args()
    result = run(
        arguments.data,
        arguments.train_size,
        arguments.epochs,
        arguments.seeds,
        arguments.quick,
    )
    write_and_draw(arguments.out / "autoencoder.json", result, draw)


if __name__ == "__main__":
    main()
