"""One training run from a plain configuration, and the folder that it leaves.

The folder holds ``config.json`` (what was asked for), ``checkpoint.npz`` (the state to go on
from), ``model.npz`` (the network), ``history.csv``, ``result.json`` (the final figures) and the
pictures. Every file is written whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import backprop
from backprop import datasets
from backprop.core.checks import check_integer, check_number
from backprop.core.config import by_name
from backprop.core.storage import FileError, write_text
from backprop.costs import (
    Cost,
    CrossEntropy,
    MeanSquaredError,
    Quadratic,
    SoftmaxCrossEntropy,
    SquaredError,
)
from backprop.initializers import PAIRS, weights_and_biases
from backprop.layers.activations import as_activation
from backprop.layers.dense import Dense
from backprop.model import Model
from backprop.network import Network
from backprop.optimizers import Optimizer
from backprop.regularizers import L2
from backprop.training import checkpoint
from backprop.training.callback import Callback
from backprop.training.callbacks import Checkpoint, EarlyStopping
from backprop.training.history import History
from backprop.training.trainer import DivergenceError, Trainer

COSTS: dict[str, type[Cost]] = {
    "quadratic": Quadratic,
    "cross-entropy": CrossEntropy,
    "softmax": SoftmaxCrossEntropy,
    "squared-error": SquaredError,
    "mean-squared-error": MeanSquaredError,
}
DTYPES = ("float32", "float64")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
FILES = ("config.json", "checkpoint.npz", "model.npz", "history.csv", "result.json")


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run; the fields are the options of ``backprop train``."""

    data: str = "builtin"
    sizes: tuple[int, ...] = (784, 100, 10)
    activation: str = "sigmoid"
    output_activation: str | None = None
    cost: str = "cross-entropy"
    init: str = "default"
    optimizer: str = "sgd"
    eta: float | None = None
    lmbda: float = 0.0
    batch_size: int = 10
    epochs: int = 20
    seed: int = 0
    train_size: int | None = None
    validation_size: int | None = None
    dtype: str = "float32"
    clip_norm: float | None = None
    patience: int | None = None
    data_sha256: str | None = None  # of the data that the run began with

    def __post_init__(self) -> None:
        """Check every field, with an error that names it: they may come from an edited file."""
        for name in ("data", "activation"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a string, got {getattr(self, name)!r}")
        for name, choices in (
            ("cost", COSTS),
            ("init", PAIRS),
            ("optimizer", OPTIMIZERS),
            ("dtype", DTYPES),
        ):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        if not isinstance(self.sizes, tuple) or len(self.sizes) < 2:
            raise ValueError(f"sizes must hold at least input and output, got {self.sizes!r}")
        for size in self.sizes:
            check_integer("sizes", size)
        as_activation(self.activation)
        if self.output_activation is not None:
            as_activation(self.output_activation)
        for name in ("eta", "clip_norm"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), "(0, inf)")
        check_number("lmbda", self.lmbda, "[0, inf)")
        for name, least in (("batch_size", 1), ("epochs", 1), ("seed", 0)):
            check_integer(name, getattr(self, name), least)
        for name, least in (("train_size", 1), ("validation_size", 0), ("patience", 1)):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), least)


@dataclass(frozen=True)
class RunData:
    """A dataset as a run uses it: inputs in columns, targets as the cost takes them."""

    source: datasets.Dataset
    training: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray] | None
    test: tuple[np.ndarray, np.ndarray]


