"""How much classes and examples count in a training: given, checked, and as one array."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from backprop.core.checks import check_number
from backprop.core.shapes import as_tuple, count_examples, each_array, one_for_each
from backprop.core.stored import cut
from backprop.metrics import check_sample_weight, true_labels
from backprop.metrics.labels import holds_classes
from backprop.network.checks import outputs_like

Table = np.ndarray  # of the weights of all classes, (K,), NaN for one that has none


class Weights(NamedTuple):
    """The weights of one `fit`; None where there are none, a tuple of arrays for several outputs.

    Attributes
    ----------
    examples : ndarray, (N,) or T x N
        Of the training data, class times example.
    normalized : ndarray
        The same as `Cost.normalized` makes them: what BP1 multiplies by.
    validation : ndarray
        Of the validation data.
    """

    examples: Any = None
    normalized: Any = None
    validation: Any = None


def weights_of(
    trainer: Any,
    x: Any,
    y: Any,
    validation: Any,
    class_weight: Any,
    sample_weight: Any,
    validation_weight: Any,
) -> Weights:
    """Return the weights of a `fit`, of data that are checked; `validation` is (x, y) or None.

    Raises
    ------
    TypeError, ShapeError, ValueError
        As `class_tables`, `combined` and `Cost.normalized`.
    """
    network = trainer.network
    tables = None
    if class_weight is not None:
        n_outputs = each_array(len, outputs_like(network, x))
        tables = class_tables(class_weight, y, n_outputs)
    examples, normalized = checked(network, x, y, tables, sample_weight)
    n = min(count_examples(x), trainer.monitor_training)
    if examples is not None and n:  # those that are evaluated must not all weigh 0
        some_x, some_y, some = first(n, x, y, examples)
        checked(network, some_x, some_y, None, some, f"fit: of the first {n}, monitor_training")
    of_validation = None
    if validation is not None:
        val_x, val_y = validation
        of_validation, _ = checked(
            network, val_x, val_y, tables, validation_weight, "fit: validation"
        )
    return Weights(examples, normalized, of_validation)


def first(n: int, x: Any, y: Any, w: Any) -> tuple[Any, Any, Any]:
    """Return the first n examples, their targets and their weights."""
    some = slice(n)
    return cut(x, some), cut(y, some), None if w is None else cut(w, some)


def checked(
    network: Any, x: Any, y: Any, tables: Any, sample_weight: Any, owner: str = "fit"
) -> tuple:
    """Return the weights of data that are checked, or None, and those normalized."""
    a = outputs_like(network, x)
    w = combined(tables, a, y, sample_weight, owner)
    return w, None if w is None else network.normalized(w, x, y)


def class_tables(class_weight: Any, y: Any, n_outputs: Any) -> Any:
    """Return the weights of the classes, of several outputs a tuple; None where there are none.

    Parameters
    ----------
    class_weight : "balanced", dict of label to weight, or None
        "balanced" stands for N / (K N_k), N_k being how many of the N labels that count are k,
        and K how many classes occur: all classes weigh alike. A class that a dict does not name
        weighs 1. Both are what scikit-learn's `compute_class_weight` has. Of several outputs a
        tuple, or one for all.
    y : ndarray, or tuple of them
        Integer labels, one-hot columns, or one row of 0 and 1.
    n_outputs : int, or tuple of int
        The length of the outputs' first axis.

    Raises
    ------
    TypeError, ValueError
        If it is anything else, a dict names what is no class, or y holds no classes.
    """
    if isinstance(y, tuple):
        given = one_for_each(class_weight, len(y))
        if len(given) != len(y):
            raise ValueError(
                f"fit: class_weight must be one for all outputs, or a tuple of {len(y)}, got a "
                f"tuple of {len(given)}"
            )
        return tuple(map(_table, given, y, n_outputs))
    return _table(class_weight, y, n_outputs)


def combined(tables: Any, a: Any, y: Any, sample_weight: Any, owner: str = "fit") -> Any:
    """Return the weights of examples, or of steps: class times example; None if there are none.

    Raises
    ------
    TypeError, ValueError
        If a `sample_weight` is not such as outputs like a have, or a label has no weight: one that
        the balanced training data do not have.
    """
    if isinstance(y, tuple):
        n = len(y)
        of_classes = one_for_each(tables, n)
        of_examples = one_for_each(sample_weight, n)
        if len(of_examples) != n:
            raise ValueError(
                f"sample_weight must be one array for all outputs, or a tuple of {n}, got a tuple "
                f"of {len(of_examples)}"
            )
        owners = (owner,) * n
        found = tuple(map(combined, of_classes, a, y, of_examples, owners))
        if all(w is None for w in found):
            return None
        return tuple(np.ones(y[0].shape[-1]) if w is None else w for w in found)
    if sample_weight is not None:
        shape = a.shape[-1:] if np.ndim(sample_weight) == 1 else a.shape[1:]
        sample_weight = check_sample_weight(owner, sample_weight, shape)
    if tables is None:
        return sample_weight
    labels = _labels(y)
    w = np.where(labels == -1, 0.0, tables[labels])
    if np.isnan(w).any():
        label = labels[np.isnan(w)][0]
        raise ValueError(
            f'fit: class_weight="balanced" has no weight for label {label}, which only the '
            "validation data have: give a dict of label to weight"
        )
    with np.errstate(over="ignore"):
        w = w if sample_weight is None else w * sample_weight
        total = w.sum()
    if not 0 < total < np.inf:
        raise ValueError(
            f"{owner}: class_weight, times sample_weight, adds up to {total:g} over all examples: "
            "there must be something to count, and a finite sum"
        )
    return w


def digest_of(weights: Any) -> str | None:
    """Return what tells whether two trainings have the same weights."""
    if weights is None:
        return None
    found = hashlib.sha256()
    for array in as_tuple(weights):
        found.update(f"{array.shape}".encode() + array.astype(np.float64).tobytes())
    return found.hexdigest()


def _table(class_weight: Any, y: np.ndarray, n_outputs: int) -> Table | None:
    if class_weight is None:
        return None
    n = max(2, n_outputs)
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(_counting(_labels(y)), minlength=n)
        occurs = counts > 0
        table = np.full(n, np.nan)
        table[occurs] = counts.sum() / (occurs.sum() * counts[occurs])
        return table
    if not isinstance(class_weight, Mapping):
        several = isinstance(class_weight, (list, tuple, np.ndarray))
        way = ": give dict(enumerate(class_weight))" if several else ""
        raise TypeError(
            'fit: class_weight must be "balanced", or a dict of label to weight, '
            f"got {class_weight!r}{way}"
        )
    _labels(y)  # which raises unless there are classes
    table = np.ones(n)
    for label, weight in class_weight.items():
        integer = isinstance(label, (int, np.integer)) and not isinstance(label, bool)
        if not integer or not 0 <= label < n:
            raise ValueError(
                f"fit: class_weight names the class {label!r}, and the classes are the integers "
                f"0..{n - 1}"
            )
        table[label] = check_number(f"fit: class_weight[{label}]", weight, "[0, inf)")
    return table


def _counting(labels: np.ndarray) -> np.ndarray:
    return labels[labels != -1].astype(np.intp)


def _labels(y: np.ndarray) -> np.ndarray:
    """Return the labels in targets; -1 where a step does not count."""
    ndim = y.ndim if y.dtype.kind in "iu" else y.ndim - 1
    if holds_classes(y, ndim):
        return true_labels(y, ndim)
    raise ValueError(
        "fit: class_weight is for targets that are classes (labels, one-hot columns, or one row of "
        "0 and 1): give sample_weight, one number an example"
    )
