"""A recurrent network that reads couplets character by character, and learns to write such.

An LSTM is asked for the next character of a long text. The text, of `couplets`, is drawn from a
grammar, so that what the network has learnt can be measured: its bits per character against those
of the grammar itself, which nobody can beat, and of couplets it writes the share that is right.

Training is truncated backpropagation through time. The text is cut into 16 streams, read side by
side 96 characters at a time; the LSTM's state is carried from one such chunk to the next, the
gradient goes back to the chunk's beginning only.

Writes character_rnn.json, and draws character_rnn.png from that file.

    python -m experiments.sequences.character_rnn [--couplets 5000] [--epochs 16] [--out FOLDER]

Source: Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks", 2015; Graves,
"Generating Sequences With Recurrent Neural Networks", 2013, for networks that write.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from backprop import LSTM, Adam, Dense, Embedding, Network, TimeDistributed, Trainer
from backprop.datasets.sequences import chunks, pad
from backprop.schedules import CosineDecay
from experiments.common import figure, option_parser, read_result, write_and_draw
from experiments.sequences import couplets
from experiments.sequences.writing import WritingProgress, draw_bits, draw_shares, measures

STREAMS, CHUNK = 16, 96
ETA, CLIP = 0.01, 40.0
LONGEST = 100  # characters of a couplet that is written


def build(seed: int, n: int = 128) -> Network:
    """Return the network: tokens T x B in, probabilities 32 x T x B of the next ones out."""
    size = len(couplets.ALPHABET)
    output = Dense(n, size, "softmax", w_init="glorot_uniform", b_init="zeros")
    layers = [Embedding(size, 16), LSTM(16, n, carry=True), TimeDistributed(output)]
    return Network(layers, "softmax_cross_entropy", input_shape=(None,), rng=seed)


def training_data(training: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the text as chunks of tokens, 96 x N, and the token that follows each.

    Sixteen columns are a minibatch, and each goes on where the column 16 before it ended.
    """
    tokens = couplets.encode("".join(training))
    return chunks(tokens[:-1], CHUNK, STREAMS), chunks(tokens[1:], CHUNK, STREAMS)


def validation_data(before: str, test: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return a column for each couplet, read after the one before it, whose labels cost nothing.

    The first comes after `before`.
    """
    pairs = list(itertools.pairwise([before, *test]))
    x = pad([couplets.encode(first + second) for first, second in pairs])
    y = np.roll(x, -1, axis=0)
    y[-1] = -1
    for column, (first, _) in enumerate(pairs):
        y[: len(first) - 1, column] = -1
    return np.maximum(x, 0), y  # behind the end it does not matter what is read


def write(network: Network, n: int, before: str, temperature: float, seed: int) -> list[str]:
    """Let the network write n couplets at once, having read `before`, by the LSTM's `step`."""
    embedding, lstm, output = network.layers
    rng = np.random.default_rng(seed)
    tokens, state = np.repeat(couplets.encode(before)[:, np.newaxis], n, axis=1), None
    written = []
    for _ in range(LONGEST):
        h, state = lstm.step(embedding.forward(tokens), state)
        tokens = couplets.choose(output.forward(h)[:, -1:], temperature, rng)
        written.append(tokens[0])
    return couplets.first_couplets(np.array(written))


def run(n_couplets: int, epochs: int, n_written: int, seed: int) -> dict[str, Any]:
    """Train; return the measures after every epoch, and samples."""
    rng = np.random.default_rng(seed)
    training, test = ([couplets.write(rng) for _ in range(n)] for n in (n_couplets, 400))
    network = build(seed)
    x, y = training_data(training)

    def write_now(temperature: float = 1.0) -> list[str]:
        return write(network, n_written, training[-1], temperature, seed)

    progress = WritingProgress(x.size, test, write_now)
    trainer = Trainer(
        network,
        Adam(ETA),
        STREAMS,
        schedule=CosineDecay(ETA, epochs),
        clip_norm=CLIP,
        callbacks=[progress],
        metrics={},
        monitor_training=False,
        shuffle=False,  # the state is carried from chunk to chunk: here the order is the point
    )
    trainer.fit(x, y, epochs, validation=validation_data(training[-1], test))
    samples = {str(t): write_now(t) for t in (0.5, 1.0, 1.5)}
    return measures(network, progress, samples, couplets.baselines(training, test))


def draw(path: Path) -> None:
    """Draw character_rnn.png beside the JSON file that `run` filled."""
    result = read_result(path)
    with figure(path, 8.6, 3.6, dpi=120) as drawn:
        left, right = drawn.subplots(1, 2)
        draw_bits(left, "LSTM", result)
        draw_shares(right, result)


def main() -> None:
    """Run and draw."""
    parser = option_parser(__doc__, epochs=16, seed=0)
    parser.add_argument("--couplets", type=int, default=5000, help="to be trained on")
    parser.add_argument("--samples", type=int, default=100, help="couplets written to be measured")
    arguments = parser.parse_args()
    began = time.perf_counter()
    result = run(arguments.couplets, arguments.epochs, arguments.samples, arguments.seed)
    for temperature, samples in result["samples"].items():
        right = result["temperatures"][temperature]["couplets"]
        print(f"temperature {temperature}, {right:.0%} of the couplets are right:\n")
        print("".join(samples))
    write_and_draw(arguments.out / "character_rnn.json", result, draw)
    print(f"{time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
