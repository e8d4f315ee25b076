"""Data parallel training: several processes, started by MPI, take every step together.

::

    from backprop.interop.mpi import DataParallel

    trainer = Trainer(network, Adam(), batch_size=64, rng=0)
    DataParallel(trainer).fit(x, y, epochs=10)

Every process has the network, the trainer and all the data. Of every minibatch each takes some
columns, goes forward and back through them, and one Allreduce adds up nabla, the gradient of all
parameters; then each takes the step of the optimizer. So a training is that of one process, with
the same minibatches, but for rounding: dropout masks are columns of the same mask, and batch
normalisation adds up its sums over all processes.

Source: Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", 2020,
from which this differs in that a minibatch is not larger with more processes.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from backprop.core.shapes import count_examples, each_array
from backprop.core.stored import Stored, cut
from backprop.interop.mpi_group import Group
from backprop.interop.mpi_steps import path_of_all
from backprop.kernels import memory
from backprop.layers.parts import Part, share_of
from backprop.network.evaluation import in_batches
from backprop.training.data import is_watched
from backprop.training.divergence import DivergenceError, diagnosis
from backprop.training.processes import Alone
from backprop.training.stream import is_minibatches
from backprop.training.trainer import Trainer

NAMES = tuple(inspect.signature(Trainer.fit).parameters)[1:]
"""What `fit` is given, in order."""


class DataParallel(Alone):
    """Training by several processes, which `mpirun` has started: each runs the same program.

    From then on `trainer.fit`, which is also here, is that of all processes, and every one must
    call it, with the same arguments. Before it begins, all take over the state of the first one's
    trainer, so that it is enough to restore a checkpoint there; how many processes wrote it does
    not matter. Each goes through its columns of every minibatch, so that z, a and delta of the
    last one are, in each, those of its own examples, and nabla is that of all.

    Callbacks are called in every process, but `Checkpoint`, `SaveBest` and others that only write
    (`Callback.writes`) in the first one alone, which also shows the progress. A training in which
    one process fails, or is killed, ends in all.

    Parameters
    ----------
    trainer : Trainer
    comm : mpi4py.MPI.Intracomm, optional
        The processes; all that mpirun has started, unless told.

    Attributes
    ----------
    trainer : Trainer
    group : Group
    rank, size : int
        Which process this is, counted from 0, and of how many.

    Raises
    ------
    ImportError
        If mpi4py is not installed.
    TypeError, ValueError
        For what is no trainer or communicator; for a network with a layer whose examples meet, or
        that draws random numbers, and that does not heed which part of a minibatch it is given
        (`Layer.heeds_part`), or with a credit rule that learns. Later from `fit`, if processes were
        given different data or trainers.
    """

    def __init__(self, trainer: Trainer, comm: Any = None) -> None:
        if not isinstance(trainer, Trainer):
            raise TypeError(f"DataParallel: trainer must be a Trainer, got {trainer!r}")
        self.group = comm if isinstance(comm, Group) else Group(comm)
        self.rank, self.size = self.group.rank, self.group.size
        check_parts(trainer)
        self.trainer = trainer
        self._buffer = np.empty(0)
        self._stop = False
        trainer.processes = self

    def __repr__(self) -> str:
        return f"<DataParallel, process {self.rank} of {self.size}: {self.trainer!r}>"

    def fit(self, *arguments: Any, **named: Any) -> Any:
        """Train, as `Trainer.fit`, which says what it takes."""
        return self.trainer.fit(*arguments, **named)

    # -- what a trainer asks -----------------------------------------------------------------

    @contextmanager
    def fitting(self, trainer: Any, arguments: Any) -> Iterator[None]:
        """Let all begin alike, and fail together."""
        values, named = arguments
        given = {**dict(zip(NAMES, values, strict=False)), **named}
        with self.group.together():
            self.group.meet()
            check_parts(trainer)
            _refuse_minibatches(trainer.network, given)
            self._check_alike(trainer, given)
            self._begin_as_first(trainer)
            self._stop = False
            yield

    def calls(self, callback: Any) -> bool:
        return self.rank == 0 or not callback.writes

    def agree(self, trainer: Any) -> None:
        """Let all know whether one was asked to stop; and see that all have one network."""
        asked = trainer.interrupted, trainer.stopping, float(trainer.optimizer.eta)
        found = self.group.comm.allgather((*asked, _digest(trainer.network.state())))
        for rank, (*_, eta, digest) in enumerate(found):
            if (eta, digest) != found[0][2:]:
                what = "network" if digest != found[0][3] else "eta"
                raise RuntimeError(
                    f"DataParallel: process {rank} has another {what} than process 0 after epoch "
                    f"{trainer.epoch}: a callback must do the same in all processes"
                )
        trainer.interrupted = any(one[0] for one in found)
        trainer.stopping = next((one[1] for one in found if one[1]), "")
        self._stop = trainer.interrupted or bool(trainer.stopping)

    def asked_to_stop(self, trainer: Any) -> bool:
        """Say whether all know that one was asked; callbacks of every step tell at once."""
        if any(callback.wants_steps for callback in trainer.callbacks):
            self._share_stop(trainer)
        return self._stop

    def path_for(self, trainer: Any, rows: Any, stream: Any = None) -> Any:  # type: ignore[override]
        """Return how all go through the minibatches: all compiled, or all in NumPy."""
        return path_of_all(self, trainer, rows)

    def in_batches(  # type: ignore[override]
        self, compute: Any, arrays: tuple, batch_size: int, threads: bool
    ) -> list[Any]:
        """Do what `in_batches` of evaluation does, each process for its share of the examples."""
        n = count_examples(arrays[0])
        mine = share_of(n, self.rank, self.size)
        some = mine if mine.stop > mine.start else slice(0, 1)
        own_part = tuple(cut(array, some) for array in arrays)
        found = in_batches(compute, own_part, batch_size, threads)
        own = slice(mine.stop - mine.start)
        return [
            each_array(lambda one: self.group.gather(one[..., own], n), array) for array in found
        ]

    # -- a step ------------------------------------------------------------------------------

    def part(self, batch: int) -> Part | None:
        """Return this process's part of a minibatch; None if there is one process."""
        return Part(batch, self.rank, self.size, self.group.join) if self.size > 1 else None

    def hold_nabla(self, network: Any) -> None:
        """Move nabla to memory with room for two more numbers, which are sent along with it."""
        root, n = network.root, network.n_parameters
        if self._buffer.size != n + 2 or root.nabla.ctypes.data != self._buffer.ctypes.data:
            self._buffer = memory.aligned(n + 2, network.dtype)
            self._buffer[:n] = root.nabla
            root.bind(root.theta, self._buffer[:n])

    def join_nabla(self, trainer: Any, finite: bool) -> None:
        """Add up nabla over all processes: the one Allreduce of a step.

        Raises
        ------
        DivergenceError
            In all processes, if C is no number in one.
        """
        asked = trainer.interrupted or bool(trainer.stopping)
        self._buffer[-2:] = not finite, asked
        if self.size > 1:
            self.group.join(self._buffer)
        if self._buffer[-2]:
            texts = self.group.comm.allgather("" if finite else diagnosis(trainer))
            raise DivergenceError(next(filter(None, texts)))
        if self._buffer[-1]:
            self._share_stop(trainer)

    def _share_stop(self, trainer: Any) -> None:
        found = self.group.comm.allgather((trainer.interrupted, trainer.stopping))
        trainer.interrupted = any(interrupted for interrupted, _ in found)
        trainer.stopping = next((reason for _, reason in found if reason), "")
        self._stop = trainer.interrupted or bool(trainer.stopping)

    # -- the beginning -----------------------------------------------------------------------

    def _check_alike(self, trainer: Any, given: dict[str, Any]) -> None:
        """Raise a ValueError in all processes if one was given something else."""
        kinds = [type(callback).__name__ for callback in trainer.callbacks]
        alike = {"network": trainer.network.config(), **trainer.settings, "callbacks": kinds}
        now = ("batch_size", "shuffle", "compiled", "monitor_training")
        alike |= {name: getattr(trainer, name) for name in now}
        alike |= {name: given.get(name) for name in NAMES if name != "progress"}
        everybody = self.group.comm.allgather({name: _digest(one) for name, one in alike.items()})
        for rank, digests in enumerate(everybody):
            for what, digest in digests.items():
                if digest != everybody[0][what]:
                    words = self.group.comm.allgather(_in_words(alike[what]))
                    whole = ", and all of it" if what in ("x", "y", "sample_weight") else ""
                    raise ValueError(
                        f"DataParallel: process {rank} has another {what}{words[rank]} than "
                        f"process 0{words[0]}; every process is given the same{whole}"
                    )

    def _begin_as_first(self, trainer: Any) -> None:
        """Take over the state of the first process's trainer."""
        if self.size == 1:
            return
        mine = None
        if self.rank == 0:
            mine = trainer.state(), trainer.restored
        state, restored = self.group.comm.bcast(mine)
        if self.rank:
            trainer.set_state(state)
            trainer.restored = restored


