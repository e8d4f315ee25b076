"""``backprop explore``: some examples of a run's data as a page for a browser."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from backprop.application.arguments import MODEL_HELP, positive_integer
from backprop.application.console import tell
from backprop.application.models import config_of
from backprop.application.run_data import examples_of
from backprop.application.run_folder import folder_of, read_model

EXAMPLES = 20


def add(commands: Any) -> None:
    """Add the command to the parser."""
    explore = commands.add_parser(
        "explore",
        help="a page to go through the forward and the backward pass of some examples",
        description="Write a page for a browser, one file that needs no other, in which one goes "
        "step by step through both passes of examples of the run's test data.",
    )
    option = explore.add_argument
    option("model", type=Path, metavar="RUN", help=MODEL_HELP)
    option("--examples", type=positive_integer, default=EXAMPLES, metavar="N",
           help=f"how many test examples (default: {EXAMPLES})")  # fmt: skip
    option("--wrong", action="store_true", help="only those that the network takes for others")
    option("--out", type=Path, metavar="FILE", help="default: explore.html in the run's folder")
    explore.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page, say where it is, and return the exit status.

    Raises
    ------
    ValueError, OSError
        If there is no run or no data, nothing is wrong that was asked for, or the page cannot be
        written.
    """
    network = read_model(arguments.model)
    if network.cost is None:
        raise ValueError(f"{arguments.model} holds a network without a cost")
    folder = folder_of(arguments.model)
    examples = examples_of(config_of(arguments.model), network)
    x, y = examples.x, examples.y
    if arguments.wrong:
        wrong = _wrong(arguments.model, network, x, y)
        x, y = x[..., wrong], y[..., wrong]
    x, y = x[..., : arguments.examples], y[..., : arguments.examples]
    shape = () if examples.pixels is None else examples.pixels.shape[1:]
    image = shape if len(shape) == 2 and x.ndim == 2 else None
    classes = examples.classes if len(examples.classes) == network.output_shape[0] else None
    out = arguments.out or folder / "explore.html"
    trace = network.trace(x, y)
    tell(str(trace.to_html(out, f"{folder.resolve().name}: {network}", classes, image)))
    return 0


def _wrong(model: Path, network: Any, x: Any, y: np.ndarray) -> np.ndarray:
    """Return which examples are taken for others."""
    encoding = network.encoding
    if encoding is not None and encoding.task == "regression":
        raise ValueError(f"{model}: of a regression no example is right or wrong: no --wrong")
    a = network.predict(x)
    if encoding is not None and encoding.task == "multi-label":
        wrong = np.flatnonzero(((a >= 0.5) != (y >= 0.5)).any(axis=0))
    else:
        wrong = np.flatnonzero(a.argmax(axis=0) != (y if y.ndim == 1 else y.argmax(axis=0)))
    if not wrong.size:
        raise ValueError(f"{model}: no test example is wrong, leave out --wrong")
    return wrong
