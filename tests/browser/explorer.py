"""What the tests of the explorer show in it, and ask of it."""

import numpy as np
import pytest

from backprop import Conv2d, Dense, Flatten, MaxPool2d, Network
from backprop.layers import LSTM, TimeStep
from tests.browser.support import errors

ALL = "return [...document.querySelectorAll(arguments[0])].map((e) => Number(e.dataset.value))"

# Of every step some numbers that can be pointed at: [where, what its cell holds, the result that is
# filled in, the value of the formula, all words, how Python finds it].
FILLED = """
const out = [];
const look = (chip, map, cell) => {
  const filled = document.querySelector(".filled");
  const result = filled.querySelector("h3 .result");
  out.push([`${chip.getAttribute("aria-label")}: ${map.querySelector("b").textContent}`, cell,
    result ? result.dataset.value : null, filled.dataset.value, filled.textContent,
    (filled.querySelector("code") || { textContent: "" }).textContent]);
};
document.querySelectorAll(".chip").forEach((chip) => {
  chip.click();
  for (const map of document.querySelectorAll(".map.result")) {
    const cells = [...map.querySelectorAll("td:not([data-value=undefined])")];
    for (const cell of new Set([cells[0], cells[cells.length >> 1], cells.at(-1)])) {
      if (!cell) continue;
      cell.dispatchEvent(new PointerEvent("pointerenter"));
      look(chip, map, cell.dataset.value);
    }
    const canvas = map.querySelector("canvas[tabindex]");
    if (!canvas) continue;
    for (const key of ["ArrowDown", "ArrowRight", "PageDown", "ArrowRight"]) {
      canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      look(chip, map, null);
    }
  }
});
return out;
"""


def opened(browser, trace, path, **options):
    browser.get(trace.to_html(path, **options).as_uri())
    return browser


def step(browser, number):
    browser.execute_script("document.querySelectorAll('.chip')[arguments[0]].click()", number)


def labels(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('.chip')].map((e) => e.getAttribute('aria-label'))"
    )


def shown(browser, selector):
    return browser.execute_script(ALL, selector)


def key(browser, name, **options):
    browser.execute_script(
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown',"
        "{key: arguments[0], bubbles: true, cancelable: true, ...arguments[1]}))",
        name,
        options,
    )


def text(browser, selector):
    return browser.execute_script(
        "return document.querySelector(arguments[0]).textContent", selector
    )


def filled_in(browser, trace, path):
    """Try the numbers that can be pointed at, each against its formula and Python; return where."""
    opened(browser, trace, path)
    found = browser.execute_script(FILLED)
    for place, cell, result, value, words, python in found:
        assert result is not None, f"{place}: {words}"
        number = float(result)
        assert cell is None or float(cell) == number, place
        assert "undefined" not in words, place
        assert "null" not in words, place
        assert not value or float(value) == pytest.approx(number, rel=1e-8, abs=1e-10), place
        if python:
            kept = eval(python, {"trace": trace})
            assert np.ndim(kept) == 0, f"{place}: {python}"
            assert float(kept) == pytest.approx(number, rel=1e-6), f"{place}: {python}"
    assert errors(browser) == []
    return [place for place, *_ in found]


def of_images():
    layers = [Conv2d(1, 3, 3, rng=0), MaxPool2d(2), Flatten(), Dense(75, 10, "softmax", rng=1)]
    network = Network(layers, "softmax_cross_entropy", input_shape=(1, 12, 12))
    rng = np.random.default_rng(0)
    return network.trace(rng.random((1, 12, 12, 4), dtype="float32"), np.arange(4))


def of_sequences():
    layers = [LSTM(2, 3, rng=0), TimeStep(-1), Dense(3, 2, rng=1)]
    network = Network(layers, "quadratic", input_shape=(2, 4))
    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype("float32")
    return network.trace(x, np.eye(2, 3, dtype="float32"))
