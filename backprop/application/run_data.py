"""The data of a training run, in the form in which its network takes them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backprop import datasets
from backprop.application.arguments import READING, said_as_options
from backprop.application.console import warnings_as_notes
from backprop.application.digests import difference, digest_of
from backprop.application.run_config import RunConfig
from backprop.application.run_table import Pair, Rows, check_network, is_table, no_encoding
from backprop.core.checks import check_finite
from backprop.core.stored import cut, is_mapped, pieces
from backprop.costs import SoftmaxCrossEntropy
from backprop.datasets.transforms import check_scale
from backprop.network import Network

IN_MEMORY = 2**28  # bytes of inputs that are read at once, where they could stay in their file


@dataclass(frozen=True)
class Examples:
    """Some examples with their targets, in columns, and where they come from.

    Attributes
    ----------
    part : "training", "validation" or "test"
    source : str
        What was read, for people.
    x, y : ndarray
    pixels : ndarray, N x ..., or None
        The images as they are stored.
    classes : tuple of str
        The names of the outputs, where they have some.
    """

    part: str
    source: str
    x: np.ndarray
    y: np.ndarray
    pixels: np.ndarray | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunData:
    """Data as a run uses them: pairs (x, y) of inputs, in columns, and the cost's targets.

    Many inputs that are mapped from a file are `datasets.Stored`.

    Attributes
    ----------
    source : Images or Rows
    training, validation, test : (x, y)
        The last two may be None.
    split : str
        How they were told apart, for people.
    """

    source: Any
    training: Pair
    validation: Pair | None
    test: Pair | None
    split: str

    def sizes(self) -> tuple[int, int, int]:
        """Return the numbers of training, validation and test examples."""
        parts = (self.training, self.validation, self.test)
        n_training, n_validation, n_test = (
            0 if part is None else part[0].shape[-1] for part in parts
        )
        return n_training, n_validation, n_test

    @property
    def judged(self) -> Examples:
        """The examples that the network is judged by: those for testing, if there are any."""
        parts = {"test": self.test, "validation": self.validation, "training": self.training}
        part, pair = next((name, one) for name, one in parts.items() if one is not None)
        pixels = self.source.pixels if part == "test" else None
        classes = () if self.source.encoding is None else self.source.encoding.classes
        return Examples(part, self.source.words, *pair, pixels, classes)


class Images:
    """A data set of images, or of other arrays, and their labels.

    Attributes
    ----------
    name, words : str
        Of the data set, and what was read, for people.
    task : "classification"
    shape : tuple of int
        Of an example as it is stored.
    n_inputs, n_outputs : int
    encoding : Encoding or None
        Of classes that have names.
    labels : ndarray
        All that occur, in order.
    pixels : ndarray
        The test images as they are stored.
    parts, sha256
        What tells the data from others: see `backprop.application.digests`.
    """

    of_images = True
    task = "classification"
    notes: tuple[str, ...] = ()

    def __init__(self, dataset: datasets.Dataset) -> None:
        self.dataset, self.name, self.words = dataset, dataset.name, dataset.source
        self.pixels = dataset.x_test
        self.shape = dataset.x_train.shape[1:]
        self.n_inputs = math.prod(self.shape)
        labels = (dataset.labels_train, dataset.labels_test)
        self.n_outputs = 1 + max(int(one.max()) for one in labels)
        self.labels = np.unique(np.concatenate([np.unique(one) for one in labels]))
        self.encoding: Any = None
        if dataset.classes is not None and len(dataset.classes) >= max(2, self.n_outputs):
            self.n_outputs = len(dataset.classes)
            self.encoding = datasets.Encoding((), ["class"], self.task, dataset.classes)
        arrays = {
            "the training examples": dataset.x_train,
            "their labels": dataset.labels_train,
            "the test examples": dataset.x_test,
            "the test labels": dataset.labels_test,
        }
        sha = hashlib.sha256()
        self.parts = {
            name: [f"{len(array)} of {array.dtype} {array.shape[1:]}", digest_of(array, sha)]
            for name, array in arrays.items()
        }
        self.sha256 = sha.hexdigest()

    def check_labels(self) -> None:
        """Raise a ValueError if labels are no numbers of classes, two at least, counted from 0."""
        most, n = self.labels[-1], len(self.labels)
        if n < 2:
            raise ValueError(f"{self.name} has one class only: there is nothing to tell apart")
        if most >= 1000 and most > 10 * n:
            raise ValueError(
                f"{self.name} has {n} different labels, of up to {most}, and a network an output "
                "for every number up to that: count them from 0, as "
                "np.unique(labels, return_inverse=True)[1] does"
            )

    def split(self, config: RunConfig, network: Network) -> tuple[Pair, Pair | None, Pair, str]:
        """Return training, validation and test data, and in words how they were split.

        The validation examples are the last of the training file, as the book has them.

        Raises
        ------
        ValueError
            If there are too few, or they do not fit the network.
        """
        source, maximum = self.dataset, config.maximum
        x, y = inputs_and_targets(network, source, source.x_train, source.labels_train, maximum)
        n = x.shape[-1]
        n_validation = n // 6 if config.validation_size is None else config.validation_size
        n_training = n - n_validation if config.train_size is None else config.train_size
        if n_training < 1 or n_validation < 0 or n_training + n_validation > n:
            raise ValueError(
                f"{source.name} has {n} training examples: not enough for {n_training} to train on "
                f"and {n_validation} for validation (--train-size, --validation-size)"
            )
        of_validation, of_training = slice(n - n_validation, n), slice(n_training)
        validation = (cut(x, of_validation), cut(y, of_validation)) if n_validation else None
        training = (cut(x, of_training), cut(y, of_training))
        words = "the last of the training data are for validation" if n_validation else ""
        if config.validation_size is None and n_validation:
            words = f"one in six, {words}"
        return training, validation, self.test(config, network), words

    def test(self, config: RunConfig, network: Network) -> Pair:
        """Return the test data."""
        source = self.dataset
        return inputs_and_targets(
            network, source, source.x_test, source.labels_test, config.maximum
        )


def load_source(config: RunConfig) -> Any:
    """Return the configured data as they are in their files: a table, or images and labels.

    Raises
    ------
    ValueError, OSError
        If there are none, or the run began with other data than are there now; the message says
        in what they differ.
    """
    source: Any
    if is_table(config):
        source = Rows(config)
    else:
        _check_for_images(config)
        source = Images(datasets.load(config.data))
    if config.data_sha256 not in (None, source.sha256):
        what = difference(config.data_parts, source.parts) if config.data_parts else ""
        raise ValueError(
            f"the data in {config.data} are not those that the run began with"
            f"{': ' if what else ''}{what}"
        )
    return source


def _check_for_images(config: RunConfig) -> None:
    """Raise a ValueError if something was asked for that only a table has."""
    if config.task not in (None, "classification"):
        raise ValueError(
            f"{config.data} holds examples and labels: a {config.task} needs a table, --data "
            "FILE.csv --target COLUMN"
        )
    if config.table:
        option = next(iter(config.table)).replace("_", "-")
        raise ValueError(f"--{option} is for a table, and {config.data} is none")
    if config.test_size is not None:
        raise ValueError(f"--test-size is for a table, and {config.data} is none")


def load_run_data(config: RunConfig, network: Network) -> RunData:
    """Load the configured data, split them, and bring them into the form the network takes.

    Raises
    ------
    ValueError, OSError
        As `load_source`; if they do not fit the network, or there are too few for the split.
    """
    return data_of(load_source(config), config, network)


def data_of(source: Any, config: RunConfig, network: Network) -> RunData:
    """Return the data of a source, split, and in the form that the network takes."""
    return RunData(source, *source.split(config, network))


def examples_of(config: RunConfig, network: Network, other: bool = False) -> Examples:
    """Return the examples that a network is judged by: test data, or all rows of another table.

    Parameters
    ----------
    config : RunConfig
    network : Network
    other : bool
        Whether the data are others than those of the network's run.

    Raises
    ------
    ValueError, OSError
        As `load_run_data`.
    """
    encoding = network.encoding
    if encoding is not None and encoding.columns:
        if other:
            return _all_rows(config, network, encoding)
        if not config.target:
            raise ValueError(
                "the network was trained on a table, and its run is not beside it: give the table, "
                "--data FILE"
            )
    elif other:
        config = replace(config, target=(), task=None, table={}, test_size=None)
        if is_table(config):
            raise no_encoding(Path(config.data), network)
    source = load_source(config)
    if not source.of_images:
        return data_of(source, config, network).judged
    classes = () if source.encoding is None else source.encoding.classes
    x, y = source.test(config, network)
    return Examples("test", source.words, x, y, source.pixels, classes)


def _all_rows(config: RunConfig, network: Network, encoding: Any) -> Examples:
    path = Path(config.data)
    if not path.is_file():
        raise ValueError(f"the network was trained on a table, and {config.data} is no file of one")
    check_network(network, encoding, path.name)
    reading = {name: config.table[name] for name in READING if name in config.table}
    with said_as_options(), warnings_as_notes(datasets.UnseenCategoryWarning):
        x = encoding.encode(path, dtype=network.dtype, **reading)
        y = encoding.encode_targets(path, dtype=network.dtype, **reading)
    return Examples("test", f"{x.shape[-1]} rows of {path}", x, y, None, encoding.classes)


def inputs_and_targets(
    network: Network,
    source: datasets.Dataset,
    images: np.ndarray,
    labels: np.ndarray,
    maximum: float | None,
) -> tuple[Any, np.ndarray]:
    """Return images as the network's inputs, and labels as its cost's targets.

    The targets are the B labels themselves for softmax cross-entropy, and for every other cost an
    array n_out x B that is 1 at the label and 0 elsewhere.

    Raises
    ------
    ValueError
        If the images do not have as many pixels as the network has inputs, their values need a
        `maximum`, or there are more classes than outputs.
    """
    n_all = len(source.x_train) + len(source.x_test)
    x = inputs(network, source.name, images, maximum, n_all)
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


def inputs(
    network: Network,
    name: str,
    images: np.ndarray,
    maximum: float | None,
    n_all: int | None = None,
) -> Any:
    """Return images, N x height x width, as the network's inputs, one a column.

    Where they are mapped from a file, and would take much memory, they stay there, as
    `datasets.Stored`.

    Parameters
    ----------
    network : Network
    name : str
        Of the images, for the error.
    images : numpy.ndarray
        Example-major: the first axis counts the images.
    maximum : float or None
        The value that becomes 1, see `datasets.to_columns`.
    n_all : int, optional
        How many images there are with those of other files; as many as these unless told.

    Raises
    ------
    ValueError
        If the network takes inputs of another shape, or none that are real; if the values need a
        `maximum`, or exceed it.
    """
    n = math.prod(images.shape[1:])
    if network.dtype.kind != "f":
        raise ValueError(f"the network's numbers are {network.dtype}: they must be real")
    if network.input_shape not in ((n,), images.shape[1:], (1, *images.shape[1:])):
        raise ValueError(
            f"the network takes examples of shape {network.input_shape}, but the images of {name} "
            f"have {n} pixels, their shape is {images.shape[1:]}"
        )
    scale = check_scale(name, images, maximum, "--maximum ")
    n_all = len(images) if n_all is None else n_all
    if is_mapped(images) and n_all * n * network.dtype.itemsize > IN_MEMORY:
        if images.dtype.kind == "f" and images.dtype.itemsize > network.dtype.itemsize:
            for part in pieces(images):
                with np.errstate(over="ignore"):
                    check_finite(f"{name}: {network.dtype} images", part.astype(network.dtype))
        return datasets.Stored(images, network.input_shape, scale or 1, network.dtype)
    rows = datasets.to_columns(images, network.dtype, maximum).T
    return np.moveaxis(rows.reshape(-1, *network.input_shape), 0, -1)
