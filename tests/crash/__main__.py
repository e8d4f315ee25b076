"""Kill trainings at random moments, go on with each, and compare it with one that was left alone.

``python -m tests.crash --kills 200`` kills 200 processes that train, in NumPy or compiled, at any
moment, in a checkpoint, while a program that was built is kept, or while the compiler runs. Beside
that, disks fill up, and SIGTERM and Ctrl-C come. What has come to harm goes on from its checkpoint,
until it is through. Parameters, random states, history, result and all files must then be those of
the undisturbed training, to the bit, and nothing may be left over. The exit status is 1 if one is
not, and its folder is kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from tests.crash.configurations import COMMAND, CONFIGURATIONS, IN_NUMPY_ONLY
from tests.crash.kinds import KILLS, OTHERS, Harm
from tests.crash.trials import Outcome, Plan, Trials, drawn_plan, small_disk

MOST = 3  # that a training comes to harm before it may end


class Account:
    """What has happened so far, by path and kind, and what was wrong."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.trainings: Counter[str] = Counter()
        self.wrong: list[str] = []

    def add(self, plan: Plan, outcome: Outcome) -> None:
        """Count a trial."""
        self.trainings[plan.path] += 1
        self.counts.update((plan.path, kind) for kind in outcome.happened)
        self.wrong += outcome.wrong
        for line in outcome.wrong:
            print(f"WRONG: {line}", flush=True)

    def of(self, kinds: list[str]) -> int:
        """Return how often any of these kinds has happened."""
        return sum(count for (_, kind), count in self.counts.items() if kind in kinds)

    def table(self) -> str:
        """Return the counts as lines."""
        kinds = [*KILLS, *OTHERS, DISK]
        paths = ["NumPy", "compiled"]
        rows = [["", *paths]]
        rows += [[kind, *(str(self.counts[path, kind]) for path in paths)] for kind in kinds]
        rows.append(["trainings", *(str(self.trainings[path]) for path in paths)])
        return "\n".join(f"{name:<26}{one:>9}{other:>9}" for name, one, other in rows)


DISK = "full disk (a small one)"


def crash(
    account: Account, kills: int, others: int, seed: int, folder: Path, names: list[str]
) -> None:
    """Do trials until so many processes were killed, and so many came to harm in other ways."""
    trials, started = Trials(folder), time.monotonic()
    rng = np.random.default_rng(seed)
    told = started
    for kinds, wanted in ((list(KILLS), kills), *(([kind], others) for kind in OTHERS)):
        while account.of(kinds) < wanted and len(account.wrong) < 20:
            left = wanted - account.of(kinds)
            plan = drawn_plan(rng, kinds, names, IN_NUMPY_ONLY, min(MOST, left))
            account.add(plan, trials.run(plan))
            now = time.monotonic()
            if now - told > 10:
                told = now
                done, total = sum(account.counts.values()), kills + others * len(OTHERS)
                minutes = (now - started) / max(1, done) * (total - done) / 60
                print(f"{done} of {total} in {account.trainings.total()} trainings, "
                      f"{len(account.wrong)} wrong, {minutes:.0f} min left",
                      flush=True)  # fmt: skip
    if others:
        on_a_small_disk(others, rng, trials, account, names)


def on_a_small_disk(
    number: int, rng: np.random.Generator, trials: Trials, account: Account, names: list[str]
) -> None:
    """Let so many trainings, at most, fill a disk that has little room left."""
    for attempt in range(number):
        configuration = str(rng.choice(names))
        compiled = configuration not in IN_NUMPY_ONLY and bool(rng.integers(2))
        harms = [(DISK, Harm(room=4096 * int(rng.integers(0, 12)))) for _ in range(2)]
        with small_disk(trials.folder / f"disk-{attempt}") as disk:
            if disk is None:
                print("no small disk: this user may not mount one")
                return
            plan = Plan(configuration, compiled, harms)
            account.add(plan, trials.run(plan, place=disk / "training"))


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--others", type=int, default=20, help="of each other kind of harm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[COMMAND, *CONFIGURATIONS], help="one training")
    arguments = parser.parse_args()
    started = time.monotonic()
    names = [arguments.only] if arguments.only else [COMMAND, *CONFIGURATIONS]
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    account, status = Account(), 0
    try:
        crash(account, arguments.kills, arguments.others, arguments.seed, folder, names)
    except KeyboardInterrupt:
        status = 130
    print(account.table())
    seconds = time.monotonic() - started
    print(f"{account.of(list(KILLS))} kills with seed {arguments.seed} in {seconds:.0f} s: "
          f"{len(account.wrong)} wrong", end="")  # fmt: skip
    if account.wrong:
        print(f"; what there was is in {folder}")
        return 1
    print()
    shutil.rmtree(folder)
    return status


if __name__ == "__main__":
    sys.exit(main())
