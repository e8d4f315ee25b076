"""Operations with inputs for them: what the tests of all operations try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.graph.elementwise import (
    Add,
    Cos,
    Divide,
    Exp,
    Log,
    Multiply,
    Power,
    Sin,
    Sqrt,
    Subtract,
)
from backprop.graph.operations import Concatenate, MatMul, Operation, Slice, Sum


@dataclass(frozen=True)
class Case:
    """An operation, the shapes of its inputs (a number: a constant), and whether they are > 0."""

    operation: Operation
    inputs: tuple
    positive: bool = False

    def __str__(self) -> str:
        return f"{self.operation}-{'-'.join(map(str, self.inputs))}"

    def arrays(self, batches: tuple[int, ...], seed: int = 0) -> list[Any]:
        """Return float64 inputs with these batch sizes, at least 0.1 away from 0."""
        rng = np.random.default_rng(seed)
        found = []
        for shape, batch in zip(self.inputs, batches, strict=True):
            if isinstance(shape, float):
                found.append(shape)
                continue
            u = rng.uniform(0.1, 2, (*shape, batch))
            found.append(u if self.positive else u * rng.choice([-1, 1], u.shape))
        return found


V, M = (4,), (2, 3)
CASES = [
    *(Case(op, shapes) for op in (Add(), Subtract(), Multiply(), Divide())
      for shapes in ((V, V), (M, M), (V, 1.5), (-0.5, V))),
    *(Case(Power(), (V, n)) for n in (2.0, 3.0, -1.0, 1.0)),
    Case(Power(), (V, V), positive=True),
    Case(Power(), (M, 0.5), positive=True),
    Case(Power(), (2.5, M)),
    *(Case(op, (shape,)) for op in (Exp(), Sin(), Cos()) for shape in (V, M)),
    *(Case(op, (shape,), positive=True) for op in (Log(), Sqrt()) for shape in (V, M)),
    Case(MatMul(), ((2, 3), (3,))),
    Case(MatMul(), ((2, 3), (3, 4))),
    Case(MatMul(), ((1, 3), (3, 1))),
    Case(Sum(), (V,)),
    Case(Sum(), (M,)),
    Case(Slice(1, 3), (V,)),
    Case(Slice(0, 1), (M,)),
    Case(Concatenate(), (V, (2,))),
    Case(Concatenate(3), (M, (1, 3), M)),
]  # fmt: skip


def batches(case: Case) -> list[tuple[int, ...]]:
    """Return the batch sizes to try: 1, 5, and each input the same for every example."""
    n = len(case.inputs)
    shared = [tuple(1 if i == j else 5 for i in range(n)) for j in range(n)] if n > 1 else []
    return [(1,) * n, (5,) * n, *shared]


def argument(arrays: list[Any]) -> Any:
    """Return one array as it is, several as the tuple that an operation takes."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)
