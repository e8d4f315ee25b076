"""Ctrl-C during a training: the first one asks, the second one interrupts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupt_asks(trainer: Any) -> Iterator[None]:
    """Let the first Ctrl-C set ``trainer.interrupted``, and the second interrupt as usual.

    An exception raised anywhere could leave theta half updated. Only the main thread may handle
    signals; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # ignored on purpose, as under nohup, or not set from Python
        yield
        return

    def ask(signum: int, frame: Any) -> None:
        if trainer.interrupted:
            signal.signal(signal.SIGINT, before)  # what is raised may keep this from its end
            before(signum, frame)
        trainer.interrupted = True

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
