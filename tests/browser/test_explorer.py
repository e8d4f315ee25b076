"""The explorer in a browser: what it shows are the arrays, and every control does what it says."""

import numpy as np
import pytest

from backprop import Conv2d, Dense, Flatten, MaxPool2d, Network
from backprop.graph import Graph, Input, cos, exp, sqrt
from tests.cases import NETWORK_CASES

ALL = "return [...document.querySelectorAll(arguments[0])].map((e) => Number(e.dataset.value))"


WIDE = """
const out = [...document.querySelectorAll("body *")].filter((e) =>
  e.getBoundingClientRect().right > arguments[0] + 1 && !e.closest(".groups, .scroll, .skip"));
return out.map((e) => `${e.tagName} ${e.className} ${e.textContent}`.slice(0, 60));
"""


def opened(browser, trace, path, **options):
    browser.get(trace.to_html(path, **options).as_uri())
    return browser


def errors(browser):
    return [entry["message"] for entry in browser.get_log("browser")]


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


@pytest.fixture
def tiny():
    network = Network.from_sizes([2, 3, 2], dtype="float64", rng=0)
    rng = np.random.default_rng(1)
    return network.trace(rng.standard_normal((2, 4)), np.eye(2)[:, [0, 1, 1, 0]])


def test_the_numbers_of_every_step_are_those_of_the_arrays(browser, tiny, tmp_path):
    opened(browser, tiny, tmp_path / "page.html")
    results = [
        tiny[0].z, tiny[0].a, tiny[1].z, tiny[1].a, None,
        tiny[1].delta, tiny[1].nabla_b, tiny[1].nabla_w,
        tiny[0].delta, tiny[0].nabla_b, tiny[0].nabla_w,
    ]  # fmt: skip
    assert len(labels(browser)) == len(results)
    for example in range(4):
        if example:
            key(browser, "e")
        for number, array in enumerate(results):
            step(browser, number)
            if array is None:
                (each,) = shown(browser, "h3 .result")
                assert each == pytest.approx(tiny.cost_per_example[example])
                continue
            by_example = array.shape[-1] == 4
            expected = array[:, example] if by_example else array.ravel()
            np.testing.assert_allclose(shown(browser, ".result .numbers td"), expected, rtol=1e-14)
    assert errors(browser) == []


def test_the_terms_of_a_sum_add_up_to_what_is_pointed_at(browser, tiny, tmp_path):
    opened(browser, tiny, tmp_path / "page.html")
    step(browser, 8)  # BP2 of layer 0
    for neuron in range(3):
        browser.execute_script(
            "document.querySelectorAll('.result .numbers td')[arguments[0]].click()", neuron
        )
        rows = np.reshape(shown(browser, ".sum tbody .number"), (-1, 3))
        np.testing.assert_allclose(rows[:, 0], tiny[1].parameters["w"][:, neuron])
        np.testing.assert_allclose(rows[:, 1], tiny[1].delta[:, 0])
        total = rows[:, 2].sum()
        np.testing.assert_allclose(shown(browser, ".sum tfoot .number"), [total])
        made = shown(browser, ".lines .number")
        assert made == pytest.approx(
            [total, tiny[0].sigma_prime[neuron, 0], tiny[0].delta[neuron, 0]]
        )


