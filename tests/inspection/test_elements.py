"""How single numbers are made: every formula, computed, gives the number of the trace."""

import numpy as np
import pytest

from backprop import Network
from backprop.inspection import elements
from backprop.inspection.explorer.chain import _Page
from backprop.inspection.explorer.layers import FILLED_IN, kind_of
from backprop.inspection.typeset import Equation
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNorm,
    Dense,
    Embedding,
    GlobalAvgPool,
    LayerNorm,
    Masked,
    TimeStep,
    TransformerBlock,
)
from tests.cases import CASES
from tests.inspection.evaluate import Evaluation

BATCH = 3


def trace_of(layer, x):
    network = Network([layer], "quadratic", x.shape[:-1]).astype("float64")
    y = np.random.default_rng(0).random((*network.output_shape, x.shape[-1]))
    return network.trace(x, y)


def equations_of(trace):
    """Yield every equation with a formula or without, the layer it belongs to, and its numbers."""
    page = _Page(trace, None, ())
    for section in trace.sections():
        if not section.layer:
            continue
        t = trace[section.layer]
        for item in section.items:
            if isinstance(item, Equation):
                yield page, section, t, item


def check(page, t, equation, made):
    result = page.arrays._kept[page.result(_array(equation), t.name)]
    numbers = result.array if result.by_example else result.array[np.newaxis]
    shape = numbers.shape[1:]
    places = list(np.ndindex(*shape))
    if len(places) > 40:  # some of many
        places = [places[i] for i in np.random.default_rng(0).choice(len(places), 40, False)]
    for example, of_example in enumerate(numbers):
        for index in places:
            value = Evaluation(index, shape, example, page.batch).value(made)
            expected = of_example[index]
            close = pytest.approx(expected, rel=1e-8, abs=1e-10)
            assert value == close, (equation.left, index)


def _array(equation):
    array = getattr(equation.result, "array", equation.result)
    return np.asarray(array)


def missing_and_checked(trace):
    """Check all formulas of a trace, and return of which equations with a result none is known."""
    missing = []
    for page, section, t, equation in equations_of(trace):
        kind = kind_of(t)
        if kind is not None and page.role(equation, t)["role"] in FILLED_IN[kind]:
            continue
        made = page.made(equation)
        if made is None:
            if equation.formula or section.part == "backward":
                missing.append(f"{section.title}: {equation.left}")
            continue
        check(page, t, equation, made)
    return missing


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_number_of_every_layer_is_what_its_formula_says(case):
    layer, x, _ = case.problem(BATCH)
    assert missing_and_checked(trace_of(layer, x)) == []


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        (
            [RNN(2, 3, activation="relu", rng=1), GRU(3, 2, reverse=True, rng=2), TimeStep(0)],
            (2, 4),
        ),
        ([LSTM(2, 3, truncate=2, rng=1), GlobalAvgPool(), Dense(3, 2, rng=3)], (2, 5)),
        ([BatchNorm(3), LayerNorm((3, 4))], (3, 4)),
    ],
)
def test_chains_of_layers(layers, shape):
    network = Network(layers, "quadratic", shape, rng=0).astype("float64")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((*shape, BATCH)), rng.random((*network.output_shape, BATCH))
    assert missing_and_checked(network.trace(x, y)) == []


def test_a_frozen_batch_norm():
    network = Network([BatchNorm(3), Dense(3, 2, rng=0)], "quadratic", (3,)).astype("float64")
    network[0].trainable = False
    rng = np.random.default_rng(0)
    network[0].running_mean[...] = 0.5
    trace = network.trace(rng.standard_normal((3, BATCH)), rng.random((2, BATCH)))
    assert missing_and_checked(trace) == []


@pytest.mark.parametrize("cells", [(RNN, RNN), (GRU, LSTM), (LSTM, GRU)])
def test_padded_sequences(cells):
    """Padding at the start, in the middle and at the end; states that pass through it, and back."""
    first, second = cells
    layers = [Embedding(5, 3, rng=0), first(3, 4, rng=1), second(4, 3, reverse=True, rng=2)]
    chain = Masked([*layers, LayerNorm(3), TransformerBlock(3, 1, 4, rng=3), GlobalAvgPool()])
    network = Network([chain, Dense(3, 2, rng=4)], "quadratic", (5,)).astype("float64")
    x = np.array([[0, -1, 2], [3, 4, -1], [1, 3, -1], [2, -1, -1], [4, -1, 1]])
    trace = network.trace(x, np.random.default_rng(0).random((2, BATCH)))
    assert missing_and_checked(trace) == []


def test_padded_sequences_of_numbers():
    layers = [Masked([RNN(2, 3, rng=0)]), TimeStep(-1), Dense(3, 2, rng=1)]
    network = Network(layers, "quadratic", (3, 4))
    x = np.random.default_rng(0).standard_normal((3, 4, BATCH))
    x[-1] = [[1, 1, 0], [1, 0, 1], [1, 1, 0], [0, 1, 0]]
    trace = network.astype("float64").trace(x, np.ones((2, BATCH)))
    assert missing_and_checked(trace) == []


def test_padded_sequences_that_are_cut_are_not_filled_in_wrongly():
    network = Network([Masked([LSTM(2, 3, truncate=2, rng=0)])], "quadratic", (3, 5), rng=0)
    x = np.random.default_rng(0).standard_normal((3, 5, BATCH))
    x[-1] = np.random.default_rng(1).random((5, BATCH)) < 0.6
    trace = network.astype("float64").trace(x, np.ones((3, 5, BATCH)))
    assert all("nabla" in one for one in missing_and_checked(trace))


def test_a_wrong_formula_is_found():
    x = np.random.default_rng(0).standard_normal((2, 3, BATCH))
    trace = trace_of(TimeStep(1), x)
    page, _, t, equation = next(found for found in equations_of(trace) if found[3].left == "a^{1}")
    wrong = elements.by_example("x", x)[elements.own(1)[0], 2]
    with pytest.raises(AssertionError, match="a"):
        check(page, t, equation, wrong)


def test_what_is_read_of_the_numbers_of_an_equation():
    w, x, b = np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 1))

    def read(formula, numbers):
        return elements.out_of_numbers(formula, numbers, lambda array: array is w or array is b)

    assert read(("w", "x", "+", "b"), (w, x, "+", b)) is not None
    assert read((r"x", r"\odot", "x"), (x, r"\odot", x)) is not None
    for formula, numbers in [
        ((), ()),
        (("w", "x"), (w,)),
        (("x", "w"), (x, w)),
        (("x", "+"), (x, "+")),
        (("(", "x"), ("(", x)),
        (("x", "/", "B"), (x, "/", "4")),
    ]:
        assert read(formula, numbers) is None