def check_parts(trainer: Any) -> None:
    """Raise a ValueError if a network cannot be trained on parts of minibatches."""
    network = trainer.network
    for name, layer in network.walk():
        if layer.children or layer.heeds_part:
            continue
        why = ""
        if not layer.independent_examples:
            why = "its examples, or minibatches, are not independent"
        elif layer.rng is not None:
            why = "it draws random numbers"
        if why:
            raise ValueError(
                f"DataParallel: layer {name}, {layer}, cannot be given a part of a minibatch: "
                f"{why}; a class of your own that heeds mode.part says heeds_part = True (see "
                "backprop.layers.parts)"
            )
    rule = network.credit
    if rule is not None and (rule.draws or _advances(rule)):
        raise ValueError(
            f"DataParallel: the credit rule {rule} changes by what a process sees of a minibatch, "
            "and would be another in each: choose one whose arrays are fixed"
        )


def _refuse_minibatches(network: Any, given: dict[str, Any]) -> None:
    """Raise a ValueError if `fit` is given minibatches, which processes could not tell apart."""
    validation = given.get("validation")
    watched = validation is not None and is_watched(network, validation)
    if watched or (given.get("y") is None and is_minibatches(given.get("x"))):
        raise ValueError(
            "DataParallel: every process takes its part of every minibatch, of arrays that all "
            "have: give fit(x, y), which may be mapped from a file, and not minibatches from an "
            "iterable or a function"
        )


