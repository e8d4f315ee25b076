"""What runs a program on a network's own arrays."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from backprop.compiled import builder
from backprop.compiled.program import Program
from backprop.compiled.writer import Buffer
from backprop.core.shapes import each_array
from backprop.kernels import memory

_C = ctypes
_JOINING = _C.CFUNCTYPE(None, _C.c_void_p, _C.c_int64, _C.c_int64)


def threads() -> int:
    """Return how many threads share the large pieces of work: as many as cores, or as BLAS has."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        told = os.environ.get(variable, "")
        if told.isdigit() and int(told):
            return min(cores, int(told))
    return cores


class Runner:
    """A program that is built, with an arena for its arrays.

    Raises
    ------
    NotBuilt
        If the program cannot be built.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        double = program.dtype == np.float64
        self.run = builder.load(program.source, program.headers, double)
        self.run.restype = _C.c_int64
        self.arena = memory.aligned(program.arena_size, program.dtype)
        self._memory = (_C.c_void_p * len(program.keys))()
        self._held: dict[Any, Any] = {}
        self._failed: BaseException | None = None
        if "join" in program.keys:
            self._joining = _JOINING(self._join)  # kept alive
            place = program.keys.index("join")
            self._memory[place] = _C.cast(self._joining, _C.c_void_p).value

    def bind(self, arrays: Mapping[Any, np.ndarray]) -> None:
        """Say where arrays are, by their keys; all must be in C order, and are kept alive."""
        for index, key in enumerate(self.program.keys):
            array = self.arena if key == "arena" else arrays.get(key)
            if array is not None and array is not self._held.get(key):
                if not array.flags.c_contiguous:
                    raise ValueError(f"{key} is not in C order")
                self._held[key] = array
                self._memory[index] = array.ctypes.data

    def let_go(self, keys: Iterable[Any]) -> None:
        """Keep arrays no longer alive, which must be bound again before they are used."""
        for key in keys:
            self._held.pop(key, None)

    def train(self, steps: int, t: int, etas: np.ndarray) -> tuple[int, bool]:
        """Take so many steps, after t of the optimizer's.

        Returns
        -------
        done : int
            Fewer than asked for where the next meets NaN or infinity, or
        refused : bool
            where its gradients are there, and the update is not for the program to make.
        """
        found = self.run(
            _C.c_int64(threads()),
            _C.c_int64(steps),
            _C.c_int64(t),
            etas.ctypes.data_as(_C.c_void_p),
            self._memory,
        )
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        return (found, False) if found >= 0 else (-found - 1, True)

    def _join(self, address: int, count: int, largest: int) -> None:
        """Add up numbers over all processes, in place, or find the largest of each, for C."""
        try:
            if self._failed is not None:
                return
            numbers = np.ctypeslib.as_array((_C.c_double * count).from_address(address))
            self.program.writer.part.join(numbers, "max" if largest else "sum")
        except BaseException as error:  # nothing can be raised through C
            self._failed = error

    def predict(self, n: int) -> None:
        """Fill the outputs of n examples."""
        self.run(_C.c_int64(threads()), _C.c_int64(n), self._memory)

    def array(self, buffer: Buffer) -> np.ndarray:
        """Return what a buffer holds now: a view of the arena."""
        place, planned = self.program.writer.places[buffer.name]
        kind = {"real": self.program.dtype, "int32_t": np.int32, "uint8_t": np.uint8}[planned.kind]
        found = self.arena[place:].view(kind)[buffer.start : buffer.start + buffer.size]
        axes = buffer.axes or tuple(range(len(buffer.shape)))
        if buffer.rows:
            axes = (axes[-1], *axes[:-1])
        lying = found.reshape([buffer.shape[axis] for axis in axes])
        return lying.transpose(np.argsort(axes))  # type: ignore[no-any-return]

    def _copy(self, found: Any) -> Any:
        return self.array(found).copy() if isinstance(found, Buffer) else found

    def show(self) -> None:
        """Give every layer what it has of the last step, z, a and delta say, as copies."""
        writer, network = self.program.writer, self.program.network
        for layer in (network.root, *(layer for _, layer in network.walk())):
            for name, found in writer.kept.get(id(layer), {}).items():
                if hasattr(layer, name):
                    setattr(layer, name, each_array(self._copy, found))
            mask = writer.masks.get(id(layer))
            layer.real_steps = None if mask is None else self.array(mask).astype(bool)
