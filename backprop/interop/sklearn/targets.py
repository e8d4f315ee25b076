"""What y is, as targets of a network, and what is read from its outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelEncoder, StandardScaler

from backprop.costs import Cost, SoftmaxCrossEntropy
from backprop.datasets.table_files import is_gap
from backprop.interop.sklearn.thin import scaler_of
from backprop.layers.outputs import Outputs

COSTS = {
    Outputs.PROBABILITIES: "softmax_cross_entropy",
    Outputs.UNIT_INTERVAL: "cross_entropy",
}


class Task(ABC):
    """What y is: which outputs it takes, and how the one becomes the other.

    Attributes
    ----------
    n_outputs : int, or tuple of int
        What a callable that builds layers is told; of several outputs for each.
    ends : list of (int, str)
        Units and activation of the last layer, of several outputs of each, unless told.
    """

    n_outputs: Any
    ends: list[tuple[int, str]]

    @abstractmethod
    def default_cost(self, owner: str, gives: Any) -> Any:
        """Return the cost for outputs of which this is known (see `gives` of a layer).

        Raises
        ------
        ValueError
            If there is none: the message says what the layers are to end in.
        """

    @abstractmethod
    def check(self, owner: str, shapes: Sequence[Any]) -> None:
        """Raise a ValueError unless outputs of these shapes, one each, can be those of y."""

    @abstractmethod
    def check_y(self, owner: str, y: np.ndarray) -> None:
        """Raise a ValueError unless a training can go on with y."""

    @abstractmethod
    def targets(self, y: np.ndarray, network: Any) -> Any:
        """Return y as the cost's targets, the batch last; of several outputs for each."""

    @abstractmethod
    def predicted(self, a: Any) -> np.ndarray:
        """Return what outputs stand for, of y's shape."""


class Labels(Task):
    """A y of labels, which have classes.

    Attributes
    ----------
    classes : ndarray, or list of them
        The labels in order; of several outputs for each.
    """

    classes: Any

    @abstractmethod
    def has(self, classes: Any) -> bool:
        """Say whether these are the classes."""

    @abstractmethod
    def probabilities(self, a: Any, gives: Any) -> Any:
        """Return N x K probabilities of outputs, a list of them of several outputs.

        Raises
        ------
        AttributeError
            If the outputs are none, by what is known of them: `gives`.
        """

    @abstractmethod
    def decision(self, scores: Any) -> Any:
        """Return N x K scores; of two classes N, by which the second is before the first."""


class Numbers(Task):
    """Numbers, one or several a row: the targets of a regression.

    Parameters
    ----------
    y : ndarray, (N,) or N x n

    Attributes
    ----------
    scaler : StandardScaler or None
        By which the targets are standardized.
    """

    scaler: StandardScaler | None = None

    def __init__(self, owner: str, y: np.ndarray) -> None:
        self.is_flat = y.ndim == 1
        self.n_outputs = 1 if self.is_flat else y.shape[1]
        self.ends = [(self.n_outputs, "identity")]
        self.check_y(owner, y)

    def default_cost(self, owner: str, gives: Any) -> Any:
        return "quadratic"

    def check(self, owner: str, shapes: Sequence[Any]) -> None:
        _check_one(owner, shapes, (self.n_outputs,), f"y has {self.n_outputs} numbers a row", "")

    def check_y(self, owner: str, y: np.ndarray) -> None:
        n = 1 if y.ndim == 1 else y.shape[1]
        if n != self.n_outputs:
            raise ValueError(f"{owner}: y has {n} numbers a row, and had {self.n_outputs} before")
        if y.dtype.kind in "mM":
            raise ValueError(
                f"{owner}: y holds dates or times, such as {y.ravel()[0]}: give numbers, such as "
                "the days since some day"
            )
        try:
            self._rows(y)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{owner}: y must be numbers, got {y.ravel()[0]!s:.40}, say: for labels there is "
                "BackpropClassifier"
            ) from error

    def standardize(self, owner: str, y: np.ndarray, sample_weight: Any) -> None:
        """Let the targets be standardized, by the mean and standard deviation of these."""
        self.scaler = scaler_of(owner, "y", self._rows(y), sample_weight)

    def targets(self, y: np.ndarray, network: Any) -> np.ndarray:
        rows = self._rows(y)
        rows = rows if self.scaler is None else self.scaler.transform(rows)
        return rows.T.astype(network.dtype)  # type: ignore[no-any-return]

    def predicted(self, a: np.ndarray) -> np.ndarray:
        rows = a.T.astype(np.float64)
        rows = rows if self.scaler is None else self.scaler.inverse_transform(rows)
        return rows[:, 0] if self.is_flat else rows

    def _rows(self, y: np.ndarray) -> np.ndarray:
        rows = y[:, np.newaxis] if y.ndim == 1 else y
        return rows.astype(np.float64)


