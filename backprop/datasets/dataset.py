"""Labelled examples for training and for testing, as all sources give them, and as they must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backprop.core.checks import is_finite
from backprop.core.storage import FileError
from backprop.core.stored import pieces


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labelled examples for training and for testing, as they are stored: example-major.

    Attributes
    ----------
    name : str
        "builtin", "mnist", "fashion-mnist", or the name of a folder or file.
    source : str
        What the data is and where it was read, for people; recorded with every run.
    x_train : ndarray, shape (N, ...)
        Training examples, uint8 for images; mapped from the disk where the file allows.
    labels_train : ndarray of integers, shape (N,)
    x_test : ndarray, shape (M, ...)
        Test examples, each of the shape and dtype of a training example.
    labels_test : ndarray of integers, shape (M,)
    classes : tuple of str, or None
        The names of the labels, where they have names.
    """

    name: str
    source: str
    x_train: np.ndarray
    labels_train: np.ndarray
    x_test: np.ndarray
    labels_test: np.ndarray
    classes: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        train, test = len(self.x_train), len(self.x_test)
        name, shape = type(self).__name__, self.x_train.shape[1:]
        return f"{name}({self.name!r}, {train} + {test} of shape {shape})"


def checked(
    name: str,
    source: str,
    arrays: Sequence[np.ndarray],
    places: Sequence[object],
    classes: tuple[str, ...] | None = None,
) -> Dataset:
    """Return a data set, if its four arrays fit each other.

    Parameters
    ----------
    name, source, classes
        As of `Dataset`.
    arrays : sequence of ndarray
        Training examples and labels, test examples and labels.
    places : sequence of object
        Where each of them was read, for the error.

    Raises
    ------
    FileError
        If they are no examples and labels, or do not fit.
    """
    x_train, x_test = arrays[0], arrays[2]
    labels_train, labels_test = (
        _checked_pair(*arrays[k : k + 2], *places[k : k + 2]) for k in (0, 2)
    )
    if (x_train.shape[1:], x_train.dtype) != (x_test.shape[1:], x_test.dtype):
        raise FileError(
            f"{places[2]} has examples of shape {x_test.shape[1:]} and type {x_test.dtype}, "
            f"but {_last(places[0])} of {x_train.shape[1:]} and {x_train.dtype}"
        )
    return Dataset(name, source, x_train, labels_train, x_test, labels_test, classes)


def without_test_data(
    name: str,
    source: str,
    x: np.ndarray,
    labels: np.ndarray,
    place: object,
    classes: tuple[str, ...] | None = None,
) -> Dataset:
    """Return a data set of examples that come without any for testing: the last sixth is for that.

    Raises
    ------
    FileError
        As `checked`; if the last sixth has classes that the rest has not, as sorted examples do.
    """
    cut = len(labels) - len(labels) // 6
    source = f"{source}; the last sixth of it is for testing"
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        new = set(labels[cut:].tolist()) - set(labels[:cut].tolist())
        if new:
            raise FileError(
                f"{place} holds no data for testing, and its last sixth, which would be, has the "
                f"label {min(new)} that the rest has not: shuffle the examples, or add test data"
            )
    arrays = (x[:cut], labels[:cut], x[cut:], labels[cut:])
    return checked(name, source, arrays, (place,) * 4, classes)


def _checked_pair(
    images: np.ndarray, labels: np.ndarray, images_place: object, labels_place: object
) -> np.ndarray:
    """Return the labels, (N,), if they and the images are such."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FileError(
            f"{labels_place} does not hold labels: expected integers of shape (N,), "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    if images.ndim < 2:
        raise FileError(
            f"{images_place} does not hold images: expected shape (N, ...), got {images.shape}"
        )
    if images.dtype.kind not in "iuf":
        raise FileError(f"{images_place} does not hold numbers, but {images.dtype}")
    if len(images) != len(labels):
        raise FileError(
            f"{images_place} holds {len(images)} images, but {_last(labels_place)} "
            f"{len(labels)} labels"
        )
    if images.size == 0:
        raise FileError(f"{images_place} holds no data: its shape is {images.shape}")
    if labels.min() < 0:
        i = int(labels.argmin())
        raise FileError(f"{labels_place} holds the negative label {labels[i]} at index {i}")
    if images.dtype.kind == "f":
        start = 0
        for part in pieces(images):
            if not is_finite(part):
                finite = np.isfinite(part.reshape(len(part), -1)).all(axis=1)
                i = start + int(np.flatnonzero(~finite)[0])
                raise FileError(f"{images_place} holds NaN or infinity, first in example {i}")
            start += len(part)
    return labels


def _last(place: object) -> object:
    return getattr(place, "name", place)
