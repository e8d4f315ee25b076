"""Minibatches in a compiled program, in stretches between which Python sees to all else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from backprop.compiled import NotBuilt, NoTwin, Program
from backprop.compiled.prediction import prediction_for, refuse_complex
from backprop.compiled.runner import Runner
from backprop.core.shapes import each_array
from backprop.core.stored import Rows
from backprop.training.divergence import DivergenceError, diagnosis
from backprop.training.minibatches import minibatches
from backprop.training.steps import InNumPy, Learnt

SECONDS = 0.1  # of a stretch: between two, Ctrl-C, the progress bar and time limits are seen to
READ = 2**24  # bytes of examples that are read from the disk at a time
DRAWN = 2**23  # bytes of random numbers that are drawn ahead, at most


class Compiled:
    """A program for whole minibatches, and one for the last, smaller one of an epoch.

    Parameters
    ----------
    trainer : Trainer
    rows : tuple
        What `rows_of` made of examples, targets and weights.

    Raises
    ------
    NoTwin, NotBuilt
        If there can be none.
    """

    why = ""

    def __init__(self, trainer: Any, rows: tuple[Any, Any, Any]) -> None:
        self.trainer, self.rows = trainer, rows
        for data in rows:
            refuse_complex(data)
        wanting = [callback for callback in trainer.callbacks if callback.wants_steps]
        if wanting:
            raise NoTwin(f"{wanting[0]} wants every step")
        x = rows[0]
        self._stored = any(isinstance(one, Rows) for one in (x if isinstance(x, tuple) else (x,)))
        self._data = {} if self._stored else dict(arrays_of(trainer.network.dtype, *rows))
        self._runners: dict[int, Runner] = {}
        self._ahead = 1  # steps of the next stretch
        self._last: Any = None  # runner, order, step and size of the last minibatch
        self._prediction: Any = None
        self._write()

    def __str__(self) -> str:
        return "compiled"

    def _write(self) -> None:
        """Write the programs, and build them unless they are as they were."""
        trainer, (x, y, w) = self.trainer, self.rows
        most, n = trainer.batch_size, len(x[0] if isinstance(x, tuple) else x)
        for size in [min(most, n), *[n % most] * bool(n > most and n % most)]:
            program = Program(
                trainer.network,
                size,
                trainer.optimizer,
                trainer.regularizer,
                trainer.clip_norm,
                trainer.clip_value,
                labels=each_array(lambda one: one.dtype.kind in "iu", y),
                weights=0 if w is None else each_array(lambda one: one.ndim, w),
                input_shape=each_array(lambda one: one.shape[1:], x),
            )
            before = self._runners.get(size)
            if before is None or before.program.source != program.source:
                self._runners[size] = Runner(program)
            else:
                before.program = program

    def prediction(self) -> Any:
        """Return what computes the outputs of many examples, for the record of an epoch."""
        trainer, x = self.trainer, self.rows[0]
        if self._prediction is None or trainer.callbacks:  # which may have changed the network
            shape = each_array(lambda one: one.shape[1:], x)
            self._prediction = prediction_for(trainer.network, x, shape, must=False)
        return self._prediction

    # -- the minibatches ---------------------------------------------------------------------

    def steps(self, order: np.ndarray, step: int) -> Iterator[int]:
        """Go through an epoch from a step on; yield how many are behind after each stretch.

        Where the program cannot go on, the trainer's `path` is another afterwards.
        """
        trainer = self.trainer
        order = np.ascontiguousarray(order, np.int64)
        try:
            if trainer.callbacks:  # which may have changed the network
                self._write()
            while step < trainer.steps_per_epoch and trainer.path is self:
                step = self._stretch(order, step)
                yield step
        except (NoTwin, NotBuilt) as error:
            trainer.go_by(InNumPy(trainer, self.rows, str(error)))
        finally:
            self._show()

    def _stretch(self, order: np.ndarray, step: int) -> int:
        """Take some steps, and return how many are behind in the epoch."""
        trainer = self.trainer
        network, optimizer, size = trainer.network, trainer.optimizer, trainer.batch_size
        whole = len(order) // size
        runner = self._runners[min(size, len(order) - step * size)]
        program = runner.program
        count = min(self._ahead, whole - step if step < whole else 1, program.most_ahead(DRAWN))
        data, ahead = self._data, order[step * size :]
        if self._stored:  # as many examples as fit are read
            count = min(count, self._most_read(size))
            ahead = ahead[: count * size]
            taken = (each_array(lambda one: one.take(ahead, 0), one) if one is not None else None
                     for one in self.rows)  # fmt: skip
            data = dict(arrays_of(network.dtype, *taken))
            ahead = np.arange(len(ahead), dtype=np.int64)
        etas = self._etas(step, count)
        carried = optimizer.carried(network.theta)
        if carried.keys() != set(optimizer.accumulator_names):
            raise NoTwin(BY_ROOTS)
        vectors: dict[Any, np.ndarray] = {("accumulator", name): carried[name] for name in carried}
        vectors |= {"theta": network.theta, "nabla": network.nabla, "order": ahead}
        runner.bind({**data, **vectors, **program.states(), **program.draws(count)})
        started = time.perf_counter()
        done, refused = runner.train(count, optimizer.t, etas)
        seconds = time.perf_counter() - started
        if done < count:  # the steps that were not taken have drawn nothing
            program.draw_no_more_than(done + 1)
        optimizer.t += done
        if trainer.schedule is not None:
            optimizer.eta = etas[min(done, count - 1)]
        self._last = runner, order, step + done, size
        if refused:  # gradients are there, and their squares do not fit
            learnt = trainer.learnt = Learnt(network.root, trainer.regularizer)
            optimizer.advance(network.theta, network.nabla, learnt.weights, learnt.groups)
            self._last = runner, order, step + done + 1, size
            trainer.go_by(InNumPy(trainer, self.rows, BY_ROOTS))
            return step + done + 1
        if done < count:
            self._last = runner, order, step + done + 1, size
            trainer.under_way = (trainer.epoch, step + done, trainer.seconds)
            self._show()
            raise DivergenceError(diagnosis(trainer))
        if count == self._ahead or seconds > SECONDS:
            self._ahead = max(1, int(count * min(2.0, SECONDS / max(seconds, 1e-6))))
        return step + done

    def _most_read(self, size: int) -> int:
        """Return how many minibatches of stored examples are read at a time."""
        x = self.rows[0]
        each = sum(one.nbytes // len(one) for one in (x if isinstance(x, tuple) else (x,)))
        return int(max(1, READ // max(1, size * each)))

    def _etas(self, step: int, count: int) -> np.ndarray:
        """Return the learning rates of so many steps."""
        trainer = self.trainer
        if trainer.schedule is None:
            return np.full(count, float(trainer.optimizer.eta))
        epoch, steps = trainer.epoch, trainer.steps_per_epoch
        return np.array([trainer.schedule(epoch + (step + k) / steps) for k in range(count)])

    def _show(self) -> None:
        """Give the layers what the last minibatch left, and the trainer its targets."""
        if self._last is None:
            return
        (runner, order, step, size), self._last = self._last, None
        runner.show()
        trainer, (x, y, w) = self.trainer, self.rows
        _, *trainer.minibatch = next(minibatches(x, y, order, step - 1, size, w))


BY_ROOTS = "squares of gradients do not fit into the dtype, so the optimizer goes by roots"


def arrays_of(dtype: Any, x: Any, y: Any, w: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays that programs take examples from, by name."""
    for name, data in (("x", x), ("y", y), ("weights", w)):
        several = isinstance(data, tuple)
        for index, array in enumerate(data if several else (data,)):
            if array is not None:
                wanted = np.int32 if array.dtype.kind in "iu" else dtype
                yield f"{name}{index}" if several else name, np.ascontiguousarray(array, wanted)
