"""Several processes by MPI: their training is that of one."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from backprop import Dense, Layer, Network, Trainer
from backprop.application.cli import main
from backprop.application.processes import tell_failure
from backprop.interop.mpi_group import as_uncaught
from backprop.layers.parts import Part, share_of
from backprop.training.divergence import DivergenceError
from tests.interop.mpi_run import KINDS, run
from tests.support import ROOT

pytest.importorskip("mpi4py")
MPIRUN = shutil.which("mpirun", path=os.path.dirname(sys.executable)) or shutil.which("mpirun")
pytestmark = pytest.mark.skipif(MPIRUN is None, reason="there is no mpirun")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
ENVIRONMENT["BACKPROP_CFLAGS"] = "-O0"
ENVIRONMENT["OMPI_MCA_mpi_yield_when_idle"] = "1"  # four processes wait on two cores
COMPILED = {  # to build a program takes each process a while
    2: ["adam:compiled", "momentum:compiled", "sequences:compiled", "few:compiled"],
    4: ["normalised:compiled"],
}
EXTREMES = {2: ["extreme", "diverging", "extreme:compiled", "diverging:compiled"]}
EXTREMES[4] = EXTREMES[2][:2]
WAYS = [("", 2), ("", 4), (":compiled", 2)]
JOBS = [(job, n) for n, compiled in COMPILED.items() for job in [*KINDS, *compiled]]


def start(n, *command, folder=ROOT):
    """Run a Python program as n processes."""
    several = [MPIRUN, "--allow-run-as-root", "--oversubscribe", "-n", str(n)]
    return subprocess.run(
        [*several, sys.executable, "-W", "error", "-m", *map(str, command)],
        cwd=folder, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Give the folders with the ends of all trainings, by the number of processes."""
    found = {n: tmp_path_factory.mktemp(f"ends{n}") for n in (1, 2, 4)}
    for kind in (*KINDS, "extreme", "diverging"):
        run(kind, found[1])
    for n, job in ((4, "normalised:save"), (2, "normalised:resume")):
        done = start(n, "tests.interop.mpi_run", found[n], *KINDS, *COMPILED[n], *EXTREMES[n], job)
        assert (done.returncode, done.stderr) == (0, "")
        if n == 4:
            shutil.copy(found[4] / "checkpoint.npz", found[2])
    return found


def end_of(folder, job):
    return dict(np.load(folder / f"{job.replace(':', '-')}.npz"))


def assert_same(ends, others):
    assert ends.keys() == others.keys()
    for name, array in ends.items():
        if name != "computed_by":
            np.testing.assert_allclose(others[name], array, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("job", "n"), JOBS)
def test_several_processes_train_as_one_does(job, n, folders):
    """The last minibatch has 3 examples, fewer than 4 processes; of "few" all have so few."""
    kind, *compiled = job.split(":")
    end = end_of(folders[n], job)
    assert_same(end_of(folders[1], kind), end)
    path = f"compiled: {n} processes" if compiled else f"NumPy: compiled=False; {n} processes"
    assert end["computed_by"] == path


@pytest.mark.parametrize(("way", "n"), WAYS)
def test_statistics_of_extreme_features_are_joined(way, n, folders):
    """Rounding counts: of what is far from 0 its deviation is known to fewer digits."""
    alone, end = end_of(folders[1], "extreme"), end_of(folders[n], f"extreme{way}")
    for name in alone.keys() - {"computed_by"}:
        np.testing.assert_allclose(end[name], alone[name], rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("way", "n"), WAYS)
def test_a_cost_that_is_no_number_in_one_is_an_error_in_all(way, n, folders):
    alone, several = (end_of(folders[k], f"diverging{w}")["error"] for k, w in ((1, ""), (n, way)))
    assert "the cost became nan in epoch 1, minibatch" in str(several)
    assert str(several).split(":")[0] == str(alone).split(":")[0]


