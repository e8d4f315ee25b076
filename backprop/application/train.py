"""``backprop train``: the options of a run, and the run that they make."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from backprop.application.architecture import read_layers
from backprop.application.arguments import (
    DATA_HELP,
    MAXIMUM,
    add_reading,
    integer_from_0,
    number_from_0,
    positive_integer,
    positive_number,
    sizes_of_layers,
)
from backprop.application.layer_words import GRAMMAR
from backprop.application.models import absolute_data
from backprop.application.processes import with_launched
from backprop.application.run import train
from backprop.application.run_config import CLASS_WEIGHTS, DTYPES, NAMED, TABLE, RunConfig
from backprop.application.run_folder import read_config
from backprop.application.tasks import EPOCHS, METRICS, OF_TABLES
from backprop.core.config import known_names
from backprop.datasets.encoding import TASKS

KINDS = {"classification": "classes", "multi-label": "labels", "regression": "numbers"}


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train",
        help="train a network on images, a table, or arrays of one's own",
        description="Train a network on images or on a table of one's own, and leave model, "
        "history, figures and pictures in a folder.",
        epilog="--layers: " + GRAMMAR,
        argument_default=argparse.SUPPRESS,
    )
    default = RunConfig()
    names = {option: ", ".join(known_names(base)) for option, base in NAMED.items()}
    data = parser.add_argument_group("data")
    _add_data(data, default)
    add_reading(parser.add_argument_group("how a table is written"))
    _add_sizes_of_parts(data)
    _add_network(parser.add_argument_group("network"), names)
    _add_training(parser.add_argument_group("training"), default, names)
    _add_run(parser.add_argument_group("the run"))
    parser.set_defaults(run=lambda arguments: with_launched(run, arguments))


# fmt: off
def _add_data(group: Any, default: RunConfig) -> None:
    add = group.add_argument
    add("--data", metavar="DATA", help=f"{DATA_HELP} (default: {default.data})")
    add("--target", nargs="+", action="extend", metavar="COLUMN",
        help="of a table: what is to be predicted, one column or several")
    add("--task", choices=TASKS,
        help="of a table (default: what the target tells: texts are classes, numbers a regression, "
        "several columns of 0 and 1 labels)")
    add("--drop", nargs="+", action="extend", metavar="COLUMN",
        help="of a table: leave columns out, such as names and dates")
    add("--categorical", nargs="+", action="extend", metavar="COLUMN",
        help="of a table: columns of numbers that are names of categories, such as postcodes")
    add("--max-categories", type=positive_integer, metavar="N",
        help="of a table: the most inputs that a column may become (default: 100)")


def _add_sizes_of_parts(group: Any) -> None:
    add = group.add_argument
    add("--maximum", **MAXIMUM)
    add("--train-size", type=positive_integer, metavar="N",
        help="train on the first N examples only")
    add("--validation-size", type=integer_from_0, metavar="N",
        help="validate on the last N training examples, or on N rows of a table, drawn at random "
        "(default: one in six)")
    add("--test-size", type=integer_from_0, metavar="N",
        help="of a table: test on N rows, drawn at random (default: one in six)")


def _add_network(group: Any, names: dict[str, str]) -> None:
    add = group.add_argument
    add("--sizes", type=sizes_of_layers,
        help="neurons from input to output (default: what the data ask for, and 100 between them)")
    add("--layers", metavar="LAYERS",
        help='other layers than dense ones, in words, "conv 20 5, pool 2, dense 100" (see below), '
        "or JSON, or a .json file: an architecture as `backprop export RUN --json FILE` writes it, "
        "or a list of layers")
    add("--activation",
        help=f"of the hidden layers: {names['activation']} (default: sigmoid for images, relu for "
        "tables and with --layers)")
    add("--output-activation", help="of the output layer (default: the one that fits the cost)")
    add("--cost",
        help=f"{names['cost']} (default: cross_entropy for images; of a table, and with --layers, "
        "softmax_cross_entropy for classes, cross_entropy for labels, quadratic for numbers)")
    add("--w-init", metavar="INITIALIZER",
        help=f"of the weights: {names['w_init']} (default: nielsen, N(0, 1/n_in), as in the book, "
        "for sigmoid, tanh and softmax; he_normal for all other activations)")
    add("--b-init", metavar="INITIALIZER",
        help="of the biases (default: normal, N(0, 1), as in the book, where weights are nielsen "
        "by default; zeros for all other activations)")
    add("--dtype", choices=DTYPES, help="default: float32")


def _add_training(group: Any, default: RunConfig, names: dict[str, str]) -> None:
    add = group.add_argument
    add("--optimizer",
        help=f"{names['optimizer']} (default: sgd for images, adam for tables)")
    add("--eta", type=positive_number, help="the learning rate (default: the optimizer's)")
    add("--lmbda", type=number_from_0,
        help="the book's lambda: adds lambda/(2n) sum of w^2 to the cost (default: 0)")
    add("--batch-size", type=positive_integer, help=f"default: {default.batch_size}")
    add("--epochs", type=positive_integer,
        help=f"how many (default: {EPOCHS} for images, {OF_TABLES} for tables); with --resume how "
        "many more (default: those that the run still lacks)")
    add("--seed", type=integer_from_0, help=f"default: {default.seed}")
    add("--clip-norm", type=positive_number, help="clip the gradient to this norm")
    add("--class-weight", choices=CLASS_WEIGHTS,
        help="let all classes weigh alike, however many examples they have")
    add("--metric", metavar="METRIC",
        help="record this, too, and keep the network of the epoch that has the best on the "
        "validation data: cost; "
        + "; ".join(f"{', '.join(ours)} (of {KINDS[task]})" for task, ours in METRICS.items())
        + "; or a scorer of scikit-learn such as f1_macro (default: accuracy for images, cost for "
        "tables)")
    add("--patience", type=positive_integer, metavar="N",
        help="stop after N epochs without a better one")


def _add_run(group: Any) -> None:
    add = group.add_argument
    add("--out", type=Path, default=None, metavar="FOLDER",
        help="where everything goes (default: a new folder under runs/)")
    add("--resume", type=Path, default=None, metavar="FOLDER",
        help="go on with the run in FOLDER, from its last checkpoint; of the options above only "
        "--epochs counts")
    add("--no-plots", action="store_true", default=False, help="draw no pictures")
# fmt: on


def run(arguments: argparse.Namespace, group: Any) -> int:
    """Train as the options say, and return the exit status.

    Raises
    ------
    ValueError, OSError, DivergenceError
        As `backprop.application.run.train`; if a run that is resumed is given options of its own.
    """
    plots = not arguments.no_plots
    options = options_of(arguments)
    if arguments.resume is not None:
        if options.keys() - {"epochs"} or arguments.out is not None:
            given = [name for name in options if name not in ("epochs", "table")]
            given += options.get("table", {})
            words = ", ".join("--" + name.replace("_", "-") for name in given)
            raise ValueError(
                f"--resume takes its options from the run; leave out {words or '--out'}"
            )
        config, more = read_config(arguments.resume), options.get("epochs")
        return train(config, arguments.resume, True, plots, group, more)
    if "data" in options:
        options["data"] = absolute_data(options["data"])
    if "layers" in options:
        options["layers"] = read_layers(options["layers"])
    return train(RunConfig(**options), arguments.out, False, plots, group)


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a configuration that options were given for."""
    given = vars(arguments)
    names = {field.name for field in fields(RunConfig)}
    options = {name: value for name, value in given.items() if name in names}
    table = {name: given[name] for name in TABLE if name in given}
    if table:
        options["table"] = table
    if "target" in options:
        options["target"] = tuple(options["target"])
    return options
