"""One measurement in a process of its own: `python -m experiments.benchmarks.worker TASK`.

The task is a JSON file; what was found goes into another, which the task names. Nothing but NumPy
and the one framework is imported, so that the memory of the process is that of its framework.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.frameworks.base import CannotExpressError, Implementation, Way
from experiments.benchmarks.frameworks.registry import FRAMEWORKS, NUMPY
from experiments.benchmarks.workloads import (
    CHECKED_STEPS,
    IMAGES,
    Files,
    Workload,
    read_json,
    write_json,
)

LONG_EPOCH = 3.0
"""Seconds after which one epoch is enough, and is not repeated."""
TURNS = 3
"""How often a core is kept busy, and let alone again."""
TRIED = 500
"""Images that every way of predicting single examples is tried with."""
PARTS = 10
"""In which the images are predicted by the fastest: the median counts."""


def main() -> int:
    """Do what the task says; a failure is a result too."""
    task = read_json(sys.argv[1])
    try:
        found = ACTIONS[task["action"]](task)
    except CannotExpressError as error:
        found = {"cannot": str(error)}
    except Exception as error:  # whatever a peer may raise
        found = {"failed": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    write_json(task["result"], found)
    return 0


def _make(task: dict[str, Any], work: Workload) -> Implementation:
    files = Files(**task["files"])
    x, labels = files.examples(work, work.examples)
    return FRAMEWORKS[task["framework"]].make(work, x, labels, files.parameters())


def check(task: dict[str, Any]) -> dict[str, Any]:
    """Return the costs of the first minibatches, from epochs of no more than these."""
    work = Workload.from_json(task["work"])
    implementation = _make(task, work.of_size(CHECKED_STEPS * work.batch))
    seconds = _warm_up(implementation)
    costs: list[float] = []
    while len(costs) < CHECKED_STEPS:
        costs += implementation.costs()
    return {"costs": costs[:CHECKED_STEPS], "compile": seconds}


def _warm_up(implementation: Implementation) -> float:
    started = time.perf_counter()
    implementation.warm_up()
    return time.perf_counter() - started


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of several epochs and of compiling, and the peak memory.

    Of ours in NumPy also the seconds that the matrix products of an epoch take alone. The first
    epoch warms up, and does not count, unless it is so long that it is the only one.
    """
    work = Workload.from_json(task["work"])
    implementation = _make(task, work)
    before = memory()
    seconds = _warm_up(implementation)
    epochs = [implementation.train()]
    while epochs[0] < LONG_EPOCH and (len(epochs) < 2 or sum(epochs[1:]) < task["seconds"]):
        epochs.append(implementation.train())
    counted = epochs[1:] or epochs
    found = {
        "epochs": epochs,
        "epoch": statistics.median(counted),
        "compile": seconds,
        "memory": memory(),
        "memory before training": before,
    }
    if task["framework"] == NUMPY:
        found["products"] = work.steps * _matrix_products(implementation, work.batch)
        found["blas"] = _blas()
    return found


def _matrix_products(implementation: Any, batch: int) -> float:
    """Return the seconds of the matrix products of one step of ours."""
    from experiments.benchmarks.matrix_products import products, seconds

    return seconds(products(implementation.network, batch))


def _blas() -> list[str]:
    from backprop.kernels.blas import libraries

    return [
        f"{library['internal_api']} {library.get('version')}, kernel "
        f"{library.get('architecture')}, {library['num_threads']} threads"
        for library in libraries()
    ]


def predict(task: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds that an image takes when so many are predicted at a time."""
    work, size = Workload.from_json(task["work"]), task["size"]
    implementation = _make(task, work.of_size(1))
    x, _ = Files(**task["files"]).examples(work, min(IMAGES, task["images"]))
    implementation.predict(x[: min(size, 20)], size)  # compiles
    implementation.predict(x[:size], size)
    started = time.perf_counter()
    answers = implementation.predict(x, size)
    seconds = (time.perf_counter() - started) / len(x)
    return {f"predict {size}": seconds, "outputs": _first(np.concatenate(answers))}


def _first(outputs: np.ndarray) -> list[list[float]]:
    """Return the outputs that are compared."""
    return outputs[:100].astype(float).tolist()  # type: ignore[no-any-return]


def single(task: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of an image that is predicted alone, by the fastest way there is.

    A way that fails, as on a machine without a compiler, is told, and left out.
    """
    work = Workload.from_json(task["work"])
    implementation = _make(task, work.of_size(1))
    x, _ = Files(**task["files"]).examples(work, min(IMAGES, task["images"]))
    started = time.perf_counter()
    ways, failed = {}, {}
    for name, way in implementation.single().items():
        try:
            way(x[:20])
        except Exception as error:  # whatever a compiler may raise
            failed[name] = error
        else:
            ways[name] = way
    if not ways:
        raise next(iter(failed.values()))
    built = time.perf_counter() - started
    few = x[:TRIED]
    tried = {name: min(_seconds(way, few) for _ in range(3)) for name, way in ways.items()}
    best = min(tried, key=lambda name: tried[name])
    parts = [part for part in np.array_split(x, PARTS) if len(part)]
    seconds = statistics.median([_seconds(ways[best], part) for part in parts])
    outputs = np.stack([np.ravel(answer) for answer in ways[best](x[:100])])
    return {
        "single": seconds,
        "way": best,
        "ways": tried,
        "failed ways": {name: f"{type(error).__name__}: {error}" for name, error in failed.items()},
        "compile": built,
        "outputs": _first(outputs),
    }


def _seconds(way: Way, x: np.ndarray) -> float:
    """Return the seconds of an example."""
    started = time.perf_counter()
    way(x)
    return (time.perf_counter() - started) / len(x)


def beside(task: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of an epoch alone, and beside a process that keeps a core busy."""
    implementation = _make(task, Workload.from_json(task["work"]))
    _warm_up(implementation)
    implementation.train()
    alone: list[float] = []
    busy: list[float] = []
    for _ in range(TURNS):
        alone += _epochs(implementation, task["seconds"] / TURNS)
        with busy_process():
            busy += _epochs(implementation, task["seconds"] / TURNS)
    found = {"epoch alone": statistics.median(alone), "epoch beside": statistics.median(busy)}
    return {**found, "slow-down": found["epoch beside"] / found["epoch alone"]}


def _epochs(implementation: Implementation, at_least: float) -> list[float]:
    """Return the seconds of as many epochs as fill the time."""
    epochs = [implementation.train()]
    while sum(epochs) < at_least:
        epochs.append(implementation.train())
    return epochs


BUSY = """
import os, sys
print("busy", flush=True)
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def busy_process() -> Iterator[subprocess.Popen[bytes]]:
    """Keep a core busy meanwhile, by a process that ends with this one if not before."""
    command = [sys.executable, "-S", "-c", BUSY, str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def one_epoch(task: dict[str, Any]) -> dict[str, Any]:
    """Train for one epoch; the runner takes the time of the whole process."""
    implementation = _make(task, Workload.from_json(task["work"]))
    implementation.warm_up()
    implementation.train()
    return {}


def memory() -> int:
    """Return the most bytes that this process has had in memory so far."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:  # not Linux; there it would count the parent's memory in
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else 1024 * used
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


ACTIONS = {
    "check": check,
    "train": train,
    "predict": predict,
    "single": single,
    "beside": beside,
    "one epoch": one_epoch,
}

if __name__ == "__main__":
    sys.exit(main())
