"""The command ``backprop`` and its subcommands, from train to environment.

Exit status: 0, or 1 if training diverged or a gradient is wrong, 2 for bad arguments or files (one
line on stderr), 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

import backprop
from backprop import __version__
from backprop.application import completion, explore, report
from backprop.application.arguments import (
    Parser,
    integer_from_0,
    number_from_0,
    positive_integer,
    positive_number,
    sizes_of_layers,
)
from backprop.application.console import discard_stdout, tell_error
from backprop.application.processes import launched, threads_of_launched, with_launched
from backprop.core.terminal import readable_streams
from backprop.kernels import environment

_DATA_HELP = "builtin, mnist, fashion-mnist, or a folder of IDX files"
_MODEL_HELP = "a run's folder, or a saved network"
_MAXIMUM: dict[str, Any] = {
    "type": positive_number,
    "metavar": "X",
    "help": "the pixel value that becomes 1 (default: the run's own; 255 for bytes)",
}


def entry() -> NoReturn:
    """Run the command in a process of its own, set up for the full speed of the machine."""
    as_it_is = sys.argv[1:2] in (["doctor"], ["environment"])  # they tell of it without this
    variables = {} if as_it_is else {**environment.for_this_machine(), **threads_of_launched()}
    if variables:  # only a fresh process reads them: NumPy is loaded in this one
        program = str(Path(backprop.__file__).with_name("__main__.py"))  # not -m: see there
        command = [sys.executable, *_interpreter_options(), program, *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **variables})
    sys.exit(main())


def _interpreter_options() -> list[str]:
    """Return the options that this Python was started with, such as -I, -W error or -X dev."""
    return subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined, no-any-return]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``backprop`` with these arguments and return the exit status."""
    with readable_streams(sys.stdout, sys.stderr):
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        from backprop.training.trainer import DivergenceError

        arguments = _parser().parse_args(argv)
        if launched()[0] and arguments.command != "train":
            return 0  # the first process does it
        try:
            status = int(arguments.run(arguments))
            if sys.stdout is not None:  # None where it was closed
                sys.stdout.flush()
        except DivergenceError as error:
            return _failed(str(error), 1)
        return status
    except BrokenPipeError:  # the reader of our output has gone, as in `backprop ... | head`
        discard_stdout()
        return 0
    except (ValueError, OSError, ImportError) as error:
        return _failed(str(error), 2)
    except MemoryError as error:
        return _failed(f"not enough memory: {error}", 2)
    except KeyboardInterrupt:
        return _failed("interrupted", 130)


