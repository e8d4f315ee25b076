"""The explorer in a browser: the numbers that it shows are those of the arrays."""

import numpy as np
import pytest

from backprop import Conv2d, Dense, Flatten, MaxPool2d, Network
from backprop.costs import WeightedCosts
from backprop.graph import Graph, Input, Variable, apply, concatenate, cos, exp, sin, sqrt
from backprop.layers import LSTM, Masked, Residual, TimeDistributed
from tests.browser.explorer import FILLED, filled_in, key, labels, opened, shown, step, text
from tests.browser.support import errors
from tests.cases import CASES, NETWORK_CASES
from tests.cases.feedforward import CASES as FEEDFORWARD

pytest.importorskip("selenium.webdriver", reason="make test-browser has it")


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


# -- every number that can be pointed at ------------------------------------------------------

ALIKE = {type(case.make("float64")): case for case in FEEDFORWARD}  # the last of a class
ONE_OF_A_KIND = [case for case in CASES if case not in FEEDFORWARD or case in ALIKE.values()]


def of_one_layer(case, batch):
    layer, x, _ = case.problem(batch)
    network = Network([layer], "quadratic", x.shape[:-1]).astype("float64")
    return network.trace(x, np.random.default_rng(0).random((*network.output_shape, batch)))


@pytest.mark.parametrize("case", ONE_OF_A_KIND, ids=str)
def test_the_formulas_of_every_layer_give_its_numbers(case, browser, tmp_path):
    assert filled_in(browser, of_one_layer(case, 2), tmp_path / "page.html")


@pytest.mark.parametrize("case", [case for case in CASES if "batch-norm" in str(case)], ids=str)
def test_the_statistics_of_one_example_are_filled_in(case, browser, tmp_path):
    """They have as many columns as the batch, but are of all examples."""
    assert filled_in(browser, of_one_layer(case, 1), tmp_path / "page.html")


def test_what_a_layer_gives_to_a_shared_gradient_is_found_in_python(browser, tmp_path):
    first, second = Dense(3, 4, "tanh", rng=0), Dense(4, 3, rng=1)
    second.tie("w", first, transposed=True)
    network = Network([first, second], "quadratic").astype("float64")
    rng = np.random.default_rng(0)
    trace = network.trace(rng.standard_normal((3, 2)), rng.random((3, 2)))
    assert filled_in(browser, trace, tmp_path / "page.html")


def test_names_of_nodes_are_quoted_in_python(browser, tmp_path):
    u = Input('u"\\', shape=(3,))
    h = apply(Dense(3, 2, rng=0), u).named('h"')
    network = Network(Graph((h * 2).named("'y'"))).astype("float64")
    trace = network.trace(np.random.default_rng(0).standard_normal((3, 2)))
    assert filled_in(browser, trace, tmp_path / "page.html")


def graph_of_operations():
    u, w, b = Input("u", shape=(3,)), apply(Variable((2, 3), rng=0)), apply(Variable((2,), rng=1))
    z = (w @ u + b).named("z")
    parts = [
        z[0:1] ** 2,
        z[1:2] / 3.14159265358979,
        z - 1,
        exp(z),
        cos(z) * sin(z),
        2 / sqrt(exp(z)),
    ]
    network = Network(Graph(concatenate(*parts).sum())).astype("float64")
    return network.trace(np.random.default_rng(0).standard_normal((3, 4)))


def graph_of_layers():
    u = Input("u", shape=(3,))
    h = apply(Dense(3, 3, "tanh", rng=0), u)
    h = apply(Residual([Dense(3, 3, "tanh", rng=2)]), h * u + u)
    network = Network(Graph(apply(Dense(3, 2, "softmax", rng=1), h)), "softmax_cross_entropy")
    x = np.random.default_rng(0).standard_normal((3, 4))
    return network.astype("float64").trace(x, np.array([0, 1, 1, 0]))


def graph_of_outputs():
    """Outputs of a layer and of an operation, one used elsewhere too, with costs of all kinds."""
    u = Input("u", shape=(3,))
    h = apply(Dense(3, 3, "sigmoid", rng=0), u).named("used")
    outputs = [h, apply(Dense(3, 2, "softmax", rng=1), h), (h * u + u).named("sum"), exp(h)]
    outputs.append(apply(Dense(3, 2, "sigmoid", rng=2), h).named("canonical"))
    names = ["cross_entropy", "softmax_cross_entropy", "quadratic", "mean_squared_error"]
    cost = WeightedCosts([*names, "cross_entropy"], [1, 0.5, 1, 2, 1])
    rng = np.random.default_rng(0)
    x, targets = rng.standard_normal((3, 4)), [rng.random((n, 4)) for n in (3, 2, 3, 3, 2)]
    targets[1] = np.array([0, 1, 1, 0])
    return Network(Graph(outputs), cost).astype("float64").trace(x, tuple(targets))


@pytest.mark.parametrize("graph", [graph_of_operations, graph_of_layers, graph_of_outputs])
def test_every_number_of_a_graph_is_filled_in(graph, browser, tmp_path):
    trace = graph()
    places = filled_in(browser, trace, tmp_path / "page.html")
    steps = [place.split("node ")[1] for place in places if "node " in place]
    nodes = {one.split(":")[0].split(",")[0] for one in steps}
    assert nodes == {row.name for row in trace.rows}


