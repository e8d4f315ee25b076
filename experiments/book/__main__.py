"""The book's chapters 1, 2, 3, 5 and 6, run again: every row from every seed, table and figures.

A run writes a JSON file of its own and is not made again where that is there; one that was
interrupted goes on from its checkpoint. RESULTS.md and the figures are made from the files.

    python -m experiments.book [--rows 1 3-size] [--processes 2] [--minutes 9] [--out FOLDER]

`--quick` runs a small form of every row, on the built-in digits unless told: that it runs is then
all that its figures say.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from experiments.book import results
from experiments.book.jobs import finish, jobs_of, selected
from experiments.common import find_mnist, load_mnist, option_parser


def main() -> int:
    """Run what is asked for, with progress; then write RESULTS.md and draw."""
    parser = option_parser(__doc__ or "", data=None, seeds=None)
    parser.prog = "python -m experiments.book"
    parser.set_defaults(out=Path("runs/experiments/book"))
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="rows, or how their names begin")
    parser.add_argument("--processes", type=int, help="runs at a time; 2 unless told")
    parser.add_argument("--minutes", type=float, help="begin nothing, and stop, after so many")
    parser.add_argument("--quick", action="store_true", help="a small form of everything")
    arguments = parser.parse_args()
    if arguments.processes is None:
        arguments.processes = 1 if arguments.quick else 2
    if arguments.processes < 1:
        parser.error(f"--processes must be 1 or more, got {arguments.processes}")
    if arguments.data is None:
        arguments.data = "builtin" if arguments.quick else find_mnist()
    selected(arguments.rows)
    data = load_mnist("book", arguments.data)
    arguments.out.mkdir(parents=True, exist_ok=True)
    jobs = jobs_of(arguments, data.name)
    total, behind, started = sum(job.work for job in jobs), 0.0, time.monotonic()
    print(f"{len(jobs)} runs to be made; finished ones are left as they are", flush=True)
    interrupted = False
    for number, (job, how) in enumerate(finish(jobs, arguments.processes), 1):
        behind += job.work
        left = (time.monotonic() - started) * (total - behind) / behind / 60
        estimate = f", about {left:.0f} min left" if number < len(jobs) else ""
        said = f"{number}/{len(jobs)} {job.row.name}, seed {job.seed}: {how}{estimate}"
        print(said, flush=True)
        interrupted = interrupted or how == "interrupted"
    results.write(arguments.out)
    print(f"{(time.monotonic() - started) / 60:.1f} min; {arguments.out / 'RESULTS.md'}")
    return 130 if interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
