"""A transformer that reads couplets character by character, and learns to write such.

The text is that of `couplets`, as in `character_rnn`, and so are the measures: bits per character
against those of the grammar, and the share of what the network writes that is right. Every couplet
is an example of its own. All its characters are predicted at once, each from those before it, which
is all that causal attention sees; shorter couplets are filled up, and labels of -1 cost nothing.

The figure shows both measures, and where the heads look while a couplet is read: the weights are
there after every training forward.

Writes character_transformer.json, and draws character_transformer.png from that file.

    python -m experiments.sequences.character_transformer [--couplets 2500] [--epochs 6]

Source: Vaswani et al., "Attention Is All You Need", 2017; Radford et al., "Improving Language
Understanding by Generative Pre-Training", 2018, for the decoder alone.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from backprop import Adam, Dense, Embedding, Network, TimeDistributed, Trainer
from backprop.datasets.sequences import pad
from backprop.layers import LayerNorm, PositionalEncoding, TransformerBlock
from backprop.schedules import CosineDecay
from experiments.common import figure, option_parser, read_result, write_and_draw
from experiments.sequences import couplets
from experiments.sequences.writing import WritingProgress, draw_bits, draw_shares, measures

ETA, BATCH = 0.003, 32
D, HEADS, BLOCKS = 64, 4, 2
LONGEST = 120  # characters of a couplet that is written
LINE_END = couplets.ALPHABET.index("\n")
SHOWN = "the old mice sleep all day,\nthe fox"


def build(seed: int) -> Network:
    """Return the network: tokens T x B in, probabilities of the next ones out."""
    size = len(couplets.ALPHABET)
    output = Dense(D, size, "softmax", w_init="glorot_uniform", b_init="zeros")
    layers = [
        Embedding(size, D),
        PositionalEncoding(),
        *(TransformerBlock(D, HEADS, 4 * D, causal=True, activation="relu") for _ in range(BLOCKS)),
        LayerNorm(D),
        TimeDistributed(output),
    ]
    return Network(layers, "softmax_cross_entropy", input_shape=(None,), rng=seed)


def examples(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return what is read, beginning with the end of a line, and the character that follows."""
    y = pad([couplets.encode(text) for text in texts])
    x = np.roll(y, 1, axis=0)
    x[0] = LINE_END
    return np.maximum(x, 0), y  # behind the end it does not matter what is read


def write(network: Network, n: int, temperature: float, seed: int) -> list[str]:
    """Let the network write n couplets at once, character after character."""
    rng = np.random.default_rng(seed)
    tokens = np.full((1, n), LINE_END)
    for _ in range(LONGEST):
        following = network.predict(tokens)[:, -1:]
        tokens = np.concatenate([tokens, couplets.choose(following, temperature, rng)])
    return couplets.first_couplets(tokens[1:])


def run(n_couplets: int, epochs: int, n_written: int, seed: int) -> dict[str, Any]:
    """Train; return the measures after every epoch, samples, and where the heads look."""
    rng = np.random.default_rng(seed)
    training, test = ([couplets.write(rng) for _ in range(n)] for n in (n_couplets, 400))
    network = build(seed)
    progress = WritingProgress(
        len("".join(training)), test, lambda: write(network, n_written, 1.0, seed)
    )
    trainer = Trainer(
        network,
        Adam(ETA),
        BATCH,
        schedule=CosineDecay(ETA, epochs),
        clip_norm=10.0,
        rng=seed,
        callbacks=[progress],
        metrics={},
        monitor_training=False,
    )
    trainer.fit(*examples(training), epochs, validation=examples(test))
    samples = {str(t): write(network, n_written, t, seed + 1) for t in (0.5, 1.0, 1.5)}
    network.forward(examples([SHOWN])[0], training=True)
    last = network[1 + BLOCKS].children[0].children[1]  # the attention of the last block
    return {
        **measures(network, progress, samples, couplets.baselines(training, test)),
        "attention": np.round(last.attention[..., 0].astype(float), 3).tolist(),
    }


# -- the figure ------------------------------------------------------------------------------


def draw(path: Path) -> None:
    """Draw character_transformer.png beside the JSON file that `run` filled."""
    result = read_result(path)
    with figure(path, 9, 6.4, dpi=100) as drawn:
        rows = drawn.subfigures(2, 1, height_ratios=(1.1, 1))
        left, right = rows[0].subplots(1, 2)
        draw_bits(left, "transformer", result)
        draw_shares(right, result)
        axes = rows[1].subplots(1, HEADS)
        for number, (ax, weights) in enumerate(zip(axes, result["attention"], strict=True)):
            draw_attention(ax, np.array(weights), number)


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
    parser = option_parser(__doc__, epochs=6, seed=0)
    parser.add_argument("--couplets", type=int, default=2500, help="to be trained on")
    parser.add_argument("--written", type=int, default=100, help="couplets to be measured by")
    arguments = parser.parse_args()
    began = time.perf_counter()
    result = run(arguments.couplets, arguments.epochs, arguments.written, arguments.seed)
    for temperature, samples in result["samples"].items():
        print(f"temperature {temperature}, {result['temperatures'][temperature]}:\n")
        print("".join(samples))
    write_and_draw(arguments.out / "character_transformer.json", result, draw)
    print(f"{time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
