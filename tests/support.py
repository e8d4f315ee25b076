"""Helpers that several test modules share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backprop.compiled import builder
from backprop.core.config import from_config
from backprop.layers import Activation, Dense

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "experiments"


@contextmanager
def as_for_users() -> Iterator[None]:
    """Build at full speed, as users do; other tests have what is built soonest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(builder.MORE_FLAGS, raising=False)
        yield


def quick_flags() -> list[str]:
    """Return the flags with which the compiler, if there is one, builds soonest."""
    try:
        is_clang = "clang" in builder.version_of(tuple(builder.compiler()))
    except builder.NotBuilt:
        return []
    return ["-Og"] if is_clang else ["-Og", "-fira-region=one"]  # which clang refuses


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the one temporary folder of all processes that a run of the tests has."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Let one process in, and the next when it has done: what it has made is then there."""
    import fcntl

    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def dense(n_in: int = 3, n_out: int = 3, sigma: Activation | str = "tanh", rng: Any = 0) -> Dense:
    """Return a layer in float64, the same every time."""
    return Dense(n_in, n_out, sigma, dtype="float64", rng=rng)


def normal(*shape: int) -> np.ndarray:
    """Draw numbers, the same for a shape every time."""
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def without_times(history: Any) -> list[dict[str, Any]]:
    """Return the records of a training, but for the seconds that epochs took."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def made_with(layer: Any, **arguments: Any) -> Any:
    """Return a layer that was made with other arguments, of the same parameters and state."""
    twin = from_config({**layer.config(), **arguments})
    twin.set_state(layer.state())
    return twin


def refusal_of(size: Any, least: int = 1) -> tuple[type[Exception], str]:
    """Return the error that a size, which is none, is refused with, and how its message ends."""
    if isinstance(size, int) and not isinstance(size, bool):
        return ValueError, f"must be at least {least}, got {size}$"
    return TypeError, f"must be an integer, got {re.escape(repr(size))}$"


def name_of(value: Any) -> str:
    """Return an id for a parametrised value that is the same in every process."""
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else repr(value)


def rounded(values: Any, digits: int) -> Any:
    """Return numbers rounded to so many decimals, none of them a negative zero."""
    return np.round(np.asarray(values), digits) + 0.0


def is_png(path: Path) -> bool:
    """Say whether the file is a picture in the PNG format."""
    return path.read_bytes().startswith(b"\x89PNG")


def experiment_names() -> list[str]:
    """Return all that `run_experiment` takes: "book.hidden_layer", ..., and "benchmarks"."""
    modules = [
        path.relative_to(EXPERIMENTS).with_suffix("")
        for path in EXPERIMENTS.rglob("*.py")
        if "benchmarks" not in path.parts  # one program, made of many modules
        and '\nif __name__ == "__main__":\n' in path.read_text(encoding="utf-8")
    ]
    return sorted(["benchmarks", *(".".join(module.parts) for module in modules)])


def run_experiment(
    name: str, *options: Any, **environment: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m experiments.NAME``, its warnings errors, and return what it printed."""
    # One thread: beside other tests a second one would mostly wait, and BLAS waits by spinning.
    variables = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", f"experiments.{name}", *map(str, options)],
        cwd=ROOT, env={name: str(value) for name, value in variables.items()},
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
