"""An epoch of W4 by two processes of one thread each, and by one process with two threads.

``python -m experiments.benchmarks.processes`` starts all that it measures, and prints a table. It
needs mpirun and mpi4py, the extra mpi. "overlapped" is what sending the gradients off layer by
layer would come to at best: the time of an epoch without any Allreduce.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any

import numpy as np

from backprop import Dense, Momentum, Network, Trainer
from experiments.benchmarks.workloads import WORKLOADS

ROUNDS = 2
FIRST = 10  # minibatches before what is measured


def trainer_of(steps: int, compiled: bool) -> tuple[Trainer, Any, Any]:
    """Return a trainer of W4, with so many minibatches of random images."""
    work = WORKLOADS["W4"]
    rng = np.random.default_rng(1)
    layers = [Dense(n_in, n_out, sigma, rng=rng) for _, n_in, n_out, sigma in work.layers]
    network = Network(layers, "softmax_cross_entropy")
    _, eta, mu = work.optimizer
    trainer = Trainer(
        network, Momentum(eta, mu), work.batch, rng=2, monitor_training=False,
        progress=False, compiled=compiled,
    )  # fmt: skip
    n = steps * work.batch
    return trainer, rng.random((n, 784), np.float32).T, rng.integers(0, 10, n)


def measure(steps: int, compiled: bool, together: bool, silent: bool) -> None:
    """Print the seconds of epochs, and those of an Allreduce alone, as JSON."""
    trainer, x, y = trainer_of(steps, compiled)
    first = slice(FIRST * trainer.batch_size)
    rank, allreduce = 0, 0.0
    if together:
        from backprop.interop.mpi import DataParallel

        processes = DataParallel(trainer)
        rank = processes.rank
    trainer.fit(x[:, first], y[first], 1)
    if together:
        started = time.perf_counter()
        for _ in range(steps):
            processes.group.join(trainer.network.nabla)
        allreduce = time.perf_counter() - started
        if silent:  # what then differs between the processes is not looked at
            processes.join_nabla = lambda trainer, finite: None  # type: ignore[method-assign]
            processes.agree = lambda trainer: None  # type: ignore[method-assign]
    history = trainer.fit(x, y, ROUNDS)  # of which the time of minibatches is kept
    if rank == 0:
        print(json.dumps({"seconds": min(history["seconds"][-ROUNDS:]), "allreduce": allreduce}))


def run(n: int, threads: int, *options: str) -> dict[str, float]:
    """Measure in n processes of so many threads; 0 stands for one without MPI."""
    variables = {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    beside = os.path.dirname(sys.executable)
    mpirun = shutil.which("mpirun", path=beside) or shutil.which("mpirun") or "mpirun"
    started = [mpirun, "--allow-run-as-root", "--oversubscribe", "-n", str(n)] if n else []
    command = [*started, sys.executable, "-m", "experiments.benchmarks.processes", *options]
    command += ["--together"] * (n > 0)
    found = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    return json.loads(found.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> None:
    """Measure, or start what measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=WORKLOADS["W4"].steps)
    for flag in ("--measure", "--compiled", "--together", "--silent"):
        parser.add_argument(flag, action="store_true")
    given = parser.parse_args()
    if given.measure:
        measure(given.steps, given.compiled, given.together, given.silent)
        return
    for way in ([], ["--compiled"]):
        options = ["--measure", "--steps", str(given.steps), *way]
        one, two = run(0, 2, *options), run(2, 1, *options)
        without = run(2, 1, *options, "--silent")
        share = two["allreduce"] / two["seconds"]
        print("compiled" if way else "NumPy")
        print(f"  one process, two threads     {one['seconds']:.2f} s an epoch")
        print(f"  two processes, one thread    {two['seconds']:.2f} s")
        print(f"  of which Allreduce           {two['allreduce']:.2f} s, {share:.0%}")
        print(f"  without, overlapped at best  {without['seconds']:.2f} s")


if __name__ == "__main__":
    main()