def _failed(message: str, status: int) -> int:
    if launched()[0] == 0:
        tell_error(message)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="backprop",
        description="Train and inspect networks whose backward pass is written by hand.",
    )
    parser.add_argument("--version", action="version", version=f"backprop {__version__}")
    parser.set_defaults(run=_help, parser=parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_export(commands)
    _add_plot(commands)
    explore.add(commands)
    report.add(commands)
    _add_compare(commands)
    _add_gradcheck(commands)
    _add_data(commands)
    completion.add(commands)
    doctor = commands.add_parser("doctor", help="versions, BLAS kernel, threads; what to set")
    doctor.set_defaults(run=_doctor)
    variables = commands.add_parser(
        "environment", help="the variables that make Python scripts of your own faster"
    )
    variables.set_defaults(run=_environment)
    return parser


def _help(arguments: argparse.Namespace) -> int:
    """Print the help of a command that was given nothing to do."""
    arguments.parser.print_help()
    return 0


# -- train -----------------------------------------------------------------------------------


def _add_train(commands: Any) -> None:
    from backprop.application.run_config import CLASS_WEIGHTS, DTYPES, NAMED, RunConfig
    from backprop.core.config import known_names

    default = RunConfig()
    names = {option: ", ".join(known_names(base)) for option, base in NAMED.items()}
    train = commands.add_parser(
        "train",
        help="train a fully connected network on images",
        description="Train a fully connected network on images, and leave model, history, "
        "figures and pictures in a folder.",
        argument_default=argparse.SUPPRESS,
    )
    add = train.add_argument
    # fmt: off
    add("--data", metavar="DATA", help=f"{_DATA_HELP} (default: {default.data})")
    add("--maximum", **_MAXIMUM)
    add("--sizes", type=sizes_of_layers,
        help=f"neurons from input to output (default: {','.join(map(str, default.sizes))})")
    add("--activation",
        help=f"of the hidden layers: {names['activation']} (default: {default.activation})")
    add("--output-activation", help="of the output layer (default: the one that fits the cost)")
    add("--cost", help=f"{names['cost']} (default: {default.cost})")
    add("--w-init", metavar="INITIALIZER",
        help=f"of the weights: {names['w_init']} (default: nielsen, N(0, 1/n_in), as in the book, "
        "for sigmoid, tanh and softmax; he_normal for all other activations)")
    add("--b-init", metavar="INITIALIZER",
        help="of the biases (default: normal, N(0, 1), as in the book, where weights are nielsen "
        "by default; zeros for all other activations)")
    add("--optimizer", help=f"{names['optimizer']} (default: {default.optimizer})")
    add("--eta", type=positive_number, help="the learning rate (default: the optimizer's)")
    add("--lmbda", type=number_from_0,
        help="the book's lambda: adds lambda/(2n) sum of w^2 to the cost (default: 0)")
    add("--batch-size", type=positive_integer, help=f"default: {default.batch_size}")
    add("--epochs", type=positive_integer, help=f"default: {default.epochs}")
    add("--seed", type=integer_from_0, help=f"default: {default.seed}")
    add("--train-size", type=positive_integer, metavar="N",
        help="train on the first N examples only")
    add("--validation-size", type=integer_from_0, metavar="N",
        help="validate on the last N training examples (default: one in six)")
    add("--dtype", choices=DTYPES, help=f"default: {default.dtype}")
    add("--clip-norm", type=positive_number, help="clip the gradient to this norm")
    add("--class-weight", choices=CLASS_WEIGHTS,
        help="let all classes weigh alike, however many examples they have")
    add("--patience", type=positive_integer, metavar="N",
        help="stop after N epochs without a better validation accuracy, and keep the network of "
        "the best epoch")
    add("--out", type=Path, default=None, metavar="FOLDER",
        help="where everything goes (default: a new folder under runs/)")
    add("--resume", type=Path, default=None, metavar="FOLDER",
        help="go on with the run in FOLDER; of the options above only --epochs counts")
    add("--no-plots", action="store_true", default=False, help="draw no pictures")
    # fmt: on
    train.set_defaults(run=lambda arguments: with_launched(_train, arguments))


def _train(arguments: argparse.Namespace, group: Any) -> int:
    from backprop.application.run import train
    from backprop.application.run_config import RunConfig
    from backprop.application.run_folder import read_config

    names = {field.name for field in fields(RunConfig)}
    options = {name: value for name, value in vars(arguments).items() if name in names}
    if arguments.resume is not None:
        if options.keys() - {"epochs"} or arguments.out is not None:
            given = ", ".join("--" + name.replace("_", "-") for name in options if name != "epochs")
            raise ValueError(
                f"--resume takes its options from the run; leave out {given or '--out'}"
            )
        config = replace(read_config(arguments.resume), **options)
        return train(config, arguments.resume, True, not arguments.no_plots, group)
    if "data" in options:
        options["data"] = _absolute_data(options["data"])
    return train(RunConfig(**options), arguments.out, False, not arguments.no_plots, group)


def _absolute_data(name: str) -> str:
    """Return a folder's name as it will be understood from any other folder."""
    from backprop import datasets

    return name if name in datasets.NAMES else os.path.abspath(os.path.expanduser(name))


# -- evaluate, predict, plot -----------------------------------------------------------------


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="cost and accuracy of a network on test data")
    _add_model(evaluate)
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from backprop.application.run_data import inputs_and_targets, load_source
    from backprop.core.plain import to_json

    network, config = _open_model(arguments)
    source = load_source(config)
    test = source.x_test, source.labels_test
    x, y = inputs_and_targets(network, source, *test, config.maximum)
    found = network.evaluate(x, y)
    if arguments.json:
        print(to_json({"data": source.source, "test_examples": x.shape[-1], **found}))
    else:
        print(f"data: {source.source}")
        print(f"test cost {found['cost']:.6g}, test accuracy {found['accuracy']:.2%}")
    return 0


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser("predict", help="what a network says of images or rows")
    predict.add_argument("model", type=Path, metavar="RUN", help=_MODEL_HELP)
    predict.add_argument("file", type=Path, metavar="FILE", help="a CSV, PNG, .npy or IDX file")
    predict.add_argument("--maximum", **_MAXIMUM)
    predict.add_argument("--outputs", action="store_true", help="print all outputs, not the class")
    formats = ("text", "csv", "json")
    predict.add_argument("--format", choices=formats, default="text", help="default: text")
    predict.set_defaults(run=_predict, data=None)


