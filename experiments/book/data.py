"""The book's data: 50,000 images to train on, 10,000 to validate, 10,000 to test; and shifted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop import datasets

SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # down, right; the image itself first


@dataclass(frozen=True)
class Book:
    """The three parts, as images H x W of bytes with labels.

    Attributes
    ----------
    name : str
    training, validation, test : (ndarray N x H x W, ndarray of int (N,))
    n_classes : int
    """

    name: str
    training: tuple[Any, Any]
    validation: tuple[Any, Any]
    test: tuple[Any, Any]
    n_classes: int


def split(source: datasets.Dataset) -> Book:
    """Return the book's split: the last sixth of the training images are validation data."""
    n = len(source.labels_train) - len(source.labels_train) // 6
    x, y = source.x_train, source.labels_train
    return Book(
        source.name,
        (x[:n], y[:n]),
        (x[n:], y[n:]),
        (source.x_test, source.labels_test),
        int(y.max()) + 1,
    )


def few_of(book: Book, n: int) -> Book:
    """Return the first n of the training images, and n // 2 of the others."""
    parts = (book.training, book.validation, book.test)
    sizes = (n, n // 2, n // 2)
    cut = [(x[:size], y[:size]) for (x, y), size in zip(parts, sizes, strict=True)]
    return Book(book.name, cut[0], cut[1], cut[2], book.n_classes)


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return images N x H x W moved by so many pixels, 0 where nothing has come.

    What leaves the image is lost.
    """
    moved = np.zeros_like(images)
    h, w = images.shape[1:]
    to = (slice(max(down, 0), h + min(down, 0)), slice(max(right, 0), w + min(right, 0)))
    of = (slice(max(-down, 0), h + min(-down, 0)), slice(max(-right, 0), w + min(-right, 0)))
    moved[:, to[0], to[1]] = images[:, of[0], of[1]]
    return moved


def expanded(images: np.ndarray, labels: np.ndarray, seed: int = 0) -> tuple[Any, Any]:
    """Return every image and its copies shifted by a pixel in four directions, in random order.

    The order is drawn once, as in the book's expand_mnist.py, and then kept for all epochs.
    """
    order = np.random.default_rng(seed).permutation(len(SHIFTS) * len(images))
    copies = np.concatenate([shifted(images, *shift) for shift in SHIFTS])
    return copies[order], np.tile(labels, len(SHIFTS))[order]
