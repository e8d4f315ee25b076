"""The command ``backprop``: train, evaluate, predict, plot, gradcheck, data, doctor.

Exit status: 0, or 1 if training diverged or a gradient is wrong, 2 for bad arguments or files (one
line on stderr), 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

from backprop import __version__
from backprop.kernels import environment


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def entry() -> NoReturn:
    """Run the command in a process of its own, set up for the full speed of the machine."""
    doctor = sys.argv[1:2] == ["doctor"]  # tells of the process as it would be without this
    variables = {} if doctor else environment.for_this_machine()
    if variables:  # only a fresh process reads them: NumPy is loaded in this one
        os.execve(
            sys.executable,
            [sys.executable, "-m", "backprop", *sys.argv[1:]],
            {**os.environ, **variables},
        )
    sys.exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``backprop`` with these arguments and return the exit status."""
    try:
        from backprop.training.trainer import DivergenceError

        arguments = _parser().parse_args(argv)
        try:
            status = int(arguments.run(arguments))
            if sys.stdout is not None:  # None where it was closed
                sys.stdout.flush()
        except DivergenceError as error:
            return _fail(str(error), 1)
        return status
    except BrokenPipeError:  # the reader of our output has gone, as in `backprop ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        return _fail(str(error), 2)
    except MemoryError as error:
        return _fail(f"not enough memory: {error}", 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(message: str, status: int) -> int:
    line = " ".join(message.split())
    if sys.stderr is not None:  # None where it was closed, and print would take stdout
        print(f"backprop: error: {line}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="backprop",
        description="Train and inspect networks whose backward pass is written by hand.",
    )
    parser.add_argument("--version", action="version", version=f"backprop {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_plot(commands)
    _add_gradcheck(commands)
    _add_data(commands)
    doctor = commands.add_parser("doctor", help="versions, BLAS kernel, threads; what to set")
    doctor.set_defaults(run=_doctor)
    return parser


# -- train -----------------------------------------------------------------------------------


def _add_train(commands: Any) -> None:
    from backprop.application.runs import COSTS, OPTIMIZERS, RunConfig
    from backprop.initializers import PAIRS

    default = RunConfig()
    train = commands.add_parser(
        "train",
        help="train a fully connected network on images",
        description="Train a fully connected network on images, and leave model, history, "
        "figures and pictures in a folder.",
        argument_default=argparse.SUPPRESS,
    )
    add = train.add_argument
    add("--data", metavar="DATA", help=f"{_DATA_HELP} (default: {default.data})")
    sizes = ",".join(map(str, default.sizes))
    add("--sizes", type=_sizes, help=f"neurons from input to output (default: {sizes})")
    add("--activation", help=f"of the hidden layers: sigmoid, tanh, relu, leaky_relu, elu, gelu, "
        f"silu, softplus, identity (default: {default.activation})")  # fmt: skip
    add("--output-activation", help="of the output layer (default: the one that fits the cost)")
    add("--cost", choices=tuple(COSTS), help=f"default: {default.cost}")
    add("--init", choices=tuple(PAIRS),
        help=f"default: {default.init}, the book's N(0, 1/n_in)")  # fmt: skip
    add("--optimizer", choices=OPTIMIZERS, help=f"default: {default.optimizer}")
    add("--eta", type=_positive, help="the learning rate (default: the optimizer's)")
    add("--lmbda", type=_not_negative,
        help="the book's lambda: adds lambda/(2n) sum of w^2 to the cost (default: 0)")  # fmt: skip
    add("--batch-size", type=_count, help=f"default: {default.batch_size}")
    add("--epochs", type=_count, help=f"default: {default.epochs}")
    add("--seed", type=_count_or_zero, help=f"default: {default.seed}")
    add("--train-size", type=_count, metavar="N", help="train on the first N examples only")
    add("--validation-size", type=_count_or_zero, metavar="N",
        help="validate on the last N training examples (default: one in six)")  # fmt: skip
    add("--dtype", choices=("float32", "float64"), help=f"default: {default.dtype}")
    add("--clip-norm", type=_positive, help="clip the gradient to this norm")
    add("--patience", type=_count, metavar="N",
        help="stop after N epochs without a better validation accuracy")  # fmt: skip
    add("--out", type=Path, default=None, metavar="FOLDER",
        help="where everything goes (default: a new folder under runs/)")  # fmt: skip
    add("--resume", type=Path, default=None, metavar="FOLDER",
        help="go on with the run in FOLDER; of the options above only --epochs counts")  # fmt: skip
    add("--no-plots", action="store_true", default=False, help="draw no pictures")
    train.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    from backprop.application import runs

    names = {field.name for field in fields(runs.RunConfig)}
    options = {name: value for name, value in vars(arguments).items() if name in names}
    if arguments.resume is not None:
        if options.keys() - {"epochs"} or arguments.out is not None:
            given = ", ".join("--" + name.replace("_", "-") for name in options if name != "epochs")
            raise ValueError(
                f"--resume takes its options from the run; leave out {given or '--out'}"
            )
        config = replace(runs.read_config(arguments.resume), **options)
        return runs.train(config, arguments.resume, resume=True, plots=not arguments.no_plots)
    if "data" in options:
        options["data"] = _data(options["data"])
    return runs.train(runs.RunConfig(**options), arguments.out, plots=not arguments.no_plots)


def _data(name: str) -> str:
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
    from backprop.application import runs

    network, config = _open_model(arguments)
    source = runs.load_source(config)
    x, y = runs.targets_for(network, source, source.x_test, source.labels_test)
    found = network.evaluate(x, y)
    if arguments.json:
        print(json.dumps({"data": source.source, "test_examples": x.shape[-1], **found}))
    else:
        print(f"data: {source.source}")
        print(f"test cost {found['cost']:.6g}, test accuracy {found['accuracy']:.2%}")
    return 0


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser("predict", help="the class that a network sees in every image")
    predict.add_argument("model", type=Path, metavar="RUN", help=_MODEL_HELP)
    predict.add_argument("images", type=Path, metavar="IMAGES", help="an IDX file of images")
    predict.add_argument("--outputs", action="store_true", help="print all outputs, not the class")
    predict.set_defaults(run=_predict, data=None)


def _predict(arguments: argparse.Namespace) -> int:
    from backprop import datasets, metrics
    from backprop.application import runs

    network, _ = _open_model(arguments)
    images = datasets.read_idx(arguments.images)
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(f"{arguments.images} holds no images, its shape is {images.shape}")
    a = network.predict(runs.columns_for(network, str(arguments.images), images))
    if arguments.outputs:
        for column in a.T:
            print(" ".join(f"{number:.6g}" for number in column))
    else:
        print("\n".join(map(str, metrics.predicted_labels(a))))
    return 0


def _add_plot(commands: Any) -> None:
    plot = commands.add_parser("plot", help="draw the pictures of a run again")
    _add_model(plot)
    plot.add_argument("--out", type=Path, help="where the pictures go (default: the run's folder)")
    plot.set_defaults(run=_plot)


def _plot(arguments: argparse.Namespace) -> int:
    from backprop.application import runs

    network, config = _open_model(arguments)
    folder = _run_folder(arguments.model)
    history = runs.read_history(folder)
    for path in runs.draw(
        arguments.out or folder, network, history, runs.make_data(config, network)
    ):
        print(path)
    return 0


def _add_gradcheck(commands: Any) -> None:
    gradcheck = commands.add_parser(
        "gradcheck",
        help="hold the gradients of a network against numerical ones",
        description="Compare the gradients of a network, in float64, with central differences and "
        "the complex step, and print a table. Exit status 1 if one is wrong.",
    )
    add = gradcheck.add_argument
    add("model", type=Path, metavar="RUN", help=_MODEL_HELP)
    add("--data", help=f"{_DATA_HELP} (default: random numbers)")
    add("--examples", type=_count, default=3, metavar="N", help="the minibatch (default: 3)")
    add("--elements", type=_count, default=100, metavar="N",
        help="check at most N elements of every array, drawn at random (default: 100)")  # fmt: skip
    add("--seed", type=_count_or_zero, default=0, help="of what is drawn at random (default: 0)")
    gradcheck.set_defaults(run=_gradcheck)


def _gradcheck(arguments: argparse.Namespace) -> int:
    from backprop import datasets
    from backprop.application import runs
    from backprop.gradients.check import check_gradients

    network = _load_model(arguments.model)
    x = y = None
    if arguments.data is not None:
        source, n = datasets.load(arguments.data), arguments.examples
        x, y = runs.targets_for(network, source, source.x_test[:n], source.labels_test[:n])
        y = None if network.cost is None else y
    report = check_gradients(
        network, x, y, batch=arguments.examples, rng=arguments.seed, elements=arguments.elements
    )
    print(f"data: {'random numbers' if arguments.data is None else source.source}")
    print(report)
    return 0 if report.passed else 1


def _load_model(path: Path) -> Any:
    """Return a saved network or graph."""
    from backprop.model import Model

    return Model.load(path / "model.npz" if path.is_dir() else path)


_MODEL_HELP = "a run's folder, or a saved network"


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="RUN", help=_MODEL_HELP)
    parser.add_argument("--data", help=f"{_DATA_HELP} (default: the run's own)")


def _open_model(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Return the network and its run's configuration, with the data that were asked for."""
    import numpy as np

    from backprop.application import runs

    path = arguments.model
    network = _load_model(path)
    folder = _run_folder(path)
    known = (folder / "config.json").exists()
    config = runs.read_config(folder) if known else runs.RunConfig()
    if arguments.data is not None:
        config = replace(config, data=_data(arguments.data), data_sha256=None)
    if network.cost is None:
        raise ValueError(f"{path} holds a network without a cost")
    if not np.isfinite(network.theta).all():
        raise ValueError(f"{path} holds a network whose parameters are not finite")
    return network, config


def _run_folder(model: Path) -> Path:
    return model if model.is_dir() else model.parent


# -- data, doctor ----------------------------------------------------------------------------


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", help="make, fetch or find the datasets")
    actions = data.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=_Parser
    )
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
    from backprop.application.doctor import report

    print(report())
    return 0


# -- arguments -------------------------------------------------------------------------------

_DATA_HELP = "builtin, mnist, fashion-mnist, or a folder of IDX files"


def _number(kind: Callable[[str], Any], fits: Callable[[Any], bool], what: str) -> Any:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
        return value

    return parse


_positive = _number(float, lambda v: 0 < v < math.inf, "a positive number")
_not_negative = _number(float, lambda v: 0 <= v < math.inf, "a number from 0 up")
_count = _number(int, lambda v: v > 0, "a positive whole number")
_count_or_zero = _number(int, lambda v: v >= 0, "a whole number from 0 up")
_sizes = _number(
    lambda text: tuple(int(part) for part in text.split(",")),
    lambda sizes: len(sizes) >= 2 and min(sizes) > 0,
    "at least two positive whole numbers such as 784,30,10",
)
