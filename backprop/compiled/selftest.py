"""What `backprop doctor` says of compiled programs: the compiler, the cache, and a trial."""

from __future__ import annotations

import shlex
import time
from typing import Any

import numpy as np

from backprop.compiled import builder, cache
from backprop.compiled.builder import NotBuilt


def report() -> tuple[list[str], list[str]]:
    """Return lines that describe them, and lines of advice."""
    try:
        command = builder.compiler()
        lines = [
            f"compiler       {shlex.join(command)}: {builder.version_of(tuple(command))}",
            f"               {' '.join(builder.flags(double=False))}",
        ]
        advice = []
    except NotBuilt as error:
        lines = ["compiler       none: trainings go by NumPy"]
        advice = [f"{error}: with a compiler, small networks train several times as fast"]
        return lines, advice
    path = cache.usable()
    if path is None:
        try:
            named = str(cache.folder())
        except OSError as error:
            named = f"the cache ({error})"
        lines.append(f"programs       {named} cannot be used")
        advice.append(
            f"built programs are not kept: {named} must be a folder that is yours, and that nobody "
            f"else may write to ({cache.VARIABLE} names another)"
        )
    else:
        sizes = [file.stat().st_size for file in path.glob("*.so") if file.exists()]
        size = sum(sizes) / 2**20
        lines.append(f"programs       {len(sizes)} in {path}, {size:.1f} MiB")
    try:
        seconds, off = _trial()
        lines.append(
            f"self-test      784-30-10: built or loaded in {seconds:.2f} s, differs from NumPy by "
            f"{off:.0e}"
        )
        if not off <= 1e-12:
            advice.append("the compiled program computes something else: set BACKPROP_COMPILED=0")
    except NotBuilt as error:
        lines.append("self-test      failed")
        advice.append(f"{error}")
    return lines, advice


def _trial() -> tuple[float, float]:
    """Return the seconds that a program took to be there, and by how much it differs from NumPy."""
    from backprop.compiled.passes import both_passes
    from backprop.layers.containers.sequential import Sequential
    from backprop.layers.dense import Dense

    layers = [Dense(784, 30, dtype="float64", rng=0), Dense(30, 10, dtype="float64", rng=1)]
    layer, rng = Sequential(layers), np.random.default_rng(0)
    x, nabla_a = rng.standard_normal((784, 10)), rng.standard_normal((10, 10))
    started = time.perf_counter()
    found = both_passes(layer, x, nabla_a)
    seconds = time.perf_counter() - started
    nabla = layer.nabla.copy()
    a = layer.forward(x, training=True)
    below: Any = layer.backward(nabla_a)
    pairs = [(found["output"], a), (nabla, layer.nabla), (found["nabla_a_prev"], below)]
    return seconds, max(
        float(np.abs(one - other).max() / np.abs(other).max()) for one, other in pairs
    )
