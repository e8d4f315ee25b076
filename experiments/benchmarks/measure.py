"""The measurement: every framework in its own process, one after another, round by round.

A round goes through the workloads, and within each through the frameworks, so that what the
machine does meanwhile falls on all of them alike.
"""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from backprop import datasets
from backprop.application.doctor import usable_cores
from backprop.kernels import blas
from backprop.kernels import environment as fast_environment
from experiments.benchmarks.frameworks.registry import FRAMEWORKS, OURS
from experiments.benchmarks.workloads import (
    IMAGES,
    PREDICTED,
    PREDICTED_BATCHES,
    THREADS,
    WORKLOADS,
    Files,
    Workload,
    read_json,
    write_json,
)

ROOT = Path(__file__).parents[2]
TIMEOUT = 1800
CHECK = -1  # stands for the round that comes before the first
TOLERANCE = 1e-3  # of the costs, relative
OUTPUT_TOLERANCE = 1e-4  # of predicted probabilities


class Bench:
    """Everything that one run measures, and where it keeps it.

    Parameters
    ----------
    frameworks : sequence of str
        Names of `FRAMEWORKS`; ours is measured in any case, and first.
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
        Machine, settings, what was checked, notes on what could not be measured, and `records`:
        one for every figure of every process.
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
        self.names = [OURS, *(name for name in frameworks if name != OURS)]
        self.seconds, self.limit, self.say = seconds, limit, say
        self.folder = folder
        self.environment = environment(folder)
        self.x, self.labels, source = _data(data)
        self.results: dict[str, Any] = {
            "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
            "machine": machine(),
            "settings": {"data": source, "threads": THREADS, "limit": limit, "seconds": seconds},
            "frameworks": {
                name: {"title": FRAMEWORKS[name].title, "version": _version(name)}
                for name in self.names
            },
            "checks": {},
            "notes": {},
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
        self, framework: str, action: str, work: Workload, files: Files | None = None, **more: Any
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
        found = self.call([sys.executable, "-m", "experiments.benchmarks.worker", str(path)])
        return found if "failed" in found else {**found, **read_json(result)}

    def call(self, command: Sequence[str]) -> dict[str, Any]:
        """Run a command; return its seconds as "process", or how it failed."""
        started = time.perf_counter()
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=self.environment, timeout=TIMEOUT,
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
                    if framework == OURS:
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

    # -- rounds ------------------------------------------------------------------------------

    def train(self, number: int, names: Sequence[str]) -> None:
        """Measure the epochs of these workloads, once."""
        for row in names:
            for framework in self.able(row):
                found = self.do(framework, "train", self.work(row))
                quantities = ("epoch", "compile", "memory", "memory before training", "products")
                self.record(row, framework, number, found, quantities)
                for seconds in found.get("epochs", ()):
                    self.add(row, framework, number, "single epoch", seconds)
                if "epoch" in found:
                    self.tell(number, row, framework, f"{found['epoch']:.4g} s")
                if "blas" in found:
                    self.results["machine"]["blas"] = found["blas"]

    def predict(self, number: int) -> None:
        """Measure the inference, once; the outputs are compared each time."""
        for name in PREDICTED:
            row, ours = f"I1 {name}", None
            images = min(IMAGES, self.limit or IMAGES, len(self.x))
            for framework in self.able(row, name):
                if framework == "compile":  # PyTorch is measured eager
                    continue
                found = self.do(framework, "predict", self.work(name), images=images)
                if not self.well(row, framework, found):
                    continue
                outputs = [np.array(found[f"outputs {size}"]) for size in PREDICTED_BATCHES]
                ours = outputs[0] if framework == OURS else ours
                error = max(float(np.abs(output - ours).max()) for output in outputs)
                if error > OUTPUT_TOLERANCE:
                    self.note(row, framework, f"disagrees: outputs differ by {error:.1e}")
                    continue
                for size in PREDICTED_BATCHES:
                    each = found[f"predict {size}"] / found["images"]
                    self.add(row, framework, number, f"predict {size}", each)
                    self.tell(number, row, framework, f"{size} at a time, {1e6 * each:.4g} us each")

    def start_up(self, number: int) -> None:
        """Measure imports, and one epoch of W1 as a whole process, once."""
        work = self.work("W1")
        for framework in self.able("S"):
            found = self.call([sys.executable, "-c", FRAMEWORKS[framework].statement])
            if self.well("S", framework, found):
                self.add("S", framework, number, "import", found["process"])
                self.tell(number, "import", framework, f"{found['process']:.3g} s")
        for framework in self.able("S", "W1"):
            found = self.do(framework, "one epoch", work)
            self.record("S", framework, number, found, ("process",))
            if "process" in found:
                self.tell(number, "whole process", framework, f"{found['process']:.3g} s")

    def able(self, row: str, also: str = "") -> list[str]:
        """Return the frameworks that nothing is noted of in these rows; none if ours is not."""
        for name in self.names:
            if self.results["frameworks"][name]["version"] is None and not self.noted(row, name):
                self.note(row, name, "not installed")
        able = [n for n in self.names if not self.noted(row, n) and not self.noted(also, n)]
        return able if OURS in able else []

    def tell(self, number: int, row: str, framework: str, text: str) -> None:
        self.say(f"round {number + 1}, {row}, {FRAMEWORKS[framework].title}: {text}")


def environment(cache: Path) -> dict[str, str]:
    """Return the environment of every process: the command line's BLAS kernel, `THREADS` threads.

    That PyTorch's compiler finds nothing from earlier runs is what `cache` is for.
    """
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        **os.environ,
        **fast_environment.for_this_machine(),
        **dict.fromkeys(threads, str(THREADS)),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONWARNINGS": "ignore",
    }


def keep_to_cores() -> None:
    """Let this process and its children run on no more cores than there are threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def machine() -> dict[str, Any]:
    """Return what the figures depend on, apart from the frameworks."""
    name, flags = blas.cpu()
    return {
        "processor": name,
        "cores": usable_cores(),
        "avx512": flags >= blas.AVX512,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "environment": fast_environment.for_this_machine(),
    }


def _version(name: str) -> str | None:
    framework = FRAMEWORKS[name]
    if not framework.installed:
        return None
    try:
        return version({"sklearn": "scikit-learn"}.get(framework.package, framework.package))
    except PackageNotFoundError:
        return "unknown"


def _data(name: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Return training images as rows of float32, their labels, and what they are."""
    found = datasets.load(name)
    if found.x_train.shape[1:] != (28, 28) or found.labels_train.max() > 9:
        raise ValueError(f"the benchmarks take 28 x 28 images of ten classes, got {found}")
    x = datasets.to_columns(found.x_train).T
    return x, found.labels_train.astype(np.int64), f"{found.name}, {len(x):,} images"
