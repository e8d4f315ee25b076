"""Work on several cores for the layers whose time is not in BLAS: convolution and pooling.

NumPy's ufuncs run on one core, and so does the making of a patch matrix; but all of them release
the interpreter's lock. Such a layer cuts its work into parts that do not touch one another and
gives them to `share`. How it is cut depends on the arrays alone, so that the bits do not depend on
the number of threads.

BLAS has threads of its own, which go on waiting for its next product, at full load, when one is
done: beside them ours would stand in line. So `share` uses threads within `own_threads` only, which
has BLAS run on one as long as it lasts.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

_count: contextvars.ContextVar[int] = contextvars.ContextVar("threads", default=1)


@contextlib.contextmanager
def own_threads(wanted: bool = True) -> Iterator[None]:
    """Within this, let `share` use as many threads as BLAS has, and BLAS one.

    Nothing happens if BLAS has one already, if it is none that threadpoolctl can govern, or if not
    `wanted`. The number of BLAS threads belongs to the process: what other threads of the program
    multiply meanwhile is multiplied on one core, too.
    """
    libraries = _blas() if wanted and _count.get() == 1 else ()
    counts = [library.get_num_threads() for library in libraries]
    if max(counts, default=1) == 1:
        yield
        return
    token = _count.set(max(counts))
    for library in libraries:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, count in zip(libraries, counts, strict=True):
            library.set_num_threads(count)
        _count.reset(token)


def share(parts: Iterable[Callable[[], object]]) -> None:
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
    settings = np.geterr()  # which every thread has for itself

    def run() -> None:
        with np.errstate(**settings):
            while True:
                try:
                    part = waiting.pop()  # which no other thread gets, too
                except IndexError:
                    return
                part()

    helpers = [_pool(os.getpid()).submit(run) for _ in range(count - 1)]
    try:
        run()
    finally:
        waiting.clear()  # should it have failed
        # One that can be cancelled has not even begun, and all is done.
        errors = [helper.exception() for helper in helpers if not helper.cancel()]
    for error in errors:
        if error is not None:
            raise error


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the helping threads, which wait at no cost; a forked process gets its own."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "backprop")


@lru_cache(maxsize=1)
def _blas() -> tuple[Any, ...]:
    """Return what governs the threads of NumPy's BLAS."""
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().lib_controllers
    return tuple(library for library in found if library.user_api == "blas")
