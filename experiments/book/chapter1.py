"""Chapter 1: a network of sigmoids and the quadratic cost, and what is not a network beside it.

Source: Nielsen, *Neural Networks and Deep Learning*, chapter 1, and its programs network.py,
mnist_average_darkness.py and mnist_svm.py. Its accuracies are the best over the epochs, on test
data, of the best of three runs; the darkness and the SVM have nothing random.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.book.drawing import Runs, accuracy_curves
from experiments.book.row import Published, Row
from experiments.common import figure

_ONE_RUN = "the book's is one random start, and ours range widely"

ROWS = (
    Row(
        "1-30",
        "784-30-10, η = 3",
        (
            Published("first test_accuracy", 0.9129, remark="after one epoch starts still differ"),
            Published("best test_accuracy", 0.9542),
            Published("last test_accuracy", 0.9534),
        ),
        cost="quadratic",
        eta=3.0,
    ),
    Row(
        "1-100",
        "784-100-10, η = 3",
        (
            Published(
                "best test_accuracy",
                0.9659,
                remark="a start may leave one or more output neurons saturated, and that digit "
                "unlearnt; the book gives its best of three, and says that readers' results vary",
            ),
        ),
        layers=(784, 100, 10),
        cost="quadratic",
        eta=3.0,
    ),
    Row(
        "1-slow",
        "784-100-10, η = 0.001: too slow",
        (
            Published("first test_accuracy", 0.1139, remark=_ONE_RUN),
            Published("last test_accuracy", 0.2142, remark=_ONE_RUN),
        ),
        layers=(784, 100, 10),
        cost="quadratic",
        eta=0.001,
    ),
    Row(
        "1-fast",
        "784-30-10, η = 100: too fast",
        (Published("last test_accuracy", 0.0982, remark="chance: one digit for every image"),),
        cost="quadratic",
        eta=100.0,
    ),
    Row(
        "1-none",
        "784-10, no hidden layer, η = 3 (an exercise)",
        (
            Published(
                "best test_accuracy",
                None,
                remark="as in 784-100-10, an output neuron may start saturated and stay so",
            ),
        ),
        layers=(784, 10),
        cost="quadratic",
        eta=3.0,
    ),
    Row(
        "1-darkness",
        "the digit of the nearest mean darkness",
        (Published("test_accuracy", 0.2225),),
        kind="darkness",
        seeds=1,
    ),
    Row(
        "1-svm",
        "SVM, scikit-learn's defaults of then",
        (
            Published("test_accuracy", 0.9435),
            Published("validation_accuracy", 0.9448),  # the last point of chapter 3's curve
        ),
        kind="svm",
        seeds=1,
    ),
)

DRAWN: dict[str, Any] = {  # row: its label in the figure
    "1-100": "784-100-10, η = 3",
    "1-30": "784-30-10, η = 3",
    "1-none": "784-10, η = 3",
    "1-slow": "784-100-10, η = 0.001",
    "1-fast": "784-30-10, η = 100",
}
_BOOK = {"1-30": {1: 91.29, 2: 92.95, 3: 93.48, 28: 95.28, 29: 95.42, 30: 95.34},
         "1-slow": {1: 11.39, 2: 11.36, 3: 11.35, 28: 21.01, 29: 21.23, 30: 21.42},
         "1-fast": {1: 10.09, 30: 9.82}}  # fmt: skip


def draw(runs: Runs, path: Path) -> None:
    """Draw chapter1.png: test accuracy by epoch, all starts, and the book's figures as rings."""
    with figure(path / "chapter1.json", 7.6, 3.6) as drawn:
        left, right = drawn.subplots(1, 2, width_ratios=(1.15, 1))
        accuracy_curves(left, runs, DRAWN, "test_accuracy", _BOOK)
        left.set_title("Chapter 1: every random start, and ○ the book's")
        accuracy_curves(right, runs, dict(list(DRAWN.items())[:2]), "test_accuracy", _BOOK)
        right.set(ylim=(90, 98), ylabel="")
        right.set_title("the upper end")


FIGURES = {"chapter1": (draw, tuple(DRAWN))}
