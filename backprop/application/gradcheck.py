"""``backprop gradcheck``: the gradients of a network against numerical ones."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backprop.application.arguments import (
    DATA_HELP,
    MAXIMUM,
    MODEL_HELP,
    integer_from_0,
    positive_integer,
)
from backprop.application.models import config_of, with_data
from backprop.application.run_data import examples_of
from backprop.application.run_folder import read_model
from backprop.gradients.check import check_gradients


def add(commands: Any) -> None:
    """Add the command to the parser."""
    gradcheck = commands.add_parser(
        "gradcheck",
        help="hold the gradients of a network against numerical ones",
        description="Compare the gradients of a network, in float64, with central differences and "
        "the complex step, and print a table. Exit status 1 if one is wrong.",
    )
    option = gradcheck.add_argument
    # fmt: off
    option("model", type=Path, metavar="RUN", help=MODEL_HELP)
    option("--data", help=f"{DATA_HELP} (default: random numbers)")
    option("--maximum", **MAXIMUM)
    option("--examples", type=positive_integer, default=3, metavar="N",
           help="the minibatch (default: 3)")
    option("--elements", type=positive_integer, default=100, metavar="N",
           help="check at most N elements of every array, drawn at random (default: 100)")
    option("--seed", type=integer_from_0, default=0,
           help="of what is drawn at random (default: 0)")
    # fmt: on
    gradcheck.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and return the exit status: 1 if a gradient is wrong."""
    network = read_model(arguments.model)
    x = y = None
    source = "random numbers"
    if arguments.data is not None:
        examples = examples_of(with_data(config_of(arguments.model), arguments), network, True)
        x, y, source = examples.x, examples.y, examples.source
        x = x[..., : arguments.examples]
        y = None if network.cost is None else y[..., : arguments.examples]
    report = check_gradients(
        network, x, y, batch=arguments.examples, rng=arguments.seed, elements=arguments.elements
    )
    print(f"data: {source}")
    print(report)
    return 0 if report.passed else 1