def _predict(arguments: argparse.Namespace) -> int:
    from backprop.application.predict import predict

    network, config = _open_model(arguments)
    predict(network, arguments.file, config.maximum, arguments.outputs, arguments.format)
    return 0


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="a network as a file, for use without Python")
    export.add_argument("model", type=Path, metavar="RUN", help=_MODEL_HELP)
    files = export.add_mutually_exclusive_group(required=True)
    files.add_argument("--c", type=Path, metavar="FILE", help="the file of C")
    files.add_argument("--onnx", type=Path, metavar="FILE", help="the ONNX model")
    export.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    from backprop.application.export import export

    print(export(arguments.model, arguments.c, arguments.onnx))
    return 0


def _add_plot(commands: Any) -> None:
    plot = commands.add_parser("plot", help="draw the pictures of a run again")
    _add_model(plot)
    plot.add_argument("--out", type=Path, help="where the pictures go (default: the run's folder)")
    plot.set_defaults(run=_plot)


def _plot(arguments: argparse.Namespace) -> int:
    from backprop.application.run_data import load_run_data
    from backprop.application.run_folder import draw_pictures, folder_of, read_history

    network, config = _open_model(arguments)
    folder = folder_of(arguments.model)
    history = read_history(folder)
    data = load_run_data(config, network)
    for path in draw_pictures(arguments.out or folder, network, history, data):
        print(path)
    return 0


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="several runs side by side: a table, and one picture of their curves",
        description="Print what several runs came to and what differs in their settings, and draw "
        "their curves into one picture, a colour for each run.",
    )
    add = compare.add_argument
    # fmt: off
    add("runs", type=Path, nargs="+", metavar="RUN", help="the folders of at least two runs")
    add("--out", type=Path, default=Path("comparison.png"), metavar="FILE",
        help="the picture, a .png, .pdf or .svg file (default: comparison.png)")
    add("--no-plots", action="store_true", help="draw no picture")
    # fmt: on
    compare.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    from backprop.application.compare import compare

    return compare(arguments.runs, None if arguments.no_plots else arguments.out)


def _add_gradcheck(commands: Any) -> None:
    gradcheck = commands.add_parser(
        "gradcheck",
        help="hold the gradients of a network against numerical ones",
        description="Compare the gradients of a network, in float64, with central differences and "
        "the complex step, and print a table. Exit status 1 if one is wrong.",
    )
    add = gradcheck.add_argument
    # fmt: off
    add("model", type=Path, metavar="RUN", help=_MODEL_HELP)
    add("--data", help=f"{_DATA_HELP} (default: random numbers)")
    add("--maximum", **_MAXIMUM)
    add("--examples", type=positive_integer, default=3, metavar="N",
        help="the minibatch (default: 3)")
    add("--elements", type=positive_integer, default=100, metavar="N",
        help="check at most N elements of every array, drawn at random (default: 100)")
    add("--seed", type=integer_from_0, default=0, help="of what is drawn at random (default: 0)")
    # fmt: on
    gradcheck.set_defaults(run=_gradcheck)


