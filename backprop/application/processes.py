"""Whether mpirun has started this process, and its place among the others."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from backprop.application.console import failure, tell, tell_error

_RANKS_AND_SIZES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
)
_LOCAL_SIZES = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE")


def launched() -> tuple[int, int]:
    """Return which process this is and of how many, as mpirun says: 0 of 1 without it."""
    for rank, size in _RANKS_AND_SIZES:
        found = os.environ.get(rank, ""), os.environ.get(size, "")
        if all(number.isdigit() for number in found):
            return int(found[0]), int(found[1])
    return 0, 1


def threads_of_launched() -> dict[str, str]:
    """Return the variables by which processes on one machine share its cores; {} if one is set.

    A thread that waits for another one's core would do so awake.
    """
    variables = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    if launched()[1] == 1 or any(name in os.environ for name in variables):
        return {}
    here = next((os.environ[name] for name in _LOCAL_SIZES if name in os.environ), "")
    processes = int(here) if here.isdigit() and int(here) else launched()[1]
    cores = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return {variables[0]: str(min(allowed, max(1, cores // processes)))}


def group_of_launched() -> Any:
    """Return the group of processes that mpirun has started; None if it is one alone.

    Raises
    ------
    ValueError
        If there are several, and mpi4py is not installed, or does not know of them.
    """
    rank, size = launched()
    if size == 1:
        return None
    from backprop.interop.mpi_group import Group

    if rank:
        warnings.simplefilter("ignore")  # the first process says it
    try:
        group = Group(report=tell_failure)
    except ImportError as error:
        raise ValueError(str(error)) from error
    if group.size != size:
        raise ValueError(
            f"mpirun has started {size} processes, and mpi4py sees {group.size}: the two are of "
            "different MPIs; start them by the mpirun that mpi4py belongs to"
        )
    return group


def tell_failure(error: BaseException) -> int:
    """Tell an error as the command of one process does, and return the exit status."""
    found = failure(error)
    if found is None:  # a fault of ours
        traceback.print_exception(type(error), error, error.__traceback__)
        return 1
    tell_error(found[0])
    return found[1]


def with_launched(run: Callable[[Any, Any], int], arguments: Any) -> int:
    """Run something with its arguments and the group of all processes, which fail together."""
    group = group_of_launched()
    if group is None:
        return run(arguments, None)
    with group.together():
        return run(arguments, group)


class OneOf:
    """A process among those of a run: the first one, or the only one, writes and speaks.

    Parameters
    ----------
    group : Group or None
    """

    def __init__(self, group: Any) -> None:
        self.group = group
        self.is_first = group is None or group.rank == 0

    def before_others(self, action: Callable[[], Any]) -> Any:
        """Return what an action returns, which the first process does before the others."""
        return action() if self.group is None else self.group.first(action)

    def if_first(self, action: Callable[[], Any]) -> Any:
        """Do something in the first process alone; where it fails, all fail."""
        return self.before_others(lambda: action() if self.is_first else None)

    def tell(self, text: str) -> None:
        """Print, in the first process."""
        if self.is_first:
            tell(text)
