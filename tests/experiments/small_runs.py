"""How every experiment is run once by the tests: on little data, for few epochs, in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from experiments.book.chapter6 import VOTERS
from experiments.book.results import FIGURES, ROWS
from experiments.common import read_result
from experiments.credit.rules import RUNS as CREDIT_RUNS

# {tiny} is a folder of 240 + 60 images of 6 x 7 pixels in four classes, {digits} one of 600 + 100
# built-in digits, {out} an empty one.
OPTIONS = {
    "benchmarks": "--quick --peers none --workloads W1,W8,S --data {digits} --out {out}",
    "book.__main__": "--quick --data {digits} --out {out}",
    "book.hidden_layer": "--data {tiny} --epochs 2 --out {out}",
    "book.learning_speed": "--data {tiny} --steps 7 --seeds 2 --out {out}",
    "book.mnist_best": "--quick --data {digits} --out {out}",
    "book.results": "{out}",
    "credit.rules": "--quick --data {digits} --out {out}",
    "curvature.autoencoder": "--data {digits} --epochs 30 --seeds 1 --quick --out {out}",
    "images.digits_convnet": "--data {digits} --epochs 8 --seeds 2 --out {out}",
    "images.mnist_convnet": "--data {digits} --validation 100 --epochs 6 --seeds 2 --out {out}",
    "images.residual": "--data {tiny} --depths 4 12 --epochs 2 --seeds 2 --out {out}",
    "kernels.tangent_kernel": "--data {digits} --train-size 200 --epochs 5 --out {out}",
    "per_example.gradient_norms": "--data {digits} --epochs 4 --out {out}",
    "research.attribution": "--data {digits} --epochs 1 --out {out}",
    "research.interventions": "--data {tiny} --epochs 2 --out {out}",
    "research.zoo": "--out {out}",
    "sequences.adding_problem": "--lengths 12 20 --epochs 1 --out {out}",
    "sequences.character_rnn": "--couplets 200 --epochs 1 --out {out}",
    # Few are written: for every character it reads anew all that it has written.
    "sequences.character_transformer": "--couplets 200 --epochs 1 --written 5 --out {out}",
    "sequences.couplets": "--couplets 2",
    "without_the_chain.digits": "--data {digits} --epochs 8 --seeds 2 --out {out}",
    "worked_examples.composite_function": "--out {out}",
    "worked_examples.deep_composition": "",
    "worked_examples.delta_rule": "",
    "worked_examples.four_equations": "",
    "worked_examples.four_five_two_one": "--out {out}/diagram.png",
    "worked_examples.mazur": "",
    "worked_examples.penalised_regression": "",
    "worked_examples.relu": "",
}


class SmallRun(NamedTuple):
    """What an experiment printed, and the folder it left its files in."""

    stdout: str
    folder: Path

    def result(self, name: str) -> Any:
        """Return what is in the JSON file of this name."""
        return read_result(self.folder / f"{name}.json")


SmallRuns = Callable[[str], SmallRun]


def expected_files(name: str) -> set[str]:
    """Return what the experiment has to leave in its folder."""
    exceptions = {
        "benchmarks": {"bench.json", "bench.csv", "bench.md", "bench.png"},
        "book.__main__": {f"{name}.0.json" for name, row in ROWS.items() if row.kind != "vote"}
        | {f"{VOTERS}.{seed}.json" for seed in range(ROWS[VOTERS].seeds)}
        | {f"{name}.png" for name in FIGURES}
        | {"RESULTS.md"},
        "book.mnist_best": {"mnist_best.0.json", "mnist_best.png"},
        "book.results": {"RESULTS.md"},
        "credit.rules": {f"{name}_0.json" for name in CREDIT_RUNS} | {"rules.png"},
        "worked_examples.four_five_two_one": {"diagram.png"},
    }
    own = name.split(".")[-1]
    files = {f"{own}.json", f"{own}.png"} if "{out}" in OPTIONS[name] else set()
    return exceptions.get(name, files)