def test_controls_and_keys(browser, tiny, tmp_path):
    opened(browser, tiny, tmp_path / "page.html")
    where = "#where"
    assert text(browser, where) == "step 1 of 11"
    for name, expected in [("n", 2), ("ArrowRight", 3), ("p", 2), ("ArrowLeft", 1), ("End", 11),
                           ("Home", 1), ("c", 5), ("b", 6), ("f", 1)]:  # fmt: skip
        key(browser, name)
        assert text(browser, where) == f"step {expected} of 11", name
    for button, expected in [("next", 2), ("next", 3), ("back", 2)]:
        browser.find_element("id", button).click()
        assert text(browser, where) == f"step {expected} of 11"
    key(browser, "l")
    assert "Layer 1" in text(browser, "#step-title")
    key(browser, "L", shiftKey=True)
    assert "Layer 0" in text(browser, "#step-title")
    browser.find_element("id", "example-after").click()
    browser.find_element("id", "example-before").click()
    browser.find_element("id", "shapes").click()
    assert text(browser, "#shapes") == "Colours"
    dark = browser.find_element("id", "theme")
    dark.click()
    assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
    dark.click()
    key(browser, "?")
    assert browser.execute_script("return document.getElementById('help').open")
    browser.find_element("css selector", "dialog button").click()
    browser.execute_script(
        'document.querySelector(\'.neuron[data-layer="1"][data-neuron="1"]\')'
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert "Layer 1" in text(browser, "#step-title")
    assert "[1]" in text(browser, ".filled h3")
    cell = browser.find_element("css selector", ".result td.marked")
    cell.send_keys("\ue013")  # the arrow up goes from number to number, not from step to step
    assert "[0]" in text(browser, ".filled h3")
    assert errors(browser) == []


def test_names_end_no_script(browser, tiny, tmp_path):
    bad = ["</script><b id=bad>&amp; @data@", "<!--<script>"]
    opened(browser, tiny, tmp_path / "page.html", classes=bad, title=bad[0])
    assert text(browser, "#title") == bad[0]
    assert bad[0] in text(browser, "#about-example")
    assert browser.find_elements("id", "bad") == []
    assert errors(browser) == []


def all_steps(browser):
    for number in range(len(labels(browser))):
        step(browser, number)
    assert errors(browser) == []


def test_a_convolution_is_filled_in(browser, tmp_path):
    layers = [
        Conv2d(2, 4, 3, stride=2, padding=1, groups=2, dtype="float64", rng=0),
        Conv2d(4, 3, 2, padding="same", activation="tanh", dtype="float64", rng=1),
        MaxPool2d(2), Flatten(), Dense(3, 2, "softmax", dtype="float64", rng=2),
    ]  # fmt: skip
    network = Network(layers, "softmax_cross_entropy", input_shape=(2, 5, 5))
    trace = network.trace(
        np.random.default_rng(3).standard_normal((2, 5, 5, 3)), np.array([0, 1, 1])
    )
    opened(browser, trace, tmp_path / "page.html")
    seen = 0
    for number, label in enumerate(labels(browser)):
        step(browser, number)
        sums = shown(browser, ".sum tfoot .total .number")
        if "Conv2d" in label and sums and ": z" not in label and "BP2" not in label:
            (result,) = shown(browser, "h3 .result")
            assert sums[0] == pytest.approx(result, rel=1e-9), label
            seen += 1
        if "Conv2d" in label and label.endswith(": z"):
            total, bias, result = shown(browser, ".lines .number")
            assert total + bias == pytest.approx(result, rel=1e-9)
            seen += 1
    assert seen == 7  # z, BP3, BP4 of two, and what the second sends down
    assert errors(browser) == []


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_every_step_of_every_network_is_shown(case, browser, tmp_path):
    network, x, y = case.problem(2)
    opened(browser, network.trace(x, y), tmp_path / "page.html")
    all_steps(browser)


def test_a_graph(browser, tmp_path):
    u = Input("u", shape=(1,))
    a = (u**2).named("a")
    network = Network(Graph(sqrt((a + exp(a)).named("c")) + cos(a))).astype("float64")
    opened(browser, network.trace(np.array([[0.5, 0.7]])), tmp_path / "page.html")
    all_steps(browser)


@pytest.mark.parametrize("width", [1300, 380])
def test_nothing_is_wider_than_the_window(browser, tiny, tmp_path, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        opened(browser, tiny, tmp_path / "page.html")
        for number in range(11):
            step(browser, number)
            assert browser.execute_script(WIDE, width) == [], number
            assert browser.execute_script("return document.body.scrollWidth") <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
