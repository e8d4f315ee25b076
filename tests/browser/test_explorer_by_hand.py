"""The explorer with a keyboard, a mouse, a phone: every control does what it says."""

import json

import numpy as np
import pytest

from backprop import Conv2d, Dense, Flatten, Network
from tests.browser.explorer import key, labels, of_images, of_sequences, opened, shown, step, text
from tests.browser.support import errors, poor_contrast, screen, wide

webdriver = pytest.importorskip("selenium.webdriver", reason="make test-browser has it")
ActionChains, Keys = webdriver.ActionChains, webdriver.Keys


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


def focused(browser):
    return browser.execute_script(
        "const e = document.activeElement; const s = getComputedStyle(e);"
        "return [e.id || e.dataset.step || e.getAttribute('role') || e.tagName,"
        " e.tagName === 'BODY' || s.outlineStyle !== 'none' || e.classList.contains('neuron')]"
    )


def test_tab_goes_through_the_controls_in_their_order(browser, tiny, tmp_path):
    opened(browser, tiny, tmp_path / "page.html")
    seen = []
    for _ in range(40):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        name, is_visible = focused(browser)
        if name == "BODY":
            break
        assert is_visible, name
        seen.append(name)
    expected = ["shapes", "theme", "help-button", "example-before", "example", "example-after"]
    assert seen[0] == "A"  # the link to the step
    assert seen[1:7] == expected
    assert "next" in seen
    assert "layer" in seen
    assert [name for name in seen if name.isdigit()] == [str(step) for step in range(11)]
    assert "gridcell" in seen
    assert name == "BODY"  # and out again


def test_the_link_at_the_start_leads_to_the_step(browser, tiny, tmp_path):
    opened(browser, tiny, tmp_path / "page.html")
    ActionChains(browser).send_keys(Keys.TAB).send_keys(Keys.ENTER).perform()
    assert browser.execute_script("return location.hash") == "#step"


def test_the_mouse_fills_in_what_it_is_over_and_leaves_it_again(browser, tiny, tmp_path):
    opened(browser, tiny, tmp_path / "page.html")
    step(browser, 8)
    picked = text(browser, ".filled h3")
    cells = browser.find_elements("css selector", ".result td")
    other = next(cell for cell in cells if "marked" not in cell.get_attribute("class"))
    ActionChains(browser).move_to_element(other).perform()
    assert text(browser, ".filled h3") != picked
    ActionChains(browser).move_to_element(browser.find_element("id", "step-title")).perform()
    assert text(browser, ".filled h3") == picked
    other.click()
    ActionChains(browser).move_to_element(browser.find_element("id", "step-title")).perform()
    assert text(browser, ".filled h3") != picked


@pytest.mark.parametrize("key_name", ["DOWN", "UP", "RIGHT", "LEFT"])
def test_arrows_go_from_number_to_number_of_a_map(browser, tmp_path, key_name):
    network = Network(
        [Conv2d(1, 2, 3, rng=0), Flatten(), Dense(338, 2, rng=1)], "quadratic", (1, 15, 15)
    )
    x = np.random.default_rng(0).random((1, 15, 15, 1), dtype="float32")
    opened(browser, network.trace(x, np.ones((2, 1), "float32")), tmp_path / "page.html")
    canvas = browser.find_element("css selector", ".result canvas")
    browser.execute_script("arguments[0].focus()", canvas)

    def place():
        symbol, _, rest = text(browser, ".filled h3").partition("[")
        assert symbol == "z¹"
        return np.array(json.loads(f"[{rest.partition(']')[0]}]"))

    browser.execute_script(POINT, canvas, 6, 6, 13)
    np.testing.assert_array_equal(place()[1:], [6, 6])
    step_ = {"DOWN": (1, 0), "UP": (-1, 0), "RIGHT": (0, 1), "LEFT": (0, -1)}[key_name]
    for number in range(1, 15):
        canvas.send_keys(getattr(Keys, key_name))
        expected = np.clip(np.array([6, 6]) + number * np.array(step_), 0, 12)
        np.testing.assert_array_equal(place()[1:], expected)
    canvas.send_keys(Keys.PAGE_UP, Keys.PAGE_DOWN)
    np.testing.assert_array_equal(place(), [1, *expected])
    canvas.send_keys(Keys.PAGE_UP)
    np.testing.assert_array_equal(place(), [0, *expected])
    assert text(browser, "#where").startswith("step 1 ")


POINT = """
const [canvas, row, column, n] = arguments;
const { left, top, width, height } = canvas.getBoundingClientRect();
const at = (start, size, cell) => start + 2 + ((size - 4) * (cell + 0.5)) / n;
canvas.dispatchEvent(new PointerEvent("pointerdown",
  { clientX: at(left, width, column), clientY: at(top, height, row) }));
"""


# -- an image, and the same numbers as a list -------------------------------------------------

INPUT = """
const map = [...document.querySelectorAll(".map")]
  .find((one) => one.querySelector("b").textContent === "a⁰");
const canvas = map.querySelector("canvas[tabindex]");
"""
ON_IT = INPUT + "canvas.focus(); return map.querySelector('.readout').textContent;"
PRESSED = INPUT + "map.querySelector('button').click();"
PRESS_KEY = (
    INPUT + "canvas.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))"
)
LAST_ROW = (
    INPUT
    + """
const cell = (canvas.width - 4 * devicePixelRatio) / 32, margin = 4 * devicePixelRatio;
const { data } = canvas.getContext("2d").getImageData(5 * cell + margin,
  canvas.height - cell + margin / 4, 26 * cell - margin, cell / 2);
return new Set(new Uint32Array(data.buffer)).size;
"""
)


