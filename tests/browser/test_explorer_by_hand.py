"""The explorer with a keyboard, a mouse, a phone: every control does what it says."""

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
    assert len(seen) == len(set(map(tuple, enumerate(seen))))


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
    before = text(browser, ".filled h3")
    canvas.send_keys(getattr(Keys, key_name))
    there = text(browser, ".filled h3")
    canvas.send_keys(Keys.PAGE_DOWN)
    assert text(browser, ".filled h3") != there or "[1," in there
    back = {"DOWN": Keys.UP, "UP": Keys.DOWN, "RIGHT": Keys.LEFT, "LEFT": Keys.RIGHT}[key_name]
    canvas.send_keys(back)
    assert before.startswith("z")
    assert text(browser, "#where").startswith("step 1 ")


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
