"""The gradient check of layers and networks with several inputs and outputs."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import L2, Dense, Network, ShapeError
from backprop.costs import WeightedCosts
from backprop.gradients.check import assert_gradients, check_gradients
from backprop.graph import Graph, Input, apply, concatenate


def graph() -> Graph:
    """Return two inputs of which two outputs are made, the first of them in two ways."""
    u, v = Input("u", (3,)), Input("v", (2,))
    h = apply(Dense(5, 4, "tanh", rng=0), concatenate(u, v)).named("h")
    return Graph([h, apply(Dense(4, 2, "softmax", rng=1), h * 2)])


PARAMETERS = ["1.w", "1.b", "3.w", "3.b"]


def test_a_layer_of_several_inputs_and_outputs():
    report = assert_gradients(graph(), exact_tolerance=1e-12)
    assert [array.name for array in report.arrays] == ["input u", "input v", *PARAMETERS]
    assert [array.shape for array in report.arrays[:2]] == [(3, 3), (2, 3)]
    assert report.exact_error is not None


def test_a_network_of_several_inputs_and_outputs():
    for cost in (None, ["quadratic", "softmax_cross_entropy"]):
        report = assert_gradients(Network(graph(), cost), regularizer=L2(0.2))
        assert [array.name for array in report.arrays[:2]] == ["input u", "input v"]
        assert len(report.arrays) == 6
        assert report.exact_error <= 1e-12


def test_what_is_given_is_what_is_checked():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4)), rng.standard_normal((2, 4))
    upstream = np.zeros((4, 4)), rng.standard_normal((2, 4))
    before = [array.copy() for array in (*x, *upstream)]
    report = assert_gradients(graph(), x=x, nabla_a=upstream)
    double = check_gradients(graph(), x, nabla_a=tuple(2 * one for one in upstream))
    for one, two in zip(report.arrays, double.arrays, strict=True):
        np.testing.assert_allclose(2 * one.analytic, two.analytic)
    for array, old in zip((*x, *upstream), before, strict=True):
        np.testing.assert_array_equal(array, old)
    y = rng.standard_normal((4, 4)), np.array([0, 1, 1, 0])
    costs = WeightedCosts(["quadratic", "softmax_cross_entropy"], [0.3, 2.0])
    assert_gradients(Network(graph(), costs), x=x, y=y, input_shape=((3,), (2,)))


def test_a_chain_whose_first_layer_takes_several_inputs():
    u, v = Input("u", (2,)), Input("v", (2,))
    network = Network([Graph(u * v), Dense(2, 2, "tanh", rng=0)], "quadratic")
    report = assert_gradients(network)
    assert [array.name for array in report.arrays][:2] == ["input u", "input v"]


def test_a_fault_in_one_of_the_inputs_is_located():
    u, v = Input("u", (2,)), Input("v", (2,))
    wrong = Graph((u * v).named("product"))
    wrong["product"].local = lambda a, u, v: (v, 1.01 * u)
    report = check_gradients(wrong, nabla_a=np.ones((2, 3)))
    assert {array.name for array in report.arrays if array.wrong.any()} == {"input v"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"x": (np.ones((3, 2)),)}, TypeError, r"expected a tuple of 2 arrays"),
        ({"x": np.ones((3, 2))}, TypeError, r"expected a tuple of 2 arrays"),
        ({"x": (np.ones((3, 2)), [1.0])}, TypeError, r"the input x\[1\] must be a numpy array"),
        ({"x": (np.ones((3, 2)), np.full((2, 2), np.nan))}, ValueError, r"x\[1\] must be finite"),
        ({"nabla_a": np.ones((4, 3))}, TypeError, r"nabla_a must be a tuple of 2 arrays"),
        ({"nabla_a": (np.ones((4, 3)),) * 2}, ShapeError, r"nabla_a has shape \(4, 3\), expected"),
        ({"x": (np.ones((3, 2)), np.ones((2, 2))), "input_shape": ((3,), (3,))}, ShapeError,
         r"x has shape \(\(3, 2\), \(2, 2\)\), but input_shape is \(\(3,\), \(3,\)\)"),
    ],
)  # fmt: skip
def test_what_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        check_gradients(graph(), **options)


def test_a_function_takes_one_array():
    with pytest.raises(TypeError, match="only layers and networks take several inputs x"):
        check_gradients(lambda x: x[0].sum(), (np.ones(2),), gradient=np.ones(2))
