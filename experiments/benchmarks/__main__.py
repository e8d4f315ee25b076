"""`make bench`: measure, print the table, and leave results, CSV and figure in a folder."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from experiments.benchmarks import figure, report, sweep
from experiments.benchmarks.frameworks.registry import FRAMEWORKS, NUMPY, OURS
from experiments.benchmarks.machine import keep_to_cores
from experiments.benchmarks.measure import ROOT, Bench
from experiments.benchmarks.workloads import WORKLOADS, read_json, write_json

PEERS = [name for name in FRAMEWORKS if name not in (OURS, NUMPY)]
PARTS = [*WORKLOADS, "W8", "I1", "R", "S"]
QUICK = 1280
ROUNDS = 5


def main(argv: list[str] | None = None) -> int:
    """Run with these arguments; return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.docs:
            report.write_docs(ROOT / "docs" / "benchmarks.md", read_json(arguments.docs))
        elif arguments.draw:
            _draw(arguments.draw)
        else:
            _measure(arguments)
    except (ValueError, OSError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    return 0


def _measure(arguments: argparse.Namespace) -> None:
    started = time.perf_counter()
    keep_to_cores()
    rounds = arguments.rounds or (1 if arguments.quick else ROUNDS)
    path = arguments.out / ("sweep.json" if arguments.sweep else "bench.json")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        seconds, limit = (0.0, QUICK) if arguments.quick else (1.5, None)
        bench = Bench(arguments.peers, arguments.data, Path(folder), seconds, limit)
        if arguments.sweep:
            parts = sweep.measure(bench, rounds)
        else:
            parts = _rounds(bench, rounds, arguments.workloads)
        for _ in parts:
            write_json(path, bench.results)  # should the next round be interrupted
    _draw(path)
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes; everything is in {arguments.out}")


def _rounds(bench: Bench, rounds: int, parts: list[str]) -> Iterator[None]:
    """Check, then measure round by round; yield after each."""
    trained = [part for part in parts if part in WORKLOADS]
    bench.check(trained)
    for number in range(rounds):
        bench.train(number, trained)
        if "W8" in parts:
            bench.single(number)
        if "I1" in parts:
            bench.predict(number)
        if "R" in parts:
            bench.beside(number)
        if "S" in parts:
            bench.start_up(number)
        yield


def _draw(path: Path) -> None:
    """Print the table of a run, and write CSV and figure beside it."""
    results = read_json(path)
    path.with_suffix(".csv").write_text(report.to_csv(results), encoding="utf-8")
    if "sweep" in results:
        sweep.draw(results, path.with_suffix(".png"))
        return
    text = report.text(results)
    path.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    figure.draw(results, path.with_suffix(".png"))
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    add = parser.add_argument
    add("--workloads", type=names(PARTS), default=PARTS, metavar="LIST",
        help=f"some of {','.join(PARTS)} (default: all)")  # fmt: skip
    add("--peers", type=names(PEERS), default=PEERS, metavar="LIST",
        help=f"some of {','.join(PEERS)}, or none (default: all; what is not installed is "
        "reported as such)")  # fmt: skip
    add("--rounds", type=int, help=f"default: {ROUNDS}")
    add("--quick", action="store_true", help=f"one round of {QUICK:,} examples, to try it out")
    add("--data", default="builtin", help="builtin, mnist, or a folder of IDX files")
    add("--out", type=Path, default=Path("runs/benchmarks"))
    add("--sweep", action="store_true", help="time and memory by width, depth, batch and data")
    add("--draw", type=Path, metavar="JSON", help="only table and figure, of an earlier run")
    add("--docs", type=Path, metavar="JSON", help="write an earlier run into docs/benchmarks.md")
    return parser


def names(known: list[str]) -> Callable[[str], list[str]]:
    """Return what reads a list of these names; "W5" stands for all that begin with "W5-"."""

    def parse(text: str) -> list[str]:
        names: list[str] = []
        for given in [] if text == "none" else text.split(","):
            found = [name for name in known if given in (name, name.split("-")[0])]
            if not found:
                raise argparse.ArgumentTypeError(
                    f"unknown {given!r}: choose from {','.join(known)}"
                )
            names += found
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())
