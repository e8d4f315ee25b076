"""Who trains: this process alone, or several that take every step together.

`Alone` is what a `Trainer` asks unless it is told otherwise. `backprop.interop.mpi.DataParallel` is
the same for the processes that MPI has started, and answers every question for all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from backprop.core.quiet import Function
from backprop.network.evaluation import in_batches
from backprop.training.paths import path_for


class Alone:
    """One process: it does what it wants."""

    in_batches = staticmethod(in_batches)
    path_for = staticmethod(path_for)

    @contextmanager
    def fitting(self, trainer: Any, arguments: Any) -> Iterator[None]:
        """Surround a `fit`, with its arguments."""
        yield

    def calls(self, callback: Any) -> bool:
        """Say whether a callback is called in this process."""
        return True

    def agree(self, trainer: Any) -> None:
        """See to it that all know what any of them was asked for; after callbacks, say."""

    def asked_to_stop(self, trainer: Any) -> bool:
        """Say whether a `fit` is to end, by Ctrl-C or a callback."""
        return trainer.interrupted or bool(trainer.stopping)


def with_all(fit: Function) -> Function:
    """Let a trainer's `fit` be surrounded by that of all processes that train."""

    @functools.wraps(fit)
    def fit_with_all(trainer: Any, *arguments: Any, **named: Any) -> Any:
        with trainer.processes.fitting(trainer, (arguments, named)):
            return fit(trainer, *arguments, **named)

    return cast(Function, fit_with_all)