def train(config: RunConfig, folder: Path | None, resume: bool = False, plots: bool = True) -> int:
    """Train as `config` says, and leave everything in `folder`. Return the exit status.

    Parameters
    ----------
    config : RunConfig
    folder : Path or None
        Where the run goes, or is; None makes a new folder under ``runs``.
    resume : bool
        Go on with the run that `folder` holds.
    plots : bool
        Draw the pictures.

    Raises
    ------
    ValueError, OSError
        For a configuration that does not fit its data, data that cannot be had or are not those
        the run began with, or a folder that cannot be written or holds a run already.
    DivergenceError
        If training met NaN or infinity; history and last checkpoint are in the folder then.
    """
    if not resume and folder is not None:
        _check_free(folder)
    seeds = np.random.SeedSequence(config.seed).spawn(2)  # two independent streams
    for_network, for_trainer = map(np.random.default_rng, seeds)
    network = make_network(config, for_network)
    data = make_data(config, network)
    trainer = make_trainer(config, network, data, for_trainer)
    config = replace(config, data_sha256=config.data_sha256 or digest(data.source))
    # Compared when the run is resumed, but for what may change: where the data are, how far to go.
    free = ("data", "epochs", "patience")
    trainer.settings["run"] = {
        k: v for k, v in json.loads(_as_json(config)).items() if k not in free
    }
    if resume:
        assert folder is not None
        checkpoint.restore(trainer, folder / "checkpoint.npz")
        left = _epochs_left(config, trainer)
        write_text(folder / "config.json", _as_json(config))
    else:
        left = config.epochs
        folder = _claim(folder or _new_folder(config), config, new=folder is None)
        checkpoint.save(trainer, folder / "checkpoint.npz")  # from here on it can be resumed
    trainer.callbacks.append(Checkpoint(folder / "checkpoint.npz"))
    tell(f"data: {data.source.source}")
    counts = [str(part[0].shape[-1]) if part else "0" for part in _parts(data)]
    tell(f"      {counts[0]} training, {counts[1]} validation, {counts[2]} test examples")
    tell(network.summary())
    try:
        trainer.fit(*data.training, left, data.validation)
    except DivergenceError:
        trainer.history.to_csv(folder / "history.csv")
        raise
    result = describe_result(config, data, trainer)
    network.save(folder / "model.npz")
    trainer.history.to_csv(folder / "history.csv")
    write_text(folder / "result.json", json.dumps(result, indent=1) + "\n")
    if trainer.stopping:
        tell(f"stopped: {trainer.stopping}")
    if plots:
        draw(folder, network, trainer.history, data)
    tell(f"test accuracy {result['test_accuracy']:.2%}; everything is in {folder}")
    if trainer.interrupted:
        tell(f"interrupted; go on with: backprop train --resume {folder}")
        return 130
    return 0


class PrintEpochs(Callback):
    """Print one line per epoch to stdout."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, trainer: Trainer) -> None:
        seconds = trainer.history.records[-1]["seconds"]
        text = f"epoch {trainer.epoch:>{len(str(self.epochs))}}/{self.epochs}"
        tell(f"{text}  {trainer.history.describe()}  {seconds:.2f} s")


def tell(text: str) -> None:
    """Print `text`; a reader that has gone, or a full disk behind stdout, ends no training."""
    try:
        print(text, flush=True)
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and sys.stderr is not None:
            print(f"backprop: cannot write to stdout: {error.strerror}", file=sys.stderr)
        with contextlib.suppress(OSError, ValueError):  # nobody will read what comes after
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_data(config: RunConfig, network: Model) -> RunData:
    """Load the configured data, split them, and bring them into the form the network takes.

    The validation examples are the last of the training file, as the book has them.
    """
    source = load_source(config)
    x, y = targets_for(network, source, source.x_train, source.labels_train)
    n = x.shape[-1]
    n_validation = n // 6 if config.validation_size is None else config.validation_size
    n_training = n - n_validation if config.train_size is None else config.train_size
    if n_training < 1 or n_validation < 0 or n_training + n_validation > n:
        raise ValueError(
            f"{source.name} has {n} training examples: not enough for {n_training} to train on "
            f"and {n_validation} for validation (--train-size, --validation-size)"
        )
    validation = (x[..., n - n_validation :], y[..., n - n_validation :]) if n_validation else None
    training = (x[..., :n_training], y[..., :n_training])
    test = targets_for(network, source, source.x_test, source.labels_test)
    return RunData(source, training, validation, test)


def load_source(config: RunConfig) -> datasets.Dataset:
    """Return the configured data.

    Raises
    ------
    ValueError
        If the run began with other data than are there now.
    """
    source = datasets.load(config.data)
    if config.data_sha256 is not None and config.data_sha256 != digest(source):
        raise ValueError(f"the data in {config.data} are not those that the run began with")
    return source


def digest(source: datasets.Dataset) -> str:
    """Return the SHA-256 of all images and labels with their shapes and types."""
    sha = hashlib.sha256()
    for array in (source.x_train, source.labels_train, source.x_test, source.labels_test):
        sha.update(f"{array.dtype.str} {array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def targets_for(
    network: Model, source: datasets.Dataset, images: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels as the network's inputs and its cost's targets.

    Raises
    ------
    ValueError
        If the images do not have as many pixels as the network has inputs, or there are more
        classes than outputs.
    """
    x = columns_for(network, source.name, images)
    n_out = network.output_shape[0]
    if len(network.output_shape) != 1 or n_out < 2:
        raise ValueError(
            f"classes need one output each, two at least, but the network's output has the shape "
            f"{network.output_shape}"
        )
    if labels.max() >= n_out:
        raise ValueError(
            f"the network has {n_out} outputs, but the labels of {source.name} go up to "
            f"{labels.max()}"
        )
    if isinstance(network.cost, SoftmaxCrossEntropy):
        return x, labels
    return x, datasets.one_hot(labels, n_out, network.dtype)