class OneOf(Labels):
    """One label a row, a unit for each of its classes; or of two classes a single unit.

    Parameters
    ----------
    classes : ndarray
        Or labels, among which all classes are.
    """

    def __init__(self, classes: Any) -> None:
        self.encoder = LabelEncoder().fit(classes)
        self.classes = self.encoder.classes_
        self.n_outputs = max(2, len(self.classes))  # one class alone is sure, by a softmax too
        self.ends = [(self.n_outputs, "softmax")]

    def default_cost(self, owner: str, gives: Any) -> Any:
        if gives not in COSTS:
            raise ValueError(
                f'{owner}: the layers give {gives.value}: end them with the activation "softmax", '
                'or give a cost, such as "quadratic"'
            )
        return COSTS[gives]

    def check(self, owner: str, shapes: Sequence[Any]) -> None:
        if list(shapes) != [(1,)] or self.n_outputs > 2:
            what, last = f"y has {len(self.classes)} classes", "softmax"
            _check_one(owner, shapes, (self.n_outputs,), what, last)

    def check_y(self, owner: str, y: np.ndarray) -> None:
        """Raise a ValueError if there are labels that are none of the classes."""
        if y.ndim != 1:
            raise ValueError(f"{owner}: y has {y.shape[1]} labels a row, and had one before")
        known = np.isin(y, self.classes)
        if not known.all():
            raise ValueError(
                f"{owner}: y has the label {y[~known].tolist()[0]!r}, and the classes are "
                f"{self.classes.tolist()}, as they were first given"
            )

    def has(self, classes: Any) -> bool:
        return set(np.ravel(classes).tolist()) == set(self.classes.tolist())

    def targets(self, y: np.ndarray, network: Any) -> np.ndarray:
        return self.targets_for(y, network.output_shape, network.cost, network.dtype)

    def targets_for(self, y: Any, shape: Any, cost: Cost, dtype: Any) -> np.ndarray:
        """Return integer labels, or one-hot columns, or one row of 0 and 1, as the cost takes."""
        labels = self.encoder.transform(y)
        if shape == (1,):
            return labels[np.newaxis].astype(dtype)  # type: ignore[no-any-return]
        if isinstance(cost, SoftmaxCrossEntropy):
            return labels  # type: ignore[no-any-return]
        return np.eye(self.n_outputs, dtype=dtype)[:, labels]

    def predicted(self, a: np.ndarray) -> np.ndarray:
        """Return the label of every column of outputs."""
        chosen = a[0] > 0.5 if len(a) == 1 else a[: len(self.classes)].argmax(axis=0)
        return self.classes[chosen.astype(np.intp)]  # type: ignore[no-any-return]

    def probabilities(self, a: np.ndarray, gives: Any) -> np.ndarray:
        if gives not in COSTS:
            raise AttributeError(
                'the outputs are no probabilities: let the last layer have the activation "softmax"'
            )
        if len(a) == 1:
            return np.column_stack([1 - a[0], a[0]])
        rows = a[: len(self.classes)].T
        if gives is Outputs.PROBABILITIES and rows.shape[1] == len(a):
            return rows
        sums = rows.sum(axis=1, keepdims=True)
        even = np.full_like(rows, 1 / rows.shape[1])
        return np.divide(rows, sums, out=even, where=sums > 0)

    def decision(self, scores: np.ndarray) -> np.ndarray:
        if len(scores) == 1:
            return scores[0]
        rows = scores[: len(self.classes)]
        return rows[1] - rows[0] if len(rows) == 2 else rows.T


class AnyOf(Labels):
    """Any number of labels a row, as an indicator of 0 and 1: a unit for each.

    Parameters
    ----------
    y : ndarray, N x K
    """

    def __init__(self, y: np.ndarray) -> None:
        self.n_outputs = y.shape[1]
        self.dtype = y.dtype
        self.classes = np.arange(self.n_outputs)
        self.ends = [(self.n_outputs, "sigmoid")]

    def default_cost(self, owner: str, gives: Any) -> Any:
        if gives is not Outputs.UNIT_INTERVAL:
            raise ValueError(
                f"{owner}: the layers give {gives.value}: of rows with several labels end them "
                'with the activation "sigmoid", or give a cost'
            )
        return "cross_entropy"

    def check(self, owner: str, shapes: Sequence[Any]) -> None:
        _check_one(owner, shapes, (self.n_outputs,), f"y has {self.n_outputs} labels", "sigmoid")

    def check_y(self, owner: str, y: np.ndarray) -> None:
        """Raise a ValueError unless y is an indicator of as many labels."""
        if y.ndim != 2 or y.shape[1] != self.n_outputs or not np.isin(y, (0, 1)).all():
            raise ValueError(
                f"{owner}: y must have {self.n_outputs} columns of 0 and 1, as it had before"
            )

    def has(self, classes: Any) -> bool:
        return True  # 0 and 1, whatever they are called

    def targets(self, y: np.ndarray, network: Any) -> np.ndarray:
        return y.T.astype(network.dtype)  # type: ignore[no-any-return]

    def predicted(self, a: np.ndarray) -> np.ndarray:
        return (a.T > 0.5).astype(self.dtype)

    def probabilities(self, a: np.ndarray, gives: Any) -> np.ndarray:
        """Return N x K probabilities, each by itself."""
        if gives is not Outputs.UNIT_INTERVAL:
            raise AttributeError(
                'the outputs are no probabilities: let the last layer have the activation "sigmoid"'
            )
        return a.T

    def decision(self, scores: np.ndarray) -> np.ndarray:
        """Return N x K scores, above 0 where a label is predicted."""
        return scores.T


