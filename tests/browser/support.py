"""What the tests of pages ask a browser: errors, widths, contrasts, and what is focused."""

from __future__ import annotations

import contextlib
from pathlib import Path

FOLDER = Path(__file__).parent


def errors(browser):
    """Return what the console has said since it was asked the last time."""
    return [entry["message"] for entry in browser.get_log("browser")]


def wide(browser, width):
    """Return what reaches beyond so many pixels."""
    return browser.execute_script(_script("wide"), width)


def poor_contrast(browser):
    """Return the texts whose contrast is below that of WCAG 2.2, level AA."""
    return browser.execute_script(_script("contrast"))


def _script(name):
    return (FOLDER / f"{name}.js").read_text(encoding="utf-8")


@contextlib.contextmanager
def screen(browser, width, mobile=False, scheme="light"):
    """Let the browser have a screen of that width, of a phone or not, and a colour scheme."""
    metrics = {
        "width": width,
        "height": 800,
        "deviceScaleFactor": 2 if mobile else 1,
        "mobile": mobile,
    }
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": mobile})
    try:
        yield browser
    finally:
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