def _advances(rule: Any) -> bool:
    """Say whether a credit rule changes its arrays: whether its class writes `advance`."""
    wrote = next(kind for kind in type(rule).__mro__ if "advance" in vars(kind))
    return wrote.__name__ != "CreditRule"


def _in_words(value: Any) -> str:
    """Return what tells apart what processes were given, in brackets; "" if words do not."""
    if isinstance(value, (np.ndarray, Stored)):
        finite = isinstance(value, Stored) or value.dtype.kind != "f" or np.isfinite(value).all()
        return f" ({value.dtype} of shape {value.shape}{'' if finite else ', not all finite'})"
    if isinstance(value, (int, float, str)):
        return f" ({value!r:.40})"
    if isinstance(value, dict) and "class" in value:
        return f" ({', '.join(f'{name} {one}' for name, one in value.items()):.80})"
    return "".join(map(_in_words, value)) if isinstance(value, (tuple, list)) else ""


def _digest(value: Any) -> str:
    """Return what tells values apart; of large arrays, their sum and examples here and there."""
    found = hashlib.blake2b(digest_size=16)
    _feed(found, value)
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, Stored):
        _feed(found, [value.rows.scale, value.shape])
        value = np.moveaxis(value.rows.stored, 0, -1)
    if isinstance(value, np.ndarray):
        found.update(f"{value.shape} {value.dtype}".encode())
        n = value.shape[-1] if value.ndim else 1
        if value.nbytes > 2**24 and n > 64:
            in_memory = not isinstance(value, np.memmap)
            if in_memory and value.dtype.kind in "biuf" and value.itemsize <= 8:
                bits = value.view(f"u{value.itemsize}")  # they add up to the same in any order
                found.update(str(bits.sum(dtype=np.uint64)).encode())
            value = value[..., np.linspace(0, n - 1, 64).astype(int)]
        found.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        _feed(found, sorted(value.items(), key=str))
    elif isinstance(value, (list, tuple)):
        found.update(f"{len(value)}".encode())
        for one in value:
            _feed(found, one)
    else:
        found.update(repr(value).encode())
