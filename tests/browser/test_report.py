"""The reports of runs in a browser: they fit, can be read, and say nothing in the console."""

import numpy as np
import pytest

from backprop import Network, Trainer
from backprop.application import cli
from backprop.application.report import write_report
from tests.browser.support import errors, poor_contrast, screen, wide

BROKEN = "return [...document.images].filter((one) => !one.naturalWidth).map((one) => one.alt)"


@pytest.fixture(scope="module")
def pages(tmp_path_factory, idx_folder):
    """Give the reports of a run, of several, and of a regression."""
    folder = tmp_path_factory.mktemp("reports")
    for name, more in (("one <b>&", ["--eta", "0.5"]), ("two", ["--eta", "0.05", "--no-plots"])):
        options = ["--sizes", "42,8,4", "--epochs", "3", "--out", str(folder / name), *more]
        assert cli.main(["train", "--data", str(idx_folder), *options]) == 0
    both = folder / "both.html"
    assert (
        cli.main(["report", str(folder / "one <b>&"), str(folder / "two"), "--out", str(both)]) == 0
    )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 60))
    y = x[:2] ** 2
    network = Network.from_sizes([3, 8, 2], "tanh", "quadratic", "identity", dtype="float64", rng=0)
    trainer = Trainer(network, rng=0)
    trainer.fit(x, y, epochs=3, validation=(x, y), progress=False)
    numbers = write_report(folder / "numbers.html", network, trainer.history, (x, y), (x, y))
    return [folder / "one <b>&" / "report.html", both, numbers]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "mobile"), [(1300, False), (380, True)])
def test_a_report_fits_and_can_be_read(browser, pages, width, mobile, scheme):
    with screen(browser, width, mobile, scheme):
        for page in pages:
            browser.get(page.as_uri())
            assert browser.execute_script("return window.innerWidth") == width
            assert wide(browser, width) == [], page
            assert poor_contrast(browser) == [], page
            assert browser.execute_script(BROKEN) == [], page
            assert errors(browser) == [], page


def test_every_link_leads_to_a_section(browser, pages):
    for page in pages:
        browser.get(page.as_uri())
        dead = browser.execute_script(
            "return [...document.links].filter((one) => !document.querySelector(one.hash))"
            ".map(String)"
        )
        assert dead == []
