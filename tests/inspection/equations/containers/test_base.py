"""The equations of containers that nothing is known of, and of every layer inside one."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import Network, Residual, Sequential, Tanh
from backprop.core.shapes import ShapeError
from tests.cases import CASES
from tests.inspection.equations.support import (
    Own,
    Twice,
    check_forms,
    check_network,
    check_numbers,
    dense,
    each_network,
    normal,
    sections,
    trace_of,
)

NETWORKS = {
    "own-container": (lambda: [dense(2, 2), Twice([dense(2, 2), Own(2)]), dense(2, 1)], (2,)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


def test_containers_of_ones_own():
    trace = trace_of([dense(2, 2), Twice([dense(2, 2), Own(2)]), dense(2, 1)], normal(2, 1))
    assert [t.name for t in trace[1].children] == ["1.0"]  # the other took no part
    text = sections(trace.to_text())
    name = "layer 1, Twice"
    words = "Made of layer 1.0, with inputs and outputs that only it knows."
    assert text[f"{name}: forward"] == words
    assert "a² = Twice(a¹)" in text[f"{name}: output"]
    assert "z²·¹ = w²·¹ in²·¹ + b²·¹" in text["layer 1.0, Dense(2 -> 2, tanh): forward"]
    assert "BP2  δ²·¹ = ∂C/∂a²·¹ ⊙" in text["layer 1.0, Dense(2 -> 2, tanh): backward"]
    np.testing.assert_array_equal(trace[1].children[0].nabla_a, 2 * trace[1].nabla_a)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_inside_a_container(case):
    layer, x, _ = case.problem(2)
    layers = [layer] if layer.integer_input else [Residual([Tanh()]), layer]
    network = Network([Sequential(layers)], "quadratic", x.shape[:-1]).astype("float64")
    trace = network.trace(x, np.zeros((*layer.output_shape(x.shape[:-1]), 2)))
    check_forms(trace)
    if all(part.written_out for part in trace.sections()):
        check_numbers(trace)


def test_bad_data_for_what_is_inside():
    network = Network([Sequential([dense(2, 2)])], "quadratic")
    with pytest.raises(ShapeError, match=r"expected input of shape \(2, B\), got \(3, 1\)"):
        network.trace(np.ones((3, 1)), np.ones((2, 1)))
    with pytest.raises(RuntimeError, match="the network has no cost"):
        Network([Residual([dense(2, 2)])]).trace(np.ones((2, 1)), np.ones((2, 1)))
