"""Rows of the book that are no training of a network on digits, a function for each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop import SGD, Callback, Dense, Network, Trainer, datasets
from backprop.gradients import check_gradients
from experiments.book import learning_speed
from experiments.book.data import Book
from experiments.book.networks import network_of
from experiments.book.row import Row
from experiments.common import rounded

NUMPY = "NumPy: too little to build a program for"


def darkness(row: Row, seed: int, book: Book) -> dict[str, Any]:
    """Guess the digit whose training images are on average as dark as the image."""
    x, y = book.training
    dark = x.reshape(len(x), -1).sum(axis=1, dtype=float)
    means = np.array([dark[y == digit].mean() for digit in range(book.n_classes)])
    test = book.test[0].reshape(len(book.test[0]), -1).sum(axis=1, dtype=float)
    guess = np.abs(test[:, None] - means).argmin(axis=1)
    return {"path": NUMPY, "test_accuracy": float((guess == book.test[1]).mean())}


def svm(row: Row, seed: int, book: Book) -> dict[str, Any]:
    """Fit scikit-learn's SVC, with the gamma that was its default when the book was written."""
    from sklearn.svm import SVC

    def rows(x: np.ndarray) -> np.ndarray:
        return datasets.to_columns(x).T

    x, y = book.training
    machine = SVC(gamma="auto", cache_size=1000).fit(rows(x[: row.images]), y[: row.images])
    found: dict[str, Any] = {"path": "scikit-learn"}
    for published in row.published:
        images, labels = getattr(book, published.measure.removesuffix("_accuracy"))
        found[published.measure] = float(machine.score(rows(images), labels))
    return found


class _Output(Callback):
    """Keep what one neuron gives for its one input."""

    columns = {"a": False}  # noqa: RUF012 - as the base class has it

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.history.records[-1]["a"] = float(
            trainer.network.predict(np.ones((1, 1), "f4"))[0, 0]
        )


def neuron(row: Row, seed: int, book: Book) -> dict[str, Any]:
    """Train one neuron to make 0 of 1, from a given weight and bias."""
    network = Network([Dense(1, 1)], row.cost)
    network[0].w[...], network[0].b[...] = row.x
    x, y = np.ones((1, 1), "f4"), np.zeros((1, 1), "f4")
    start = float(network.predict(x)[0, 0])
    trainer = Trainer(
        network, SGD(row.eta), 1, callbacks=[_Output()], metrics={}, progress=False, rng=seed
    )
    history = trainer.fit(x, y, row.epochs)
    values = [start, *history["a"]]
    columns = {"epoch": list(range(len(values))), "a": [round(a, 5) for a in values]}
    return {"path": trainer.computed_by, "columns": columns}


def norms(row: Row, seed: int, book: Book) -> dict[str, Any]:
    """Record ||dC/db|| of the hidden layers over full-batch steps."""
    x = datasets.to_columns(book.training[0][: row.images])
    y = datasets.one_hot(book.training[1][: row.images], book.n_classes)
    found = learning_speed.speeds(x, y, len(row.layers) - 2, row.epochs, seed)
    steps = sorted({*range(0, row.epochs, learning_speed.SAMPLE), row.epochs - 1})
    curves = rounded(found[steps].T)
    ratio = float(found[0, -1] / found[0, 0])
    return {"path": "NumPy: every step is looked at", "steps": steps, "norms": curves,
            "ratio": ratio}  # fmt: skip


def equations(row: Row, seed: int, book: Book) -> dict[str, Any]:
    """Hold BP1 to BP4 against differences, and a minibatch against its examples one by one."""
    x = datasets.to_columns(book.training[0][:10], "float64")
    y = datasets.one_hot(book.training[1][:10], book.n_classes, "float64")
    network = network_of(row, (len(x),), book.n_classes, seed).astype("float64")
    report = check_gradients(network, x, y, elements=300, rng=seed)
    network.forward(x, training=True)
    network.backward(y)
    at_once, sum_of_each = network.nabla.copy(), np.zeros_like(network.nabla)
    for j in range(x.shape[1]):
        network.forward(x[:, [j]], training=True)
        network.backward(y[:, [j]])
        sum_of_each += network.nabla
    loop = np.abs(sum_of_each / x.shape[1] - at_once).max() / np.abs(at_once).max()
    return {"path": NUMPY, "central_error": report.central_error,
            "exact_error": report.exact_error, "loop_error": float(loop)}  # fmt: skip


KINDS: dict[str, Callable[[Row, int, Book], dict[str, Any]]] = {
    "darkness": darkness,
    "svm": svm,
    "neuron": neuron,
    "norms": norms,
    "equations": equations,
}
