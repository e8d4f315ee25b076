"""Damaged files of every kind that the package reads: refused by its own error, or read.

``python -m tests.fuzz --tries 100000`` damages models, checkpoints, histories, IDX files and the
configurations of runs: their bytes, their structure, and the values of JSON in archives that are
intact. A try fails if anything but a FileError is raised, a warning is given, too much memory or
time is taken, or what was refused has changed something. The file of a failed try is kept, and the
exit status is 1. The same seed makes the same tries.
"""

from __future__ import annotations

import argparse
import collections
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import backprop as bp
from backprop.application.run_config import RunConfig
from backprop.application.run_folder import read_config, read_history
from backprop.datasets import read_idx, write_idx
from backprop.graph import Graph, Input, apply
from backprop.layers import LSTM, BatchNorm, Conv2d, Dense, Dropout, Flatten, Residual, Sequential
from backprop.training import checkpoint
from backprop.training.history import History
from tests.damage import damage

SECONDS = 20  # that a try may take
MEMORY = 6 << 30  # bytes of address space for all

# -- what is read, and how it is looked at -------------------------------------------------------


class Changed(Exception):
    """A file was refused, and something has changed all the same."""


def networks() -> dict[str, Any]:
    """Return small networks of many kinds of layers."""
    rng = np.random.default_rng(0)
    image = [Conv2d(1, 2, 3, rng=rng), BatchNorm(2), Flatten(), Dense(8, 3, rng=rng)]
    encoder = Dense(4, 3, rng=rng)
    tied = [encoder, Dense(3, 4, rng=rng).tie("w", encoder, transposed=True)]
    x = Input("x", (4,))
    h = apply(Dense(4, 3, "tanh", rng=rng), x)
    graph = Graph(h * 2.0 + apply(Dense(4, 3, "relu", rng=rng), x))
    block = Residual([Dense(4, 4, "relu", rng=rng), Sequential([Dropout(0.2, rng=rng)])])
    frozen = bp.Network([Dense(4, 4, rng=rng), block, Dense(4, 2, rng=rng)], "cross_entropy")
    frozen[0].trainable = False
    return {
        "dense": bp.Network.from_sizes([4, 3, 2], "leaky_relu", "softmax_cross_entropy", rng=0),
        "image": bp.Network(image, "quadratic", (1, 4, 4)),
        "tied": bp.Network(tied, "quadratic"),
        "graph": bp.Network(graph, "quadratic"),
        "residual": frozen,
        "lstm": bp.Network([LSTM(2, 3, carry=True, rng=rng)], "quadratic", (2, None)),
    }


def use_network(path: Path) -> None:
    """Load a network, and let it predict."""
    network = bp.Network.load(path)
    predict(network)
    network.save(path)
    bp.Network.load(path)


def predict(network: Any) -> None:
    shape = [3 if n is None else min(n, 10**4) for n in network.input_shape]
    if np.prod(shape, dtype=float) < 1e4 and network.dtype.kind == "f":
        with np.errstate(all="ignore"):
            network.predict(np.ones((*shape, 2), network.dtype))


BITS = [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]


def trainer_of(kind: int) -> Any:
    """Return a trainer of one of the kinds of generators, as it is before a restore."""
    rng = np.random.default_rng(kind)
    layers = [Dense(4, 3, rng=rng), Dropout(0.2, rng=rng), BatchNorm(3), Dense(3, 2, rng=rng)]
    network = bp.Network(layers, "cross_entropy")
    network[1].rng = np.random.Generator(BITS[kind](1))
    options: dict[str, Any] = {"batch_size": 4, "progress": False, "regularizer": bp.L2(0.1)}
    optimizer = [bp.Adam(0.01), bp.SGD(0.1), bp.Momentum(0.1), bp.RMSProp(0.01)][kind]
    if kind < 2:  # a callback whose state is a network
        options["callbacks"] = [bp.EarlyStopping(9, "validation_cost", restore_best=True)]
    return bp.Trainer(network, optimizer, rng=np.random.Generator(BITS[kind](2)), **options)


X = np.linspace(0, 1, 40, dtype=np.float32).reshape(4, 10)
Y = np.ascontiguousarray(np.eye(2, dtype=np.float32)[np.arange(10) % 2].T)
TRAINERS = [trainer_of(kind) for kind in range(len(BITS))]


def use_checkpoint(path: Path, kind: int) -> None:
    """Restore a trainer, and read the network and the history alone."""
    trainer = TRAINERS[kind]
    before = fingerprint(trainer)
    try:
        checkpoint.restore(trainer, path)
    except BaseException:
        if fingerprint(trainer) != before:
            raise Changed from None
        raise
    checkpoint.load_history(path)
    predict(checkpoint.load_network(path))
    checkpoint.save(trainer, path)
    checkpoint.restore(trainer, path)


def fingerprint(trainer: Any) -> Any:
    state = {**trainer.state(), "theta": trainer.network.theta.tobytes()}
    arrays = {name: array.tobytes() for part in ("network", "optimizer")
              for name, array in state.pop(part).items()}  # fmt: skip
    return repr((sorted(arrays.items()), sorted(state.items())))


def use_history(read: Callable[[Path], History], path: Path) -> None:
    """Read a history, and write it again."""
    history = read(path)
    for column in history.columns:
        if all(isinstance(value, (int, float)) for value in history[column]):
            history.best(column, largest=True)
    history.to_json(path)
    if history.records and history.columns:
        assert str(History.from_json(path).records) == str(history.records)
        history.to_csv(path)
        History.from_csv(path)


def use_idx(path: Path) -> None:
    """Read an IDX file."""
    array = read_idx(path)
    assert array.flags.writeable
    assert array.dtype.isnative


