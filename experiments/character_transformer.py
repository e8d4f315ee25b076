"""A transformer that reads couplets character by character, and learns to write such.

The text is that of text.py, as in character_rnn.py, and so are the measures: bits per character
against those of the grammar, and the share of what the network writes that is right. Every couplet
is an example of its own. All its characters are predicted at once, each from those before it, which
is all that causal attention sees; shorter couplets are filled up, and labels of -1 cost nothing.

The figure shows both measures, and where the heads look while a couplet is read: the weights are
there after every training forward.

Writes character_transformer.json, and draws character_transformer.png from that file.

    python experiments/character_transformer.py [--couplets 2500] [--epochs 6] [--out FOLDER]

Source: Vaswani et al., "Attention Is All You Need", 2017; Radford et al., "Improving Language
Understanding by Generative Pre-Training", 2018, for the decoder alone.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import text
from character_rnn import draw_bits, draw_shares
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from backprop import Adam, Callback, Dense, Embedding, Network, TimeDistributed, Trainer, plots
from backprop.core.storage import write_text
from backprop.datasets.sequences import pad
from backprop.layers import LayerNorm, PositionalEncoding, TransformerBlock
from backprop.schedules import CosineDecay

ETA, BATCH = 0.003, 32
D, HEADS, BLOCKS = 64, 4, 2
LONGEST = 120  # characters of a couplet that is written
LINE_END = text.ALPHABET.index("\n")
SHOWN = "the old mice sleep all day,\nthe fox"


def build(seed: int) -> Network:
    """Return the network: tokens T x B in, probabilities of the next ones out."""
    size = len(text.ALPHABET)
    output = Dense(D, size, "softmax", w_init="glorot_uniform", b_init="zeros")
    layers = [
        Embedding(size, D),
        PositionalEncoding(),
        *(TransformerBlock(D, HEADS, 4 * D, causal=True, activation="relu") for _ in range(BLOCKS)),
        LayerNorm(D),
        TimeDistributed(output),
    ]
    return Network(layers, "softmax_cross_entropy", input_shape=(None,), rng=seed)


def examples(couplets: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return what is read, beginning with the end of a line, and the character that follows."""
    y = pad([text.encode(couplet) for couplet in couplets])
    x = np.roll(y, 1, axis=0)
    x[0] = LINE_END
    return np.maximum(x, 0), y  # behind the end it does not matter what is read


def write(network: Network, n: int, temperature: float, seed: int) -> list[str]:
    """Let the network write n couplets at once, character after character."""
    rng = np.random.default_rng(seed)
    tokens = np.full((1, n), LINE_END)
    for _ in range(LONGEST):
        following = network.predict(tokens)[:, -1:]
        tokens = np.concatenate([tokens, text.choose(following, temperature, rng)])
    return text.first_couplets(tokens[1:])


class Report(Callback):
    """Measure and print what has been learnt, after every epoch."""

    def __init__(
        self, network: Network, training: list[str], test: list[str], n_written: int, seed: int
    ) -> None:
        self.network, self.test, self.n_written, self.seed = network, test, n_written, seed
        self.read = len("".join(training))
        self.progress: list[dict[str, Any]] = []

    def on_epoch_end(self, trainer: Trainer) -> None:
        bits = trainer.history["validation_cost"][-1] / math.log(2)
        bits *= len(self.test) / len("".join(self.test))
        couplets = write(self.network, self.n_written, 1.0, self.seed)
        record = {"characters": trainer.epoch * self.read, "bits": round(bits, 4)}
        self.progress.append({**record, **text.score(couplets)})
        print(text.report(self.progress[-1]))
        if trainer.epoch in (1, 2) or trainer.epoch % 3 == 0:
            print("\n" + "".join(couplets[:2]))


def run(n_couplets: int, epochs: int, n_written: int, seed: int) -> dict[str, Any]:
    """Train; return the measures after every epoch, samples, and where the heads look."""
    rng = np.random.default_rng(seed)
    training, test = ([text.write(rng) for _ in range(n)] for n in (n_couplets, 400))
    network = build(seed)
    report = Report(network, training, test, n_written, seed)
    trainer = Trainer(
        network,
        Adam(ETA),
        BATCH,
        schedule=CosineDecay(ETA, epochs),
        clip_norm=10.0,
        rng=seed,
        callbacks=[report],
        metrics={},
        monitor_training=False,
    )
    trainer.fit(*examples(training), epochs, validation=examples(test))
    samples = {str(t): write(network, n_written, t, seed + 1) for t in (0.5, 1.0, 1.5)}
    network.forward(examples([SHOWN])[0], training=True)
    last = network[1 + BLOCKS].children[0].children[1]  # the attention of the last block
    return {
        "parameters": network.n_parameters,
        "bits": text.baselines(training, test),
        "progress": report.progress,
        "temperatures": {t: text.score(couplets) for t, couplets in samples.items()},
        "samples": {t: couplets[:4] for t, couplets in samples.items()},
        "attention": np.round(last.attention[..., 0].astype(float), 3).tolist(),
    }


# -- the figure ------------------------------------------------------------------------------


def draw(path: Path) -> None:
    """Draw character_transformer.png beside the JSON file that `run` filled."""
    result = json.loads(path.read_text(encoding="utf-8"))
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(9, 6.4), layout="constrained")
        FigureCanvasAgg(figure)
        rows = figure.subfigures(2, 1, height_ratios=(1.1, 1))
        left, right = rows[0].subplots(1, 2)
        draw_bits(left, {"transformer": result})
        draw_shares(right, result)
        axes = rows[1].subplots(1, HEADS)
        for number, (ax, weights) in enumerate(zip(axes, result["attention"], strict=True)):
            draw_attention(ax, np.array(weights), number)
        plots.save(left, path.with_suffix(".png"), dpi=100)


def draw_attention(ax: Axes, weights: np.ndarray, number: int) -> None:
    """Draw one head's weights: a row is a character being read, a column one that it looks at."""
    read = ["↵", *SHOWN.replace("\n", "↵")][: len(weights)]
    ax.imshow(weights.T, cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(len(read)), read, fontsize=5)
    ax.set_yticks(range(len(read)), read, fontsize=5)
    ax.tick_params(length=0, pad=1)
    ax.set_title(f"last block, head {number}", fontsize=9)
    ax.set_xlabel("looked at", fontsize=8)
    if not number:
        ax.set_ylabel("read", fontsize=8)


def main() -> None:
    """Run and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--couplets", type=int, default=2500, help="to be trained on")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--written", type=int, default=100, help="couplets to be measured by")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"))
    arguments = parser.parse_args()
    began = time.perf_counter()
    result = run(arguments.couplets, arguments.epochs, arguments.written, arguments.seed)
    for temperature, couplets in result["samples"].items():
        print(f"temperature {temperature}, {result['temperatures'][temperature]}:\n")
        print("".join(couplets))
    path = arguments.out / "character_transformer.json"
    write_text(path, json.dumps(result, indent=1) + "\n")
    draw(path)
    print(f"drawn in {path.with_suffix('.png')}, after {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
