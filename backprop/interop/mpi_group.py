"""Processes that MPI has started, and that live and die together."""

from __future__ import annotations

import atexit
import contextlib
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from backprop.core.extras import needs
from backprop.layers.parts import share_of

PATIENCE = 3.0
"""Seconds in which all processes must have failed, if they fail alike: else one ends them all."""

PAUSE = 0.01
"""Seconds between two looks at whether the others have come: whoever waits leaves the core free."""


def mpi() -> Any:
    """Return mpi4py's module.

    Raises
    ------
    ImportError
        If it is not installed, or finds no MPI; with what to install.
    """
    what = "training by several processes"
    try:
        with needs("mpi", what):
            from mpi4py import MPI
    except RuntimeError as error:  # mpi4py is there, and no library of an MPI
        raise ImportError(
            f"{what} needs an MPI, and mpi4py finds none ({error}): pip install 'backprop[mpi]' "
            "brings one for Linux"
        ) from error
    return MPI


class Group:
    """Processes that live and die together.

    If one fails, and the others do not fail as it did, it says why on stderr and ends them all.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, optional
        All that mpirun has started, unless told.
    report : callable of (BaseException) returning int, optional
        What writes why a process ends the others, and tells their exit status; unless told, what
        Python does with what nobody has caught.

    Attributes
    ----------
    comm : mpi4py.MPI.Intracomm
        A duplicate of its own, so that nothing meets the messages of others.
    rank, size : int
    """

    def __init__(self, comm: Any = None, report: Callable[[BaseException], int] | None = None):
        self._mpi = mpi()
        comm = self._mpi.COMM_WORLD if comm is None else comm
        if not isinstance(comm, self._mpi.Intracomm):
            raise TypeError(f"DataParallel: comm must be an mpi4py.MPI.Intracomm, got {comm!r}")
        self.comm, self._failing, self._meeting = comm.Dup(), comm.Dup(), comm.Dup()
        self.rank, self.size = self.comm.rank, self.comm.size
        self.report = report or as_uncaught
        self._hook = sys.excepthook
        if self.size > 1:
            sys.excepthook = self._uncaught
            atexit.register(self._leave)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within this, let what is raised in some processes alone end all of them."""
        try:
            yield
        except BaseException as error:
            self._end_unless_alike(error)
            raise

    def meet(self) -> None:
        """Wait for all processes.

        Raises
        ------
        RuntimeError
            If one comes to the end of its program instead.
        """
        here = self._who_is_here(True)
        if not here.all():
            raise RuntimeError(
                f"process {here.argmin()} of {self.size} ends without the `fit` that the others "
                "are in: every process must call it"
            )

    def _leave(self) -> None:
        """Wait for all at the end of the program, and tell those who are to begin a training."""
        if not self._mpi.Is_finalized():
            self._who_is_here(False)

    def _who_is_here(self, here: bool) -> np.ndarray:
        """Return, for every process, whether it is to begin a training, or at its end."""
        found = np.empty(self.size, bool)
        self._wait(self._meeting.Iallgather(np.array([here]), found))
        return found

    @staticmethod
    def _wait(request: Any, seconds: float = math.inf) -> bool:
        """Wait, asleep, and say whether what was asked for has come in time."""
        last = time.monotonic() + seconds
        while not request.Test():
            if time.monotonic() > last:
                return False
            time.sleep(PAUSE)
        return True

    def _end_unless_alike(self, error: BaseException) -> None:
        """End all processes, unless all fail within a few seconds: whatever comes between."""
        alike = False
        try:
            alike = self._wait(self._failing.Ibarrier(), PATIENCE)
        finally:
            if not alike:
                self._end_all(error)

    def _end_all(self, error: BaseException) -> None:
        """Say why, and end all processes."""
        status = 1
        try:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            status = self.report(error)
            if self.size > 1:
                ends = f"process {self.rank} of {self.size} has failed, and ends the others"
                print(f"backprop: {ends}", file=sys.stderr, flush=True)
        finally:
            self.comm.Abort(status)

    def first(self, action: Callable[[], Any]) -> Any:
        """Return what an action returns, which the first process does before all others do it.

        Where it fails there, it fails everywhere, and is not tried.
        """
        result, error = None, None
        if self.rank == 0:
            try:
                result = action()
            except (ValueError, OSError) as failed:
                error = failed
        kind_and_text = self.comm.bcast(error and (isinstance(error, OSError), str(error)))
        if error is not None:
            raise error
        if kind_and_text is not None:
            raise (OSError if kind_and_text[0] else ValueError)(kind_and_text[1])
        return result if self.rank == 0 else action()

    def join(self, array: np.ndarray, how: str = "sum") -> None:
        """Replace an array by the sum, "min" or "max" over all processes, in place."""
        op = {"sum": self._mpi.SUM, "min": self._mpi.MIN, "max": self._mpi.MAX}[how]
        self.comm.Allreduce(self._mpi.IN_PLACE, array, op)

    def gather(self, array: np.ndarray, n: int) -> np.ndarray:
        """Return n examples, of which each process has its share, along the last axis."""
        rows = np.ascontiguousarray(np.moveaxis(array, -1, 0))
        found = np.empty((n, *rows.shape[1:]), rows.dtype)
        width = math.prod(rows.shape[1:])  # of an example: there may be none here
        counts = [share_of(n, rank, self.size) for rank in range(self.size)]
        counts = [(one.stop - one.start) * width for one in counts]  # type: ignore[misc]
        self.comm.Allgatherv(rows, (found, counts))
        return np.moveaxis(found, 0, -1)

    def _uncaught(self, kind: Any, error: Any, trace: Any) -> None:
        """Treat an uncaught exception as `together` does; the first process prints it."""
        self._end_unless_alike(error)
        if self.rank == 0:
            self._hook(kind, error, trace)


def as_uncaught(error: BaseException) -> int:
    """Show an error as Python does where nobody has caught it, and return its exit status."""
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code or 1  # it ends others, who have not come to their end
    if isinstance(error, SystemExit) and error.code is not None:
        print(error.code, file=sys.stderr)
        return 1
    traceback.print_exception(type(error), error, error.__traceback__)
    return 130 if isinstance(error, KeyboardInterrupt) else 1
