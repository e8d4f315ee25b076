"""Data for the experiments, and every experiment run once."""

import pytest

from backprop.datasets import make_digits, write_idx
from tests.experiments.small_runs import OPTIONS, SmallRun
from tests.support import one_at_a_time, run_experiment, shared_folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Give a folder of IDX files: 600 + 100 of the built-in digits."""
    folder = tmp_path_factory.mktemp("data") / "few"
    for split, count, seed in (("train", 600, 3), ("t10k", 100, 4)):
        images, labels = make_digits(count, seed)
        write_idx(folder / f"{split}-images-idx3-ubyte", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, idx_folder, digits):
    """Give a function that runs an experiment, unless a test of any process has asked for it."""
    runs = shared_folder(tmp_path_factory) / "experiments"
    runs.mkdir(exist_ok=True)

    def run(name):
        folder, said = runs / name, runs / f"{name}.txt"
        with one_at_a_time(runs / f"{name}.lock"):
            if not said.exists():
                folder.mkdir()
                places = {"tiny": idx_folder, "digits": digits, "out": folder}
                options = [option.format(**places) for option in OPTIONS[name].split()]
                done = run_experiment(name, *options)
                assert (done.returncode, done.stderr) == (0, "")
                said.write_text(done.stdout, encoding="utf-8")
        return SmallRun(said.read_text(encoding="utf-8"), folder)

    return run
