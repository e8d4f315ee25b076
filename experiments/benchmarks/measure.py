"""The measurement: every framework in its own process, one after another, round by round.

A round goes through the workloads, and within each through the frameworks, so that what the
machine does meanwhile falls on all of them alike.
"""

from __future__ import annotations

import datetime
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from backprop import datasets
from experiments.benchmarks.frameworks.registry import FRAMEWORKS, NUMPY, OURS, version_of
from experiments.benchmarks.machine import compiles, environment, machine
from experiments.benchmarks.workloads import (
    BESIDE,
    IMAGES,
    PREDICTED,
    PREDICTED_BATCHES,
    SHORT,
    SINGLE,
    THREADS,
    WORKLOADS,
    Files,
    Workload,
    read_json,
    write_json,
)

ROOT = Path(__file__).parents[2]
TIMEOUT = 1800
TRIES = 2  # of each number of threads
CHECK = -1  # stands for the round that comes before the first
TOLERANCE = 1e-3  # of the costs, relative
OUTPUT_TOLERANCE = 1e-4  # of predicted probabilities


class Bench:
    """Everything that one run measures, and where it keeps it.

    Parameters
    ----------
    frameworks : sequence of str
        Names of `FRAMEWORKS`. Ours are measured in any case, and first, the compiled before the
        one in NumPy, which on a machine without a compiler is the only one.
    data : str
        "builtin", or a folder of IDX files, 28 x 28.
    folder : Path
        For what the processes read, and what they find.
    seconds : float
        About so long the epochs of one process take; a long epoch is measured once.
    limit : int, optional
        Epochs of at most so many examples, and so many predicted images: for a quick try.
    say : callable
        Is told how it goes on.

    Attributes
    ----------
    results : dict
        Machine, settings, what was checked, notes on what could not be measured, how many threads
        each framework has for what, and `records`: one for every figure of every process. All
        ratios refer to the first of its frameworks.
    """

    def __init__(
        self,
        frameworks: Sequence[str],
        data: str,
        folder: Path,
        seconds: float = 1.5,
        limit: int | None = None,
        say: Callable[[str], object] = print,
    ) -> None:
        why = compiles()
        ours = [NUMPY] if why else [OURS, NUMPY]
        self.names = [*ours, *(name for name in frameworks if name not in (OURS, NUMPY))]
        self.seconds, self.limit, self.say = seconds, limit, say
        self.folder = folder
        if why:
            say(f"{why}: all is compared with ours in NumPy")
        self.x, self.labels, source = _data(data)
        self.results: dict[str, Any] = {
            "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
            "machine": machine(),
            "settings": {"data": source, "threads": THREADS, "limit": limit, "seconds": seconds},
            "frameworks": {
                name: {"title": FRAMEWORKS[name].title, "version": version_of(name)}
                for name in self.names
            },
            "checks": {},
            "notes": {},
            "threads": {},
            "ways": {},
            "records": [],
        }
        self.x.tofile(folder / "x")
        self.labels.tofile(folder / "labels")

    # -- one process -------------------------------------------------------------------------

    def work(self, name: str) -> Workload:
        """Return a workload, as small as this run wants it."""
        return WORKLOADS[name].of_size(min(len(self.x), self.limit or len(self.x)))

    def files(self, work: Workload) -> Files:
        """Return where the data are, and the first parameters of the work."""
        from experiments.benchmarks.frameworks.ours import first_parameters

        weights = self.folder / f"{work.name}.npz"
        if not weights.exists():
            np.savez(weights, **first_parameters(work))
        return Files(str(self.folder / "x"), str(self.folder / "labels"), str(weights))

    def do(
        self,
        framework: str,
        action: str,
        work: Workload,
        threads: int = THREADS,
        files: Files | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Run one task in a process of its own; return what it found, or how it failed."""
        try:
            files = files or self.files(work)
        except Exception as error:  # a layer that does not exist, or that refuses its arguments
            return {"failed": f"{type(error).__name__}: {error}"}
        path = self.folder / "task.json"
        result = path.with_name("result.json")
        task = {
            "framework": framework,
            "action": action,
            "work": work.to_json(),
            "files": asdict(files),
            "seconds": self.seconds,
            "result": str(result),
            **more,
        }
        write_json(path, task)
        command = [sys.executable, "-m", "experiments.benchmarks.worker", str(path)]
        found = self.call(command, threads)
        return found if "failed" in found else {**found, **read_json(result)}

    def call(self, command: Sequence[str], threads: int = THREADS) -> dict[str, Any]:
        """Run a command; return its seconds as "process", or how it failed."""
        started = time.perf_counter()
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment(self.folder, threads), timeout=TIMEOUT,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"failed": f"not finished after {TIMEOUT} s"}
        seconds = time.perf_counter() - started
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [""])[-1]
            return {"failed": f"exit status {done.returncode}: {last}", "traceback": done.stderr}
        return {"process": seconds}

    # -- what is kept ------------------------------------------------------------------------

    def record(
        self, row: str, framework: str, number: int, found: dict[str, Any], names: Sequence[str]
    ) -> None:
        """Keep some of what a process found, or that it failed."""
        if not self.well(row, framework, found):
            return
        for name in names:
            if name in found:
                self.add(row, framework, number, name, found[name])

    def add(self, row: str, framework: str, number: int, quantity: str, value: float) -> None:
        """Keep one figure."""
        fields = {"row": row, "framework": framework, "round": number}
        self.results["records"].append({**fields, "quantity": quantity, "value": value})

    def well(self, row: str, framework: str, found: dict[str, Any]) -> bool:
        """Say whether a process found something; else note why not."""
        if "cannot" in found:
            self.note(row, framework, f"cannot: {found['cannot']}")
        elif "failed" in found:
            self.note(row, framework, f"failed: {' '.join(found['failed'].split())[:200]}")
            self.say(found.get("traceback", found["failed"]))
        return not {"cannot", "failed"} & found.keys()

    def note(self, row: str, framework: str, text: str) -> None:
        """Keep why there is no figure; what was measured of it before does not count."""
        self.results["notes"].setdefault(row, {})[framework] = text
        self.say(f"{row}, {FRAMEWORKS[framework].title}: {text}")

    def noted(self, row: str, framework: str) -> bool:
        """Say whether something speaks against measuring."""
        return framework in self.results["notes"].get(row, {})

    # -- checks ------------------------------------------------------------------------------

    def check(self, names: Sequence[str]) -> None:
        """Compare the costs of the first minibatches; who differs from ours is not measured."""
        for row in names:
            ours: np.ndarray | None = None
            for framework in self.able(row):
                found = self.do(framework, "check", self.work(row))
                if not self.well(row, framework, found):
                    if framework == self.names[0]:
                        break
                    continue
                self.add(row, framework, CHECK, "compile", found["compile"])
                costs = np.array(found["costs"])
                if ours is None:
                    ours = costs
                else:
                    self._compare(row, framework, ours, costs)

    def _compare(self, row: str, framework: str, ours: np.ndarray, costs: np.ndarray) -> None:
        errors = np.abs(costs - ours) / np.abs(ours)
        errors[~np.isfinite(errors)] = np.inf
        worst = float(errors.max())
        self.results["checks"].setdefault(row, {})[framework] = worst
        if worst > TOLERANCE:
            step = int(np.argmax(errors > TOLERANCE))
            self.note(
                row, framework,
                f"disagrees: cost {costs[step]:.6g} for {ours[step]:.6g} at minibatch {step + 1}",
            )  # fmt: skip
        else:
            self.say(f"{row}, {FRAMEWORKS[framework].title}: costs agree within {worst:.0e}")

    # -- threads -----------------------------------------------------------------------------

    def threads(
        self, row: str, framework: str, work: Workload, action: str, quantity: str, **more: Any
    ) -> int:
        """Return how many threads a framework is fastest with; it is tried out once.

        The first one, ours, takes what it wants of all.
        """
        if framework == self.names[0]:
            return THREADS
        known = self.results["threads"].setdefault(f"{row} {quantity}", {})
        if framework not in known:
            seconds: dict[int, list[float]] = {1: [], THREADS: []}
            for threads in [*seconds] * (1 if self.limit else TRIES):
                found = self.do(framework, action, work.of_size(SHORT), threads, **more)
                seconds[threads].append(found.get(quantity, math.inf))
            if not all(min(each) < math.inf for each in seconds.values()):
                return THREADS  # what was measured, or noted, says why
            known[framework] = min(seconds, key=lambda threads: min(seconds[threads]))
            tried = ", ".join(f"{1e6 * min(each):.4g} us with {n}" for n, each in seconds.items())
            self.tell(row, framework, f"{quantity}, threads: {tried}")
        return known[framework]  # type: ignore[no-any-return]

    # -- rounds ------------------------------------------------------------------------------

    def train(self, number: int, names: Sequence[str]) -> None:
        """Measure the epochs of these workloads, once."""
        for row in names:
            for framework in self.able(row):
                threads = self.threads(row, framework, self.work(row), "train", "epoch")
                found = self.do(framework, "train", self.work(row), threads)
                quantities = ("epoch", "compile", "memory", "memory before training", "products")
                self.record(row, framework, number, found, quantities)
                for seconds in found.get("epochs", ()):
                    self.add(row, framework, number, "single epoch", seconds)
                if "epoch" in found:
                    self.tell(row, framework, f"{found['epoch']:.4g} s", number)
                if "blas" in found:
                    self.results["machine"]["blas"] = found["blas"]

    def predict(self, number: int) -> None:
        """Measure the inference, once; the outputs are compared each time."""
        images = min(IMAGES, self.limit or IMAGES, len(self.x))
        for name in PREDICTED:
            for size in PREDICTED_BATCHES:
                able = [n for n in self.able(f"I1 {name}", name) if n != "compile"]
                self._answers(number, f"I1 {name}", able, self.work(name), "predict",
                              f"predict {size}", images=images, size=size)  # fmt: skip

    def single(self, number: int) -> None:
        """Measure single examples, predicted by the fastest way of each framework, once."""
        images = min(IMAGES, self.limit or IMAGES, len(self.x))
        for name in SINGLE:
            row, work = f"W8 {name}", self.work(name)
            able = self.able(row, name)
            self._answers(number, row, able, work, "single", "single", images=images)

    def _answers(
        self,
        number: int,
        row: str,
        frameworks: Sequence[str],
        work: Workload,
        action: str,
        quantity: str,
        **more: Any,
    ) -> None:
        """Measure predictions of a workload's network, and compare the outputs with ours."""
        ours: np.ndarray | None = None
        for framework in frameworks:
            threads = self.threads(row, framework, work, action, quantity, **more)
            found = self.do(framework, action, work, threads, **more)
            if not self.well(row, framework, found):
                if framework == self.names[0]:
                    break
                continue
            outputs = np.array(found["outputs"])
            ours = outputs if ours is None else ours
            error = float(np.abs(outputs - ours).max())
            if not error <= OUTPUT_TOLERANCE:
                self.note(row, framework, f"disagrees: outputs differ by {error:.1e}")
                continue
            self.record(row, framework, number, found, (quantity, "compile"))
            how = f", {found['way']}" if "way" in found else ""
            each = f"{quantity}{how}: {1e6 * found[quantity]:.4g} us each"
            self.tell(row, framework, each, number)
            self._ways(row, framework, found)

    def _ways(self, row: str, framework: str, found: dict[str, Any]) -> None:
        """Keep how often each way was the fastest, and say which ones failed."""
        if "way" in found:
            counts = self.results["ways"].setdefault(row, {}).setdefault(framework, {})
            counts[found["way"]] = counts.get(found["way"], 0) + 1
        for way, error in found.get("failed ways", {}).items():
            self.say(f"{row}, {FRAMEWORKS[framework].title}: {way} failed: {error}")

    def beside(self, number: int) -> None:
        """Measure epochs beside a process that keeps a core busy, and alone, once."""
        for name in BESIDE:
            row, work = f"R {name}", self.work(name)
            for framework in self.able(row, name):
                threads = self.threads(name, framework, work, "train", "epoch")
                found = self.do(framework, "beside", work.of_size(SHORT), threads)
                quantities = ("slow-down", "epoch alone", "epoch beside")
                self.record(row, framework, number, found, quantities)
                if "slow-down" in found:
                    self.tell(row, framework, f"{found['slow-down']:.3g} times as long", number)

    def start_up(self, number: int) -> None:
        """Measure imports, and one epoch of W1 as a whole process, once."""
        work = self.work("W1")
        for framework in self.able("S"):
            if not FRAMEWORKS[framework].statement:
                continue
            found = self.call([sys.executable, "-c", FRAMEWORKS[framework].statement])
            if self.well("S", framework, found):
                self.add("S", framework, number, "import", found["process"])
                self.tell("import", framework, f"{found['process']:.3g} s", number)
        for framework in self.able("S", "W1"):
            threads = self.threads("W1", framework, work, "train", "epoch")
            found = self.do(framework, "one epoch", work, threads)
            self.record("S", framework, number, found, ("process",))
            if "process" in found:
                self.tell("whole process", framework, f"{found['process']:.3g} s", number)

    def able(self, row: str, also: str = "") -> list[str]:
        """Return the frameworks that nothing is noted of in these rows; none if ours is not."""
        for name in self.names:
            if self.results["frameworks"][name]["version"] is None and not self.noted(row, name):
                self.note(row, name, "not installed")
        able = [n for n in self.names if not self.noted(row, n) and not self.noted(also, n)]
        return able if self.names[0] in able else []

    def tell(self, row: str, framework: str, text: str, number: int | None = None) -> None:
        """Say what was found, and in which round."""
        in_round = "" if number is None else f"round {number + 1}, "
        self.say(f"{in_round}{row}, {FRAMEWORKS[framework].title}: {text}")


def _data(name: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Return training images as rows of float32, their labels, and what they are."""
    found = datasets.load(name)
    if found.x_train.shape[1:] != (28, 28) or found.labels_train.max() > 9:
        raise ValueError(f"the benchmarks take 28 x 28 images of ten classes, got {found}")
    x = datasets.to_columns(found.x_train).T
    return x, found.labels_train.astype(np.int64), f"{found.name}, {len(x):,} images"
