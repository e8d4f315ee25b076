"""Trials: a training that comes to harm again and again, beside one that was left alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import backprop as bp
from backprop.application.run_config import RunConfig
from backprop.core.storage import read_archive
from backprop.training import checkpoint
from tests.crash.configurations import BEST, LAST, LOG, SELDOM, make_data
from tests.crash.kinds import KINDS, OF_COMPILED, Harm, has_ended_so

ROOT = Path(__file__).parents[2]
SECONDS = 300  # that a process may take: it hangs otherwise
TIMES = ("seconds", "training_seconds", "seconds_per_epoch")


class Plan(NamedTuple):
    """A training, and what is to happen to it, by kind."""

    configuration: str
    compiled: bool
    harms: list[tuple[str, Harm]]

    @property
    def path(self) -> str:
        """The way its minibatches go."""
        return "compiled" if self.compiled else "NumPy"


class Outcome(NamedTuple):
    """What has happened, by kind, and what was wrong afterwards, in words."""

    happened: list[str]
    wrong: list[str]


class Whole(NamedTuple):
    """A training that was left alone: where it is, and what it took to its lines of output."""

    folder: Path
    first: float
    each: float


class Trials:
    """Runs plans below a folder, and keeps what the undisturbed trainings have come to.

    Parameters
    ----------
    folder : Path
        A new one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data").mkdir(parents=True)
        make_data(folder / "data")
        self._whole: dict[tuple[str, bool], Whole] = {}
        self._number = 0

    def run(self, plan: Plan, planted: bool = False, place: Path | None = None) -> Outcome:
        """Let a training come to harm, go on with it each time, and compare what it comes to.

        Parameters
        ----------
        plan : Plan
        planted : bool
            Whether the training that goes on is to be another, which must be found.
        place : Path, optional
            A folder, of another file system say, in which the training leaves everything.
        """
        whole = self.whole(plan.configuration, plan.compiled)
        self._number += 1
        home = self.folder / f"trial-{self._number}"
        of_training = place or home / "training"
        own = any(kind in OF_COMPILED for kind, _ in plan.harms)
        cache = home / "cache" if own else self.folder / "cache"
        for folder in (of_training, home / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        order = self._order(plan, of_training) | {"planted": planted}
        happened: list[str] = []
        wrong: list[str] = []
        damaged: set[str] = set()
        for number, (kind, harm) in enumerate(plan.harms):
            name = f"{plan.configuration}, {plan.path}, {kind} ({number + 1}.)"
            with filled(of_training, harm.room):
                status, said = self._process(order, harm, whole, cache, home)
            if status == 0:  # it was through before
                break
            if not has_ended_so(kind, status, said):
                wrong.append(f"{name}: status {status}: {said[-600:]}")
            happened.append(kind)
            wrong += [f"{name}: {fault}" for fault in faults_of(of_training, cache, damaged)]
            if kind == "in the cache":
                damaged |= damage_one(cache, number)
            seldom = of_training / SELDOM
            order["start"] = SELDOM if seldom.exists() and number % 2 else LAST
        name = f"{plan.configuration}, {plan.path}, after {', '.join(happened) or 'nothing'}"
        status, said = self._process(order, Harm(), whole, cache, home)
        if status:
            wrong.append(f"{name}: it does not go on: status {status}: {said[-600:]}")
        else:
            wrong += [f"{name}: {one}" for one in differences(of_training, whole.folder)]
        wrong += [f"{name}: {left} is left" for left in litter(of_training, cache, home / "tmp")]
        if not wrong:
            shutil.rmtree(home)
        return Outcome(happened, wrong)

    def whole(self, configuration: str, compiled: bool) -> Whole:
        """Return the training that is left alone, done if it has not been yet."""
        key = configuration, compiled
        if key not in self._whole:
            plan = Plan(configuration, compiled, [])
            home = self.folder / f"whole-{configuration}-{plan.path}"
            order = self._order(plan, home / "training")
            (home / "tmp").mkdir(parents=True)
            (home / "training").mkdir()
            for _ in range(1 + compiled):  # the second time its program is in the cache
                shutil.rmtree(home / "training")
                (home / "training").mkdir()
                times = [time.perf_counter()]
                with self._started(order, self.folder / "cache", home) as process:
                    assert process.stdout is not None
                    times += [time.perf_counter() for _ in process.stdout]
                    status = process.wait(SECONDS)
                said = (home / "said").read_text(encoding="utf-8", errors="replace")
                if status or len(times) < 3:
                    raise RuntimeError(f"{configuration}, {plan.path}: status {status}: {said}")
            each = (times[-1] - times[1]) / (len(times) - 2)
            self._whole[key] = Whole(home / "training", times[1] - times[0], each)
        return self._whole[key]

    def _order(self, plan: Plan, folder: Path) -> dict[str, Any]:
        return {
            "configuration": plan.configuration,
            "compiled": plan.compiled,
            "folder": str(folder),
            "data": str(self.folder / "data"),
        }

    def _process(
        self, order: dict[str, Any], harm: Harm, whole: Whole, cache: Path, home: Path
    ) -> tuple[int, str]:
        """Run a process to its end, whichever that is; return its status, and what it said."""
        with self._started(order | {"fault": harm.fault}, cache, home) as process:
            assert process.stdout is not None
            if harm.signal is not None:
                for _ in range(harm.lines):
                    process.stdout.readline()
                time.sleep(harm.part * (whole.each if harm.lines else whole.first))
                process.send_signal(harm.signal)
            process.stdout.read()
            status = process.wait(SECONDS)
        return status, (home / "said").read_text(encoding="utf-8", errors="replace")

    @contextmanager
    def _started(
        self, order: dict[str, Any], cache: Path, home: Path
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a process, on one thread, which heeds Ctrl-C whatever this one does."""
        variables = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "BACKPROP_CACHE": str(cache),
            "BACKPROP_CFLAGS": "-O0",  # which builds soonest
            "TMPDIR": str(home / "tmp"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "tests.crash.victim", json.dumps(order)]
        with (
            open(home / "said", "wb") as said,
            subprocess.Popen(
                command, env=variables, cwd=home, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=said, text=True, preexec_fn=_heed_ctrl_c,
            ) as process,
        ):  # fmt: skip
            watch = threading.Timer(SECONDS, process.send_signal, (signal.SIGABRT,))
            watch.start()  # for one that hangs
            try:
                yield process
            finally:
                watch.cancel()
                if process.poll() is None:
                    process.kill()


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# -- what is looked at ---------------------------------------------------------------------------


def faults_of(folder: Path, cache: Path, damaged: set[str]) -> list[str]:
    """Return what is wrong with the files of a training that has just been ended, in words."""
    readers = {
        LAST: _read_checkpoint,
        SELDOM: _read_checkpoint,
        "run/checkpoint.npz": _read_checkpoint,
        BEST: bp.Network.load,
        "run/model.npz": bp.Network.load,
        "run/history.csv": bp.History.from_csv,
        "run/config.json": lambda path: RunConfig.from_json(path.read_bytes()),
        "run/result.json": lambda path: json.loads(path.read_bytes()),
    }
    wrong = []
    for name, read in readers.items():
        if (folder / name).exists():
            try:
                read(folder / name)
            except Exception as error:
                wrong.append(f"{name} cannot be read: {error}")
    for path in (path for path in cache.glob("*.so") if path.name not in damaged):
        if hashlib.sha256(path.read_bytes()).hexdigest()[:32] != path.name.split(".")[1]:
            wrong.append(f"{path.name} in the cache is not whole")
    return wrong


def _read_checkpoint(path: Path) -> None:
    history, network = checkpoint.load_history(path), checkpoint.load_network(path)
    assert [record["epoch"] for record in history] == list(range(1, len(history) + 1))
    assert np.isfinite(network.theta).all()


def damage_one(cache: Path, number: int) -> set[str]:
    """Cut a program in the cache short, as a power failure may; return its name."""
    for path in sorted(cache.glob("*.so"))[:1]:
        content = path.read_bytes()
        path.unlink()  # which may be mapped elsewhere
        path.write_bytes(content[: len(content) * number // 3])
        path.chmod(0o700)
        return {path.name}
    return set()


def litter(folder: Path, cache: Path, temporary: Path) -> list[str]:
    """Return the temporary files that are left; what a compiler may still be at is waited for."""
    for _ in range(50):
        if not any(temporary.iterdir()):
            break
        time.sleep(0.1)
    hidden = [
        path
        for place in (folder, cache)
        for path in place.rglob("*")
        if path.name.startswith(".") or path.name.endswith(".tmp")
    ]
    return [str(path) for path in [*hidden, *temporary.iterdir()]]


def differences(folder: Path, whole: Path) -> list[str]:
    """Return what is not to the bit what an undisturbed training has come to, in words."""
    names = {file.relative_to(whole).as_posix() for file in whole.rglob("*") if file.is_file()}
    found = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    wrong = [f"{name} is there once only" for name in sorted(names ^ found)]
    for name in sorted(names & found):
        one, other = (_content(place / name) for place in (folder, whole))
        if one != other:
            parts = one if isinstance(one, dict) else {}
            which = [key for key in parts if isinstance(other, dict) and one[key] != other.get(key)]
            wrong.append(f"{name} is another: {', '.join(map(str, which))[:300]}")
    return wrong


def _content(path: Path) -> Any:
    """Return what is in a file, without the seconds that anything has taken."""
    if path.suffix == ".npz":
        arrays, meta = read_archive(path)
        return {
            **{name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()},
            **_timeless(meta),
        }
    if path.suffix == ".csv":
        return _timeless(bp.History.from_csv(path).records)
    if path.name == LOG:
        return _timeless([json.loads(line) for line in path.read_text().splitlines()])
    return _timeless(json.loads(path.read_bytes()))


def _timeless(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _timeless(value) for key, value in data.items() if key not in TIMES}
    return [_timeless(one) for one in data] if isinstance(data, list) else data


# -- plans ---------------------------------------------------------------------------------------


def drawn_plan(rng: np.random.Generator, kinds: list[str], configurations: list[str],
               in_numpy_only: set[str], most: int) -> Plan:  # fmt: skip
    """Return a plan that is drawn at random, of at most so many harms of these kinds."""
    configuration = str(rng.choice(configurations))
    compiled = configuration not in in_numpy_only and bool(rng.integers(2))
    possible = [kind for kind in kinds if compiled or kind not in OF_COMPILED]
    chosen = [str(rng.choice(possible)) for _ in range(rng.integers(1, most + 1))]
    return Plan(configuration, compiled, [(kind, KINDS[kind](rng)) for kind in chosen])


# -- a disk that is full in earnest --------------------------------------------------------------


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Give a folder that is a disk of two megabytes; None where this user may mount none."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        made = False
    try:
        yield folder if made else None
    finally:
        if made:
            subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def filled(folder: Path, room: int | None) -> Iterator[None]:
    """Fill the disk that a folder is on but for so many bytes, for a while; not if it is None."""
    if room is None:
        yield
        return
    filler = folder.with_name("filler")
    status = os.statvfs(folder)
    filler.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - room)))
    try:
        yield
    finally:
        filler.unlink()
