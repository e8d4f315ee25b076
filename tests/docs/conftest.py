"""Where the commands and the code of the pages run."""

import os
import sys

import pytest

from backprop import datasets
from tests.docs.pages import blocks
from tests.support import one_at_a_time, shared_folder


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """Give a data folder with the built-in digits in it, one for all processes of the tests."""
    home = shared_folder(tmp_path_factory) / "home"
    with one_at_a_time(home.with_suffix(".lock")), pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKPROP_DATA", str(home))
        datasets.load("builtin")
    return home


@pytest.fixture(scope="session")
def environment(home):
    """Give the environment of somebody who has the package installed, and no network."""
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    nowhere = "http://127.0.0.1:9"
    proxies = {"http_proxy": nowhere, "https_proxy": nowhere, "no_proxy": ""}
    # Not what make hands down to the commands it runs, should make run these tests.
    makes = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "ARGS", "DATA", "VENV", "PYTHON")
    inherited = {name: value for name, value in os.environ.items() if name not in makes}
    # One thread: beside other tests a second one would mostly wait, and BLAS waits by spinning.
    threads = {"OPENBLAS_NUM_THREADS": "1"}
    return {**inherited, **proxies, **threads, "BACKPROP_DATA": str(home), "PATH": path}


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """Give a folder in which all the commands are typed, one after another, with a table in it."""
    folder = tmp_path_factory.mktemp("workplace")
    (page,) = blocks("docs/own_data.md", "python")[:1]
    exec(page.replace('"houses.csv"', repr(str(folder / "houses.csv"))))  # which writes it
    return folder