def of_an_image(browser, side, path):
    network = Network.from_sizes([side**2, 12, 2], rng=0)
    x = np.random.default_rng(0).random((side**2, 1), dtype="float32")
    opened(browser, network.trace(x, np.ones((2, 1), "float32")), path)


def test_the_number_that_is_looked_at_is_the_same_in_an_image_and_in_a_list(browser, tmp_path):
    of_an_image(browser, 28, tmp_path / "page.html")
    for _ in range(27):
        browser.execute_script(PRESS_KEY, "ArrowDown")
    assert browser.execute_script(ON_IT).startswith("a⁰[756] =")
    for _ in range(2):
        browser.execute_script(PRESSED)
        assert browser.execute_script(ON_IT).startswith("a⁰[756] =")


def test_a_list_is_drawn_anew_where_its_cells_are_as_large_as_those_of_the_image(browser, tmp_path):
    of_an_image(browser, 30, tmp_path / "page.html")
    assert browser.execute_script(LAST_ROW) > 1
    browser.execute_script(PRESSED)
    assert browser.execute_script(LAST_ROW) == 1  # of 32 places in a row the last has 4 numbers


# -- which numbers are framed -----------------------------------------------------------------


def test_nothing_is_framed_where_a_window_lies_on_padding_alone(browser, tmp_path):
    network = Network([Conv2d(2, 1, 1, padding=1, rng=0), Flatten(), Dense(289, 2, rng=1)],
                      "quadratic", (2, 15, 15))  # fmt: skip
    x = np.random.default_rng(0).random((2, 15, 15, 1), dtype="float32")
    opened(browser, network.trace(x, np.ones((2, 1), "float32")), tmp_path / "page.html")
    canvas = browser.find_element("css selector", ".result canvas")
    pictures = []
    for row, column in ((8, 8), (0, 8), (8, 0)):
        browser.execute_script(POINT, canvas, row, column, 17)
        assert f"[0, {row}, {column}]" in text(browser, ".filled h3")
        pictures.append(browser.execute_script(INPUT + "return canvas.toDataURL();"))
    assert pictures[0] != pictures[1] == pictures[2]


def test_the_row_of_the_example_is_marked_in_sums_over_examples(browser, tmp_path):
    opened(browser, of_images(), tmp_path / "page.html")
    key(browser, "e")
    seen = 0
    for number, label in enumerate(labels(browser)):
        if label.endswith((": BP3", ": BP4")) and ("Conv2d" in label or "Dense" in label):
            step(browser, number)
            own = browser.execute_script(
                "return [...document.querySelectorAll('.sum tr.own th')].map((e) => e.textContent)"
            )
            assert all(words.startswith("▸ 1") for words in own), label
            assert own or label.endswith(": BP4"), label  # of many terms the largest are there
            seen += 1
    assert seen == 4


def test_of_which_cost_a_delta_is_is_said_wherever_one_stands(browser, tiny, tmp_path):
    opened(browser, tiny, tmp_path / "page.html")
    step(browser, 8)
    assert "1/B" in text(browser, "#picture-note")
    assert "1/B" in text(browser, ".filled .own")
    (own,) = shown(browser, ".filled .own .number")
    (result,) = shown(browser, "h3 .result")
    assert own == pytest.approx(4 * result)
    notes = browser.execute_script(
        "return [...document.querySelectorAll('.map')].map((map) => ['b', 'small'].map("
        "(name) => (map.querySelector(name) || {textContent: ''}).textContent))"
    )
    for symbol, note in notes:
        assert ("1/B" in note) == symbol.startswith("δ"), symbol
    browser.execute_script("document.querySelector('.result td').focus()")
    assert "B times it is" in text(browser, ".result .readout")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["tiny", "images", "sequences"])
def test_texts_have_the_contrast_of_wcag_aa(browser, tiny, tmp_path, which, scheme):
    trace = {"tiny": tiny, "images": of_images(), "sequences": of_sequences()}[which]
    with screen(browser, 1300, scheme=scheme):
        opened(browser, trace, tmp_path / "page.html")
        n = len(labels(browser))
        for number in range(0, n, max(1, n // 11)):
            step(browser, number)
            assert poor_contrast(browser) == [], number
        key(browser, "?")
        assert poor_contrast(browser) == []
        browser.find_element("css selector", "dialog button").click()


@pytest.mark.parametrize(("width", "mobile"), [(1300, False), (380, True)])
@pytest.mark.parametrize("which", ["tiny", "images"])
def test_nothing_is_wider_than_the_screen(browser, tiny, tmp_path, which, width, mobile):
    with screen(browser, width, mobile):
        opened(browser, tiny if which == "tiny" else of_images(), tmp_path / "page.html")
        assert browser.execute_script("return window.innerWidth") == width
        for number in range(len(labels(browser))):
            step(browser, number)
            assert wide(browser, width) == [], number
            assert browser.execute_script("return window.innerWidth") == width, number
        assert errors(browser) == []
