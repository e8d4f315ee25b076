"""What the tests of the explorer show in it, and ask of it."""

import numpy as np

from backprop import Conv2d, Dense, Flatten, MaxPool2d, Network
from backprop.layers import LSTM, TimeStep

ALL = "return [...document.querySelectorAll(arguments[0])].map((e) => Number(e.dataset.value))"


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