@pytest.mark.parametrize("n", [1, 2, 4])
def test_what_only_writes_is_called_in_the_first_alone(n, folders):
    lines = (folders[n] / "momentum.0.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


def test_a_checkpoint_goes_on_with_another_number_of_processes(folders):
    assert_same(end_of(folders[1], "normalised"), end_of(folders[2], "normalised:resume"))


@pytest.mark.parametrize(("how", "text"), [("raise", "this disk is full"), ("kill", "ignal 9")])
def test_one_that_fails_ends_all_and_the_checkpoint_is_whole(how, text, folders, tmp_path):
    found = start(2, "tests.interop.mpi_run", tmp_path, f"normalised:{how}")
    assert time.time() - (tmp_path / "failed").stat().st_mtime < 10
    assert found.returncode != 0
    assert text in found.stderr + found.stdout
    if how == "raise":
        assert "process 1 of 2 has failed, and ends the others" in found.stderr
    run("normalised:resume", tmp_path)
    assert_same(end_of(folders[1], "normalised"), end_of(tmp_path, "normalised:resume"))


ASTRAY = {
    "leave": "process 1 of 2 ends without the `fit` that the others are in",
    "nan": "process 1 has another x (float64 of shape (8, 103), not all finite) than process 0 (",
    "fewer": "than process 0 (float64 of shape (8, 103)); every process is given the same, and all",
    "batch": "process 1 has another batch_size (50) than process 0 (25); every process",
    "optimizer": "process 1 has another optimizer (class SGD, eta 0.2) than process 0 (class SGD,",
    "function": "every process takes its part of every minibatch, of arrays that all have",
}


@pytest.mark.parametrize("how", ASTRAY)
def test_what_one_alone_does_ends_all(how, tmp_path):
    found = start(2, "tests.interop.mpi_run", tmp_path, f"normalised:{how}")
    assert found.returncode == 1
    assert ASTRAY[how] in found.stderr


def test_the_command(tmp_path, idx_folder):
    common = "--epochs 2 --dtype float64 --sizes 42,10,4"
    options = [
        *common.split(),
        "--data",
        str(idx_folder),
        "--no-plots",
        "--batch-size",
        "9",
        "--optimizer",
        "adam",
    ]
    assert main(["train", *options, "--out", str(tmp_path / "alone")]) == 0
    found = start(4, "backprop", "train", *options, "--out", "four", folder=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("epoch 2/2") == 1
    assert found.stdout.count("everything is in") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"alone", "four"}  # the others write none
    assert_same(*(dict(np.load(tmp_path / name / "model.npz")) for name in ("alone", "four")))
    refused = start(2, "backprop", "train", *options, "--out", tmp_path / "four")
    assert refused.stderr.count("holds a run already") == 1


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ValueError("no such class"), 2, "backprop: error: no such class\n"),
        (DivergenceError("C is nan"), 1, "backprop: error: C is nan\n"),
        (KeyboardInterrupt(), 130, "backprop: error: interrupted\n"),
        (MemoryError("so large"), 2, "backprop: error: not enough memory: so large\n"),
        (ZeroDivisionError("ours"), 1, "ZeroDivisionError: ours\n"),
    ],
)
def test_the_command_ends_all_with_the_status_of_one(error, status, text, capsys):
    assert tell_failure(error) == status
    assert capsys.readouterr().err == text


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ValueError("broke"), 1, "ValueError: broke\n"),
        (KeyboardInterrupt(), 130, "KeyboardInterrupt\n"),
        (SystemExit(5), 5, ""),
        (SystemExit(0), 1, ""),
        (SystemExit("no data"), 1, "no data\n"),
    ],
)
def test_a_program_ends_all_as_python_ends(error, status, text, capsys):
    assert as_uncaught(error) == status
    assert capsys.readouterr().err == text


# -- without mpirun ---------------------------------------------------------------------------


def test_every_example_is_in_one_part():
    for n in range(12):
        for parts in (1, 2, 4, 5):
            shares = [share_of(n, rank, parts) for rank in range(parts)]
            assert [k for one in shares for k in range(n)[one]] == list(range(n))
            fewer = [share_of(max(0, n - 1), rank, parts) for rank in range(parts)]
            for one, other in zip(shares, fewer, strict=True):
                assert other.stop - other.start <= one.stop - one.start


def test_what_is_drawn_for_a_part_is_a_part_of_what_is_drawn():
    whole = np.random.default_rng(0).random((2, 3 * 5)).reshape(2, 3, 5)
    for rank in range(2):
        part = Part(5, rank, 2, lambda array, how: None)
        draw = np.random.default_rng(0).random
        mine = part.drawn(draw, (2, 3 * part.size), np.float64)
        np.testing.assert_array_equal(mine.reshape(2, 3, -1), whole[:, :, part.columns])


class Meets(Layer):
    independent_examples = False

    def output(self, a_prev, mode):
        return a_prev - a_prev.mean(axis=-1, keepdims=True)

    def downstream(self, delta):
        return delta - delta.mean(axis=-1, keepdims=True)


def test_what_cannot_be_trained_so_is_refused():
    from backprop.interop.mpi import DataParallel

    network = Network([Dense(3, 2), Meets()], "squared_error")
    with pytest.raises(ValueError, match=r"layer 1, .*cannot be given a part"):
        DataParallel(Trainer(network))
    with pytest.raises(TypeError, match="trainer must be a Trainer"):
        DataParallel(network)
    network = Network([Dense(3, 2)], "squared_error")
    with pytest.raises(TypeError, match=r"comm must be an mpi4py.MPI.Intracomm, got 3"):
        DataParallel(Trainer(network), 3)
