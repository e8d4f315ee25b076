"""Minibatches in a compiled program, in stretches between which Python sees to all else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from backprop.compiled import NotBuilt, NoTwin, Program
from backprop.compiled.prediction import prediction_for, refuse_complex
from backprop.compiled.runner import Runner
from backprop.core.shapes import as_tuple, each_array
from backprop.core.stored import Rows
from backprop.training.divergence import DivergenceError, diagnosis
from backprop.training.minibatches import minibatches
from backprop.training.prepared import Minibatch, bytes_of, signature, size_of
from backprop.training.steps import InNumPy, Learnt, changer
from backprop.training.stream import Ahead

SECONDS = 0.1  # of a stretch: between two, Ctrl-C, the progress bar and time limits are seen to
READ = 2**24  # bytes of examples that are read from the disk at a time
DRAWN = 2**23  # bytes of random numbers that are drawn ahead, at most
MOST_SIZES = 4  # of minibatches that are yielded, each of which takes a program


class _Next(NamedTuple):
    """What goes through some steps, and what it is given."""

    runner: Runner
    steps: int
    data: dict[str, np.ndarray]
    examples: np.ndarray  # which of the data, one after another
    targets: Callable[[int], Any]  # and weights, of the minibatch of a number


class Compiled:
    """A program for whole minibatches, and one for the last, smaller one of an epoch.

    Parameters
    ----------
    trainer : Trainer
    rows : tuple
        What `rows_of` made of examples, targets and weights.
    stream : Stream, optional
        Where minibatches come from instead: then the rows are those of its first.

    Raises
    ------
    NoTwin, NotBuilt
        If there can be none.
    """

    why = ""

    def __init__(self, trainer: Any, rows: tuple[Any, Any, Any], stream: Any = None) -> None:
        self.trainer, self.rows, self.stream = trainer, rows, stream
        for data in rows:
            refuse_complex(data)
        wanting = [callback for callback in trainer.callbacks if callback.wants_steps]
        if wanting:
            raise NoTwin(f"{wanting[0]} wants every step")
        x = rows[0]
        self._stored = any(isinstance(one, Rows) for one in as_tuple(x))
        self._in_blocks = self._stored or stream is not None or trainer.transform is not None
        self._data = {} if self._in_blocks else dict(arrays_of(trainer.network.dtype, *rows))
        self._parts: Any = None  # the minibatches to come, where blocks are made of them
        self._change: Any = None
        self._form: Any = None if stream is None else signature(stream.sample)
        self._runners: dict[int, Runner] = {}
        self._ahead = 1  # steps of the next stretch
        self._last: Any = None  # runner of the last minibatch, and what gives its y and w
        self._prediction: Any = None
        self._write()

    def __str__(self) -> str:
        return "compiled"

    def _sizes(self) -> list[int]:
        """Return how many examples minibatches have, as far as that is known before."""
        most, x = self.trainer.batch_size, self.rows[0]
        n = len(as_tuple(x)[0])
        if self.stream is not None:
            return [*self._runners] or [n]
        return [min(most, n), *[n % most] * bool(n > most and n % most)]

    def _write(self) -> None:
        """Write the programs, and build them unless they are as they were."""
        for size in self._sizes():
            self._write_for(size)

    def _write_for(self, size: int) -> None:
        """Write the program for minibatches of a size."""
        trainer, (x, y, w) = self.trainer, self.rows
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

    def steps(self, order: Any, step: int) -> Iterator[int]:
        """Go through an epoch from a step on; yield how many are behind after each stretch.

        Where the program cannot go on, the trainer's `path` is another afterwards.
        """
        trainer = self.trainer
        if order is not None:
            order = np.ascontiguousarray(order, np.int64)
        try:
            if trainer.callbacks:  # which may have changed the network
                self._write()
            self._begin(order, step)
            while trainer.path is self and self._is_there(step):
                step = self._stretch(order, step)
                yield step
        except (NoTwin, NotBuilt) as error:
            trainer.go_by(InNumPy(trainer, self.rows, str(error), self.stream))
        finally:
            self._show()
            self._parts = None

    def _begin(self, order: Any, step: int) -> None:
        """Have the minibatches at hand that blocks are made of, from a step on."""
        if not self._in_blocks:
            return
        trainer, (x, y, w) = self.trainer, self.rows
        self._change, self._parts = changer(trainer), self.stream
        if self.stream is None:
            parts = minibatches(x, y, order, step, trainer.batch_size, w, self._change is None)
            self._parts = Ahead(parts, step)
        else:
            self._parts.forget(step)

    def _is_there(self, step: int) -> bool:
        """Say whether the epoch has a minibatch of a number."""
        if self._parts is None:
            return step < self.trainer.steps_per_epoch  # type: ignore[no-any-return]
        return self._parts.at(step) is not None

    def _stretch(self, order: Any, step: int) -> int:
        """Take some steps, and return how many are behind in the epoch."""
        trainer = self.trainer
        network, optimizer = trainer.network, trainer.optimizer
        started = time.perf_counter()
        runner, count, data, examples, targets = self._next(order, step)
        program, etas = runner.program, self._etas(step, count)
        carried = optimizer.carried(network.theta)
        if carried.keys() != set(optimizer.accumulator_names):
            raise NoTwin(BY_ROOTS)
        vectors: dict[Any, np.ndarray] = {("accumulator", name): carried[name] for name in carried}
        vectors |= {"theta": network.theta, "nabla": network.nabla, "order": examples}
        runner.bind({**data, **vectors, **program.states(), **program.draws(count)})
        done, refused = runner.train(count, optimizer.t, etas)
        seconds = time.perf_counter() - started
        if done < count:  # the steps that were not taken have drawn nothing
            program.draw_no_more_than(done + 1)
        optimizer.t += done
        if trainer.schedule is not None:
            optimizer.eta = etas[min(done, count - 1)]
        behind = step + done
        self._last = runner, targets, behind - 1
        if done < count:  # the gradients of the next are there
            self._last = runner, targets, behind
        if refused:  # because their squares do not fit
            learnt = trainer.learnt = Learnt(network.root, trainer.regularizer)
            optimizer.advance(network.theta, network.nabla, learnt.weights, learnt.groups)
            trainer.go_by(InNumPy(trainer, self.rows, BY_ROOTS, self.stream))
            return behind + 1
        if done < count:
            trainer.under_way = (trainer.epoch, behind, trainer.seconds)
            self._show()
            raise DivergenceError(diagnosis(trainer))
        if self._parts is not None:
            self._parts.forget(behind)
            runner.let_go(data)
        if count == self._ahead or seconds > SECONDS:
            self._ahead = max(1, int(count * min(2.0, SECONDS / max(seconds, 1e-6))))
        return behind

    def _next(self, order: Any, step: int) -> _Next:
        """Return the next steps: those of an order, or of minibatches at hand."""
        if self._parts is None:
            size = self.trainer.batch_size
            whole = len(order) // size
            runner = self._runners[min(size, len(order) - step * size)]
            count = min(self._ahead, whole - step if step < whole else 1)
            count = min(count, runner.program.most_ahead(DRAWN))
            targets: Any = partial(self._targets, order, size)
            return _Next(runner, count, self._data, order[step * size :], targets)
        runner, taken = self._block(step)
        data = dict(block_of(self.trainer.network.dtype, taken))
        examples = np.arange(len(taken) * runner.program.batch_size, dtype=np.int64)
        targets = partial(_targets_in, [part[1:] for part in taken], step)
        return _Next(runner, len(taken), data, examples, targets)

    def _block(self, step: int) -> tuple[Runner, list[Minibatch]]:
        """Return the minibatches of the next steps, transformed, and what goes through them.

        They are of one size, and take no more memory than `READ` bytes.
        """
        form = signature(self._parts.at(step))
        if self._form is None:
            self._form = form
        elif form != self._form:
            raise NoTwin("minibatches have several shapes, or kinds of numbers")
        size = size_of(self._parts.at(step))
        if size not in self._runners:
            if len(self._runners) >= MOST_SIZES:
                raise NoTwin(f"minibatches have more than {MOST_SIZES} sizes")
            self._write_for(size)
        runner = self._runners[size]
        most, left = min(self._ahead, runner.program.most_ahead(DRAWN)), READ
        taken: list[Minibatch] = []
        while len(taken) < most and left > 0:
            part = self._parts.at(step + len(taken))
            if part is None or size_of(part) != size or signature(part) != form:
                break
            x, y, w = part
            taken.append((x if self._change is None else self._change(x, step + len(taken)), y, w))
            left -= bytes_of(part)
        return runner, taken

    def _etas(self, step: int, count: int) -> np.ndarray:
        """Return the learning rates of so many steps."""
        trainer = self.trainer
        if trainer.schedule is None:
            return np.full(count, float(trainer.optimizer.eta))
        return np.array([trainer.schedule(trainer.epochs_behind(step + k)) for k in range(count)])

    def _targets(self, order: np.ndarray, size: int, number: int) -> Any:
        """Return targets and weights of the minibatch of a number."""
        x, y, w = self.rows
        return next(minibatches(x, y, order, number, size, w))[1:]

    def _show(self) -> None:
        """Give the layers what the last minibatch left, and the trainer its targets."""
        if self._last is None:
            return
        (runner, targets, number), self._last = self._last, None
        runner.show()
        self.trainer.minibatch = targets(number)


BY_ROOTS = "squares of gradients do not fit into the dtype, so the optimizer goes by roots"


def _targets_in(targets: list[Any], first: int, number: int) -> Any:
    return targets[number - first]


def arrays_of(dtype: Any, x: Any, y: Any, w: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays that programs take examples from, by name."""
    for name, data in (("x", x), ("y", y), ("weights", w)):
        several = isinstance(data, tuple)
        for index, array in enumerate(data if several else (data,)):
            if array is not None:
                wanted = np.int32 if array.dtype.kind in "iu" else dtype
                yield f"{name}{index}" if several else name, np.ascontiguousarray(array, wanted)


def block_of(dtype: Any, taken: list[Minibatch]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield such arrays of minibatches, whose examples lie one after another in them."""
    for name, data in zip(("x", "y", "weights"), zip(*taken, strict=True), strict=True):
        several = isinstance(data[0], tuple)
        for index, parts in enumerate(zip(*data, strict=True) if several else [data]):
            if parts[0] is not None:
                wanted = np.int32 if parts[0].dtype.kind in "iu" else dtype
                rows = [np.moveaxis(part, -1, 0) for part in parts]
                block = rows[0]
                if len(rows) > 1:
                    block = np.empty((sum(map(len, rows)), *rows[0].shape[1:]), wanted)
                    np.concatenate(rows, out=block, casting="same_kind")
                block = np.ascontiguousarray(block, wanted)
                yield f"{name}{index}" if several else name, block
