"""``backprop evaluate``: how good a network is on test data."""

from __future__ import annotations

import argparse
from typing import Any

from backprop.application.arguments import add_reading
from backprop.application.models import add_model, open_model
from backprop.application.run_data import examples_of
from backprop.application.tasks import figures_in_words, metrics_of
from backprop.core.plain import to_json


def add(commands: Any) -> None:
    """Add the command to the parser."""
    evaluate = commands.add_parser(
        "evaluate", help="cost and metrics of a network on test data, or on all of another table"
    )
    add_model(evaluate)
    add_reading(evaluate)
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    evaluate.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the figures, and return the exit status."""
    network, config = open_model(arguments)
    examples = examples_of(config, network, arguments.data is not None)
    metrics = metrics_of(config.task, config.metric, network.encoding)
    found = network.evaluate(examples.x, examples.y, metrics=metrics)
    if arguments.json:
        n = examples.x.shape[-1]
        print(to_json({"data": examples.source, f"{examples.part}_examples": n, **found}))
    else:
        print(f"data: {examples.source}")
        print(figures_in_words(examples.part, found))
    return 0