def test_the_costs_of_a_graph_have_steps(browser, tmp_path):
    trace = graph_of_outputs()
    opened(browser, trace, tmp_path / "page.html")
    places = [n for n, words in enumerate(labels(browser)) if "Cost" in words]
    assert len(places) == len(trace.costs)
    for number, (place, cost) in enumerate(zip(places, trace.costs, strict=True)):
        browser.execute_script(
            "document.querySelectorAll('.card[data-layer=cost]')[arguments[0]].click()", number
        )
        assert text(browser, "#where").startswith(f"step {place + 1} of")
        assert shown(browser, "h3 .result") == pytest.approx([cost.each[0]])
        assert f"trace.costs[{number}].each[0]" in text(browser, ".python")
        cells = browser.find_elements("css selector", ".map.result td")
        assert len(cells) == (0 if cost.canonical else len(cost.a))
        for cell, value in zip(cells, cost.nabla_a[:, 0], strict=False):
            browser.execute_script("arguments[0].click()", cell)
            assert shown(browser, "h3 .result") == pytest.approx([value])
            assert "With the 1/B of the mean cost" in text(browser, ".filled")
    assert errors(browser) == []


@pytest.mark.parametrize("size", [1.0, 10.89, 104.5, 1.0e3, 33_300.0, 2.5e7, 3e-4])
def test_numbers_in_circles_and_elsewhere_are_rounded_and_no_others(browser, tmp_path, size):
    """A 0 before the point is left out in a circle, one behind another digit is not."""
    layers = [Dense(3, 4, "identity", rng=0), Dense(4, 2, "identity", rng=1)]
    network = Network(layers, "quadratic").astype("float64")
    x = size * np.random.default_rng(0).standard_normal((3, 1))
    x[0] = -size
    opened(browser, network.trace(x, np.ones((2, 1))), tmp_path / "page.html")
    pairs = browser.execute_script(
        "return [...document.querySelectorAll('.neuron, td[data-value]')].map((e) =>"
        " [Number(e.dataset.value), (e.querySelector('text') || e).textContent])"
    )
    assert len(pairs) > 9
    raised = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−", "0123456789--")
    for value, written in pairs:
        digits, _, exponent = written.replace("·10", "e").translate(raised).partition("e")
        found = float(f"{digits}e{exponent or 0}")
        one_digit = 0.5 * 10 ** int(exponent) if "e" in written else 0  # in a circle
        assert found == pytest.approx(value, rel=0.5e-2, abs=1.01 * one_digit), written


def test_what_is_too_large_is_cut_and_said(browser, tmp_path):
    """A vector in blocks is seen, many kernels scroll, and of many examples there are the first."""
    layers = [
        Conv2d(2, 32, 3, padding="same", rng=0), Conv2d(32, 48, 3, padding="same", rng=0),
        Flatten(), Dense(49152, 2, rng=1),
    ]  # fmt: skip
    network = Network(layers, "quadratic", (2, 32, 32))
    x = np.random.default_rng(0).random((2, 32, 32, 12), dtype="float32")
    opened(browser, network.trace(x, np.ones((2, 12), "float32")), tmp_path / "page.html")
    assert "Of 12 examples this page has the first" in text(browser, ".example #remarks")
    size = "const {width, height} = document.querySelector(arguments[0]).getBoundingClientRect();"
    wide_, high = browser.execute_script(
        f"{size} return [width, height]", '.card[data-layer="2"] canvas'
    )
    assert min(wide_, high) >= 8
    step(browser, labels(browser).index(next(one for one in labels(browser) if "48" in one)))
    assert browser.execute_script(f"{size} return height", ".strip") <= 222
    assert browser.execute_script(f"{size} return height", "#step") < 1500
    all_steps(browser)


def test_bp1_of_a_step_without_a_label(browser, tmp_path):
    """Where a label is -1 the delta is 0, whatever comes out there."""
    layers = [Masked([LSTM(2, 3, rng=0), TimeDistributed(Dense(3, 2, "softmax", rng=1))])]
    network = Network(layers, "softmax_cross_entropy", (3, 4)).astype("float64")
    x = np.random.default_rng(0).standard_normal((3, 4, 2))
    x[-1] = [[1, 1], [1, 1], [0, 1], [0, 1]]
    trace = network.trace(x, np.array([[0, 1], [1, 1], [-1, 0], [-1, 0]]))
    opened(browser, trace, tmp_path / "page.html")
    found = [one for one in browser.execute_script(FILLED) if "BP1" in one[0]]
    assert len(found) == 3
    for place, cell, result, _, words, _ in found:
        assert float(result) == float(cell), place
        assert ("label of this step is −1" in words) == (float(cell) == 0), words


def test_numbers_that_are_none_are_filled_in(browser, tmp_path):
    layers = [Dense(2, 3, rng=0), Dense(3, 2, "softmax", rng=1)]
    network = Network(layers, "softmax_cross_entropy")
    network[0].w[1] = np.nan
    opened(
        browser, network.trace(np.ones((2, 1), "float32"), np.array([1])), tmp_path / "page.html"
    )
    for place, _, result, _, words, _ in browser.execute_script(FILLED):
        assert result is not None, f"{place}: {words}"
    assert errors(browser) == []
