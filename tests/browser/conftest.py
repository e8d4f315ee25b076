"""A browser without a screen. Where there is none, or no selenium, the tests here are skipped."""

import shutil

import numpy as np
import pytest

from backprop import Network

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="make test-browser has it")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    found.set_window_size(1300, 1000)
    yield found
    found.quit()


@pytest.fixture
def tiny():
    """Give the trace of a network of two layers."""
    network = Network.from_sizes([2, 3, 2], dtype="float64", rng=0)
    rng = np.random.default_rng(1)
    return network.trace(rng.standard_normal((2, 4)), np.eye(2)[:, [0, 1, 1, 0]])
