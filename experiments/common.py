"""What the experiments share: options, a JSON file beside a figure, the figures' style, MNIST."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from backprop import datasets, plots
from backprop.core.storage import FileError, write_text

OUT = Path("runs/experiments")
OPTIONS: dict[str, dict[str, Any]] = {
    "data": {"help": "as in `backprop train`"},
    "epochs": {"type": int},
    "train_size": {"type": int, "help": "train on the first so many examples"},
    "seed": {"type": int},
    "seeds": {"type": int, "help": "how many random starts"},
}


def option_parser(description: str, **defaults: Any) -> argparse.ArgumentParser:
    """Return a parser of the options that experiments have in common.

    Parameters
    ----------
    description : str
        The experiment's docstring: its first line is shown, and the command it gives, ``python -m
        experiments...``.
    **defaults
        Which of `OPTIONS` the experiment has, and what each is unless told. Every experiment has
        ``--out``, the folder for its files.
    """
    command = re.search(r"python -m experiments[\w.]+", description)
    parser = argparse.ArgumentParser(
        prog=command and command[0], description=description.split("\n")[0]
    )
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, **OPTIONS[name])
    parser.add_argument("--out", type=Path, default=OUT, help="folder for figure and JSON file")
    return parser


# -- what was found, and its figure ----------------------------------------------------------


def write_and_draw(
    path: Path, result: Any, draw: Callable[[Path], None], indent: int | None = 1
) -> None:
    """Write `result` to a JSON file, have the figure drawn from that file, and say where it is."""
    write_text(path, json.dumps(result, indent=indent) + "\n")
    draw(path)
    print(f"drawn in {path.with_suffix('.png')}")


def read_result(path: Path) -> Any:
    """Return what an experiment wrote to its JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def rounded(numbers: Any) -> Any:
    """Return numbers, in lists or arrays of any depth, with four significant digits, as lists."""
    if isinstance(numbers, (list, tuple, np.ndarray)):
        return [rounded(one) for one in numbers]
    return float(f"{numbers:.4g}")


def check_same(experiment: str, path: Path, there: Any, here: Any) -> None:
    """End with a message if a file is of a run of other settings, given by their names."""
    other = [name for name in here if there.get(name) != here[name]]
    if other:
        raise SystemExit(
            f"{experiment}: {path} is of a run with {other[0]} = {there.get(other[0])}, and this "
            f"one has {here[other[0]]}: remove the file, or give another folder by --out"
        )


@contextmanager
def figure(path: Path, width: float, height: float, dpi: float = 150) -> Iterator[Figure]:
    """Give an empty figure in the project's style, and save what was drawn beside `path`, as PNG.

    Parameters
    ----------
    path : Path
        The JSON file that is drawn; the figure has its name, with the suffix .png.
    width, height : float
        In inches.
    dpi : float
        Pixels per inch.
    """
    with matplotlib.rc_context(plots.STYLE):
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        plots.save(drawn.axes[0], path.with_suffix(".png"), dpi=dpi)


def tidy(ax: Axes, grid: Literal["x", "y", "both"] = "y") -> None:
    """Draw light grid lines, and no frame above and to the right."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, **plots.GRID)


def ticks_at_1_2_5(axis: Axis) -> None:
    """Let a logarithmic axis have its numbers at 1, 2, 5, 10, ..., written out."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


# -- data ------------------------------------------------------------------------------------


def find_mnist() -> str:
    """Return where MNIST is, or "mnist", which downloads it.

    It is looked for in the folder that BACKPROP_MNIST names, where ``backprop data fetch mnist``
    puts it, and in shared/data/mnist beside the checkout.
    """
    if os.environ.get("BACKPROP_MNIST"):
        return os.environ["BACKPROP_MNIST"]
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
    if beside.is_dir() and not (datasets.data_home() / "mnist").is_dir():
        return str(beside)
    return "mnist"


def load_mnist(experiment: str, source: str) -> datasets.Dataset:
    """Return MNIST, and print where it is from; end with status 2, and say so, if there is none."""
    try:
        data = datasets.load(source)
    except (OSError, FileError) as error:
        print(
            f"{experiment}: no MNIST: {error}; give its folder by --data or BACKPROP_MNIST",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    print(data.source)
    return data
