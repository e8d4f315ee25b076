"""A recurrent network that reads couplets character by character, and learns to write such.

An LSTM is asked for the next character of a long text. The text, of text.py, is drawn from a
grammar, so that what the network has learnt can be measured: its bits per character against those
of the grammar itself, which nobody can beat, and of couplets it writes the share that is right.

Training is truncated backpropagation through time. The text is cut into 16 streams, read side by
side 96 characters at a time; the LSTM's state is carried from one such chunk to the next, the
gradient goes back to the chunk's beginning only.

Writes character_rnn.json, and draws character_rnn.png from that file.

    python experiments/character_rnn.py [--couplets 5000] [--epochs 16] [--out FOLDER]

Source: Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks", 2015; Graves,
"Generating Sequences With Recurrent Neural Networks", 2013, for networks that write.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import text
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from backprop import LSTM, Adam, Dense, Embedding, Network, TimeDistributed, plots
from backprop.clipping import clip_by_norm
from backprop.core.storage import write_text
from backprop.datasets.sequences import pad
from backprop.schedules import CosineDecay

STREAMS, CHUNK = 16, 96
ETA, CLIP = 0.01, 40.0
LONGEST = 100  # characters of a couplet that is written
NETWORKS = {"LSTM": "#0072B2", "transformer": "#D55E00"}
SHARES = {  # of what is written, and how it is called and drawn
    "words": ("words", "#0072B2"),
    "forms": ("lines, but for number", "#009E73"),
    "lines": ("lines", "#E69F00"),
    "rhymes": ("rhymes", "#CC79A7"),
    "couplets": ("couplets", "#D55E00"),
}


def build(seed: int, n: int = 128) -> Network:
    """Return the network: tokens T x B in, probabilities 32 x T x B of the next ones out."""
    size = len(text.ALPHABET)
    output = Dense(n, size, "softmax", w_init="glorot_uniform", b_init="zeros")
    layers = [Embedding(size, 16), LSTM(16, n, carry=True), TimeDistributed(output)]
    return Network(layers, "softmax_cross_entropy", input_shape=(None,), rng=seed)


def streams(couplets: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the text as tokens, a column a stream, and the token that follows each."""
    tokens = text.encode("".join(couplets))
    length = (len(tokens) - 1) // STREAMS
    x, y = (tokens[i : i + length * STREAMS].reshape(STREAMS, length).T for i in (0, 1))
    return x, y


def train_epoch(network: Network, x: np.ndarray, y: np.ndarray, adam: Adam, etas: Any) -> None:
    """Read all streams once; `etas` yields the learning rate of every step.

    It is no `Trainer` that does so, which would shuffle: here the order is the point.
    """
    network[1].reset_state()
    for start in range(0, len(x) - CHUNK + 1, CHUNK):
        network.forward(x[start : start + CHUNK], training=True)
        network.backward(y[start : start + CHUNK])
        clip_by_norm(network.nabla, CLIP)
        adam.eta = next(etas)
        adam.step(network.theta, network.nabla)


def bits_per_character(network: Network, couplets: list[str]) -> float:
    """Return -log2 of the probability of all couplets but the first, each after the one before."""
    x = pad([text.encode(before + couplet) for before, couplet in itertools.pairwise(couplets)])
    y = np.roll(x, -1, axis=0)
    y[-1] = -1  # a label of -1 costs nothing
    for column, before in enumerate(couplets[:-1]):
        y[: len(before) - 1, column] = -1
    cost = network.evaluate(np.maximum(x, 0), y, batch_size=100, metrics={})["cost"]
    return cost * x.shape[1] / len("".join(couplets[1:])) / math.log(2)


def write(network: Network, n: int, before: str, temperature: float, seed: int) -> list[str]:
    """Let the network write n couplets at once, having read `before`, by the LSTM's `step`."""
    embedding, lstm, output = network.layers
    rng = np.random.default_rng(seed)
    tokens, state = np.repeat(text.encode(before)[:, np.newaxis], n, axis=1), None
    written = []
    for _ in range(LONGEST):
        h, state = lstm.step(embedding.forward(tokens), state)
        tokens = text.choose(output.forward(h)[:, -1:], temperature, rng)
        written.append(tokens[0])
    return text.first_couplets(np.array(written))


