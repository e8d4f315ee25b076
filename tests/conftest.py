"""Settings and fixtures that several test modules share."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from backprop.datasets import write_idx
from tests.support import as_for_users, quick_flags, shared_folder

# The same examples in every run, and no clock: a slow machine is not a failure.
settings.register_profile("backprop", derandomize=True, deadline=None, database=None)
settings.load_profile("backprop")


@pytest.fixture(scope="session", autouse=True)
def quick_builds(tmp_path_factory):
    """Build programs soon, which changes no number, and in a cache of ours.

    -Og gives the bits of -O1 in half the time, and allocating registers by functions, not by loops,
    saves a fifth of that; what users have, -O2, is tested with networks drawn at random, with what
    is not finite, and by functions of the headers. All processes of one run share the cache: what
    one has built, the others take.
    """
    programs = shared_folder(tmp_path_factory) / "programs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKPROP_CFLAGS", " ".join(quick_flags()))
        patch.setenv("BACKPROP_CACHE", str(programs / "backprop"))
        yield


@pytest.fixture
def full_speed():
    """Build programs as users do: of what compilers may do with numbers, and of long trainings."""
    with as_for_users():
        yield


@pytest.fixture(scope="session")
def idx_folder(tmp_path_factory):
    """Give a folder of IDX files: 240 + 60 images of 6 x 7 pixels, in four classes."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    rng = np.random.default_rng(0)
    patterns = rng.integers(256, size=(4, 6, 7))
    for split, n in (("train", 240), ("t10k", 60)):
        labels = rng.permutation(np.arange(n) % 4).astype(np.uint8)
        noise = rng.integers(-60, 61, size=(n, 6, 7))
        images = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte.gz", labels)
    return folder


# What `make quick` leaves out: whole programs, pictures, what covers one subject many times over.
SLOW = (
    "application",
    "datasets",
    "docs/test_make.py",
    "docs/test_notebooks.py",
    "docs/test_pages.py",
    "docs/test_tables.py",
    "experiments",
    "gradients/test_contract.py",
    "gradients/test_faults.py",
    "gradients/test_random_layers.py",
    "gradients/test_rounding.py",
    "gradients/test_problems.py",
    "graph/test_nested.py",
    "graph/test_shared_layers.py",
    "inspection/equations",
    "inspection/test_looking.py",
    "inspection/test_trace.py",
    "inspection/test_trace_as_text.py",
    "layers/recurrent",
    "layers/test_mode.py",
    "layers/test_ties.py",
    "layers/test_ties_in_files.py",
    "layers/test_transformer.py",
    "network/test_files.py",
    "peers",
    "plots",
    "research/curvature",
    "research/per_example",
    "research/test_credit.py",
    "research/test_kernel.py",
    "test_crash.py",
    "test_fuzz.py",
    "training/test_health.py",
    "training/test_health_warnings.py",
    "training/test_transaction.py",
)


def is_slow(path):
    """Say whether a file or folder is one of those, or inside one."""
    inside = path.relative_to(Path(__file__).parent).as_posix()
    return any(inside == slow or inside.startswith(slow + "/") for slow in SLOW)


def pytest_collection_modifyitems(items):
    for item in items:
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)


def pytest_ignore_collect(collection_path, config):
    """Spare `make quick` the reading of what it leaves out, which takes seconds."""
    here = collection_path.is_relative_to(Path(__file__).parent)
    if here and config.option.markexpr == "not slow" and is_slow(collection_path):
        return True
    return None