class OneOfEach(Labels):
    """Several labels a row, each one of classes of its own: an output of the network for each.

    Parameters
    ----------
    columns : sequence of ndarray
        The classes of each column, or its labels.
    """

    def __init__(self, columns: Sequence[Any]) -> None:
        self.parts = [OneOf(plain(np.asarray(column))) for column in columns]
        self.classes = [part.classes for part in self.parts]
        self.n_outputs = tuple(part.n_outputs for part in self.parts)
        self.ends = [end for part in self.parts for end in part.ends]

    def default_cost(self, owner: str, gives: Any) -> Any:
        return [part.default_cost(owner, one) for part, one in zip(self.parts, gives, strict=True)]

    def check(self, owner: str, shapes: Sequence[Any]) -> None:
        if len(shapes) != len(self.parts):
            raise ValueError(
                f"{owner}: y has {len(self.parts)} labels a row, and the layers give {len(shapes)} "
                "outputs: give a Graph of as many outputs"
            )
        for part, shape in zip(self.parts, shapes, strict=True):
            part.check(owner, [shape])

    def check_y(self, owner: str, y: np.ndarray) -> None:
        """Raise a ValueError if there are labels that are none of the classes of their column."""
        if y.ndim != 2 or y.shape[1] != len(self.parts):
            raise ValueError(f"{owner}: y must have {len(self.parts)} columns, as it had before")
        for part, column in zip(self.parts, y.T, strict=True):
            part.check_y(owner, column)

    def has(self, classes: Any) -> bool:
        same_number = isinstance(classes, (list, tuple)) and len(classes) == len(self.parts)
        return same_number and all(map(OneOf.has, self.parts, classes))

    def targets(self, y: np.ndarray, network: Any) -> tuple[np.ndarray, ...]:
        outputs = zip(self.parts, y.T, network.output_shape, network.cost.costs, strict=True)
        return tuple(
            part.targets_for(column, shape, cost, network.dtype)
            for part, column, shape, cost in outputs
        )

    def predicted(self, a: tuple[np.ndarray, ...]) -> np.ndarray:
        columns = [part.predicted(one) for part, one in zip(self.parts, a, strict=True)]
        if len({column.dtype.kind in "UO" for column in columns}) == 2:  # numbers stay numbers
            columns = [column.astype(object) for column in columns]
        return np.column_stack(columns)

    def probabilities(self, a: Any, gives: Any) -> list[np.ndarray]:
        """Return N x K_i probabilities for every column."""
        outputs = zip(self.parts, a, gives, strict=True)
        return [part.probabilities(one, known) for part, one, known in outputs]

    def decision(self, scores: Any) -> list[np.ndarray]:
        """Return the scores of every column."""
        return [part.decision(one) for part, one in zip(self.parts, scores, strict=True)]


def plain(labels: np.ndarray) -> np.ndarray:
    """Return labels that are kept as Python objects, but are numbers, as an array of numbers."""
    found = np.array(labels.tolist()) if labels.dtype == object else labels
    return labels if found.dtype.kind == "U" else found


def refuse_labels(owner: str, y: Any) -> None:
    """Raise a ValueError if labels are missing, or are numbers and texts, which have no order.

    What is kept as numbers alone is not looked at.
    """
    labels = np.asarray(y)
    if labels.dtype != object or labels.ndim == 0:
        return
    gaps = [k for k, label in enumerate(labels.ravel().tolist()) if is_gap(label)]
    if gaps:
        row = gaps[0] // (labels.size // len(labels))
        raise ValueError(
            f"{owner}: y lacks {len(gaps)} labels, the first in row {row}: leave these rows out, "
            "for nothing can be learnt from them"
        )
    for column in np.atleast_2d(labels.T).tolist():
        kinds = {type(label).__name__ for label in column}
        if len(kinds) > 1 and "str" in kinds:
            some = " and ".join(sorted(kinds))
            raise ValueError(f"{owner}: y has labels of the types {some}: give texts, str(label)")


def _check_one(owner: str, shapes: Sequence[Any], wanted: Any, what: str, last: str) -> None:
    """Raise a ValueError unless there is one output, of the wanted shape."""
    if list(shapes) == [wanted]:
        return
    got = shapes[0] if len(shapes) == 1 else f"{len(shapes)} outputs"
    end = f'Dense(..., {wanted[0]}, "{last or "identity"}")'
    raise ValueError(f"{owner}: {what}, and the layers give {got}: end them with {end}")
