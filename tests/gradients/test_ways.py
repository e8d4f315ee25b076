"""Every way by which a value or a gradient comes about leads to the same one, or is named."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import CrossEntropy, Network, Quadratic, SoftmaxCrossEntropy, WeightedCosts
from backprop.costs import Cost
from backprop.gradients.check import check_gradients
from backprop.gradients.ways import ways_of_cost, ways_of_network
from backprop.graph import Graph, Input, apply
from backprop.layers import Dense
from tests.cases import COST_CASES, NETWORK_CASES


@pytest.mark.parametrize("case", COST_CASES, ids=str)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0, 40.0])
def test_all_ways_of_a_cost_lead_to_the_same(case, scale: float):
    z, y = case.problem(3)
    z = scale * z
    assert ways_of_cost(case.cost, z, case.cost.canonical().sigma(z), y) == []


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_all_ways_of_a_network_lead_to_the_same(case):
    network, x, y = case.problem(3)
    assert ways_of_network(network, x, y) == []


# -- costs -------------------------------------------------------------------------------------


class ValueAlone(Quadratic):
    """Right in value and gradient by a, and so by z: another cost than the quadratic one."""

    def cost_of_each(self, a, y):
        return 3 * super().cost_of_each(a, y)

    def gradient(self, a, y):
        return 3 * super().gradient(a, y)


def test_a_cost_that_overrides_value_and_gradient_is_used_and_right():
    cost = ValueAlone()
    network = Network([Dense(4, 3, "identity", rng=0)], cost)
    report = check_gradients(network)
    assert report.passed, str(report)
    plain = check_gradients(Network([Dense(4, 3, "identity", rng=0)], "quadratic"))
    for mine, plain_one in zip(report.arrays, plain.arrays, strict=True):
        np.testing.assert_allclose(mine.analytic, 3 * plain_one.analytic, rtol=1e-12)


class OfZAlone(CrossEntropy):
    """Another value and its gradient by z, where they are those of a by a."""

    def cost_of_each_from_z(self, z, y):
        return 2 * super().cost_of_each_from_z(z, y)

    def delta_of(self, a, y):
        return 2 * super().delta_of(a, y)


class AndOne(CrossEntropy):
    def cost_of_each_from_z(self, z, y):
        return super().cost_of_each_from_z(z, y) + 1.0


class OfEach(Quadratic):
    """What a network reports, overridden, and what it goes back from not."""

    def of_each(self, z, a, activation, y):
        return 2 * super().of_each(z, a, activation, y)


class WithoutWeights(Quadratic):
    def weighted_of_each(self, z, a, activation, y, w):
        return super().of_each(z, a, activation, y)


class OfBP1(SoftmaxCrossEntropy):
    def bp1(self, z, a, activation, y):
        start, below = super().bp1(z, a, activation, y)
        return 1.001 * start, below


class ThroughA(CrossEntropy):
    """Goes through a, as it may."""

    def is_canonical(self, activation):
        return False


@pytest.mark.parametrize(
    ("cost", "line"),
    [
        (OfZAlone(), "of_each(z, a, sigma, y) gives "),
        (OfZAlone(), "delta(a, y) gives "),
        (AndOne(), "value_from_z(z, y) gives "),
        (OfEach(), "cost_of_each(a, y) gives "),
        (WithoutWeights(), "weighted_of_each(None, a, None, y, w) / w gives "),
        (OfBP1(), "bp1(z, a, sigma, y) gives "),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Cost) else "",
)
def test_a_way_of_a_cost_that_leads_elsewhere_is_named(cost, line: str):
    report = check_gradients(cost, input_shape=(3,))
    assert report.verdict == "wrong"
    assert any(found.startswith(line) for found in report.disagreements), report.disagreements
    assert line in str(report)


def test_a_cost_that_goes_through_a_although_it_has_a_pair_is_right():
    assert check_gradients(ThroughA(), input_shape=(3,)).passed
    assert check_gradients(Network([Dense(4, 3, "sigmoid", rng=0)], ThroughA())).passed


# -- networks ----------------------------------------------------------------------------------


class Reports(Network):
    """Measures another cost than it minimises."""

    def output_and_cost(self, x, y, w=None):
        a, c = super().output_and_cost(x, y, w)
        return a, c + 1


class Starts(Network):
    def bp1(self, y, w=None):
        start, below = super().bp1(y, w)
        return 2 * start, below


class Trains(Network):
    def cost_per_example(self, y, w=None):
        return 2 * super().cost_per_example(y, w)


class ForgetsWeights(Network):
    def bp1(self, y, w=None):
        return super().bp1(y)


class ReportsWithoutWeights(Network):
    def output_and_cost(self, x, y, w=None):
        return super().output_and_cost(x, y)


def dense(kind, cost="softmax_cross_entropy", sigma="softmax"):
    return kind([Dense(4, 5, "tanh", rng=0), Dense(5, 3, sigma, rng=1)], cost)


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (dense(Reports), "evaluate(x, y) gives "),
        (dense(Starts), "nabla by backpropagate(cost.nabla_a(a, y)) gives "),
        (dense(Trains), "cost.value(a, y) gives "),
        (dense(ForgetsWeights), "nabla by backward(y, w) gives "),
        (dense(ReportsWithoutWeights), "evaluate(x, y, w) gives "),
        (dense(Network, OfEach(), "identity"), "nabla by"),
        (dense(Network, OfBP1()), "dC/dx by backpropagate(cost.nabla_a(a, y)) gives "),
    ],
)
def test_a_way_of_a_network_that_leads_elsewhere_is_named(network, line: str):
    report = check_gradients(network)
    assert report.verdict == "wrong"
    if line != "nabla by":
        assert any(found.startswith(line) for found in report.disagreements), report.disagreements


def test_the_ways_of_a_network_of_several_outputs():
    x = Input("x", (2,))
    h = apply(Dense(2, 3, "tanh", rng=0), x)
    heads = [apply(Dense(3, 2, rng=1), h), apply(Dense(3, 4, "softmax", rng=2), h)]
    costs = WeightedCosts(["quadratic", "softmax_cross_entropy"], [0.7, 1.3])
    assert check_gradients(Network(Graph(heads), costs)).passed


def test_a_copy_in_another_dtype_is_of_the_same_class():
    network = dense(Reports)
    network.note = "kept"
    twin = network.astype(np.float64)
    assert type(twin) is Reports
    assert twin.note == "kept"
    assert twin.dtype == twin[0].w.dtype == np.float64
    assert network.dtype == network[0].w.dtype == np.float32
    np.testing.assert_array_equal(twin.theta, network.theta)
    twin.theta[...] = 0
    assert network.theta.any()
