"""A training in a process of its own, which may be told how to come to harm.

``python -m tests.crash.victim ORDER``, where ORDER is JSON: the `configuration`, whether it is
`compiled`, its `folder`, the folder of the `data`, which checkpoint it goes on from if there is one
(`start`), and a `fault`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from backprop.core import storage

# -- faults, of which the training knows nothing --------------------------------------------------


def die() -> NoReturn:
    """End this process as the system would, without another instruction."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # it may take a moment
    raise AssertionError


def disk_is_full() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def in_a_write(suffix: str, number: int, part: float, full: bool) -> None:
    """Let the write of a file of that kind end when so much of it is on the disk.

    If the disk is full, all later ones end so, too.
    """
    real, seen = storage.write_atomically, [0]

    def write_in_part(path: Any, write: Callable[..., object], *more: Any, **named: Any) -> Any:
        seen[0] += str(path).endswith(suffix)
        if not str(path).endswith(suffix) or seen[0] < number:
            return real(path, write, *more, **named)

        def cut(file: Any) -> None:
            whole = io.BytesIO()
            write(whole)
            content = whole.getvalue()
            file.write(content[: int(part * len(content))])
            file.flush()
            disk_is_full() if full else die()

        return real(path, cut, *more, **named)

    storage.write_atomically = write_in_part


def at_a_call(name: str, number: int, after: bool) -> None:
    """Die before, or after, a function of the system is called for the so-manieth time."""
    real, seen = getattr(os, name), [0]

    def call(*arguments: Any, **named: Any) -> Any:
        seen[0] += 1
        if seen[0] == number and not after:
            die()
        found = real(*arguments, **named)
        if seen[0] == number:
            die()
        return found

    setattr(os, name, call)


def while_compiling(number: int, delay: float) -> None:
    """Die so many seconds after the compiler has begun with the so-manieth program."""
    real, seen = subprocess.Popen.__init__, [0]

    def start(self: Any, command: Any, *arguments: Any, **named: Any) -> None:
        real(self, command, *arguments, **named)
        seen[0] += "--version" not in command
        if seen[0] == number:
            timer = threading.Timer(delay, die)
            timer.daemon = True
            timer.start()

    subprocess.Popen.__init__ = start  # type: ignore[method-assign]


FAULTS = {"write": in_a_write, "call": at_a_call, "compiler": while_compiling}


# -- the training --------------------------------------------------------------------------------


def main(order: dict[str, Any]) -> int:
    """Do what the order says."""
    fault = order.get("fault")
    if fault:
        FAULTS[fault.pop("kind")](**fault)
    from tests.crash.configurations import COMMAND

    return run_command(order) if order["configuration"] == COMMAND else run_trainer(order)


def run_command(order: dict[str, Any]) -> int:
    """Call ``backprop train``, anew or to go on."""
    from backprop.application import cli
    from backprop.training import paths
    from tests.crash.configurations import OPTIONS

    paths.WORTH_WHILE = 0.0 if order["compiled"] else float("inf")
    folder = Path(order["folder"], "run")
    if (folder / "config.json").exists():
        return cli.main(["train", "--resume", str(folder), "--no-plots"])
    data = str(Path(order["data"], "idx"))
    return cli.main(["train", "--data", data, "--out", str(folder), *OPTIONS])


def run_trainer(order: dict[str, Any]) -> int:
    """Train, from a checkpoint if there is one, and write down what came of it."""
    from backprop.core.plain import to_json
    from backprop.training import checkpoint
    from tests.crash.configurations import CONFIGURATIONS, EPOCHS, LAST, LOG, Setting

    folder = Path(order["folder"])
    setting = Setting(folder, Path(order["data"]), order["compiled"])
    trainer, x, y, validation, more = CONFIGURATIONS[order["configuration"]](setting)
    start = folder / order.get("start", LAST)
    if start.exists():
        checkpoint.restore(trainer, start)
        if order.get("planted"):  # the harness is tried: it must find this
            trainer.rng.random()
    else:
        (folder / LOG).unlink(missing_ok=True)  # of epochs that are begun anew
    trainer.fit(x, y, EPOCHS - trainer.epoch, validation, **more)
    if trainer.interrupted:
        return 130
    network = trainer.network
    result = {
        "epochs": trainer.epoch,
        "stopping": trainer.stopping,
        "shown": network.evaluate(*validation, compiled=False),
        "theta": network.theta.tobytes().hex(),
        "computed_by": trainer.history.computed_by,
    }
    checkpoint.save(trainer, folder / "end.npz")
    storage.write_text(folder / "result.json", to_json(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
