"""Chapter 6: convolutional networks, one improvement after the other.

Source: Nielsen, *Neural Networks and Deep Learning*, chapter 6, network3.py and conv.py. Test
accuracy at the epoch of the best validation accuracy; the book's are the best of three runs. What
`experiments.book.networks` says differs, and lambda: network3's is network2's divided by the size
of a minibatch, so that its 0.1 is 1.0 here. Minibatches come in the order of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.book.drawing import COLOURS, Runs, values_of
from experiments.book.row import Published, Row
from experiments.common import figure, tidy

VOTERS = "6-dropout"
CHOSEN = "chosen test_accuracy"
BELOW = 0.0015  # so far below the book's best of three a row may be


def _row(name: str, layers: str, book: float | None, **settings: Any) -> Row:
    sigma = settings.pop("sigma", "relu")
    dropout = settings.pop("dropout", 0.0)
    ending = ", expanded data" if settings.get("expanded") else ""
    ending += f", dropout {dropout}" if dropout else ""
    plain = dict.fromkeys(("eta", "lmbda"), 0.0) | {"eta": 0.03, "lmbda": 1.0}
    if sigma == "sigmoid":
        plain = {"eta": 0.1, "lmbda": 0.0}
    return Row(
        f"6-{name}",
        f"{layers.replace(' ', '-')}-softmax, {'ReLU' if sigma == 'relu' else sigma}{ending}",
        (Published(CHOSEN, book, BELOW),),
        layers=tuple(layers.replace("FC", "F").split()),
        init="network3",
        cost="softmax_cross_entropy",
        shuffle=False,
        x={"sigma": sigma, "dropout": dropout},
        **{**plain, "epochs": 60, "seeds": 3, **settings},
    )


_EXPANDED: dict[str, Any] = {"expanded": True, "seeds": 1}
ROWS = (
    _row("fc100", "FC100", 0.9780, sigma="sigmoid"),
    _row("c20", "C20", None, sigma="sigmoid"),
    _row("c20-fc100", "C20 FC100", 0.9878, sigma="sigmoid"),
    _row("c20-c40-sigmoid", "C20 C40 FC100", 0.9906, sigma="sigmoid"),
    _row("c20-c40-relu", "C20 C40 FC100", 0.9923),
    _row("expanded-fc100", "C20 C40 FC100", 0.9937, **_EXPANDED),
    _row("expanded-fc300", "C20 C40 FC300", 0.9946, **_EXPANDED),
    _row("expanded-fc1000", "C20 C40 FC1000", 0.9943, **_EXPANDED),
    _row("expanded-fc100-fc100", "C20 C40 FC100 FC100", 0.9943, **_EXPANDED),
    _row("expanded-fc300-fc300", "C20 C40 FC300 FC300", 0.9948, **_EXPANDED),
    _row("expanded-fc1000-fc1000", "C20 C40 FC1000 FC1000", 0.9947, **_EXPANDED),
    _row("dropout", "C20 C40 FC1000 FC1000", 0.9960, lmbda=0.0, epochs=40, dropout=0.5,
         expanded=True, seeds=5),
    Row("6-vote", "vote of the five networks with dropout",
        (Published("test_accuracy", 0.9967, BELOW),), kind="vote", seeds=1),
)  # fmt: skip


def vote(runs: Runs) -> dict[str, Any] | None:
    """Return what would be a run of the vote, from the runs of those that vote; None before all.

    Each network has one vote, after its last epoch; of digits with as many, the least has it.
    """
    found = runs[VOTERS]
    row = next(row for row in ROWS if row.name == VOTERS)
    if len(found) < row.seeds:
        return None
    guesses: dict[int, list[int]] = {}
    labels: dict[int, int] = {}
    for run in found:
        for place, label, guess in run["test_wrong"]["guesses"]:
            guesses.setdefault(place, []).append(guess)
            labels[place] = label
    wrong = 0
    for place, wrongly in guesses.items():
        votes = np.bincount(wrongly + [labels[place]] * (len(found) - len(wrongly)))
        wrong += int(votes.argmax() != labels[place])
    shared = {name: found[0][name] for name in ("data", "path", "versions")}
    accuracy = 1 - wrong / found[0]["test_wrong"]["of"]
    return {**shared, "row": "6-vote", "seconds": 0.0, "test_accuracy": accuracy}


def draw(runs: Runs, path: Path) -> None:
    """Draw chapter6.png: the test accuracy of every row that was run, and the book's."""
    rows = [row for row in ROWS if runs.get(row.name)]
    with figure(path / "chapter6.json", 7.2, 0.9 + 0.33 * len(rows)) as drawn:
        ax = drawn.add_subplot()
        for place, row in enumerate(rows):
            ours = 100 * np.array(values_of(runs, row.name, row.published[0].measure))
            ax.plot(ours, [place] * len(ours), "o", color=COLOURS[0], ms=5, alpha=0.8, mew=0,
                    label=None if place else "each random start")  # fmt: skip
            book = row.published[0].value
            if book is not None:
                ax.plot(100 * book, place, "o", color="k", mfc="none", ms=9)
        ax.plot([], [], "o", color="k", mfc="none", ms=9, label="the book, best of three")
        ax.set_yticks(range(len(rows)), [row.what for row in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel("test accuracy (%), at the best epoch on validation data")
        ax.legend(frameon=False, fontsize=8)
        ax.set_title("Chapter 6: convolutional networks")
        tidy(ax, "x")


FIGURES = {"chapter6": (draw, ("6-fc100",))}
