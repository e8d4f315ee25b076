"""One training run from a plain configuration, and the folder that it leaves.

The folder holds ``config.json`` (what was asked for), ``checkpoint.npz`` (the state to go on
from), ``model.npz`` (the network), ``history.csv``, ``result.json`` (the final figures) and the
pictures. Every file is written whole or not at all.
"""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import backprop
from backprop import checkpoint, datasets
from backprop.callbacks import Checkpoint, EarlyStopping, PrintEpochs
from backprop.config import by_name
from backprop.costs import (
    Cost,
    CrossEntropyCost,
    MeanSquaredErrorCost,
    QuadraticCost,
    SoftmaxCrossEntropy,
    SquaredErrorCost,
)
from backprop.history import History
from backprop.initializers import weights_and_biases
from backprop.network import Network
from backprop.optimizers import Optimizer
from backprop.regularizers import L2
from backprop.storage import FileError, write_text
from backprop.trainer import DivergenceError, Trainer

COSTS: dict[str, type[Cost]] = {
    "quadratic": QuadraticCost,
    "cross-entropy": CrossEntropyCost,
    "softmax": SoftmaxCrossEntropy,
    "squared-error": SquaredErrorCost,
    "mean-squared-error": MeanSquaredErrorCost,
}
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


@dataclass(frozen=True)
class RunData:
    """A dataset as a run uses it: inputs in columns, targets as the cost takes them."""

    source: datasets.Dataset
    training: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray] | None
    test: tuple[np.ndarray, np.ndarray]


def train(config: RunConfig, folder: Path, resume: bool = False, plots: bool = True) -> int:
    """Train as `config` says, and leave everything in `folder`. Return the exit status.

    Raises
    ------
    ValueError, OSError
        For a configuration that does not fit itself or its data, data that cannot be had, or a
        folder that cannot be written or holds a run already.
    """
    if not resume and any((folder / name).exists() for name in FILES):
        raise ValueError(
            f"{folder} holds a run already: choose another --out, or go on with --resume {folder}"
        )
    seeds = np.random.SeedSequence(config.seed).spawn(2)  # two independent streams
    for_network, for_trainer = map(np.random.default_rng, seeds)
    network = make_network(config, for_network)
    data = make_data(config, network)
    trainer = make_trainer(config, network, data, folder / "checkpoint.npz", for_trainer)
    if resume:
        checkpoint.restore(trainer, folder / "checkpoint.npz")
    write_text(folder / "config.json", json.dumps(asdict(config), indent=1) + "\n")
    print(f"data: {data.source.source}")
    counts = [str(part[0].shape[-1]) if part else "0" for part in _parts(data)]
    print(f"      {counts[0]} training, {counts[1]} validation, {counts[2]} test examples")
    print(network.summary(), flush=True)
    started = time.perf_counter()
    try:
        trainer.fit(*data.training, _epochs_left(config, trainer), data.validation)
    except DivergenceError:
        trainer.history.to_csv(folder / "history.csv")
        raise
    result = describe_result(config, data, trainer, time.perf_counter() - started)
    network.save(folder / "model.npz")
    trainer.history.to_csv(folder / "history.csv")
    write_text(folder / "result.json", json.dumps(result, indent=1) + "\n")
    if trainer.stopping:
        print(f"stopped: {trainer.stopping}")
    if plots:
        draw(folder, network, trainer.history, data)
    print(f"test accuracy {result['test_accuracy']:.2%}; everything is in {folder}")
    if trainer.interrupted:
        print(f"interrupted; go on with: backprop train --resume {folder}")
        return 130
    return 0


def make_data(config: RunConfig, network: Network) -> RunData:
    """Load the configured data, split them, and bring them into the form the network takes.

    The validation examples are the last of the training file, as the book has them.
    """
    source = datasets.load(config.data)
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


def targets_for(
    network: Network, source: datasets.Dataset, images: np.ndarray, labels: np.ndarray
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
    if labels.max() >= n_out:
        raise ValueError(
            f"the network has {n_out} outputs, but the labels of {source.name} go up to "
            f"{labels.max()}"
        )
    if isinstance(network.cost, SoftmaxCrossEntropy):
        return x, labels
    return x, datasets.one_hot(labels, n_out, network.dtype)


def columns_for(network: Network, name: str, images: np.ndarray) -> np.ndarray:
    """Return images as the network's inputs, one a column."""
    n = math.prod(images.shape[1:])
    if network.input_shape != (n,):
        raise ValueError(
            f"the network takes {network.input_shape[0]} numbers, but the images of {name} have "
            f"{n} pixels, their shape is {images.shape[1:]}"
        )
    return datasets.to_columns(images, network.dtype)


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
    config: RunConfig, network: Network, data: RunData, path: Path, rng: np.random.Generator
) -> Trainer:
    """Return the configured trainer, which saves checkpoints to `path`."""
    optimizer = by_name(Optimizer, config.optimizer)
    if config.eta is not None:
        optimizer = type(optimizer)(eta=config.eta)
    callbacks = [PrintEpochs(config.epochs), Checkpoint(path)]
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


def describe_result(
    config: RunConfig, data: RunData, trainer: Trainer, seconds: float
) -> dict[str, Any]:
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
        "seconds": seconds,
        "parameters": trainer.network.n_parameters,
        "data": data.source.name,
        "data_source": data.source.source,
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


def draw(folder: Path, network: Network, history: History, data: RunData) -> list[Path]:
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
    shape = pixels if len(pixels) == 2 else None
    if shape or _is_square(images.shape[0]):
        axes["weights"] = plots.weights(network.layers[0], shape)
        columns = images.reshape(*shape, -1) if shape else images
        axes["misclassified"] = plots.misclassified(columns, a, labels)
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
    except (ValueError, TypeError, KeyError) as error:
        raise FileError(f"{path} is damaged: {error}") from None


def _epochs_left(config: RunConfig, trainer: Trainer) -> int:
    left = config.epochs - trainer.epoch
    if left < 0:
        raise ValueError(f"the run is at epoch {trainer.epoch} already, asked for {config.epochs}")
    return left


def _parts(data: RunData) -> list[tuple[np.ndarray, np.ndarray] | None]:
    return [data.training, data.validation, data.test]


def _is_square(n: int) -> bool:
    return round(n**0.5) ** 2 == n
