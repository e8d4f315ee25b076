"""What ``backprop doctor`` tells: versions, the BLAS kernel, threads, the C compiler."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from backprop import __version__
from backprop.compiled import selftest
from backprop.kernels import blas, environment

PACKAGES = ("numpy", "scipy", "matplotlib", "tqdm", "pooch", "threadpoolctl")
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def add(commands: Any) -> None:
    """Add the commands doctor and environment to the parser."""
    doctor = commands.add_parser("doctor", help="versions, BLAS kernel, threads; what to set")
    doctor.set_defaults(run=_print_report)
    variables = commands.add_parser(
        "environment", help="the variables that make Python scripts of your own faster"
    )
    variables.set_defaults(run=_print_environment)


def _print_report(arguments: argparse.Namespace) -> int:
    print(report())
    return 0


def _print_environment(arguments: argparse.Namespace) -> int:
    environment.show()
    return 0


def report() -> str:
    """Return the report as text; lines of advice, if there are any, come last."""
    name, flags = blas.cpu()
    cores = usable_cores()
    of_blas, advice = _blas(flags, cores)
    lines = [
        f"backprop {__version__}, Python {platform.python_version()} ({sys.executable})",
        "packages       " + ", ".join(f"{package} {_version(package)}" for package in PACKAGES),
        f"processor      {name}, {cores} cores to use, {_vector_width(flags)}",
    ]
    lines += of_blas
    memory = environment.for_memory()
    if memory:
        advice.append(
            "large arrays go back to the system when they are freed, and are cleared anew: set "
            f"{' '.join(map('='.join, memory.items()))} before Python starts (the backprop command "
            "does so by itself)"
        )
    for variable in (blas.VARIABLE, *THREAD_VARIABLES, *environment.MEMORY):
        lines.append(f"{variable:<22} {os.environ.get(variable, 'not set')}")
    of_programs, about_programs = selftest.report()
    lines += of_programs
    advice += about_programs
    lines.append(f"matrix product {_gflops():.0f} GFLOP/s, float32, 1024 x 1024")
    lines += [f"advice: {line}" for line in advice] or ["all is well: nothing to set"]
    return "\n".join(lines)


def _blas(flags: frozenset[str], cores: int) -> tuple[list[str], list[str]]:
    """Return what there is to say of the libraries for products, and to advise."""
    lines, advice = [], []
    for library in blas.libraries():
        kernel = library.get("architecture") or "unknown"
        lines.append(
            f"BLAS           {library['internal_api']} {library.get('version')}, "
            f"kernel {kernel}, {library['num_threads']} threads"
        )
        lines.append(f"               {library['filepath']}")
        better = blas.better_kernel(library, flags)
        if better is not None:
            advice.append(
                f"the BLAS kernel {kernel} leaves AVX-512 unused: set {blas.VARIABLE}={better} "
                "before Python starts (the backprop command does so by itself)"
            )
        if library["num_threads"] > cores:
            advice.append(
                f"{library['num_threads']} BLAS threads on {cores} cores: set "
                f"OPENBLAS_NUM_THREADS={cores}"
            )
    return lines or ["BLAS           none that threadpoolctl knows"], advice


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _vector_width(flags: frozenset[str]) -> str:
    if flags >= blas.AVX512:
        return "AVX-512"
    if "avx2" in flags:
        return "AVX2"
    return "SSE" if flags else "vector instructions unknown"


def _gflops(n: int = 1024, repeats: int = 5) -> float:
    """Return the speed of a float32 matrix product, the best of a few."""
    import numpy as np

    a = np.ones((n, n), np.float32)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best / 1e9
