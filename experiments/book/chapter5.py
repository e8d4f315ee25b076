"""Chapter 5: deeper networks that are no better, and the gradients that vanish in them.

Source: Nielsen, *Neural Networks and Deep Learning*, chapter 5, and its generate_gradient.py. The
norms are those of `experiments.book.learning_speed`, which has twenty random starts of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.book import learning_speed
from experiments.book.drawing import Runs, values_of
from experiments.book.row import Published, Row
from experiments.common import figure, tidy

_ACCURACY = {1: 0.9648, 2: 0.9690, 3: 0.9657, 4: 0.9653}  # hidden layers: on validation data
_ENDS = "after 499 steps rounding and start make more of a difference than at the start"


def _norms(hidden: int) -> Row:
    first, last = (learning_speed.BOOK[hidden][when] for when in ("first", "last"))
    one = "the book's is one random start"
    published = [
        Published(f"first {layer}", value, 2.0, True, one) for layer, value in enumerate(first)
    ]
    published += [
        Published(f"last {layer}", value, 2.0, True, _ENDS) for layer, value in enumerate(last)
    ]
    published.append(Published("ratio", last_to_first(first), 2.0, True, one))
    return Row(
        f"5-norms-{hidden}",
        f"‖∂C/∂b‖ of {hidden} hidden layers of 30, 1,000 images",
        tuple(published),
        kind="norms",
        layers=(784, *[30] * hidden, 10),
        init="new",
        eta=learning_speed.ETA,
        lmbda=learning_speed.LMBDA,
        epochs=500,
        images=learning_speed.EXAMPLES,
    )


def last_to_first(norms: list[float]) -> float:
    """Return how many times as fast the last hidden layer learns as the first, at the start."""
    return norms[-1] / norms[0]


ROWS = (
    *(
        Row(
            f"5-depth-{hidden}",
            "-".join(["784", *["30"] * hidden, "10"]),
            (Published("best validation_accuracy", value), Published("last validation_accuracy",
              None)),
            layers=(784, *[30] * hidden, 10),
            init="new",
            eta=0.1,
            lmbda=5.0,
        )
        for hidden, value in _ACCURACY.items()
    ),
    *(_norms(hidden) for hidden in learning_speed.BOOK),
)  # fmt: skip


def draw_depth(runs: Runs, path: Path) -> None:
    """Draw depth.png: the accuracy of one to four hidden layers, every start and the book's."""
    with figure(path / "depth.json", 4.6, 3.2) as drawn:
        ax = drawn.add_subplot()
        for hidden, book in _ACCURACY.items():
            ours = values_of(runs, f"5-depth-{hidden}", "best validation_accuracy")
            first = hidden == 1
            ax.plot([hidden] * len(ours), 100 * np.array(ours), "o", color="#0072B2", ms=4,
                    alpha=0.7, mew=0, label="each random start" if first else None)  # fmt: skip
            ax.plot(hidden, 100 * book, "o", color="k", mfc="none", ms=8,
                    label="the book" if first else None)  # fmt: skip
        ax.set(xlabel="hidden layers of 30 neurons", ylabel="best validation accuracy (%)",
               xticks=list(_ACCURACY))  # fmt: skip
        ax.set_title("Chapter 5: more layers, no better")
        ax.legend(frameon=False, fontsize=8)
        tidy(ax)


def draw_norms(runs: Runs, path: Path) -> None:
    """Draw gradient_norms.png: the speed of learning by layer, at the start and while training."""
    networks = {}
    for hidden in learning_speed.BOOK:
        found = runs[f"5-norms-{hidden}"]
        curves = np.array([run["norms"] for run in found])  # seeds x layers x steps
        low, median, high = np.quantile(curves, (0, 0.5, 1), axis=0)
        networks[hidden] = {
            "first": curves[:, :, 0],
            "steps": found[0]["steps"],
            **dict(zip(learning_speed.CURVES, (low, median, high), strict=True)),
        }
    with figure(path / "gradient_norms.json", 7.6, 6.2) as drawn:
        top, *rest = drawn.subplots(2, 2, sharey=True).flat
        learning_speed.draw_start(top, networks)
        for ax, (hidden, found) in zip(rest, networks.items(), strict=True):
            learning_speed.draw_training(ax, hidden, found)
        for ax in (top, rest[1]):
            ax.set_ylabel("speed of learning ‖∂C/∂b‖")
        drawn.suptitle("Chapter 5: speed of learning of the hidden layers, and ○ the book's",
                       x=0.01, ha="left", fontsize=9)  # fmt: skip


FIGURES = {
    "depth": (draw_depth, tuple(f"5-depth-{hidden}" for hidden in _ACCURACY)),
    "gradient_norms": (draw_norms, tuple(f"5-norms-{hidden}" for hidden in learning_speed.BOOK)),
}
