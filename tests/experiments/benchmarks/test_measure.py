"""The measurement: what its processes get, and what is not measured and why."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from experiments.benchmarks.frameworks.registry import FRAMEWORKS, OURS, Framework
from experiments.benchmarks.measure import Bench, environment
from experiments.benchmarks.workloads import WORKLOADS


def test_every_process_has_two_threads_and_the_kernel_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "backprop.kernels.environment.for_this_machine", lambda: {"OPENBLAS_CORETYPE": "Zen"}
    )
    found = environment(tmp_path)
    assert found["OPENBLAS_CORETYPE"] == "Zen"
    assert found["OMP_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == "2"


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
    assert bench.able("W1") == [OURS]
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