def use_data_set(path: Path, name: str) -> None:
    """Load a data set, the file being one of its four."""
    data = path.parent / "data"
    others = {file.name: file.read_bytes() for file in data.iterdir()}
    (data / name).write_bytes(path.read_bytes())
    try:
        bp.datasets.load(str(data))
    finally:
        (data / name).write_bytes(others[name])


def use_config(path: Path) -> None:
    """Read the configuration of a run, in a folder whose history is read as well."""
    config = read_config(path.parent)
    assert RunConfig.from_json(config.to_json()) == config


# -- what is damaged ------------------------------------------------------------------------------


def examples(folder: Path) -> dict[str, list[tuple[bytes, Callable[[Path], None]]]]:
    """Return files of every kind: their content, and what reads it."""
    path = folder / "example"
    found: dict[str, list[tuple[bytes, Callable[[Path], None]]]] = collections.defaultdict(list)

    def add(kind: str, use: Callable[[Path], None]) -> None:
        found[kind].append((path.read_bytes(), use))

    for network in networks().values():
        network.save(path)
        add("model", use_network)
    for kind in range(len(BITS)):
        trainer = trainer_of(kind)
        for stop in (False, True):
            if stop:
                trainer.callbacks.append(StopInTheMiddle())
            trainer.fit(X, Y, 2, (X, Y))
            checkpoint.save(trainer, path)
            add("checkpoint", lambda path, kind=kind: use_checkpoint(path, kind))  # type: ignore[misc]
    records = [dict(record) for record in trainer.history]
    records[0]["training_cost"], records[1]["extra"] = float("nan"), float("inf")
    History(records).to_csv(path)
    add("csv", lambda path: use_history(History.from_csv, path))
    add("csv", lambda path: use_run_history(path))
    History(records).to_json(path)
    add("json", lambda path: use_history(History.from_json, path))
    for dtype in ("uint8", "int16", "float32", "float64"):
        array = np.arange(24).reshape(2, 3, 4).astype(dtype)
        for name in ("example", "example.gz"):
            write_idx(folder / name, array)
            path = folder / name
            add("idx.gz" if name.endswith("gz") else "idx", use_idx)
    rng = np.random.default_rng(0)
    for split, n in (("train", 6), ("t10k", 4)):
        images, labels = f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"
        write_idx(folder / "data" / images, rng.integers(256, size=(n, 3, 2)).astype(np.uint8))
        write_idx(folder / "data" / labels, np.arange(n).astype(np.uint8))
    for path in sorted((folder / "data").iterdir()):
        add("idx", lambda path, name=path.name: use_data_set(path, name))  # type: ignore[misc]
    path = folder / "example"
    path.write_text(RunConfig(sizes=(4, 3, 2), eta=0.5, patience=3).to_json())
    add("config", use_config)
    return found


def use_run_history(path: Path) -> None:
    """Read the file as the history of a run."""
    (path.parent / "history.csv").write_bytes(path.read_bytes())
    read_history(path.parent)


class StopInTheMiddle(bp.Callback):
    """End a training within its next epoch."""

    def on_step_end(self, trainer: Any) -> None:
        if trainer.step == 2:
            trainer.stop("in the middle")


# -- tries ----------------------------------------------------------------------------------------


def stop_it(signum: int, frame: Any) -> None:
    raise TimeoutError(f"it has taken more than {SECONDS} seconds")


def use_and_raise(use: Callable[[Path], None], path: Path, given: Any) -> None:
    """Read the file; raise the first warning that has been given."""
    try:
        use(path)
    finally:
        if given:
            raise given[0].message


def fuzz(tries: int, seed: int, folder: Path, out: Path) -> tuple[collections.Counter, list[str]]:
    """Damage so many files; return what came of them by kind, and the failures in words."""
    folder.mkdir(parents=True, exist_ok=True)
    found = examples(folder)
    everything = [content for pairs in found.values() for content, _ in pairs]
    kinds = [*("model", "checkpoint") * 3, *found]
    counts: collections.Counter = collections.Counter()
    failures: list[str] = []
    path = folder / "config.json"
    signal.signal(signal.SIGALRM, stop_it)
    for number in range(tries):
        rng = random.Random(f"{seed} {number}")
        kind = rng.choice(kinds)
        content, use = rng.choice(found[kind])
        damaged = damage(rng, kind, content, everything)
        path.write_bytes(damaged)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            # As an error a warning would be refused: half of the tries only note it.
            with warnings.catch_warnings(record=number % 2 == 0) as given:
                warnings.simplefilter("always" if given is not None else "error")
                use_and_raise(use, path, given)
            outcome = "read"
        except bp.FileError as error:
            outcome = "refused"
            if "\n" in str(error) or len(str(error)) > 2000:
                outcome = "failed"
                failures.append(f"try {number}, {kind}: {str(error)[:200]!r} is no short line")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            outcome = "failed"
            failures.append(f"try {number}, {kind}: {traceback.format_exc(limit=-3)}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if outcome == "failed":
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{kind}-{seed}-{number}").write_bytes(damaged)
        counts[kind, outcome] += 1
    return counts, failures


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--tries", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="for what has failed")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        counts, failures = fuzz(arguments.tries, arguments.seed, Path(folder), arguments.out)
    for kind in sorted({kind for kind, _ in counts}):
        print(f"{kind:12}", *(f"{counts[kind, o]:>7,} {o}" for o in ("refused", "read", "failed")))
    for failure in failures[:20]:
        print(failure)
    print(f"{arguments.tries:,} tries with seed {arguments.seed}, {len(failures)} failed", end="")
    print(f": their files are in {arguments.out}" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
