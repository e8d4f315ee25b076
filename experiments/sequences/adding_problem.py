"""The adding problem: what a recurrent layer can still learn from 30, 60 and 100 steps ago.

Every step of a sequence is a number in [0, 1] and a marker. Two steps are marked, one in each
half; the target is the sum of their numbers, asked for after the last step. Who always answers 1,
the mean, has a squared error of 1/6 = 0.167, the variance of the sum of two such numbers.

What an RNN can learn of step t is what delta_t, the dC/dz of that step, tells it: its gradient is
dC/dw = sum over t of delta_t x_t^T. So the figure shows ||delta_t||, and as the three layers have
different z (an LSTM four blocks of n, one for each gate, a GRU three), relative to ||delta_T|| of
the same layer. A gate that is shut makes delta small as well: a trained LSTM has no use for the
numbers that are not marked. Fading is what happens to those it needs: delta_t is the root mean
square over the sequences in which step t is marked.

What is to be seen: before training delta fades in all three, in the GRU even fastest (its gates
begin half open; those of the LSTM, with a bias of 1, at 0.73). But the two can learn to keep their
gates open, and when they do, the error falls; the RNN has nothing to open.

An epoch is 50 minibatches of fresh sequences. Writes adding_problem.json, and draws
adding_problem.png from that file.

    python -m experiments.sequences.adding_problem [--lengths 30 60 100] [--epochs 24]

Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, section 5.4, whose numbers are
in [-1, 1] and whose cells have no forget gate; Hochreiter, "Untersuchungen zu dynamischen
neuronalen Netzen", 1991, for the fading.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from backprop import GRU, LSTM, RNN, Adam, Dense, Network, TimeStep, Trainer
from experiments.common import (
    figure,
    option_parser,
    read_result,
    rounded,
    tidy,
    write_and_draw,
)

NEURONS, BATCH = 32, 64
EPOCH = 50 * BATCH  # sequences, fresh ones in every epoch
KINDS: dict[str, Any] = {  # the layer and its eta, the best of 0.001, 0.003 and 0.01 for it
    "RNN": (RNN, 0.001),
    "LSTM": (LSTM, 0.01),
    "GRU": (GRU, 0.01),
}
COLOURS = {"RNN": "#D55E00", "LSTM": "#0072B2", "GRU": "#009E73"}
BASELINE = 1 / 6


def sequences(n: int, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return n sequences, 2 x T x n, and their targets, 1 x n."""
    rows = np.zeros((n, length, 2), np.float32)
    rows[:, :, 0] = rng.random((n, length))
    each = np.arange(n)
    y = np.zeros((1, n), np.float32)
    for first, last in ((0, length // 2), (length // 2, length)):
        marked = rng.integers(first, last, size=n)
        rows[each, marked, 1] = 1
        y += rows[each, marked, 0]
    return rows.transpose(2, 1, 0), y


def build(kind: str, length: int, seed: int) -> Network:
    """Return a recurrent layer whose last step one linear neuron reads."""
    layers = [
        KINDS[kind][0](2, NEURONS),
        TimeStep(-1),
        Dense(NEURONS, 1, "identity", w_init="glorot_uniform", b_init="zeros"),
    ]
    return Network(layers, "mean_squared_error", input_shape=(2, length), rng=seed)


def reach(network: Network, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return ||delta_t|| / ||delta_T|| for all T steps."""
    network.forward(x, training=True)
    network.backward(y, input_gradient=False)
    squares = np.square(network[0].delta, dtype=np.float64).sum(axis=0)  # T x B
    marked = x[1]
    norms = np.sqrt((squares * marked).sum(axis=1) / marked.sum(axis=1))
    return norms / norms[-1]


def train(kind: str, length: int, epochs: int, seed: int) -> dict[str, Any]:
    """Train one network; return its test error and the reach of delta, at first and after epochs.

    The reach as one number is that into the first tenth of the steps.
    """
    rng = np.random.default_rng(seed)
    test = sequences(1000, length, rng)
    network = build(kind, length, seed)
    trainer = Trainer(
        network, Adam(KINDS[kind][1]), BATCH, clip_norm=1.0, rng=seed, monitor_training=False
    )
    errors = [network.evaluate(*test)["cost"]]
    reaches = [reach(network, *test)]
    for _ in range(epochs):
        history = trainer.fit(*sequences(EPOCH, length, rng), 1, test)
        errors.append(history["validation_cost"][-1])
        reaches.append(reach(network, *test))
    tenth = [np.sqrt(np.mean(np.square(r[: length // 10]))) for r in reaches]
    return {
        "error": rounded(errors),
        "reach": rounded(tenth),
        "start": rounded(reaches[0]),
        "end": rounded(reaches[-1]),
    }


def run(lengths: list[int], epochs: int, seed: int) -> dict[str, Any]:
    """Train every kind on every length; return what is drawn."""
    result: dict[str, Any] = {"neurons": NEURONS, "seed": seed, "steps": EPOCH // BATCH}
    result["lengths"] = {}
    for length in lengths:
        found = result["lengths"][str(length)] = {}
        for kind in KINDS:
            began = time.perf_counter()
            found[kind] = train(kind, length, epochs, seed)
            error, reached = found[kind]["error"], found[kind]["reach"]
            print(
                f"T = {length:3d}, {kind:>4}: squared error {error[-1]:.4f} (of always 1: 0.1667); "
                f"of delta {reached[0]:.0e} reached the first steps before training, "
                f"{reached[-1]:.0e} after it ({time.perf_counter() - began:.0f} s)"
            )
    return result


# -- the figure ------------------------------------------------------------------------------


def draw(path: Path) -> None:
    """Draw adding_problem.png beside the JSON file that `run` filled."""
    result = read_result(path)
    lengths = result["lengths"]
    longest = max(lengths, key=int)
    with figure(path, 9, 5.6, dpi=100) as drawn:
        above, below = drawn.subfigures(2, 1)
        axes = above.subplots(1, len(lengths), sharey=True, squeeze=False)[0]
        for ax, (length, found) in zip(axes, lengths.items(), strict=True):
            draw_errors(ax, length, found, result["steps"])
        axes[0].set_ylabel("squared error on test data")
        axes = below.subplots(1, 3, sharey=True)
        for ax, moment in zip(axes, ("start", "end"), strict=False):
            draw_reach(ax, moment, lengths[longest])
        axes[0].set_ylabel("‖δ at step t‖ / ‖δ at step T‖")
        draw_training(axes[2], lengths[longest], result["steps"])


def draw_errors(ax: Axes, length: str, found: dict[str, Any], steps: int) -> None:
    """Draw the learning curves for one length of sequences."""
    for kind, curves in found.items():
        ax.plot(steps * np.arange(len(curves["error"])), curves["error"], color=COLOURS[kind])
    ax.axhline(BASELINE, color="0.3", linewidth=1, linestyle=":")
    ax.set_yscale("log")
    ax.set_ylim(1e-4, 2)
    _finish(ax, f"T = {length} steps; dotted: always 1", "minibatch")


def draw_reach(ax: Axes, moment: str, found: dict[str, Any]) -> None:
    """Draw how much of delta is left at every step, against the step."""
    for kind, curves in found.items():
        ax.plot(np.arange(1, len(curves[moment]) + 1), curves[moment], color=COLOURS[kind])
    when = "before training" if moment == "start" else "after training"
    _finish(ax, f"T = {len(found['RNN'][moment])}: δ over time, {when}", "step t")


def draw_training(ax: Axes, found: dict[str, Any], steps: int) -> None:
    """Draw how much of delta reaches the first steps, against the minibatches trained on."""
    for kind, curves in found.items():
        ax.plot(steps * np.arange(len(curves["reach"])), curves["reach"], color=COLOURS[kind])
        ax.plot([], [], color=COLOURS[kind], label=kind)
    ax.set_yscale("log")
    ax.set_ylim(1e-15, 30)
    ax.legend(frameon=False)
    _finish(
        ax, f"T = {len(found['RNN']['start'])}: δ at the first tenth, while it trains", "minibatch"
    )


def _finish(ax: Axes, title: str, x: str) -> None:
    ax.set_title(title)
    ax.set_xlabel(x)
    ax.tick_params(labelsize=8)
    tidy(ax)


def main() -> None:
    """Run and draw."""
    parser = option_parser(__doc__, epochs=24, seed=0)
    parser.add_argument("--lengths", type=int, nargs="+", default=[30, 60, 100])
    arguments = parser.parse_args()
    began = time.perf_counter()
    result = run(arguments.lengths, arguments.epochs, arguments.seed)
    write_and_draw(arguments.out / "adding_problem.json", result, draw)
    print(f"{time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
