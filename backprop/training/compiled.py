"""Minibatches in a compiled program, in stretches between which Python sees to all else."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from backprop.compiled import NoTwin, Program
from backprop.compiled.builder import NotBuilt
from backprop.compiled.runner import Runner
from backprop.core.shapes import each_array
from backprop.training.divergence import DivergenceError
from backprop.training.minibatches import minibatches
from backprop.training.steps import InNumPy

SECONDS = 0.1  # of a stretch: between two, Ctrl-C, the progress bar and time limits are seen to
DRAWN = 2**23  # bytes of random numbers that are drawn ahead, at most

# What a step in NumPy is taken to need, for whether building a program is worth while: it must
# depend on nothing that is measured, so that a training is repeated to the bit.
SECONDS_OF_A_STEP = 60e-6
PRODUCTS_A_SECOND = 2e10
WORTH_WHILE = 0.1  # seconds an epoch


def path_for(trainer: Any, rows: tuple[Any, Any, Any]) -> Any:
    """Return how the minibatches of a `fit` are gone through: compiled where it can be.

    Raises
    ------
    NoTwin, NotBuilt
        If ``trainer.compiled`` is True, and it cannot be.
    """
    if trainer.compiled is False:
        return InNumPy(trainer, rows, "compiled=False")
    if trainer.compiled is None:
        if not worth_while(trainer, rows[0]):
            return InNumPy(trainer, rows, "an epoch is too short to build a program for")
    try:
        return Compiled(trainer, rows)
    except (NoTwin, NotBuilt) as error:
        if trainer.compiled:
            raise
        return InNumPy(trainer, rows, str(error))


def worth_while(trainer: Any, x: Any) -> bool:
    """Say whether an epoch in NumPy is long, by what is known of the sizes alone."""
    root, n = trainer.network.root, trainer.n_examples
    products = n * products_of(root, trainer.network.input_shape)
    seconds = trainer.steps_per_epoch * SECONDS_OF_A_STEP + 3 * products / PRODUCTS_A_SECOND
    return bool(seconds >= WORTH_WHILE)


def products_of(root: Any, input_shape: Any) -> int:
    """Return about how many products an example takes: parameters, times the places they meet."""
    places = 1
    if isinstance(input_shape, tuple) and all(isinstance(n, int) for n in input_shape):
        places = math.prod(input_shape[1:])
    return int(root.n_parameters * max(1, places // 4))


class Compiled:
    """A program for whole minibatches, and one for the last, smaller one.

    Raises
    ------
    NoTwin, NotBuilt
        If there can be none.
    """

    def __init__(self, trainer: Any, rows: tuple[Any, Any, Any]) -> None:
        self.trainer, self.rows = trainer, rows
        wanting = [callback for callback in trainer.callbacks if callback.wants_steps]
        if wanting:
            raise NoTwin(f"{wanting[0]} wants every step")
        self._arrays = self._data(*rows)
        self._runners: dict[int, Runner] = {}
        self._sources: dict[int, str] = {}
        size, n = trainer.batch_size, trainer.n_examples
        self.sizes = [min(size, n), *[n % size] * bool(n > size and n % size)]
        self.refresh()
        self._ahead = 1  # steps of the next stretch

    def __str__(self) -> str:
        return "compiled"

    def refresh(self) -> None:
        """Write the programs anew, and build them if something has changed since."""
        trainer = self.trainer
        x, y, w = self.rows
        for size in self.sizes:
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
            if self._sources.get(size) != program.source:
                self._runners[size] = Runner(program)
                self._sources[size] = program.source
            self._runners[size].program = program

    def _data(self, x: Any, y: Any, w: Any) -> dict[Any, np.ndarray]:
        """Return the arrays that programs take examples from."""
        found: dict[Any, np.ndarray] = {}
        kind = self.trainer.network.dtype
        for name, data in (("x", x), ("y", y), ("weights", w)):
            several = data if isinstance(data, tuple) else (data,)
            for index, array in enumerate(several):
                if array is None:
                    continue
                wanted = np.int32 if array.dtype.kind in "iu" else kind
                key = name if not isinstance(data, tuple) else f"{name}{index}"
                found[key] = np.ascontiguousarray(array, dtype=wanted)
        return found

    def steps(self, order: np.ndarray, step: int) -> Iterator[int]:
        """Go through an epoch from a step on; yield how many are behind after each stretch."""
        trainer = self.trainer
        optimizer, network = trainer.optimizer, trainer.network
        schedule, epoch, all_steps = trainer.schedule, trainer.epoch, trainer.steps_per_epoch
        if trainer.callbacks:
            try:
                self.refresh()
            except (NoTwin, NotBuilt) as error:
                trainer.path = InNumPy(trainer, self.rows, str(error))
                return
        order = np.ascontiguousarray(order, np.int64)
        size, n = trainer.batch_size, len(order)
        whole = n // size
        try:
            while step < all_steps:
                runner = self._runners[min(size, n - step * size)]
                most = whole - step if step < whole else 1
                program = runner.program
                drawn = sum(draw.size for draw in program.writer.draws)
                if drawn:
                    most = min(most, max(1, DRAWN // (drawn * network.dtype.itemsize)))
                count = min(self._ahead, most)
                etas = np.full(count, float(optimizer.eta))
                if schedule is not None:
                    etas = np.array([schedule(epoch + (step + k) / all_steps) for k in range(count)])
                carried = optimizer.carried(network.theta)
                if carried.keys() != set(optimizer.accumulator_names):
                    trainer.path = InNumPy(trainer, self.rows, _BY_ROOTS)
                    return
                runner.bind(
                    {
                        **self._arrays,
                        "theta": network.theta,
                        "nabla": network.nabla,
                        "order": order[step * size :],
                        **{("accumulator", name): array for name, array in carried.items()},
                        **_states(program),
                        **_draws(program, count),
                    }
                )
                started = time.perf_counter()
                done = runner.train(count, optimizer.t, etas)
                seconds = time.perf_counter() - started
                by_numpy, done = done < 0, done if done >= 0 else -done - 1
                optimizer.t += done
                step += done
                if schedule is not None and done:
                    optimizer.eta = etas[done - 1]
                self._last = runner, order, step
                if by_numpy:
                    optimizer.eta = etas[done]
                    learnt = trainer.learnt
                    optimizer.advance(network.theta, network.nabla, learnt.weights, learnt.groups)
                    step += 1
                    trainer.path = InNumPy(trainer, self.rows, _BY_ROOTS)
                    yield step
                    return
                if done < count:
                    self._last = runner, order, step + 1
                    if schedule is not None:
                        optimizer.eta = etas[done]
                    trainer.under_way = (epoch, step, trainer.under_way[2])
                    self.show()
                    raise DivergenceError(trainer.diagnosis())
                if count == self._ahead or seconds > SECONDS:
                    factor = SECONDS / max(seconds, 1e-6)
                    self._ahead = max(1, int(count * min(2.0, factor)))
                yield step
        finally:
            self.show()

    def show(self) -> None:
        """Give the layers what the last minibatch left: z, a and delta, and the trainer its y."""
        if not hasattr(self, "_last"):
            return
        runner, order, step = self._last
        del self._last
        runner.show()
        trainer, (x, y, w) = self.trainer, self.rows
        part = next(minibatches(x, y, order, step - 1, trainer.batch_size, w))
        trainer.minibatch = part[1:]


_BY_ROOTS = "squares of gradients do not fit into the dtype, and the optimizer goes by roots"


def _states(program: Program) -> dict[Any, np.ndarray]:
    """Return the arrays that training moves besides theta, of the layers that have some."""
    found = {}
    for pointer in program.writer.pointers:
        if isinstance(pointer.key, tuple) and pointer.key[0] == "state":
            _, layer, name = pointer.key
            found[pointer.key] = getattr(layer, name)
    return found


def _draws(program: Program, count: int) -> dict[Any, np.ndarray]:
    """Draw what the layers need for so many steps, step by step, as they would themselves."""
    draws = program.writer.draws
    found = [np.empty((count, draw.size), program.dtype) for draw in draws]
    for k in range(count):
        for array, draw in zip(found, draws, strict=True):
            array[k] = draw.draw().reshape(-1)
    return {draw.pointer.key: array for draw, array in zip(draws, found, strict=True)}
