"""What can be differentiated: layers, costs, networks, graphs and functions."""

from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pytest

from backprop import L1, L2, Network
from backprop.costs import WeightedCosts
from backprop.gradients.check import assert_gradients, check_gradients
from backprop.graph import Graph, Input, apply, sin
from backprop.layers import Dense, Dropout, ShapeError
from tests.cases import CASES, COST_CASES, NETWORK_CASES, layer_report
from tests.gradients.known import X, f, gradient
from tests.support import dense


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_layer(case, batch: int):
    layer, x, nabla_a = case.problem(batch, seed=7)
    report = layer_report(layer, x, nabla_a)
    assert report.passed
    assert report.central_error <= 1e-7
    assert report.exact_error <= 1e-12
    by_input = [] if layer.integer_input else ["input"]
    assert [array.name for array in report.arrays] == [*by_input, *layer.parameters]
    assert "the gradients are right" in str(report)


@pytest.mark.parametrize("case", COST_CASES, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_cost(case, batch: int):
    z, y = case.problem(batch)
    report = check_gradients(case.cost, z, y, exact_tolerance=1e-12)
    assert report.passed, str(report)
    assert report.exact_error is not None
    assert [array.name for array in report.arrays] == ["a", "z"]


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
@pytest.mark.parametrize("regularizer", [None, L1(0.3), L2(0.2)], ids=str)
def test_every_network(case, regularizer):
    network, x, y = case.problem(3)
    report = check_gradients(network, x, y, regularizer=regularizer, exact_tolerance=1e-12)
    assert report.passed, str(report)
    assert report.exact_error is not None
    assert not report.kinks


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_every_network_as_it_predicts(case):
    network, x, y = case.problem(3)
    network.forward(x, training=True)  # running statistics are then no longer 0 and 1
    report = check_gradients(network, x, y, training=False, exact_tolerance=1e-12)
    assert report.passed, str(report)


class HalfWeighted(WeightedCosts):
    """Forgets the weight of the second cost on the way back."""

    def bp1(self, z, a, activation, y):
        (first, second), below = super().bp1(z, a, activation, y)
        return (first, second / self.weights[1]), below


def test_a_fault_in_one_of_several_costs():
    x = Input("x", (2,))
    h = apply(dense(2, 3), x)
    heads = Graph([apply(dense(3, 2), h), apply(dense(3, 4), h)])
    report = check_gradients(Network(heads, HalfWeighted(["quadratic"] * 2, [0.7, 1.3])))
    wrong = [array.name for array in report.arrays if array.wrong.any()]
    assert not any(name.startswith("layer 1, Dense(3 -> 2") for name in wrong)
    assert [name for name in wrong if name.startswith("layer 2, ")] == [
        "layer 2, Dense(3 -> 4, tanh), w",
        "layer 2, Dense(3 -> 4, tanh), b",
    ]


def test_a_network_with_dropout_in_float32_is_left_as_it_is():
    network = Network(
        [Dense(4, 6, "relu", rng=1), Dropout(0.5, rng=2), Dense(6, 3, "softmax", rng=3)],
        "softmax_cross_entropy",
    )
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    before = pickle.dumps(network), x.copy()
    report = assert_gradients(network, x=x, y=np.array([0, 1, 2, 1, 0]))
    assert pickle.dumps(network) == before[0]
    np.testing.assert_array_equal(x, before[1])
    names = [array.name for array in report.arrays]
    assert names[:2] == ["input", "layer 0, Dense(4 -> 6, relu), w"]
    assert names[-1] == "layer 2, Dense(6 -> 3, softmax), b"


def test_a_network_without_a_cost_and_a_graph():
    network = Network([Dense(3, 4, "tanh", rng=0), Dense(4, 2, "elu", rng=1)])
    assert check_gradients(network, nabla_a=np.ones((2, 3))).passed
    x = Input("x", (3,))
    graph = Graph(apply(Dense(3, 3, "tanh", rng=0), x) * sin(x) + x)
    assert assert_gradients(graph).exact_error <= 1e-12
    for cost in (None, "quadratic"):
        report = assert_gradients(Network(graph, cost), regularizer=L2(0.1))
        assert report.exact_error <= 1e-12


def test_the_hardest_function_with_its_gradient():
    report = check_gradients(f, X, gradient=gradient)
    assert report.passed
    assert report.target == "f"
    assert report.exact_error <= 1e-15
    assert check_gradients(f, X, gradient=gradient(X)).passed


@pytest.mark.parametrize(
    "error", [AssertionError, NotImplementedError, KeyError, ZeroDivisionError]
)
def test_a_function_may_refuse_complex_numbers_as_it_likes(error):
    def f(x):
        if x.dtype.kind == "c":
            raise error("no such numbers")
        return (x**2).sum()

    x = np.array([0.5, -1.5])
    report = check_gradients(f, x, gradient=lambda x: 2 * x)
    assert report.passed
    assert report.exact_error is None
    assert re.search("no complex step: '?no such numbers", str(report))
    assert not check_gradients(f, x, gradient=lambda x: 2.001 * x).passed


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_parameters_that_are_not_finite(bad: float):
    layers = [Dense(2, 3, rng=0), Dense(3, 1, rng=1)]
    layers[1].w[0, 2] = bad
    with pytest.raises(
        ValueError, match=r"^check_gradients: the parameters of layer 1, Dense.* not "
    ):
        check_gradients(Network(layers))
    with pytest.raises(
        ValueError, match=r"^check_gradients: the parameters of Dense.* not finite$"
    ):
        check_gradients(layers[1])


def test_a_gradient_of_another_shape():
    with pytest.raises(ShapeError, match=r"the gradient by x has shape \(2, 1\), expected \(2,\)"):
        check_gradients(lambda x: x.sum(), np.ones(2), gradient=np.ones((2, 1)))
