"""Minibatches of several processes in compiled programs: gradients, Allreduce, update."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from backprop.compiled import NotBuilt, NoTwin, Program
from backprop.compiled.runner import Runner
from backprop.compiled.update import Update
from backprop.core.shapes import each_array
from backprop.interop.mpi_steps import InNumPyTogether, OwnOrder, weights_of_part
from backprop.training.compiled import BY_ROOTS, Compiled, arrays_of
from backprop.training.steps import Learnt


class CompiledTogether(Compiled):
    """A program for the gradients of this process's part, and one for the update.

    Between them is the Allreduce of nabla; those of batch normalisation are within the first one.

    Raises
    ------
    NoTwin
        In all processes, if there can be none in one.
    """

    def __init__(self, processes: Any, trainer: Any, rows: Any) -> None:
        self.processes = processes
        super().__init__(trainer, rows)

    def __str__(self) -> str:
        return f"compiled: {self.processes.size} processes"

    def _write(self) -> None:
        why = ""
        try:
            self._write_own()
        except (NoTwin, NotBuilt) as error:
            why = str(error)
        why = next(filter(None, self.processes.group.comm.allgather(why)), "")
        if why:
            raise NoTwin(why)

    def _write_own(self) -> None:
        """Write and build the programs of this process's parts."""
        trainer, (x, y, w) = self.trainer, self.rows
        if self._in_blocks:
            raise NoTwin("minibatches that are read, or changed, on the way are made by NumPy")
        for batch in self._sizes():
            part = self.processes.part(batch)
            weights = weights_of_part(part, y, w)
            program = Program(
                trainer.network,
                batch if part is None else part.size,
                trainer.optimizer,
                labels=each_array(lambda one: one.dtype.kind in "iu", y),
                weights=0 if weights is None else each_array(lambda one: one.ndim, weights),
                input_shape=each_array(lambda one: one.shape[1:], x),
                part=part,
                only_gradients=True,
            )
            before = self._runners.get(batch)
            if before is not None and before.program.source == program.source:
                before.program = program
                continue
            runner = self._runners[batch] = Runner(program)
            runner.bind(dict(arrays_of(trainer.network.dtype, None, None, weights)))
        update = Update(
            trainer.network,
            trainer.optimizer,
            trainer.regularizer,
            trainer.clip_norm,
            trainer.clip_value,
        )
        before = getattr(self, "_update", None)
        if before is None or before.program.source != update.source:
            self._update = Runner(update)
        else:
            before.program = update

    def steps(self, order: np.ndarray, step: int) -> Iterator[int]:
        trainer = self.trainer
        own = OwnOrder(self.processes, np.ascontiguousarray(order, np.int64), trainer.batch_size)
        try:
            if trainer.callbacks:  # which may have changed the network
                self._write()
            while step < trainer.steps_per_epoch and trainer.path is self:
                self._step(own, step)
                step += 1
                yield step
        except (NoTwin, NotBuilt) as error:
            trainer.go_by(InNumPyTogether(self.processes, trainer, self.rows, str(error)))
        finally:
            self._show()

    def _step(self, own: OwnOrder, step: int) -> None:
        """Take one step: gradients of the part, Allreduce, update."""
        trainer = self.trainer
        network, optimizer = trainer.network, trainer.optimizer
        batch = min(trainer.batch_size, trainer.n_examples - step * trainer.batch_size)
        runner = self._runners[batch]
        carried = optimizer.carried(network.theta)
        if carried.keys() != set(optimizer.accumulator_names):
            raise NoTwin(BY_ROOTS)
        etas = self._etas(step, 1)
        vectors = {"theta": network.theta, "nabla": network.nabla}
        program = runner.program
        examples = {"order": own.examples[step * own.size :]}
        data = {name: one for name, one in self._data.items() if not name.startswith("weights")}
        runner.bind({**data, **vectors, **examples, **program.states(), **program.draws(1)})
        done, _ = runner.train(1, optimizer.t, etas)
        self._last = runner, partial(self._targets, own.examples, own.size), step
        if not done:
            self._show()
        self.processes.join_nabla(trainer, bool(done))
        if trainer.schedule is not None:
            optimizer.eta = etas[0]
        vectors |= {("accumulator", name): carried[name] for name in carried}  # type: ignore[misc]
        self._update.bind({**vectors, "order": own.examples})
        _, refused = self._update.train(1, optimizer.t, etas)
        if not refused:
            optimizer.t += 1
            return
        learnt = trainer.learnt = Learnt(network.root, trainer.regularizer)
        optimizer.advance(network.theta, network.nabla, learnt.weights, learnt.groups)
        trainer.go_by(InNumPyTogether(self.processes, trainer, self.rows, BY_ROOTS))
