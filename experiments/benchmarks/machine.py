"""The machine that is measured: what it is, and what every process finds there."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from backprop.application.doctor import usable_cores
from backprop.compiled import NotBuilt, builder
from backprop.kernels import blas
from backprop.kernels import environment as fast_environment
from experiments.benchmarks.workloads import THREADS


def environment(cache: Path, threads: int = THREADS) -> dict[str, str]:
    """Return the environment of a process: the command line's BLAS kernel, so many threads.

    That no compiler finds anything from earlier runs is what `cache` is for. NPROC is where JAX
    looks for how many cores it has.
    """
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
    return {
        **os.environ,
        **fast_environment.for_this_machine(),
        **dict.fromkeys(variables, str(threads)),
        "BACKPROP_CACHE": str(cache / "programs"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONWARNINGS": "ignore",
    }


def compiles() -> str:
    """Return why there is no compiler for our programs; "" if there is one."""
    try:
        builder.version_of(tuple(builder.compiler()))
    except NotBuilt as error:
        return str(error)
    return ""


def keep_to_cores() -> None:
    """Let this process and its children run on no more cores than there are threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def machine() -> dict[str, Any]:
    """Return what the figures depend on, apart from the frameworks."""
    name, flags = blas.cpu()
    compiler = "" if compiles() else builder.version_of(tuple(builder.compiler()))
    return {
        "processor": name,
        "cores": usable_cores(),
        "avx512": flags >= blas.AVX512,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "compiler": compiler,
        "environment": fast_environment.for_this_machine(),
    }
