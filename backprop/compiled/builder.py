"""The compiler of this machine, and what it builds: found, asked, kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from backprop.compiled import cache
from backprop.kernels import blas

SWITCH = "BACKPROP_COMPILED"  # 0 turns compiled programs off
FLAGS = (
    "-O2",
    "-ftree-vectorize",
    "-fvect-cost-model=dynamic",
    "-std=gnu99",
    "-fPIC",
    "-shared",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",  # NaN and infinity are what they are: no -ffast-math
    "-fno-tree-slp-vectorize",  # gcc 12 loses stores of a short softmax with it, not by loops alone
)
FOR_THIS_MACHINE = ("-march=native", "-mcpu=native", "")


class NotBuilt(RuntimeError):
    """There is no compiled program; the message says why."""


def compiler() -> list[str]:
    """Return the command of the compiler that CC names, or cc, gcc or clang.

    Raises
    ------
    NotBuilt
        If there is none, or compiled programs are turned off.
    """
    if os.environ.get(SWITCH, "1") == "0":
        raise NotBuilt(f"{SWITCH}=0 turns compiled programs off")
    named = os.environ.get("CC", "").strip()
    if named:
        command = shlex.split(named)
        if shutil.which(command[0]) is None:
            raise NotBuilt(f"CC names the compiler {command[0]!r}, which is not there")
        return command
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise NotBuilt("no C compiler: there is no cc, gcc or clang (the variable CC names another)")


@lru_cache
def version_of(command: tuple[str, ...]) -> str:
    """Return what the compiler says of itself.

    Raises
    ------
    NotBuilt
        If it says nothing.
    """
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"the compiler {shlex.join(command)} does not run: {error}") from None
    if done.returncode:
        raise NotBuilt(f"the compiler {shlex.join(command)} does not run: {done.stderr.strip()}")
    return done.stdout.splitlines()[0] if done.stdout else ""


def machine() -> str:
    """Return what the code is for: a cache may be shared by machines of several kinds."""
    name, flags = blas.cpu()
    return f"{platform.system()} {platform.machine()} {name} {' '.join(sorted(flags))}"


_loaded: dict[str, Any] = {}


def load(source: str, headers: dict[str, str], double: bool) -> Any:
    """Return the function ``run`` of a program, built unless it is in the cache.

    Raises
    ------
    NotBuilt
        If it cannot be built; the message says why.
    """
    command = compiler()
    digest = hashlib.sha256()
    parts = [source, *(f"{name}\n{text}" for name, text in sorted(headers.items()))]
    parts += [version_of(tuple(command)), shlex.join(command), *flags(double), machine()]
    for part in parts:
        digest.update(part.encode() + b"\0")
    key = digest.hexdigest()[:32]
    if key not in _loaded:
        try:
            library = cache.find(key)
            if library is None:
                library = cache.keep(key, _build(command, source, headers, flags(double)))
            _loaded[key] = ctypes.CDLL(str(library)).run
        except (OSError, AttributeError) as error:
            raise NotBuilt(f"the program cannot be loaded: {error}") from None
    return _loaded[key]


def flags(double: bool) -> list[str]:
    """Return the flags for the compiler; BACKPROP_CFLAGS adds to them."""
    more = shlex.split(os.environ.get("BACKPROP_CFLAGS", ""))
    vectors = ["-mprefer-vector-width=512"] if blas.cpu()[1] >= blas.AVX512 else []
    return [*FLAGS, *vectors, *["-DBACKPROP_DOUBLE"] * double, *more]


def _build(command: list[str], source: str, headers: dict[str, str], options: list[str]) -> bytes:
    """Return the library that the compiler makes."""
    try:
        with tempfile.TemporaryDirectory(prefix="backprop-") as folder:
            for name, text in headers.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            Path(folder, "program.c").write_text(source, encoding="utf-8")
            for native in FOR_THIS_MACHINE:
                done = subprocess.run(
                    [*command, *options, *[native] * bool(native), "-o", "program.so",
                     "program.c", "-lm", "-pthread"],
                    cwd=folder, capture_output=True, text=True, timeout=600,
                    start_new_session=True,  # Ctrl-C is for Python
                )  # fmt: skip
                if done.returncode == 0:
                    return Path(folder, "program.so").read_bytes()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"the program cannot be built: {error}") from None
    said = (done.stderr.strip() or f"status {done.returncode}").splitlines()
    first = next((line for line in said if "error" in line), said[0])
    raise NotBuilt(f"the compiler {shlex.join(command)} refuses the program: {first}")
