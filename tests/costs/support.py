"""What is tested for every cost, and the definitions, one output of one example at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop.costs import (
    Cost,
    CrossEntropy,
    MeanSquaredError,
    Quadratic,
    SoftmaxCrossEntropy,
    SquaredError,
)
from tests.cases import COST_CASES, labels

SQUARED = [Quadratic(), SquaredError(), MeanSquaredError()]


def one_hot(labels: np.ndarray, n: int) -> np.ndarray:
    return np.moveaxis(np.eye(n)[labels], -1, 0)


# What is tested for every cost: (name, cost, how targets for outputs of a shape are drawn).
KINDS = [
    *((case.name, case.cost, case.draw) for case in COST_CASES),
    ("softmax-uint8", SoftmaxCrossEntropy(), lambda *args: labels(*args).astype(np.uint8)),
    ("softmax-one-hot", SoftmaxCrossEntropy(), lambda r, s: one_hot(labels(r, s), s[0])),
]


every_kind = pytest.mark.parametrize(
    ("cost", "draw"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS]
)


shapes = pytest.mark.parametrize(
    "shape", [(1, 1), (2, 1), (5, 1), (1, 3), (2, 3), (5, 3), (3, 2, 4)], ids=str
)


dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def problem(cost: Cost, draw, shape, dtype=np.float64):
    """Return z, a = canonical(z) and targets."""
    rng = np.random.default_rng(sum(shape))
    z = (2 * rng.standard_normal(shape)).astype(dtype)
    y = draw(rng, shape)
    return z, cost.canonical().forward(z), y if y.dtype.kind in "iu" else y.astype(dtype)


def per_example(cost: Cost, a: np.ndarray, y: np.ndarray) -> list[float]:
    """The definitions, one output of one example at a time."""
    n, batch = len(a), a.shape[-1]
    if y.dtype.kind in "iu":
        y = one_hot(y, n)
    c = [0.0] * batch
    for index in np.ndindex(a.shape):
        aj, yj = float(a[index]), float(y[index])
        if isinstance(cost, SoftmaxCrossEntropy):
            epsilon = cost.label_smoothing
            term = -((1 - epsilon) * yj + epsilon / n) * math.log(aj)
        elif isinstance(cost, CrossEntropy):
            term = -(yj * math.log(aj) + (1 - yj) * math.log(1 - aj))
        else:
            outputs = a.size / batch
            factor = {"Q": 0.5, "S": 1, "M": 1 / outputs}[type(cost).__name__[0]]
            term = factor * (aj - yj) ** 2
        c[index[-1]] += term
    return c


METHODS = ["value", "value_from_z", "per_example", "nabla_a", "delta"]


def refused(cost: Cost, a, y, error_type, match: str) -> None:
    for method in METHODS:
        with pytest.raises(error_type, match=match) as error:
            getattr(cost, method)(a, y)
        assert str(error.value).startswith(f"{cost}")
        assert "\n" not in str(error.value)
