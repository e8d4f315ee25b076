"""The measurement: what its processes get, and what is not measured and why."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from experiments.benchmarks.frameworks.registry import FRAMEWORKS, NUMPY, OURS, Framework
from experiments.benchmarks.machine import environment
from experiments.benchmarks.measure import Bench
from experiments.benchmarks.workloads import BESIDE, SHORT, THREADS, WORKLOADS


def test_every_process_has_its_threads_and_the_kernel_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "backprop.kernels.environment.for_this_machine", lambda: {"OPENBLAS_CORETYPE": "Zen"}
    )
    found = environment(tmp_path)
    assert found["OPENBLAS_CORETYPE"] == "Zen"
    assert found["OMP_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == found["NPROC"] == "2"
    assert environment(tmp_path, 1)["NPROC"] == "1"
    assert found["BACKPROP_CACHE"].startswith(str(tmp_path))  # nothing of earlier runs


def test_a_peer_has_as_many_threads_as_are_best_and_ours_all(bench, monkeypatch):
    asked = []

    def do(framework, action, work, threads, **more):
        asked.append((framework, threads, work.examples))
        return {"epoch": {"torch": {1: 1.0, 2: 9.0}, NUMPY: {1: 4.0, 2: 3.0}}[framework][threads]}

    monkeypatch.setattr(bench, "do", do)
    work = WORKLOADS["W1"]
    arguments = (work, "train", "epoch")
    assert bench.names[0] == OURS
    assert bench.threads("W1", OURS, *arguments) == THREADS
    assert bench.threads("W1", "torch", *arguments) == 1
    assert bench.threads("W1", NUMPY, *arguments) == 2
    assert bench.results["threads"] == {"W1 epoch": {"torch": 1, NUMPY: 2}}
    tried = [("torch", 1), ("torch", 2), (NUMPY, 1), (NUMPY, 2)]
    assert asked == [(*each, work.of_size(SHORT).examples) for each in tried]
    assert bench.threads("W1", "torch", *arguments) == 1
    assert len(asked) == 4  # it is known


def test_a_peer_that_fails_has_no_best_number_of_threads(bench, monkeypatch):
    monkeypatch.setattr(bench, "do", lambda *arguments, **more: {"failed": "no"})
    assert bench.threads("W1", "torch", WORKLOADS["W1"], "train", "epoch") == THREADS
    assert bench.results["threads"] == {"W1 epoch": {}}


def test_without_a_compiler_ours_is_the_one_in_numpy(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("BACKPROP_COMPILED", "0")
    said = []
    bench = Bench(["torch"], str(digits), tmp_path, say=said.append)
    assert bench.names == [NUMPY, "torch"]
    assert "turns compiled programs off: all is compared with ours in NumPy" in said[0]
    assert bench.results["machine"]["compiler"] == ""


def test_outputs_that_differ_are_shown_and_not_measured(bench, monkeypatch):
    def do(framework, *arguments, **more):
        outputs = [[0.1, 0.9 + 0.01 * (framework == NUMPY)]]
        return {"single": 1.0, "way": "predict", "outputs": outputs}

    monkeypatch.setattr(bench, "do", do)
    bench.single(0)
    assert bench.results["notes"]["W8 W1"] == {NUMPY: "disagrees: outputs differ by 1.0e-02"}
    assert {record["framework"] for record in bench.results["records"]} == {OURS}
    assert bench.results["ways"]["W8 W1"] == {OURS: {"predict": 1}}


def test_beside_a_busy_core_a_peer_has_the_threads_of_its_epochs(bench, monkeypatch):
    asked = []

    def do(framework, action, work, threads, **more):
        asked.append((framework, action, work.name, threads, work.examples <= SHORT))
        return {"epoch": float(threads), "slow-down": 2.0, "epoch alone": 1.0, "epoch beside": 2.0}

    monkeypatch.setattr(bench, "do", do)
    bench.beside(0)
    assert [each for each in asked if each[1] == "beside"] == [
        (framework, "beside", name, threads, True)
        for name in BESIDE
        for framework, threads in ((OURS, THREADS), (NUMPY, 1))
    ]
    assert {record["row"] for record in bench.results["records"]} == {
        f"R {name}" for name in BESIDE
    }
    assert bench.results["threads"] == {f"{name} epoch": {NUMPY: 1} for name in BESIDE}


def test_costs_that_differ_are_shown_and_not_measured(bench):
    bench.names = [OURS, "torch"]
    bench.results["frameworks"]["torch"] = {"title": "PyTorch", "version": "2"}
    ours = np.array([2.0, 1.0, 0.5])
    bench._compare("W1", "torch", ours, ours * 1.0005)
    assert bench.able("W1") == [OURS, "torch"]
    bench._compare("W1", "torch", ours, ours * [1, 1.002, 1.1])
    assert bench.results["notes"]["W1"]["torch"] == "disagrees: cost 1.002 for 1 at minibatch 2"
    assert bench.able("W1") == [OURS]
    bench._compare("W2", "torch", ours, np.array([2.0, np.nan, 0.5]))
    assert "minibatch 2" in bench.results["notes"]["W2"]["torch"]


def test_a_peer_that_is_not_installed_is_noted(bench, monkeypatch):
    absent = Framework("Absent", "no_such_package", "", "ours", "Ours")
    assert not absent.installed
    monkeypatch.setitem(FRAMEWORKS, "absent", absent)
    bench.names.append("absent")
    bench.results["frameworks"]["absent"] = {"title": "Absent", "version": None}
    assert bench.able("W1") == [OURS, NUMPY]
    assert bench.results["notes"] == {"W1": {"absent": "not installed"}}


def test_a_process_that_crashes_is_noted(bench):
    found = bench.call([sys.executable, "-c", "raise MemoryError('too much')"])
    assert found["failed"] == "exit status 1: MemoryError: too much"
    assert not bench.well("W1", OURS, found)
    assert bench.able("W1") == []  # without ours there is nothing to compare with


def test_a_layer_that_there_is_not_is_noted(bench, monkeypatch):
    monkeypatch.setitem(WORKLOADS, "W1", replace(WORKLOADS["W1"], layers=(("teapot", 1),)))
    bench.check(["W1"])
    assert bench.results["notes"]["W1"][OURS] == "failed: KeyError: 'teapot'"


def test_images_of_another_size_are_an_error(idx_folder, tmp_path):
    with pytest.raises(ValueError, match="28 x 28 images of ten classes"):
        Bench([], str(idx_folder), tmp_path)
