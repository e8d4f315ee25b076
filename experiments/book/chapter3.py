"""Chapter 3: cross-entropy, overfitting, regularisation, initialisation, learning rates.

Source: Nielsen, *Neural Networks and Deep Learning*, chapter 3, network2.py, and the programs
overfitting.py, weight_initialization.py, more_data.py and multiple_eta.py with their JSON files.
Where the book does not say whether an accuracy is the best or the last, it is compared with the
best. lambda / n is the same for all sizes of training data in "more data".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.ticker import FuncFormatter

from experiments.book.drawing import COLOURS, Runs, column, draw_band, values_of
from experiments.book.row import Published, Row
from experiments.common import figure, tidy

SIZES = {100: (0.6909, 0.2507), 200: (0.7637, 0.4893), 500: (0.8529, 0.7513),
         1000: (0.8885, 0.8387), 2000: (0.9127, 0.8849), 5000: (0.9324, 0.9146),
         10000: (0.9489, 0.9245), 20000: (0.9585, 0.9347), 50000: (0.9597, 0.9448)}  # fmt: skip
_FEW = "the book's is one random start, on few images"
_HUNDRED = "one start, judged on 100 images: two or three images more or less are nothing"


_ANIMATION = (
    "the book's animation takes steps of 1 / (1 − a), which is ∂C/∂a, in place of ∂C/∂z = a, that "
    "is 1 / a(1 − a) times as long; at η = 0.15 the exact gradient shows what it is to show"
)
_LAST = {("quadratic", 0.15): (0.09, 0.20), ("cross_entropy", 0.005): (0.04, 0.05)}


def _neuron(cost: str, eta: float, saturated: bool) -> Row:
    """One neuron; with cross-entropy the last output is what js/saturation3.js and 4 end at."""
    same = "-same-eta" if cost == "cross_entropy" and eta == 0.15 else ""
    name = f"3-neuron-{cost.split('_')[0]}{same}{'-saturated' if saturated else ''}"
    last = _LAST.get((cost, eta))
    remark = (
        "not in the book: η as with the quadratic cost, and no slow start"
        if same
        else (_ANIMATION if cost == "cross_entropy" else "")
    )
    published = (
        Published("first a", 0.98 if saturated else 0.82),
        Published("last a", last[saturated] if last else None, remark=remark),
    )  # fmt: skip
    return Row(
        name,
        f"one neuron, w = {'b = 2' if saturated else '0.6, b = 0.9'}, {cost.replace('_', '-')}, "
        f"η = {eta:g}",
        published,
        kind="neuron",
        layers=(1, 1),
        cost=cost,
        eta=eta,
        epochs=300,
        seeds=1,
        x=(2.0, 2.0) if saturated else (0.6, 0.9),
    )


ROWS = (
    *(
        _neuron(cost, eta, saturated)
        for cost, eta in (("quadratic", 0.15), ("cross_entropy", 0.005), ("cross_entropy", 0.15))
        for saturated in (False, True)
    ),
    Row("3-ce-30", "784-30-10", (Published("best test_accuracy", 0.9549),)),
    Row("3-ce-100", "784-100-10", (Published("best test_accuracy", 0.9682),),
        layers=(784, 100, 10)),
    Row(
        "3-overfit-1000",
        "784-30-10 on 1,000 images",
        (
            Published("best test_accuracy", 0.8227, remark=_FEW),
            Published("best training_accuracy", 1.0),
            Published("least test_cost", 1.203, 0.1, remark=_FEW),
            Published("last test_cost", 1.773, 0.3, remark=_FEW),
        ),
        epochs=400,
        images=1000,
    ),
    Row(
        "3-overfit-full",
        "784-30-10 on all images",
        (
            Published("best test_accuracy", 0.9533),
            Published("best training_accuracy", 0.9786),
        ),
    ),
    Row(
        "3-l2-1000",
        "784-30-10 on 1,000 images, λ = 0.1",
        (Published("best test_accuracy", 0.8710, remark=_FEW),),
        lmbda=0.1,
        epochs=400,
        images=1000,
    ),
    Row(
        "3-l2-full",
        "784-30-10 on all images, λ = 5",
        (
            Published("best test_accuracy", 0.9649),
            Published("best training_accuracy", 0.9712),
        ),
        lmbda=5.0,
    ),
    Row("3-l2-100", "784-100-10, λ = 5", (Published("best validation_accuracy", 0.9792),),
        layers=(784, 100, 10), lmbda=5.0),
    Row("3-l2-100-60", "784-100-10, λ = 5, η = 0.1",
        (Published("best validation_accuracy", 0.9804),),
        layers=(784, 100, 10), eta=0.1, lmbda=5.0, epochs=60),
    *(
        Row(
            f"3-init-{init}-{n}",
            f"784-{n}-10, {init} initial weights, λ = 5, η = 0.1",
            (
                Published("first validation_accuracy", first,
                          remark="after one epoch starts still differ"),
                Published("best validation_accuracy", best),
                Published("last validation_accuracy", last),
            ),
            layers=(784, n, 10),
            init=init,
            eta=0.1,
            lmbda=5.0,
        )
        for init, n, first, best, last in (
            ("new", 30, 0.9270, 0.9653, 0.9650),
            ("large", 30, 0.8643, 0.9648, 0.9637),
            ("new", 100, 0.9295, 0.9781, 0.9781),
            ("large", 100, 0.8994, 0.9755, 0.9742),
        )
    ),
    *(
        Row(
            f"3-size-{size}",
            f"784-30-10 on {size:,} images, λ = {size * 1e-4:g}",
            (Published("last validation_accuracy", network, remark=_FEW if size < 5000 else
                       "the book's is one random start"),),
            lmbda=size * 1e-4,
            epochs=1_500_000 // size,
            images=size,
            every=1_500_000 // size,
        )
        for size, (network, _) in SIZES.items()
    ),
    *(
        Row(
            f"3-svm-{size}",
            f"SVM on {size:,} images",
            (Published("validation_accuracy", svm),),
            kind="svm",
            images=size,
            seeds=1,
        )
        for size, (_, svm) in SIZES.items()
        if size < 50_000  # of all images it is chapter 1's
    ),
    *(
        Row(
            f"3-eta-{eta:g}",
            f"784-30-10, new initial weights, λ = 5, η = {eta:g}: training cost with its penalty",
            (Published("first penalised_cost", first, 0.1, remark=cost_remark),
             Published("last penalised_cost", last, 0.1, remark=cost_remark)),
            init="new",
            eta=eta,
            lmbda=5.0,
        )
        for eta, first, last, cost_remark in (
            (0.025, 0.878, 0.339, ""),
            (0.25, 0.495, 0.339, ""),
            (2.5, 0.925, 0.861, "it oscillates, from epoch to epoch and from start to start"),
        )
    ),
    Row(
        "3-lambda-1000",
        "784-30-10, η = 10, λ = 1,000",
        (Published("last validation_accuracy", 0.0967,
                   remark="chance: one digit for every image"),),
        init="new",
        eta=10.0,
        lmbda=1000.0,
    ),
    Row(
        "3-lambda-20",
        "784-10 on 1,000 images, η = 1, λ = 20, judged on 100",
        (Published("first validation_accuracy", 0.62, remark=_HUNDRED),),
        layers=(784, 10),
        init="new",
        eta=1.0,
        lmbda=20.0,
        images=1000,
        validation=100,
    ),
)  # fmt: skip


# -- the figures -----------------------------------------------------------------------------


def draw_neuron(runs: Runs, path: Path) -> None:
    """Draw saturated.png: the cost of one neuron that starts wrong, a little and badly."""
    with figure(path / "saturated.json", 9.2, 2.9) as drawn:
        panels = ("quadratic", "cross-same-eta", "cross")
        for ax, cost in zip(drawn.subplots(1, 3, sharey=True), panels, strict=True):
            for ending, colour in (("", COLOURS[0]), ("-saturated", COLOURS[1])):
                run = runs[f"3-neuron-{cost}{ending}"][0]
                values = run["columns"]["a"]
                text = f"starts at a = {values[0]:.2f}"
                ax.plot(range(len(values)), values, color=colour, label=text)
            ax.set(xlabel="epoch", ylim=(0, 1))
            if cost == "cross-same-eta":
                ax.legend(frameon=False, fontsize=8)
            tidy(ax)
            eta = run["setting"]["eta"]
            name = "quadratic cost" if cost == "quadratic" else "cross-entropy"
            ax.set_title(f"{name}, η = {eta:g}")
            if cost == "quadratic":
                ax.set_ylabel("output a (desired: 0)")


def draw_overfitting(runs: Runs, path: Path) -> None:
    """Draw overfitting.png: cost and accuracy, with and without a penalty, few images and all."""
    panels = (
        ("1,000 images: accuracy", ("3-overfit-1000", "3-l2-1000"), "accuracy"),
        ("1,000 images: cost on test data", ("3-overfit-1000", "3-l2-1000"), "cost"),
        ("all images: accuracy", ("3-overfit-full", "3-l2-full"), "accuracy"),
    )
    with figure(path / "overfitting.json", 9.2, 3.2) as drawn:
        for ax, (title, rows, measure) in zip(drawn.subplots(1, 3), panels, strict=True):
            for name, colour, said in zip(rows, COLOURS, ("λ = 0", "with L2"), strict=False):
                factor = 100 if measure == "accuracy" else 1
                draw_band(ax, runs[name], f"test_{measure}", colour, factor=factor,
                          label=f"{said}, test")  # fmt: skip
                if measure == "accuracy":
                    draw_band(ax, runs[name], "training_accuracy", colour, "--", factor,
                              f"{said}, training")  # fmt: skip
            ax.set_title(title)
            ax.set(xlabel="epoch", ylabel="%" if measure == "accuracy" else "")
            if measure == "accuracy":
                ax.set_ylim(76 if "1,000" in title else 92, 101 if "1,000" in title else 98.5)
            place = (1.0, 0.93) if title == panels[0][0] else None  # between the curves
            ax.legend(frameon=False, fontsize=7, bbox_to_anchor=place, loc=place and "upper right")
            tidy(ax)


def draw_initialisation(runs: Runs, path: Path) -> None:
    """Draw initialisation.png: large initial weights and small ones."""
    with figure(path / "initialisation.json", 7.0, 3.0) as drawn:
        for ax, n in zip(drawn.subplots(1, 2, sharey=True), (30, 100), strict=True):
            for init, colour in (("new", COLOURS[0]), ("large", COLOURS[1])):
                name = f"3-init-{init}-{n}"
                std = "1/√n_in" if init == "new" else "1"
                draw_band(ax, runs[name], "validation_accuracy", colour, factor=100,
                          label=f"standard deviation {std}")  # fmt: skip
                row = next(row for row in ROWS if row.name == name)
                first, _, last = (100 * (one.value or 0) for one in row.published)
                ends = [1, len(runs[name][0]["columns"]["epoch"])]
                ax.plot(ends, [first, last], "o", color="k", mfc="none", ms=5, zorder=3)
            ax.set_title(f"{n} hidden neurons, and ○ the book's")
            ax.set(xlabel="epoch", ylim=(85, 99))
            tidy(ax)
            ax.legend(frameon=False, fontsize=8, loc="lower right")
            if n == 30:
                ax.set_ylabel("validation accuracy (%)")


def draw_more_data(runs: Runs, path: Path) -> None:
    """Draw more_data.png: accuracy by the number of training images, network and SVM."""
    with figure(path / "more_data.json", 5.6, 3.6) as drawn:
        ax = drawn.add_subplot()
        for kind, measure, colour, number in (
            ("size", "last validation_accuracy", COLOURS[0], 0),
            ("svm", "validation_accuracy", COLOURS[1], 1),
        ):
            names = {size: f"3-{kind}-{size}" for size in SIZES}
            if kind == "svm":
                names[50_000] = "1-svm"
            sizes = [size for size, name in names.items() if runs.get(name)]
            ours = [100 * np.array(values_of(runs, names[n], measure)) for n in sizes]
            if not sizes:
                continue
            median = [np.median(values) for values in ours]
            if kind == "size":
                ax.fill_between(sizes, [v.min() for v in ours], [v.max() for v in ours],
                                color=colour, alpha=0.2, linewidth=0)  # fmt: skip
            name = "784-30-10, λ growing with the data" if kind == "size" else "SVM"
            ax.plot(sizes, median, color=colour, marker="o", ms=3, label=name)
            book = [100 * SIZES[size][number] for size in SIZES]
            ax.plot(list(SIZES), book, "o", color="k", mfc="none", ms=7)
        ax.set(xscale="log", xlabel="training images", ylabel="validation accuracy (%)")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        ax.legend(frameon=False, loc="lower right")
        ax.set_title("Chapter 3: more data, and ○ the book's")
        tidy(ax, "both")


def draw_etas(runs: Runs, path: Path) -> None:
    """Draw learning_rates.png: the training cost, penalty included, for three learning rates."""
    with figure(path / "learning_rates.json", 4.8, 3.2) as drawn:
        ax = drawn.add_subplot()
        for eta, colour in zip((0.025, 0.25, 2.5), COLOURS, strict=False):
            found = runs[f"3-eta-{eta:g}"]
            draw_band(ax, found, "penalised_cost", colour, label=f"η = {eta:g}")
            row = next(row for row in ROWS if row.name == f"3-eta-{eta:g}")
            ends = [1, len(column(found[0], "epoch"))]
            ax.plot(ends, [one.value for one in row.published], "o", color="k", mfc="none", ms=6)
        ax.set(xlabel="epoch", ylabel="training cost, with the penalty", ylim=(0, None))
        ax.set_title("Chapter 3: learning rates, and ○ the book's")
        ax.legend(frameon=False, fontsize=8)
        tidy(ax)


FIGURES = {
    "saturated": (draw_neuron, tuple(row.name for row in ROWS if row.kind == "neuron")),
    "overfitting": (
        draw_overfitting,
        ("3-overfit-1000", "3-l2-1000", "3-overfit-full", "3-l2-full"),
    ),
    "initialisation": (draw_initialisation, tuple(r.name for r in ROWS if "-init-" in r.name)),
    "more_data": (draw_more_data, tuple(f"3-size-{size}" for size in SIZES)),
    "learning_rates": (draw_etas, tuple(row.name for row in ROWS if "-eta-" in row.name)),
}
