"""The BLAS library behind NumPy's matrix products: which kernel it runs, and which it could.

OpenBLAS picks a kernel by the processor's name and, on AVX-512 processors that it does not know,
falls back to an AVX2 one, at about half the speed. The environment variable OPENBLAS_CORETYPE
chooses it by hand, if it is set before NumPy is loaded; importing this package never sets it.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

AVX512 = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})
AVX512_KERNELS = frozenset({"skylakex", "cooperlake", "sapphirerapids"})
VARIABLE = "OPENBLAS_CORETYPE"


def cpu() -> tuple[str, frozenset[str]]:
    """Return the processor's name and, where Linux tells them, its instruction set flags."""
    fields: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.split("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, frozenset(fields.get("flags", "").split())


def libraries() -> list[dict[str, Any]]:
    """Return what threadpoolctl tells of every BLAS library that is loaded."""
    import numpy  # noqa: F401 - so that its BLAS is loaded
    from threadpoolctl import threadpool_info

    return [library for library in threadpool_info() if library["user_api"] == "blas"]


def better_kernel(library: dict[str, Any], flags: frozenset[str]) -> str | None:
    """Return the value of OPENBLAS_CORETYPE that would make `library` faster, or None."""
    if library.get("internal_api") != "openblas" or not AVX512 <= flags:
        return None
    kernel = str(library.get("architecture") or "").lower()
    return None if kernel in AVX512_KERNELS else "SkylakeX"


def environment() -> dict[str, str]:
    """Return the variable that chooses a better kernel, to be set before NumPy is loaded, or {}."""
    if VARIABLE in os.environ:
        return {}
    _, flags = cpu()
    if not AVX512 <= flags:
        return {}
    for library in libraries():
        kernel = better_kernel(library, flags)
        if kernel is not None:
            return {VARIABLE: kernel}
    return {}
