"""One measurement in a process of its own: `python -m experiments.benchmarks.worker TASK`.

The task is a JSON file; what was found goes into another, which the task names. Nothing but NumPy
and the one framework is imported, so that the memory of the process is that of its framework.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.frameworks.base import CannotExpressError, Implementation
from experiments.benchmarks.frameworks.registry import FRAMEWORKS, OURS
from experiments.benchmarks.workloads import (
    CHECKED_STEPS,
    IMAGES,
    PREDICTED_BATCHES,
    Files,
    Workload,
    read_json,
    write_json,
)

LONG_EPOCH = 3.0
"""Seconds after which one epoch is enough, and is not repeated."""


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

    Of ours also the seconds that the matrix products of an epoch take alone. The first epoch warms
    up, and does not count, unless it is so long that it is the only one.
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
    if task["framework"] == OURS:
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
    """Return the seconds that it takes to predict all images, by how many at a time."""
    work = Workload.from_json(task["work"])
    implementation = _make(task, work.of_size(1))
    x, _ = Files(**task["files"]).examples(work, min(IMAGES, task["images"]))
    found: dict[str, Any] = {"images": len(x)}
    for size in PREDICTED_BATCHES:
        implementation.predict(x[: min(size, 20)], size)  # compiles
        implementation.predict(x[:size], size)
        started = time.perf_counter()
        answers = implementation.predict(x, size)
        found[f"predict {size}"] = time.perf_counter() - started
        found[f"outputs {size}"] = np.concatenate(answers)[:100].astype(float).tolist()
    return found


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


ACTIONS = {"check": check, "train": train, "predict": predict, "one epoch": one_epoch}

if __name__ == "__main__":
    sys.exit(main())
