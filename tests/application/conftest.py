"""A finished run that several test modules look at."""

import pytest

from tests.application.support import train


@pytest.fixture(scope="session")
def run(tmp_path_factory, idx_folder):
    """Give the folder of a finished run, which is only to be read."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train(folder, idx_folder) == 0
    return folder
