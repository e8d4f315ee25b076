"""The ways of several processes through the minibatches of an epoch: in NumPy, and compiled."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from backprop.core.shapes import each_array
from backprop.layers.mode import TRAINING
from backprop.layers.parts import Part
from backprop.training.minibatches import minibatches
from backprop.training.paths import path_for
from backprop.training.steps import InNumPy, Learnt, changer


def path_of_all(processes: Any, trainer: Any, rows: Any) -> Any:
    """Return how all processes go through the minibatches of a `fit`, as `path_for` does of one."""

    def compiled(trainer: Any, rows: Any, stream: Any) -> Any:
        from backprop.interop.mpi_compiled import CompiledTogether

        return CompiledTogether(processes, trainer, rows)

    processes.hold_nabla(trainer.network)
    in_numpy = partial(InNumPyTogether, processes)
    return path_for(trainer, rows, in_numpy=in_numpy, compiled=compiled)


class OwnOrder:
    """Which examples of an epoch are this process's, and its part of every minibatch.

    Attributes
    ----------
    examples : ndarray of int
        The order of the epoch, of which only this process's examples are left.
    size : int
        How many of them are in a minibatch; the last may have fewer.
    """

    def __init__(self, processes: Any, order: np.ndarray, batch: int) -> None:
        whole, rest = divmod(len(order), batch)
        self.whole = whole
        self.of_whole = processes.part(batch) if whole else None
        self.of_rest = processes.part(rest) if rest else None
        end = whole * batch
        several = processes.size > 1
        columns, last = order[:end].reshape(whole, batch), order[end:]
        if several and self.of_whole is not None:
            columns = columns[:, self.of_whole.columns]
        if several and self.of_rest is not None:
            last = last[self.of_rest.columns]
        self.size = columns.shape[1] if whole else len(last)
        self.examples = np.concatenate([columns.reshape(-1), last])

    def part(self, step: int) -> Part | None:
        """Return the part of a step's minibatch."""
        return self.of_whole if step < self.whole else self.of_rest


class InNumPyTogether(InNumPy):
    """Every minibatch by the layers' own passes, each process on its columns."""

    def __init__(
        self, processes: Any, trainer: Any, rows: Any, why: str, stream: Any = None
    ) -> None:
        super().__init__(trainer, rows, why)
        self.processes = processes

    def __str__(self) -> str:
        return f"{super().__str__()}; {self.processes.size} processes"

    def steps(self, order: np.ndarray, step: int) -> Iterator[int]:
        """Go through an epoch from a step on; yield how many are behind after each."""
        trainer = self.trainer
        trainer.learnt = Learnt(trainer.network.root, trainer.regularizer)
        schedule, epoch, all_steps = trainer.schedule, trainer.epoch, trainer.steps_per_epoch
        own = OwnOrder(self.processes, order, trainer.batch_size)
        for minibatch in self._minibatches(own, order, step):
            if schedule is not None:
                trainer.optimizer.eta = schedule(epoch + step / all_steps)
            self.descend_part(own.part(step), *minibatch)
            step += 1
            yield step

    def _minibatches(self, own: OwnOrder, order: np.ndarray, step: int) -> Iterator[Any]:
        """Yield this process's part of every minibatch, from a step on."""
        x, y, w = self.rows
        change = changer(self.trainer)
        if change is None:
            yield from minibatches(x, y, own.examples, step, own.size, w)
            return
        for whole in minibatches(x, y, order, step, self.trainer.batch_size, w):
            # What a transform draws is for all examples, of which some are here.
            part, changed = own.part(step), (change(whole[0], step), *whole[1:])
            yield changed if part is None else part.of(changed)
            step += 1

    def descend_part(self, part: Part | None, x: Any, y: Any, w: Any) -> None:
        """Take one step on one minibatch, of which a part is here."""
        trainer = self.trainer
        trainer.minibatch = y, w
        weights = w if part is None else part.weights(w, y)
        finite = self.go_through(x, y, weights, TRAINING.with_part(part))
        self.processes.join_nabla(trainer, finite)
        self.update()


def weights_of_part(part: Part | None, rows_y: Any, rows_w: Any) -> Any:
    """Return a weight of every example of the data, N x ..., as a part of a minibatch counts it."""
    if part is None:
        return rows_w
    if rows_w is not None:
        return each_array(lambda one: one * part.share, rows_w)
    return each_array(lambda one: np.full(len(one), part.share), rows_y)