def run(n_couplets: int, epochs: int, samples: int, seed: int) -> dict[str, Any]:
    """Train; return the measures after every epoch, and samples."""
    rng = np.random.default_rng(seed)
    training, test = ([text.write(rng) for _ in range(n)] for n in (n_couplets, 400))
    network = build(seed)
    x, y = streams(training)
    steps = len(x) // CHUNK
    schedule, adam = CosineDecay(ETA, epochs), Adam(ETA)
    etas = (schedule(step / steps) for step in itertools.count())
    progress = []
    for epoch in range(1, epochs + 1):
        train_epoch(network, x, y, adam, etas)
        bits = bits_per_character(network, [training[-1], *test])
        couplets = write(network, samples, training[-1], 1.0, seed)
        progress.append(
            {"characters": epoch * x.size, "bits": round(bits, 4), **text.score(couplets)}
        )
        print(text.report(progress[-1]))
        if epoch in (1, 2, 4) or epoch % 8 == 0:
            print("\n" + "".join(couplets[:2]))
    written = {str(t): write(network, samples, training[-1], t, seed) for t in (0.5, 1.0, 1.5)}
    return {
        "parameters": network.n_parameters,
        "bits": text.baselines(training, test),
        "progress": progress,
        "temperatures": {t: text.score(couplets) for t, couplets in written.items()},
        "samples": {t: couplets[:4] for t, couplets in written.items()},
    }


# -- the figure ------------------------------------------------------------------------------


def draw(path: Path) -> None:
    """Draw character_rnn.png beside the JSON file that `run` filled."""
    result = json.loads(path.read_text(encoding="utf-8"))
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(8.6, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        draw_bits(left, {"LSTM": result})
        draw_shares(right, result)
        plots.save(left, path.with_suffix(".png"), dpi=120)


def draw_bits(ax: Axes, results: dict[str, Any]) -> None:
    """Draw bits per character against the characters read, and those of the baselines."""
    for name, result in results.items():
        read, bits = _columns(result, "bits")
        ax.plot(read, bits, marker="o", markersize=3, color=NETWORKS[name], label=name)
    for name, bits in result["bits"].items():
        ax.axhline(bits, color="0.3", linewidth=1, linestyle=":")
        below = -9 if name == "the grammar" else 2
        ax.annotate(name, (1, bits), (0, below), ax.get_yaxis_transform(), "offset points",
                    ha="right", fontsize=8)  # fmt: skip
    ax.set_yscale("log")
    ax.set_ylim(0.33, 6)
    ax.set_yticks([0.4, 0.5, 0.7, 1, 2, 3, 5], ["0.4", "0.5", "0.7", "1", "2", "3", "5"])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(frameon=False, loc="center right")
    _finish(ax, "how well it predicts: bits per character of new text")


def draw_shares(ax: Axes, result: dict[str, Any]) -> None:
    """Draw which share of what the network writes is right, against the characters read."""
    for name, (label, colour) in SHARES.items():
        read, shares = _columns(result, name)
        ax.plot(read, 100 * shares, marker="o", markersize=3, color=colour, label=label)
    ax.axhline(100 / len(text.LETTERS["R"]), color="0.3", linewidth=1, linestyle=":")
    ax.set_ylim(0, 103)
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    _finish(ax, "what it writes: percent right (dotted: a rhyme by chance)")


def _columns(result: dict[str, Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return millions of characters read, and a measure."""
    rows = [(record["characters"] / 1e6, record[name]) for record in result["progress"]]
    return tuple(np.transpose(rows))


def _finish(ax: Axes, title: str) -> None:
    ax.set_title(title)
    ax.set_xlabel("characters read (millions)")
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", **plots.GRID)


def main() -> None:
    """Run and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--couplets", type=int, default=5000, help="to be trained on")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--samples", type=int, default=100, help="couplets written to be measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"))
    arguments = parser.parse_args()
    began = time.perf_counter()
    result = run(arguments.couplets, arguments.epochs, arguments.samples, arguments.seed)
    for temperature, couplets in result["samples"].items():
        right = result["temperatures"][temperature]["couplets"]
        print(f"temperature {temperature}, {right:.0%} of the couplets are right:\n")
        print("".join(couplets))
    path = arguments.out / "character_rnn.json"
    write_text(path, json.dumps(result, indent=1) + "\n")
    draw(path)
    print(f"drawn in {path.with_suffix('.png')}, after {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
