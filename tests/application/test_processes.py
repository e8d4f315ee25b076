"""What a process knows of the others that mpirun has started, before MPI begins."""

import os

import pytest

from backprop.application.cli import main
from backprop.application.processes import launched, threads_of_launched

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


@pytest.fixture
def of_four(monkeypatch):
    """Be the second of four processes, two of which are on this machine of 16 cores."""
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in (("RANK", 1), ("SIZE", 4), ("LOCAL_SIZE", 2)):
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", str(value))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)


@pytest.mark.parametrize(("allowed", "threads"), [(16, "8"), (4, "4"), (1, "1")])
def test_processes_on_one_machine_share_its_cores(allowed, threads, of_four, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    assert launched() == (1, 4)
    assert threads_of_launched() == {"OPENBLAS_NUM_THREADS": threads}


def test_there_are_more_processes_than_cores(of_four, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert threads_of_launched() == {"OPENBLAS_NUM_THREADS": "1"}


@pytest.mark.parametrize("name", THREADS)
def test_threads_that_were_asked_for_are_left(name, of_four, monkeypatch):
    monkeypatch.setenv(name, "3")
    assert threads_of_launched() == {}


def test_a_process_alone_takes_what_it_wants(of_four, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    assert threads_of_launched() == {}


@pytest.mark.parametrize("arguments", [["--version"], ["train", "--epochs", "x"]])
def test_what_is_wrong_with_the_arguments_is_said_by_the_first(arguments, monkeypatch, capsys):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("OMPI_COMM_WORLD_RANK", rank)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == (0 if arguments == ["--version"] else 2)
        assert ("backprop" in "".join(capsys.readouterr())) == (rank == "0")
