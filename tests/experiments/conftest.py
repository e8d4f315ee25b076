"""Data for the experiments, and every experiment run once."""

from pathlib import Path

import pytest

from backprop.datasets import make_digits, write_idx
from tests.experiments.small_runs import OPTIONS, SmallRun
from tests.support import run_experiment


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
    """Give a function that runs an experiment, the first time it is asked for it."""
    found = {}

    def run(name):
        if name not in found:
            folder = tmp_path_factory.mktemp(name)
            places = {"tiny": idx_folder, "digits": digits, "out": folder}
            options = [option.format(**places) for option in OPTIONS[name].split()]
            done = run_experiment(name, *options)
            assert (done.returncode, done.stderr) == (0, "")
            found[name] = SmallRun(done.stdout, folder)
        return found[name]

    return run


def pytest_collection_modifyitems(items):
    """Let all tests of an experiment run in one process, so that it is run once."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(folder):
            item.add_marker(pytest.mark.xdist_group(experiment_of(item, folder)))


def experiment_of(item, folder):
    """Return "images.residual" for what tests that experiment, here or in a file of its own."""
    given = item.callspec.params.get("name") if hasattr(item, "callspec") else None
    path = item.path.relative_to(folder).with_suffix("")
    if given in OPTIONS:
        return given
    return path.parts[0] if path.parts[0] in OPTIONS else ".".join(path.parts).replace("test_", "")
