"""The data of a training run, in the form in which its network takes them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop import datasets
from backprop.application.run_config import RunConfig
from backprop.core.checks import check_finite
from backprop.core.stored import cut, is_mapped, pieces
from backprop.costs import SoftmaxCrossEntropy
from backprop.datasets.transforms import check_scale
from backprop.network import Network

IN_MEMORY = 2**28  # bytes of inputs that are read at once, where they could stay in their file


@dataclass(frozen=True)
class RunData:
    """A dataset as a run uses it: pairs (x, y) of inputs, in columns, and the cost's targets.

    Many inputs that are mapped from a file are `datasets.Stored`.
    """

    source: datasets.Dataset
    training: tuple[Any, np.ndarray]
    validation: tuple[Any, np.ndarray] | None
    test: tuple[Any, np.ndarray]

    def sizes(self) -> tuple[int, int, int]:
        """Return the numbers of training, validation and test examples."""
        validation = 0 if self.validation is None else self.validation[0].shape[-1]
        return self.training[0].shape[-1], validation, self.test[0].shape[-1]


def load_run_data(config: RunConfig, network: Network) -> RunData:
    """Load the configured data, split them, and bring them into the form the network takes.

    The validation examples are the last of the training file, as the book has them.

    Raises
    ------
    ValueError, OSError
        If there are no such data, they are not those that the run began with, they do not fit the
        network, or there are too few for the split.
    """
    source = load_source(config)
    maximum = config.maximum
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
    test = inputs_and_targets(network, source, source.x_test, source.labels_test, maximum)
    return RunData(source, training, validation, test)


def load_source(config: RunConfig) -> datasets.Dataset:
    """Return the configured data as they are in their files.

    Raises
    ------
    ValueError
        If the run began with other data than are there now.
    """
    source = datasets.load(config.data)
    if config.data_sha256 is not None and config.data_sha256 != sha256_of(source):
        raise ValueError(f"the data in {config.data} are not those that the run began with")
    return source


def sha256_of(source: datasets.Dataset) -> str:
    """Return the SHA-256 of all images and labels with their shapes and types."""
    sha = hashlib.sha256()
    for array in (source.x_train, source.labels_train, source.x_test, source.labels_test):
        sha.update(f"{array.dtype.str} {array.shape}".encode())
        for part in pieces(array):
            sha.update(np.ascontiguousarray(part).data)
    return sha.hexdigest()


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
