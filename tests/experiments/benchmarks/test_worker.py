"""One measurement in one process: what it finds, and how it says that it could not."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks import worker
from experiments.benchmarks.frameworks import ours
from experiments.benchmarks.frameworks.base import CannotExpressError
from experiments.benchmarks.frameworks.registry import FRAMEWORKS, NUMPY, Framework
from experiments.benchmarks.workloads import CHECKED_STEPS, WORKLOADS, read_json, write_json
from tests.experiments.benchmarks.helpers import examples


def task(tmp_path, action, work, **more):
    x, labels = examples(max(work.examples, 30), work.shape)
    files = {name: str(tmp_path / name) for name in ("x", "labels")}
    files["weights"] = str(tmp_path / "weights.npz")
    x.tofile(files["x"])
    labels.tofile(files["labels"])
    np.savez(files["weights"], **ours.first_parameters(work))
    fields = {"framework": NUMPY, "action": action, "work": work.to_json(), "files": files}
    fields |= {"seconds": 0.0, "result": str(tmp_path / "result.json"), **more}
    write_json(tmp_path / "task.json", fields)
    return fields


def run_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path / "task.json")])
    assert worker.main() == 0
    return read_json(tmp_path / "result.json")


def test_a_worker_checks_trains_and_predicts(tmp_path, monkeypatch):
    work = WORKLOADS["W1"].of_size(30)
    task(tmp_path, "check", work)
    found = run_worker(tmp_path, monkeypatch)
    costs = found["costs"]
    assert len(costs) == CHECKED_STEPS  # of epochs of three minibatches
    assert costs[-1] < costs[0]
    assert found["compile"] < 0.1  # there is nothing to compile

    task(tmp_path, "train", work)
    found = run_worker(tmp_path, monkeypatch)
    assert len(found["epochs"]) == 2
    assert found["epoch"] == found["epochs"][1]  # the first warms up
    assert found["memory"] >= found["memory before training"] > 2**20
    assert found["products"] > 0
    assert len(found["blas"]) >= 1

    outputs = []
    for size in (1, 1000):
        task(tmp_path, "predict", work, images=25, size=size)
        found = run_worker(tmp_path, monkeypatch)
        assert 0 < found[f"predict {size}"] < 1
        outputs.append(found["outputs"])
    assert np.shape(outputs[0]) == (25, 10)
    np.testing.assert_allclose(*outputs, atol=1e-5)

    task(tmp_path, "single", work, images=25)
    found = run_worker(tmp_path, monkeypatch)
    assert 0 < found["single"] < 1
    assert found["way"] in found["ways"]
    assert found["failed ways"] == {}
    np.testing.assert_allclose(found["outputs"], outputs[0], atol=1e-5)


@pytest.mark.parametrize("whole", [False, True])
def test_a_way_that_fails_is_left_out_and_told_unless_all_do(tmp_path, monkeypatch, whole):
    def fails(x):
        raise OSError("no compiler")

    def single(self):
        return {"broken": fails} | ({} if whole else {"predict": lambda x: self.predict(x, 1)})

    monkeypatch.setattr(ours.InNumPy, "single", single)
    task(tmp_path, "single", WORKLOADS["W1"].of_size(30), images=3)
    found = run_worker(tmp_path, monkeypatch)
    if whole:
        assert found["failed"] == "OSError: no compiler"
    else:
        assert found["way"] == "predict"
        assert found["failed ways"] == {"broken": "OSError: no compiler"}


def test_a_core_is_kept_busy_meanwhile(tmp_path, monkeypatch):
    task(tmp_path, "beside", WORKLOADS["W1"].of_size(30))
    found = run_worker(tmp_path, monkeypatch)
    assert found["slow-down"] == found["epoch beside"] / found["epoch alone"]
    with worker.busy_process() as process:
        time.sleep(0.05)
        assert process.poll() is None
        used = Path(f"/proc/{process.pid}/stat")
        if used.exists():
            assert used.read_text().rpartition(")")[2].split()[0] == "R"
    assert process.returncode


def test_a_long_epoch_is_trained_once(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "LONG_EPOCH", 0.0)
    task(tmp_path, "train", WORKLOADS["W1"].of_size(30))
    found = run_worker(tmp_path, monkeypatch)
    assert [found["epoch"]] == found["epochs"]


class Refuses:
    """A framework that does not know the work, or breaks."""

    error: Exception

    def __init__(self, *arguments):
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CannotExpressError("no quadratic cost"), {"cannot": "no quadratic cost"}),
        (ValueError("bad shape"), {"failed": "ValueError: bad shape"}),
    ],
)
def test_what_a_framework_cannot_do_and_how_it_fails_are_results(
    tmp_path, monkeypatch, error, expected
):
    monkeypatch.setattr(Refuses, "error", error, raising=False)
    monkeypatch.setattr(ours, "Refuses", Refuses, raising=False)
    refusing = Framework("Refuses", "numpy", "", "ours", "Refuses")
    monkeypatch.setitem(FRAMEWORKS, "refuses", refusing)
    task(tmp_path, "check", WORKLOADS["W1"].of_size(30), framework="refuses")
    found = run_worker(tmp_path, monkeypatch)
    assert expected.items() <= found.items()
