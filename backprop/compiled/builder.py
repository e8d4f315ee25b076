"""The compiler of this machine, and what it builds: found, asked, kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from backprop.compiled import cache
from backprop.core.temporary import temporary_folder
from backprop.kernels import blas

SWITCH = "BACKPROP_COMPILED"  # 0 turns compiled programs off
OFF = ("0", "no", "off", "false")
MORE_FLAGS = "BACKPROP_CFLAGS"
FLAGS = (
    "-O2",
    "-ftree-vectorize",
    "-std=gnu99",
    "-fPIC",
    "-shared",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",  # NaN and infinity are what they are: no -ffast-math
    "-fno-tree-slp-vectorize",  # gcc 12 loses stores of a short softmax with it, not by loops alone
)
NOT_OF_CLANG = ("-fvect-cost-model=dynamic",)  # it refuses what it does not know
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
    switch = os.environ.get(SWITCH, "1")
    if switch.lower() in OFF:
        raise NotBuilt(f"{SWITCH}={switch} turns compiled programs off")
    whole = os.environ.get("CC", "")
    command = [whole] if shutil.which(whole) else _words("CC")  # a path may have spaces
    if command:
        found = shutil.which(command[0])
        if found is None:
            raise NotBuilt(f"CC names the compiler {command[0]!r}, which is not there")
        if os.path.dirname(command[0]):  # it is run in another folder
            command[0] = os.path.abspath(found)
        return command
    for name in ("cc", "gcc", "clang"):
        found = shutil.which(name)
        if found:
            return [name if os.path.isabs(found) else os.path.abspath(found)]
    raise NotBuilt("no C compiler: there is no cc, gcc or clang (the variable CC names another)")


def _words(variable: str) -> list[str]:
    """Return what a variable of the environment holds, as the shell takes it apart."""
    text = os.environ.get(variable, "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise NotBuilt(f"{variable}={text} cannot be read: {error}") from None


@lru_cache
def version_of(command: tuple[str, ...]) -> str:
    """Return what the compiler says of itself.

    Raises
    ------
    NotBuilt
        If it says nothing.
    """
    try:
        done = _run([*command, "--version"], timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"the compiler {shlex.join(command)} does not run: {error}") from None
    if done.returncode:
        raise NotBuilt(f"the compiler {shlex.join(command)} does not run: {_said(done)}")
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
            _loaded[key] = _load(key, lambda: _build(command, source, headers, flags(double)))
        except (OSError, AttributeError) as error:
            raise NotBuilt(f"the program cannot be loaded: {error}") from None
    return _loaded[key]


def works() -> bool:
    """Say whether anything at all is built on this machine."""
    try:
        load("int run(void) { return 0; }\n", {}, False)
    except NotBuilt:
        return False
    return True


def _load(key: str, build: Callable[[], bytes]) -> Any:
    """Return the function ``run`` of the library with this key, built if need be."""
    path = cache.find(key)
    library = None if path else build()
    if library is not None:
        path = cache.keep(key, library)
    if path is not None:
        with suppress(OSError):  # nothing may be run from there, or it is gone again
            return ctypes.CDLL(str(path)).run
        with suppress(OSError):
            library = path.read_bytes()
    with temporary_folder(f"backprop-{key}") as folder:  # for this process alone
        alone = folder / f"{secrets.token_hex(8)}.so"  # a loader knows libraries by their names
        alone.write_bytes(library or build())
        try:
            return ctypes.CDLL(str(alone)).run
        except OSError:
            if path is not None:  # it may be that what was built is no library
                with suppress(OSError):
                    path.unlink()
            raise


def flags(double: bool) -> list[str]:
    """Return the flags for the compiler; BACKPROP_CFLAGS adds to them.

    Raises
    ------
    NotBuilt
        If there is no compiler.
    """
    others = () if "clang" in version_of(tuple(compiler())) else NOT_OF_CLANG
    vectors = ["-mprefer-vector-width=512"] if blas.cpu()[1] >= blas.AVX512 else []
    return [*FLAGS, *others, *vectors, *["-DBACKPROP_DOUBLE"] * double, *_words(MORE_FLAGS)]


def _run(command: list[str], timeout: float, folder: Path | None = None) -> Any:
    """Run a command without Ctrl-C, which is for Python, and end all of it where it has to be.

    In a folder it is given, it makes its temporary files there, too.
    """
    pipe = subprocess.PIPE
    variables = None if folder is None else {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        text=True, errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            if hasattr(os, "killpg"):
                with suppress(OSError):  # a compiler is several processes
                    os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _build(command: list[str], source: str, headers: dict[str, str], options: list[str]) -> bytes:
    """Return the library that the compiler makes."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:32]
    try:
        with temporary_folder(f"backprop-{digest}") as folder:
            for name, text in headers.items():
                (folder / name).write_text(text, encoding="utf-8")
            (folder / "program.c").write_text(source, encoding="utf-8")
            for native in FOR_THIS_MACHINE:
                target = [*[native] * bool(native), "-o", "program.so"]
                whole = [*command, *options, *target, "program.c", "-lm", "-pthread"]
                done = _run(whole, 600, folder)
                program = Path(folder, "program.so")
                if done.returncode == 0 and not program.exists():
                    raise NotBuilt(f"the compiler {shlex.join(command)} makes no program")
                if done.returncode == 0:
                    _try(command, program)
                    return program.read_bytes()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"the program cannot be built: {error}") from None
    raise NotBuilt(f"the compiler {shlex.join(command)} refuses the program: {_said(done)}")


def _try(command: list[str], library: Path) -> None:
    """Let another process load a library, since part of one would end whoever loads it.

    What is only no library is for `_load` to find, which may load it from elsewhere.
    """
    if not sys.executable or getattr(sys, "frozen", False):  # there is no Python to be begun
        return
    load = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    done = _run([sys.executable, "-I", "-S", "-c", load, str(library)], timeout=60)
    if done.returncode < 0:
        made = f"the compiler {shlex.join(command)} makes a program that cannot be loaded"
        raise NotBuilt(f"{made}: it ends the process, by signal {-done.returncode}")


def _said(done: Any) -> str:
    """Return the line by which a compiler says what is wrong."""
    lines = (done.stderr.strip() or f"status {done.returncode}").splitlines()
    return next((line for line in lines if "error" in line), lines[0])
