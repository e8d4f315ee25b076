"""The runs that `python -m experiments.book` has to make, and their making, several at a time.

They are not in `__main__`: the processes of a pool import what they are to do by its name.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from backprop.kernels.environment import for_this_machine
from experiments.book import results
from experiments.book.chapter6 import VOTERS
from experiments.book.data import Book, few_of, split
from experiments.book.row import Row
from experiments.book.training import TimeIsUp, run, setting_of
from experiments.common import check_same, read_result

QUICK = 60  # training images, of a row that is run only to see that it runs


class Job(NamedTuple):
    """A run that is still to be made."""

    row: Row
    seed: int
    path: Path
    source: str
    quick: bool
    deadline: float  # in seconds since the epoch

    @property
    def work(self) -> float:
        """About how many seconds it takes: what the time that is left is estimated from."""
        return work_of(self.row)


def work_of(row: Row) -> float:
    """Return about how many seconds a run of a row takes."""
    n = (row.images or 50_000) * (5 if row.expanded else 1)
    if row.kind == "svm":
        return 4 + 300 * (n / 50_000) ** 1.7
    if row.kind != "train":
        return 2.0
    if row.init == "network3":
        convolutions = sum(str(name)[0] == "C" for name in row.layers)
        conv, size = ((0, 784), (70e-6, 20 * 12**2), (160e-6, 40 * 4**2))[convolutions]
        sizes = [size, *(int(str(name)[1:]) for name in row.layers[convolutions:]), 10]
        weights = sum(a * b for a, b in pairwise(sizes))
        return row.epochs * n * (conv + 2.5e-10 * weights)
    weights = sum(a * b for a, b in pairwise(row.layers))
    return row.epochs * (n * weights * 1e-10 + (0.01 if row.every == 1 else 0.002)) + 1


def quick_form(row: Row) -> Row:
    """Return a row that takes no time: few images, epochs and neurons, one seed if none vote."""
    layers = tuple(f"{n[0]}4" if isinstance(n, str) else n for n in row.layers)
    images = min(row.images or QUICK, QUICK)
    epochs = 6 if row.kind == "norms" else 2
    every = 1 if row.every == 1 else epochs
    seeds = row.seeds if row.name == VOTERS else 1
    return replace(row, layers=layers, images=images, epochs=epochs, every=every, seeds=seeds)


@lru_cache(maxsize=1)
def _book(source: str, quick: bool) -> Book:
    from backprop import datasets

    book = split(datasets.load(source))
    return few_of(book, QUICK) if quick else book


def do(job: Job) -> str:
    """Make a run; return how it ended: "done", "time is up", "interrupted", or what is missing."""
    book = _book(job.source, job.quick)
    row = job.row
    if row.init == "network3":
        row = replace(row, x={**row.x, "input_shape": (1, *book.training[0].shape[1:])})
    left = job.deadline - time.time()
    try:
        run(row, job.seed, book, job.path, time.monotonic() + left)
    except TimeIsUp:
        return "time is up"
    except KeyboardInterrupt:
        return "interrupted"
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "sklearn":
            raise
        return "left out: it needs scikit-learn, pip install 'backprop[sklearn]'"
    return "done"


def jobs_of(arguments: argparse.Namespace, data: str) -> list[Job]:
    """Return the runs that are asked for and not there yet, by chapters, the longest first.

    Those that are there must be of the data of that name.

    So no process works on a long one alone while the others have nothing left to do.
    """
    minutes = arguments.minutes
    deadline = time.time() + 60 * minutes if minutes else float("inf")
    found = []
    for row in selected(arguments.rows):
        if row.kind == "vote":  # of runs that are there
            continue
        form = quick_form(row) if arguments.quick else row
        for seed in range(min(form.seeds, arguments.seeds or form.seeds)):
            path = results.path_of(arguments.out, form, seed)
            if path.exists():
                check_run(path, form, data)
            else:
                found.append(Job(form, seed, path, arguments.data, arguments.quick, deadline))
    return sorted(found, key=lambda job: (job.row.name.split("-")[0], -job.work))


def check_run(path: Path, row: Row, data: str) -> None:
    """End with a message if a file is of a run of other settings, or on other data."""
    result = read_result(path)
    there, here = result["setting"], setting_of(row)
    for setting in (there, here):  # which the data decide
        if isinstance(setting["x"], dict):
            setting["x"].pop("input_shape", None)
    check_same("book", path, {**there, "data": result["data"]}, {**here, "data": data})


def selected(names: list[str] | None) -> list[Row]:
    """Return the rows whose names begin with one of these; all unless told."""
    found = [
        row
        for row in results.ROWS.values()
        if names is None or any(row.name == n or row.name.startswith(f"{n}-") for n in names)
    ]
    unknown = [n for n in names or () if not any(r.name == n or r.name.startswith(f"{n}-")
               for r in found)]  # fmt: skip
    if unknown:
        raise SystemExit(f"book: no row {unknown[0]!r}; there are: {', '.join(results.ROWS)}")
    return found


def finish(jobs: list[Job], processes: int) -> Iterator[tuple[Job, str]]:
    """Make the runs, so many at a time, and yield each with how it ended."""
    if processes == 1:
        for job in jobs:
            how = "time is up" if time.time() > job.deadline else do(job)
            yield job, how
            if how in ("time is up", "interrupted"):
                return
        return
    # Each of one thread: a second one of BLAS would wait, by spinning, for the other's core.
    os.environ |= for_this_machine() | dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )
    waiting = list(reversed(jobs))
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[str], Job] = {}
        while waiting or running:
            while waiting and len(running) < processes and time.time() < waiting[-1].deadline:
                job = waiting.pop()
                running[pool.submit(do, job)] = job
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for one in ended:
                how = one.result()
                if how == "interrupted":
                    waiting.clear()
                yield running.pop(one), how
