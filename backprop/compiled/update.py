"""The end of a step by itself: penalties, clipping, the optimizer, of gradients that are there."""

from __future__ import annotations

from typing import Any

from backprop.compiled.program import Program, with_included
from backprop.compiled.writer import Writer


class Update(Program):
    """What moves theta, as a program; arguments as of `Program`.

    Raises
    ------
    NoTwin
        If the optimizer or the regularizer has no twin in C.
    """

    def __init__(
        self,
        network: Any,
        optimizer: Any,
        regularizer: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        self.network, self.batch_size, self.optimizer = network, 1, optimizer
        self.dtype, self.title = network.dtype, "the update of a step"
        w = self.writer = Writer(network, 1, True)
        self.write_update(w, regularizer, clip_norm, clip_value)
        self.source = self._source(w)
        self.headers = with_included(w.headers)
