"""Ctrl-C and SIGTERM during a training: the first one asks, the second one interrupts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupt_asks(trainer: Any) -> Iterator[None]:
    """Let the first Ctrl-C set ``trainer.interrupted``, and the second interrupt as usual.

    SIGTERM, by which schedulers and `kill` end a process, sets it, too, and ends the process when
    the training has ended, with all saved; a second one ends it at once.

    An exception raised anywhere could leave theta half updated. Only the main thread may handle
    signals; elsewhere nothing changes, nor for a signal that is handled, or ignored, already.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    asked_to_end = []

    def ask(signum: int, frame: Any) -> None:
        assert callable(before)
        if trainer.interrupted:
            signal.signal(signal.SIGINT, before)  # what is raised may keep this from its end
            before(signum, frame)
        trainer.interrupted = True

    def ask_to_end(signum: int, frame: Any) -> None:
        signal.signal(signum, signal.SIG_DFL)
        asked_to_end.append(signum)
        trainer.interrupted = True

    if callable(before):  # not ignored on purpose, as under nohup, and set from Python
        signal.signal(signal.SIGINT, ask)
    of_ours = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if of_ours:
        signal.signal(signal.SIGTERM, ask_to_end)
    try:
        yield
    finally:
        if callable(before):
            signal.signal(signal.SIGINT, before)
        if of_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for signum in asked_to_end:
            signal.raise_signal(signum)