def _gradcheck(arguments: argparse.Namespace) -> int:
    from backprop import datasets
    from backprop.application.run_data import inputs_and_targets
    from backprop.application.run_folder import read_model
    from backprop.gradients.check import check_gradients

    network = read_model(arguments.model)
    x = y = None
    if arguments.data is not None:
        source, n = datasets.load(arguments.data), arguments.examples
        some = source.x_test[:n], source.labels_test[:n]
        maximum = arguments.maximum or _config_of(arguments.model).maximum
        x, y = inputs_and_targets(network, source, *some, maximum)
        y = None if network.cost is None else y
    report = check_gradients(
        network, x, y, batch=arguments.examples, rng=arguments.seed, elements=arguments.elements
    )
    print(f"data: {'random numbers' if arguments.data is None else source.source}")
    print(report)
    return 0 if report.passed else 1


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="RUN", help=_MODEL_HELP)
    parser.add_argument("--data", help=f"{_DATA_HELP} (default: the run's own)")
    parser.add_argument("--maximum", **_MAXIMUM)


def _open_model(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Return the network and its run's configuration, with the data that were asked for."""
    import numpy as np

    from backprop.application.run_folder import read_model

    path = arguments.model
    network = read_model(path)
    config = _config_of(path)
    if arguments.data is not None:
        config = replace(config, data=_absolute_data(arguments.data), data_sha256=None)
    if arguments.maximum is not None:
        config = replace(config, maximum=arguments.maximum)
    if network.cost is None:
        raise ValueError(f"{path} holds a network without a cost")
    if not np.isfinite(network.theta).all():
        raise ValueError(f"{path} holds a network whose parameters are not finite")
    return network, config


def _config_of(model: Path) -> Any:
    """Return the configuration of the run that a network is of; the default one of no run."""
    from backprop.application.run_config import RunConfig
    from backprop.application.run_folder import CONFIG, folder_of, read_config

    folder = folder_of(model)
    return read_config(folder) if (folder / CONFIG).exists() else RunConfig()


# -- data, doctor ----------------------------------------------------------------------------


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", help="make, fetch or find the datasets")
    data.set_defaults(run=_help, parser=data)
    actions = data.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    make = actions.add_parser("make", help="make the built-in digits")
    make.add_argument("--out", type=Path, metavar="FOLDER", help="where (default: the data folder)")
    make.set_defaults(run=_data_make)
    fetch = actions.add_parser("fetch", help="download a dataset, and check it")
    fetch.add_argument("name", choices=("mnist", "fashion-mnist"))
    fetch.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where (default: the data folder)"
    )
    fetch.set_defaults(run=_data_fetch)
    where = actions.add_parser("where", help="print the data folder and what is in it")
    where.set_defaults(run=_data_where)


def _data_make(arguments: argparse.Namespace) -> int:
    from backprop import datasets

    print(datasets.make_builtin(arguments.out))
    return 0


def _data_fetch(arguments: argparse.Namespace) -> int:
    from backprop import datasets

    print(datasets.fetch(arguments.name, arguments.out))
    return 0


def _data_where(arguments: argparse.Namespace) -> int:
    from backprop import datasets

    home = datasets.data_home()
    print(home)
    for folder in sorted(home.iterdir()) if home.is_dir() else []:
        if folder.is_dir():
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            print(f"  {folder.name}  {size / 2**20:.1f} MiB")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from backprop.application import doctor

    print(doctor.report())
    return 0


def _environment(arguments: argparse.Namespace) -> int:
    environment.show()
    return 0
