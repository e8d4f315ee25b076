"""`make bench`: the program as a whole, its arguments, and what make runs."""

import os
import subprocess

import pytest

from experiments.benchmarks import report
from experiments.benchmarks.__main__ import main, names
from experiments.benchmarks.workloads import WORKLOADS
from tests.support import ROOT


def test_it_measures_and_reports(small_run):
    """The library alone: no test needs the peers."""
    run = small_run("benchmarks")
    assert "| W1: 784-30-10, sigmoid, quadratic, SGD, B = 10 |" in run.stdout
    results = run.result("bench")
    assert results["notes"] == {}
    quantities = {(record["row"], record["quantity"]) for record in results["records"]}
    assert {("W1", "epoch"), ("W1", "products"), ("W1", "memory"), ("S", "import")} <= quantities
    assert (run.folder / "bench.csv").read_text().count("\n") == 1 + len(results["records"])
    assert report.table(results) in (run.folder / "bench.md").read_text()


def test_bad_arguments_are_one_line(capsys):
    assert main(["--docs", "nowhere.json"]) == 2
    assert capsys.readouterr().err.startswith("bench: error: ")
    with pytest.raises(SystemExit):
        main(["--workloads", "W9"])
    assert "unknown 'W9': choose from W1,W2" in capsys.readouterr().err


def test_the_two_w5_are_chosen_together():
    assert names(list(WORKLOADS))("W5,W1") == ["W5-10", "W5-64", "W1"]
    assert names(list(WORKLOADS))("none") == []


def dry_run(tmp_path, *arguments):
    """Return the lines that make would have a shell run."""
    command = ["make", "--dry-run", f"VENV={tmp_path / 'venv'}", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_make_knows_the_benchmarks(tmp_path):
    *_, last = dry_run(tmp_path, "bench", "DATA=here", "ARGS=--quick")
    assert last.endswith('python -m experiments.benchmarks --data "here" --quick')
    *_, install, _ = dry_run(tmp_path, "bench-install")
    assert install.endswith("pip install --quiet --disable-pip-version-check "
                            "torch==2.13.0 jax scikit-learn")  # fmt: skip
    assert not any("experiments.benchmarks" in line for line in dry_run(tmp_path, "experiments"))
