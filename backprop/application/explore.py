"""``backprop explore``: some examples of a run's data as a page for a browser."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from backprop.application.arguments import positive_integer
from backprop.application.console import tell
from backprop.application.run_config import RunConfig
from backprop.application.run_data import inputs_and_targets, load_source
from backprop.application.run_folder import CONFIG, folder_of, read_config, read_model

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
    option("model", type=Path, metavar="RUN", help="a run's folder, or a saved network")
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
    config = read_config(folder) if (folder / CONFIG).exists() else RunConfig()
    source = load_source(config)
    images, labels = source.x_test, source.labels_test
    if arguments.wrong:
        x, _ = inputs_and_targets(network, source, images, labels, config.maximum)
        wrong = np.flatnonzero(network.predict(x).argmax(axis=0) != labels)
        if not wrong.size:
            raise ValueError(f"{arguments.model}: no test example is wrong, leave out --wrong")
        images, labels = images[wrong], labels[wrong]
    some = images[: arguments.examples], labels[: arguments.examples]
    x, y = inputs_and_targets(network, source, *some, config.maximum)
    pixels = images.shape[1:] if images.ndim == 3 and x.ndim == 2 else None
    out = arguments.out or folder / "explore.html"
    tell(str(network.trace(x, y).to_html(out, f"{folder.resolve().name}: {network}", None, pixels)))
    return 0