def columns_for(network: Model, name: str, images: np.ndarray) -> np.ndarray:
    """Return images as the network's inputs, one a column."""
    n = math.prod(images.shape[1:])
    if network.dtype.kind != "f":
        raise ValueError(f"the network's numbers are {network.dtype}: they must be real")
    if network.input_shape not in ((n,), images.shape[1:], (1, *images.shape[1:])):
        raise ValueError(
            f"the network takes examples of shape {network.input_shape}, but the images of {name} "
            f"have {n} pixels, their shape is {images.shape[1:]}"
        )
    rows = datasets.to_columns(images, network.dtype).T
    return np.moveaxis(rows.reshape(-1, *network.input_shape), 0, -1)


def make_network(config: RunConfig, rng: np.random.Generator) -> Network:
    """Return the configured network."""
    w_init, b_init = weights_and_biases(config.init)
    return Network.from_sizes(
        config.sizes,
        config.activation,
        COSTS[config.cost](),
        config.output_activation,
        w_init,
        b_init,
        config.dtype,
        rng,
    )


def make_trainer(
    config: RunConfig, network: Model, data: RunData, rng: np.random.Generator
) -> Trainer:
    """Return the configured trainer, which prints every epoch."""
    optimizer = by_name(Optimizer, config.optimizer)
    if config.eta is not None:
        optimizer = type(optimizer)(eta=config.eta)
    callbacks: list[Callback] = [PrintEpochs(config.epochs)]
    if config.patience is not None:
        if data.validation is None:
            raise ValueError("--patience needs validation data")
        callbacks.append(EarlyStopping(config.patience))
    n = data.training[0].shape[-1]
    return Trainer(
        network,
        optimizer,
        config.batch_size,
        regularizer=L2.book(config.lmbda, n) if config.lmbda else None,
        clip_norm=config.clip_norm,
        rng=rng,
        callbacks=callbacks,
    )


