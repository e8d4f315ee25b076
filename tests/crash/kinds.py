"""How a training comes to harm: drawn at random, from outside or in its own process."""

from __future__ import annotations

import signal
from typing import Any, NamedTuple

import numpy as np

Random = np.random.Generator


class Harm(NamedTuple):
    """What happens to one process.

    Attributes
    ----------
    fault : dict, optional
        What the process does to itself; see `tests.crash.victim`.
    room : int, optional
        The bytes that its disk has left, if it is a small one.
    signal : int, optional
        What it is sent, and when: `part` of the usual time after so many `lines` of output, the
        time that the first takes, or that of one more.
    """

    fault: dict[str, Any] | None = None
    signal: int | None = None
    room: int | None = None
    lines: int = 0
    part: float = 0.0


def sent(which: int, rng: Random) -> Harm:
    """Return a signal at a random moment, mostly after the start."""
    lines = int(rng.integers(0, 4))
    return Harm(signal=which, lines=lines, part=float(rng.uniform(0, 1.2)))


def in_a_checkpoint(rng: Random) -> Harm:
    """Return a kill while a checkpoint is written, or before or after the system is asked."""
    if rng.random() < 0.5:
        return Harm(_write(".npz", rng))
    name = str(rng.choice(["fsync", "replace"]))
    number, after = int(rng.integers(1, 12)), bool(rng.integers(2))
    return Harm({"kind": "call", "name": name, "number": number, "after": after})


def in_the_cache(rng: Random) -> Harm:
    """Return a kill while a program that was built is kept."""
    return Harm(_write(".so", rng))


def while_compiling(rng: Random) -> Harm:
    """Return a kill while the compiler runs."""
    number, delay = int(rng.integers(1, 4)), float(rng.uniform(0, 0.4))
    return Harm({"kind": "compiler", "number": number, "delay": delay})


def full_disk(rng: Random) -> Harm:
    """Return a disk that is full from some write on."""
    return Harm(_write(str(rng.choice(["", ".npz", ".npz", ".so"])), rng) | {"full": True})


def _write(suffix: str, rng: Random) -> dict[str, Any]:
    number = int(rng.integers(1, 4 if suffix == ".so" else 9))
    part = float(rng.choice([0, 1, rng.random(), rng.random()]))
    return {"kind": "write", "suffix": suffix, "number": number, "part": part, "full": False}


KILLS = {
    "at any moment": lambda rng: sent(signal.SIGKILL, rng),
    "in a checkpoint": in_a_checkpoint,
    "in the cache": in_the_cache,
    "while compiling": while_compiling,
}
OTHERS = {
    "full disk": full_disk,
    "SIGTERM": lambda rng: sent(signal.SIGTERM, rng),
    "Ctrl-C": lambda rng: sent(signal.SIGINT, rng),
}
KINDS = {**KILLS, **OTHERS}
OF_COMPILED = ("in the cache", "while compiling")  # which need a cache of their own


def has_ended_so(kind: str, status: int, said: str) -> bool:
    """Say whether a process ended as it does where this happens to it; 0 is that it was through."""
    if kind in KILLS:
        return status == -signal.SIGKILL
    if kind == "SIGTERM":
        return status == -signal.SIGTERM
    if kind == "Ctrl-C":
        return status in (130, -signal.SIGINT) or "KeyboardInterrupt" in said
    return status in (1, 2) and "No space left on device" in said
