"""Costs of one's own: what is written is what a network computes."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop import SGD, Network, Trainer, costs
from backprop.core.shapes import ShapeError
from backprop.costs import Cost, CrossEntropy, Quadratic
from backprop.graph import Graph, Input, apply
from backprop.layers import Dense, Sigmoid


class Tenfold(Quadratic):
    """Value and gradient of another cost, both overridden."""

    def cost_of_each(self, a, y):
        return 10 * super().cost_of_each(a, y)

    def gradient(self, a, y):
        return 10 * super().gradient(a, y)


class TenfoldGradient(Quadratic):
    def gradient(self, a, y):
        return 10 * super().gradient(a, y)


class TenfoldValue(Quadratic):
    def cost_of_each(self, a, y):
        return 10 * super().cost_of_each(a, y)


class TenfoldFactor(Quadratic):
    def _factor(self, a):
        return 5.0


class InBothWays(Quadratic):
    def of_each(self, z, a, activation, y):
        return 10 * super().of_each(z, a, activation, y)

    def bp1(self, z, a, activation, y):
        start, below = super().bp1(z, a, activation, y)
        return 10 * start, below


class Mixin:
    def gradient(self, a, y):
        return 10 * super().gradient(a, y)


class MixedIn(Mixin, Quadratic):
    pass


class OfABase(Tenfold):
    """Overridden one class up."""


def assigned() -> Cost:
    cost = Quadratic()
    cost.gradient = lambda a, y: 10 * Quadratic().gradient(a, y)
    return cost


@pytest.mark.parametrize("output", ["identity", "sigmoid"])
@pytest.mark.parametrize(
    ("cost", "value", "gradient"),
    [
        (Tenfold(), 10, 10),
        (TenfoldGradient(), 1, 10),
        (TenfoldValue(), 10, 1),
        (TenfoldFactor(), 10, 10),
        (InBothWays(), 10, 10),
        (MixedIn(), 1, 10),
        (OfABase(), 10, 10),
        (assigned(), 1, 10),
        (costs.WeightedCosts([Tenfold()]), 10, 10),
    ],
    ids=lambda what: type(what).__name__ if isinstance(what, Cost) else str(what),
)
def test_an_overridden_value_or_gradient_is_never_ignored(cost, value, gradient, output):
    """Also where the activation is the canonical one of the cost that it is made from."""
    plain = Network([Dense(3, 2, output, dtype="float64", rng=0)], "quadratic")
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((3, 4)), rng.standard_normal((2, 4))
    several = isinstance(cost, costs.WeightedCosts)
    root = plain.root
    if several:
        of_two = Input("x", (3,))
        root = Graph(
            [apply(copy.deepcopy(plain[0]), of_two), apply(Dense(3, 1, dtype="float64"), of_two)]
        )
        cost = costs.WeightedCosts([cost.costs[0], "quadratic"], [1, 0])
    own = Network(copy.deepcopy(root), cost)
    targets = (y, np.zeros((1, 4))) if several else y
    for network, t in ((plain, y), (own, targets)):
        network.forward(x, training=True)
        network.backward(t)
    n = plain.n_parameters
    np.testing.assert_allclose(own.nabla[:n], gradient * plain.nabla, rtol=1e-12)
    expected = value * plain.evaluate(x, y, metrics={})["cost"]
    assert own.evaluate(x, targets, metrics={})["cost"] == pytest.approx(expected, rel=1e-12)
    assert own.cost_per_example(targets).mean() == pytest.approx(expected, rel=1e-12)
    before = own.theta.copy()
    Trainer(own, SGD(0.1), batch_size=4, progress=False, metrics={}).fit(x, targets)
    np.testing.assert_allclose(
        (before - own.theta)[:n], 0.1 * gradient * plain.nabla, rtol=1e-9, atol=1e-15
    )


def test_an_overridden_cost_of_each_is_weighted_as_it_stands():
    w, x, y = np.array([0.0, 1.0, 3.0]), np.ones((3, 3)), np.arange(6.0).reshape(2, 3)
    for cost in (InBothWays(), Tenfold()):
        network = Network([Dense(3, 2, "identity", dtype="float64", rng=0)], cost)
        plain = 10 * Quadratic().per_example(network.predict(x), y)
        found = network.evaluate(x, y, metrics={}, sample_weight=w)["cost"]
        assert found == pytest.approx(np.average(plain, weights=w), rel=1e-12)
        network.forward(x, training=True)
        network.backward(y, sample_weight=w)
        expected = 10 * (network[0].a - y) * w / w.sum()
        np.testing.assert_allclose(network[0].delta, expected, rtol=1e-12)
    steps = np.ones((2, 5, 3))
    with pytest.raises(ValueError, match="one number an example"):
        InBothWays().value(steps, 0 * steps, sample_weight=np.ones((5, 3)))


def test_a_sum_of_costs_that_is_overridden_is_not_ignored():
    class Capped(costs.WeightedCosts):
        def cost_of_each(self, a, y):
            return np.minimum(super().cost_of_each(a, y), 0.1)

        def gradient(self, a, y):
            return tuple(0 * one for one in super().gradient(a, y))

    x = Input("x", (3,))
    ends = [apply(Dense(3, n, "identity", dtype="float64", rng=n), x) for n in (1, 2)]
    network = Network(Graph(ends), Capped(["quadratic", "quadratic"]))
    inputs, targets = np.ones((3, 4)), (np.full((1, 4), 9.0), np.full((2, 4), 9.0))
    assert network.evaluate(inputs, targets, metrics={})["cost"] == pytest.approx(0.1)
    network.forward(inputs, training=True)
    network.backward(targets)
    assert not network.nabla.any()


@pytest.mark.parametrize(
    ("name", "instead"),
    [("value", "cost_of_each"), ("per_example", "cost_of_each"), ("nabla_a", "gradient"),
     ("value_from_z", "cost_of_each_from_z"), ("delta", "delta_of"),
     ("_per_example", "cost_of_each"), ("_nabla_a", "gradient")],
)  # fmt: skip
def test_overriding_what_no_network_calls_is_refused(name: str, instead: str):
    with pytest.raises(TypeError, match=rf"^Own: .* would not call {name}: override {instead}"):
        type("Own", (Quadratic,), {name: lambda self, a, y: 0})


def test_a_pair_of_ones_own_needs_its_own_equations():
    with pytest.raises(TypeError, match=r"^Own: a canonical activation needs cost_of_each_from_z "):
        type("Own", (Quadratic,), {"canonical": Sigmoid})

    class Own(CrossEntropy):
        def cost_of_each(self, a, y):
            return 3 * super().cost_of_each(a, y)

        def gradient(self, a, y):
            return 3 * super().gradient(a, y)

        def cost_of_each_from_z(self, z, y):
            return 3 * super().cost_of_each_from_z(z, y)

        def delta_of(self, a, y):
            return 3 * super().delta_of(a, y)

    assert Own.canonical is Sigmoid
    network = Network([Dense(3, 2, dtype="float64", rng=0)], Own())
    network[0].w *= 1e3
    x, y = np.ones((3, 2)), np.eye(2)
    a = network.forward(x, training=True)
    network.backward(y)
    np.testing.assert_array_equal(network[0].delta, 3 * ((a - y) / 2))


class OneNumber(Quadratic):
    def cost_of_each(self, a, y):
        return super().cost_of_each(a, y).sum()


class ListOfNumbers(Quadratic):
    def cost_of_each(self, a, y):
        return list(super().cost_of_each(a, y))


class OnePerNeuron(Quadratic):
    def cost_of_each(self, a, y):
        return ((a - y) ** 2).sum(axis=1)


class SummedFromZ(CrossEntropy):
    def cost_of_each_from_z(self, z, y):
        return super().cost_of_each_from_z(z, y).sum()


@pytest.mark.parametrize("cost", [OneNumber(), ListOfNumbers(), OnePerNeuron(), SummedFromZ()])
def test_what_is_no_cost_of_every_example_is_named(cost):
    network = Network([Dense(2, 3, rng=0)], cost).astype(np.float64)
    x, y = np.ones((2, 5)), np.full((3, 5), 0.5)
    expected = r"^\w+\(\): cost_of_each must return C_x of every example, an array of shape \(5,\)"
    with pytest.raises(ShapeError, match=expected):
        network.evaluate(x, y)
    with pytest.raises(ShapeError, match=expected):
        cost.value_from_z(y, y) if cost.canonical else cost.value(y, y)


class GradientPerExample(Quadratic):
    def gradient(self, a, y):
        return super().gradient(a, y).sum(axis=0)


class NoGradient(Quadratic):
    def gradient(self, a, y):
        pass


class DeltaPerExample(CrossEntropy):
    def delta_of(self, a, y):
        return super().delta_of(a, y).sum(axis=0)


@pytest.mark.parametrize("cost", [GradientPerExample(), NoGradient(), DeltaPerExample()])
def test_what_is_no_gradient_by_the_outputs_is_named(cost):
    network = Network([Dense(2, 3, rng=0)], cost).astype(np.float64)
    x, y = np.ones((2, 5)), np.full((3, 5), 0.5)
    expected = r"(gradient|delta_of) must return an array of the outputs' shape \(3, 5\), got"
    network.forward(x, training=True)
    with pytest.raises(ShapeError, match=expected):
        network.backward(y)
    with pytest.raises(ShapeError, match=expected):
        Trainer(network, SGD(0.1), rng=0, progress=False).fit(x, y, epochs=1)