def describe_result(config: RunConfig, data: RunData, trainer: Trainer) -> dict[str, Any]:
    """Return the final figures, JSON-able: accuracies as fractions, times in seconds."""
    history = trainer.history
    test = trainer.network.evaluate(*data.test)
    best = history.best("validation_accuracy") if "validation_accuracy" in history else {}
    last = history.records[-1] if len(history) else {}
    return {
        "test_accuracy": test["accuracy"],
        "test_cost": test["cost"],
        "best_validation_accuracy": best.get("validation_accuracy"),
        "best_epoch": best.get("epoch"),
        "validation_accuracy": last.get("validation_accuracy"),
        "training_accuracy": last.get("training_accuracy"),
        "training_cost": last.get("training_cost"),
        "epochs": trainer.epoch,
        "interrupted": trainer.interrupted,
        "stopped": trainer.stopping or None,
        "seconds_per_epoch": median(history["seconds"]) if len(history) else None,
        "training_seconds": sum(history["seconds"]) if len(history) else 0.0,
        "parameters": trainer.network.n_parameters,
        "data": data.source.name,
        "data_source": data.source.source,
        "data_sha256": config.data_sha256,
        "seed": config.seed,
        "dtype": config.dtype,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of everything that has a part in the figures."""
    import scipy

    return {
        "backprop": backprop.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "platform": platform.platform(),
    }


def draw(folder: Path, network: Model, history: History, data: RunData) -> list[Path]:
    """Draw every picture of a run into its folder; return their paths."""
    from backprop import plots

    images, y = data.test
    a = network.predict(images)
    labels = y if y.ndim == 1 else y.argmax(axis=0)
    pixels = data.source.x_test.shape[1:]
    sample = slice(0, 1000)
    network.forward(data.training[0][..., sample], training=True)
    network.backward(data.training[1][..., sample], input_gradient=False)
    axes = {}
    if len(history):
        axes["cost"] = plots.learning_curves(history, "cost")
        axes["accuracy"] = plots.learning_curves(history, "accuracy")
    if len(pixels) == 2:
        if isinstance(network.layers[0], Dense):
            axes["weights"] = plots.weights(network.layers[0], pixels)
        pictures = np.moveaxis(data.source.x_test, 0, -1)
        axes["misclassified"] = plots.misclassified(pictures, a, labels)
    axes["confusion"] = plots.confusion(backprop.confusion_matrix(a, labels, len(a)))
    axes["activations"] = plots.activation_histograms(network)
    axes["deltas"] = plots.delta_histograms(network)
    paths = []
    for name, ax in axes.items():
        paths.append(folder / f"{name}.png")
        plots.save(ax, paths[-1])
    return paths


def read_config(folder: Path) -> RunConfig:
    """Return the configuration of the run in `folder`.

    Raises
    ------
    FileError
        If there is none, or it is damaged.
    """
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {field.name for field in fields(RunConfig)}
        if not isinstance(values, dict) or not values.keys() <= known:
            raise ValueError("it does not hold the options of a run")
        values["sizes"] = tuple(values["sizes"])
        return RunConfig(**values)
    except FileNotFoundError:
        raise FileError(f"{folder} holds no run: there is no {path}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FileError(f"{path} is damaged: {error}") from None


def read_history(folder: Path) -> History:
    """Return the history of the run in `folder`, empty if it has none yet.

    Raises
    ------
    FileError
        If the file is damaged, or is not the history of a run.
    """
    path = folder / "history.csv"
    if not path.exists():
        return History()
    history = History.from_csv(path)
    if len(history) and ("epoch" not in history or not all(map(_is_whole, history["epoch"]))):
        raise FileError(f"{path} is not the history of a run: its epochs are not numbered")
    return history


def _is_whole(value: Any) -> bool:
    return isinstance(value, int)


def _as_json(config: RunConfig) -> str:
    return json.dumps(asdict(config), indent=1) + "\n"


def _check_free(folder: Path) -> None:
    if any((folder / name).exists() for name in FILES):
        raise ValueError(
            f"{folder} holds a run already: choose another --out, or go on with --resume {folder}"
        )


def _new_folder(config: RunConfig) -> Path:
    data = Path(config.data).name or "data"
    sizes = "-".join(map(str, config.sizes))
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{data}-{sizes}"


def _claim(folder: Path, config: RunConfig, new: bool) -> Path:
    """Write config.json into `folder`, as the only run to do so; `new`: into one of that name.

    Two runs that start at the same moment must not share a folder.
    """
    name, number = folder, 1
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / "config.json", "x", encoding="utf-8") as file:
                file.write(_as_json(config))
            return folder
        except FileExistsError:
            if not new:
                _check_free(folder)  # the other run has written its configuration, say so
                raise
            number += 1
            folder = name.with_name(f"{name.name}-{number}")
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"cannot write {folder}: {reason}") from error


def _epochs_left(config: RunConfig, trainer: Trainer) -> int:
    left = config.epochs - trainer.epoch
    if left < 0:
        raise ValueError(f"the run is at epoch {trainer.epoch} already, asked for {config.epochs}")
    return left


def _parts(data: RunData) -> list[tuple[np.ndarray, np.ndarray] | None]:
    return [data.training, data.validation, data.test]
