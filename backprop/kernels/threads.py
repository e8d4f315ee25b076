"""Work on several cores for the layers whose time is not in BLAS: convolution and pooling.

NumPy's ufuncs run on one core, and so does the making of a patch matrix; but all of them release
the interpreter's lock. Such a layer cuts its work into parts that do not touch one another and
gives them to `run_all`. How it is cut depends on the arrays alone, so that the bits do not depend
on the number of threads.

BLAS has threads of its own, which go on waiting for its next product, at full load, when one is
done: beside them ours would stand in line. So `run_all` uses threads within `own_threads` only,
which has BLAS run on one as long as it lasts.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any

import numpy as np

_changing = threading.Lock()  # two threads of the program must not read and set by turns
_count: contextvars.ContextVar[int] = contextvars.ContextVar("threads", default=1)


@contextlib.contextmanager
def own_threads(wanted: bool = True) -> Iterator[None]:
    """Within this, let `run_all` use as many threads as BLAS has, and BLAS one.

    Nothing happens if BLAS has one already, if it is none that threadpoolctl can govern, or if not
    `wanted`. The number of BLAS threads belongs to the process: what other threads of the program
    multiply meanwhile is multiplied on one core, too.
    """
    libraries = _blas() if wanted and _count.get() == 1 else ()
    with _changing:
        counts = [library.get_num_threads() for library in libraries]
        several = max(counts, default=1) > 1
        for library in libraries if several else ():
            library.set_num_threads(1)
    if not several:
        yield
        return
    token = _count.set(max(counts))
    try:
        yield
    finally:
        _count.reset(token)
        with _changing:
            for library, count in zip(libraries, counts, strict=True):
                library.set_num_threads(count)


def run_all(parts: Iterable[Callable[[], object]]) -> None:
    """Call every part, in any order and on all the threads there are.

    What a call raises is raised here, when all threads have come to an end.
    """
    waiting = list(parts)
    count = min(_count.get(), len(waiting))
    if count <= 1:
        for part in waiting:
            part()
        return
    waiting.reverse()
    settings, call = np.geterr(), np.geterrcall()  # which every thread has for itself

    def run() -> None:
        with np.errstate(call=call, **settings):  # type: ignore[arg-type]
            while True:
                try:
                    part = waiting.pop()  # which no other thread gets, too
                except IndexError:
                    return
                try:
                    part()
                except BaseException:
                    waiting.clear()
                    raise

    helpers: list[Future[None]] = []
    try:
        with contextlib.suppress(RuntimeError):  # the interpreter is ending: there is no help
            for _ in range(count - 1):
                helpers.append(_pool(os.getpid()).submit(run))
        run()
    finally:
        waiting.clear()
        # One that can be cancelled has not even begun, and all is done.
        wait([helper for helper in helpers if not helper.cancel()])
    for helper in helpers:
        if not helper.cancelled():
            helper.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the helping threads, which wait at no cost; a forked process gets its own."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "backprop")


@lru_cache(maxsize=1)
def _blas() -> tuple[Any, ...]:
    """Return what governs the threads of NumPy's BLAS, and of any other that is there by then."""
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().lib_controllers
    return tuple(library for library in found if library.user_api == "blas")
