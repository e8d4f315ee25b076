"""The compiled form of predicting: outputs of any number of examples, block by block."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from backprop.compiled.builder import NotBuilt
from backprop.compiled.program import Program, named
from backprop.compiled.runner import Runner
from backprop.compiled.twins.base import NoTwin
from backprop.core.shapes import count_examples

BLOCK = 64  # examples at a time


class Prediction:
    """What a network predicts, by a program; several threads may ask at once.

    Parameters
    ----------
    network : Network
    input_shape : tuple of int
        Of one example.
    block : int
        Examples at a time; fewer that are asked for take as long.

    Raises
    ------
    NoTwin, NotBuilt
        If there can be no program.
    """

    def __init__(self, network: Any, input_shape: Any, block: int = BLOCK) -> None:
        self.block, self.program = block, Program(network, block, input_shape=input_shape)
        self._first = np.zeros(block, np.int64)  # of one example, for all of a block
        self._of_thread = threading.local()
        self._of_thread.runner = Runner(self.program)

    def z_and_a(self, x: Any) -> tuple[Any, Any]:
        """Return z, None where no cost may enter below a sigma, and a; as `Layer.z_and_a`."""
        runner = getattr(self._of_thread, "runner", None)
        if runner is None:
            runner = self._of_thread.runner = Runner(self.program)
        program, n = self.program, count_examples(x)
        found = {
            key: np.empty((*buffer.features, n), program.dtype)
            for key, buffer in program.results.items()
        }
        order = self._first
        if n > 1:  # the last block is filled up with the last example
            order = np.minimum(np.arange(-(-n // self.block) * self.block), n - 1)
        given = {"theta": program.network.theta, "order": order}
        data = {name: _rows(one) for name, one in named("x", x)}
        runner.bind({**given, **data, **program.states(), **found})
        runner.predict(n)
        if not isinstance(program.output, tuple):
            return found.get("z"), found["a"]
        z, a = (tuple(found[f"{name}{k}"] for k in range(len(program.output))) for name in "za")
        return z, a


def _rows(x: np.ndarray) -> np.ndarray:
    """Return examples one after another in memory, integers as programs have them."""
    rows = np.ascontiguousarray(x.transpose(-1, *range(x.ndim - 1)))
    return rows.astype(np.int32, copy=False) if rows.dtype.kind in "iu" else rows


def refuse_complex(data: Any) -> None:
    """Raise `NoTwin` for arrays of complex numbers, which NumPy's layers take."""
    if any(np.iscomplexobj(one) for _, one in named("", data)):
        raise NoTwin("numbers are complex, and those of a program are real")


def prediction_for(
    network: Any, x: Any, input_shape: Any, must: bool, block: int = BLOCK
) -> Prediction | None:
    """Return a `Prediction` for inputs like x; None if there can be none, unless there must be.

    Raises
    ------
    NoTwin, NotBuilt
        If there must be one, and cannot be.
    """
    try:
        refuse_complex(x)
        return Prediction(network, input_shape, block)
    except (NoTwin, NotBuilt):
        if must:
            raise
        return None
