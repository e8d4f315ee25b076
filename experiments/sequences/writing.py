"""How well a network writes couplets: measured after every epoch, and drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from backprop import Callback, Network, Trainer
from experiments.common import tidy
from experiments.sequences import couplets

COLOURS = {"LSTM": "#0072B2", "transformer": "#D55E00"}
SHARES = {  # of what is written, and how it is called and drawn
    "words": ("words", "#0072B2"),
    "forms": ("lines, but for number", "#009E73"),
    "lines": ("lines", "#E69F00"),
    "rhymes": ("rhymes", "#CC79A7"),
    "couplets": ("couplets", "#D55E00"),
}


class WritingProgress(Callback):
    """Measures and prints, after every epoch, how well the network predicts and writes.

    Parameters
    ----------
    characters : int
        How many the network reads in an epoch.
    test : list of str
        Couplets, which are the columns of the validation data; other labels in there are -1.
    write : callable
        Returns couplets that the network writes as it is now.

    Attributes
    ----------
    records : list of dict
        For every epoch "characters", read so far, "bits" per character of the test couplets, and
        the shares of `couplets.score`.
    """

    def __init__(self, characters: int, test: list[str], write: Callable[[], list[str]]) -> None:
        self.characters, self.test, self.write = characters, test, write
        self.records: list[dict[str, Any]] = []

    def on_epoch_end(self, trainer: Trainer) -> None:
        a_couplet = trainer.history["validation_cost"][-1] / math.log(2)
        bits = a_couplet * len(self.test) / len("".join(self.test))
        written = self.write()
        record = {"characters": trainer.epoch * self.characters, "bits": round(bits, 4)}
        self.records.append({**record, **couplets.score(written)})
        print(describe(self.records[-1]))
        if trainer.epoch.bit_count() == 1:  # 1, 2, 4, 8, ...
            print("\n" + "".join(written[:2]))


def describe(record: dict[str, Any]) -> str:
    """Return a record of `WritingProgress` as a line of text."""
    shares = ", ".join(f"{name} {record[name]:.0%}" for name in SHARES)
    start = f"{record['characters']:9,} characters read: {record['bits']:.3f} bits each"
    return f"{start}; right {shares}"


def measures(
    network: Network,
    progress: WritingProgress,
    samples: dict[str, list[str]],
    baselines: dict[str, float],
) -> dict[str, Any]:
    """Return what is kept of a run, with the couplets written at every temperature."""
    return {
        "parameters": network.n_parameters,
        "bits": baselines,
        "progress": progress.records,
        "temperatures": {t: couplets.score(written) for t, written in samples.items()},
        "samples": {t: written[:4] for t, written in samples.items()},
    }


# -- the figure ------------------------------------------------------------------------------


def draw_bits(ax: Axes, name: str, result: dict[str, Any]) -> None:
    """Draw bits per character against the characters read, and those of the baselines."""
    read, bits = _columns(result, "bits")
    ax.plot(read, bits, marker="o", markersize=3, color=COLOURS[name], label=name)
    for baseline, value in result["bits"].items():
        ax.axhline(value, color="0.3", linewidth=1, linestyle=":")
        below = -9 if baseline == "the grammar" else 2
        ax.annotate(baseline, (1, value), (0, below), ax.get_yaxis_transform(), "offset points",
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
    ax.axhline(100 / len(couplets.LETTERS["R"]), color="0.3", linewidth=1, linestyle=":")
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
    tidy(ax)
