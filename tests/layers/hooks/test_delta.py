"""What hooks leave of delta, and of nabla_a, is gone back from."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop.costs import WeightedCosts
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    LSTM,
    Dropout,
    Flatten,
    Identity,
    MultiHeadAttention,
    Residual,
    ShapeError,
)
from backprop.network import Network
from tests.cases import CASES, Case
from tests.layers.hooks.networks import (
    EVERYWHERE,
    NETWORKS,
    around,
    assigned,
    data,
    in_place,
    run,
    sequences,
)
from tests.support import dense

# -- delta = 0, everywhere ---------------------------------------------------------------------


zeroing = pytest.mark.parametrize("zero", [in_place, assigned])


@zeroing
@pytest.mark.parametrize(("name", "place"), EVERYWHERE, ids=lambda value: value or "root")
def test_a_delta_of_0_ends_the_way_back_there(name, place, zero):
    """At the layer and below it the gradient is 0; above it is what it was to the bit."""
    plain, network = NETWORKS[name](), NETWORKS[name]()
    nabla_x, before = run(plain), plain.nabla.copy()
    layers, others = dict(network.root.walk()), dict(plain.root.walk())
    no_gradient, same, no_way_past = around(network.root, place)
    network.nabla[...] = np.nan
    with layers[place].add_hook("delta", zero):
        found = run(network)
    for other in no_gradient:
        assert not layers[other].nabla.any(), other
    for other in same:
        np.testing.assert_array_equal(layers[other].nabla, others[other].nabla, strict=True)
    assert found.any() != no_way_past
    again = NETWORKS[name]()  # with the masks of the first time
    with dict(again.root.walk())[place].add_hook("delta", zero):
        pass
    np.testing.assert_array_equal(run(again), nabla_x, strict=True)
    np.testing.assert_array_equal(again.nabla, before, strict=True)


# -- upstream ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_an_upstream_hook_leaves_is_gone_back_from(case: Case):
    layer, x, nabla_a = case.problem(3)
    twin = copy.deepcopy(layer)
    seen: list[np.ndarray] = []

    def change(layer):
        seen.append(layer.nabla_a.copy())
        layer.nabla_a *= -2

    kept = nabla_a.copy()
    with layer.add_hook("upstream", change):
        layer.forward(x, training=True)
        found = layer.backward(nabla_a)
    twin.forward(x, training=True)
    expected = twin.backward(-2 * nabla_a)
    np.testing.assert_array_equal(seen, [kept])
    np.testing.assert_array_equal(nabla_a, kept)
    np.testing.assert_array_equal(layer.nabla, twin.nabla)
    np.testing.assert_array_equal(found, expected)
    assert layer.nabla_a is None


@pytest.mark.parametrize(("name", "place"), EVERYWHERE, ids=lambda value: value or "root")
def test_an_upstream_hook_is_called_wherever_a_layer_stands(name, place):
    """Before its delta hook, once; at the top of a canonical pair only from dC/da."""
    network = NETWORKS[name]()
    layer = dict(network.root.walk())[place]
    seen: list[str] = []
    for moment in ("delta", "upstream"):
        layer.add_hook(moment, lambda layer, moment=moment: seen.append(moment))
    x, y = data(network)
    network.forward(x, training=True)
    network.backpropagate(y)
    assert seen == ["upstream", "delta"]


def test_upstream_hooks_must_leave_what_fits(network):
    def broaden(layer):
        layer.nabla_a = layer.nabla_a[:, :1]

    x, y = data(network)
    network.forward(x, training=True)
    with (
        network[1].add_hook("upstream", broaden),
        pytest.raises(ShapeError, match=r"a hook must leave nabla_a of shape \(5, 3\)"),
    ):
        network.backward(y)


@zeroing
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_delta_of_0_in_every_layer(case: Case, zero):
    layer, x, nabla_a = case.problem(3)
    kept = nabla_a.copy()
    nabla_a.flags.writeable = False
    layer.nabla[...] = np.nan
    with layer.add_hook("delta", zero):
        layer.forward(x, training=True)
        downstream = layer.backward(nabla_a)
    assert not layer.nabla.any()
    assert not layer.delta.any()
    assert downstream is None or not downstream.any()
    np.testing.assert_array_equal(nabla_a, kept)
    if layer.children and layer.z is not None:
        return
    with layer.add_hook("delta", zero):
        layer.forward(x, training=True)
        start = nabla_a if layer.z is None else np.ones_like(layer.z)
        start.flags.writeable = False
        downstream = layer.backward_from(start)
    assert downstream is None or not downstream.any()
    assert not layer.nabla.any()


@pytest.mark.parametrize("factor", [-1.0, 2.0])
def test_a_delta_that_is_scaled(network, factor):
    """Gradient reversal below a layer: what a hook makes of delta is what goes on."""
    nabla_x, before = run(network), network.nabla.copy()

    def scale(layer):
        layer.delta = layer.delta * factor

    with network[1].add_hook("delta", scale):
        np.testing.assert_allclose(run(network), factor * nabla_x, rtol=1e-14)
    split = network[0].n_parameters + network[1].n_parameters
    np.testing.assert_allclose(network.nabla[:split], factor * before[:split], rtol=1e-14)
    np.testing.assert_array_equal(network.nabla[split:], before[split:])


def test_several_delta_hooks_follow_one_another(network):
    def double(layer):
        layer.delta *= 2

    def add(layer):
        layer.delta += 1

    run(network)
    delta = network[1].delta.copy()
    with network[1].add_hook("delta", double), network[1].add_hook("delta", add):
        run(network)
    np.testing.assert_array_equal(network[1].delta, 2 * delta + 1)


def test_the_delta_of_a_graph_of_several_outputs():
    x = Input("x", (3,))
    u = apply(dense(3, 4), x).named("u")
    heads = [apply(dense(4, 2, "sigmoid", 1), u), apply(dense(4, 3, "softmax", 2), u)]
    costs = WeightedCosts(["cross_entropy", "softmax_cross_entropy"], [1, 0.5])
    network = Network(Graph(heads), costs)
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((3, 4))
    y = (rng.random((2, 4)), rng.integers(0, 3, 4))

    def first(layer):
        layer.delta = (np.zeros_like(layer.delta[0]), layer.delta[1])

    with network.root.add_hook("delta", first):
        network.forward(inputs, training=True)
        network.backward(y)
    left, right = network.root[1], network.root[2]
    assert not left.nabla.any()
    assert right.nabla.any()
    assert network.root["u"].nabla.any()
    for zero in (in_place, assigned):
        with network.root.add_hook("delta", zero):
            network.forward(inputs, training=True)
            assert not network.backward(y).any()
        assert not network.nabla.any()


def test_a_delta_hook_inside_one_branch_leaves_the_others_alone():
    network = NETWORKS["sum"]()
    run(network)
    before = [branch.nabla.copy() for branch in network[1].children]
    below = network[0].nabla.copy()
    with network[1].children[1].add_hook("delta", in_place):
        run(network)
    for index, (branch, nabla) in enumerate(zip(network[1].children, before, strict=True)):
        np.testing.assert_array_equal(branch.nabla, 0 * nabla if index == 1 else nabla)
    assert not np.array_equal(network[0].nabla, below)
    assert network[0].nabla.any()


@pytest.mark.parametrize(
    ("left", "error", "match"),
    [
        (0, TypeError, "a hook must leave delta an array, got int"),
        (None, TypeError, "a hook must leave delta an array, got None"),
        (np.zeros((5, 1)), ShapeError, r"of shape \(5, 3\) and float64, got \(5, 1\) and float64"),
        (np.zeros((5, 3), np.float32), TypeError, r"float64, got \(5, 3\) and float32"),
    ],
)
def test_a_delta_that_fits_no_more_is_refused(network, left, error, match):
    def leave(layer):
        layer.delta = left

    with (
        network[1].add_hook("delta", leave),
        pytest.raises(error, match=rf"^Dense\(4 -> 5, sigmoid\): .*{match}"),
    ):
        run(network)
    run(network)


def test_a_layer_without_z_shows_its_delta_to_those_who_ask():
    network = Network([dense(3, 4), Dropout(0.5, rng=0), dense(4, 2, "sigmoid")], "cross_entropy")
    run(network)
    assert network[1].delta is None
    seen = []
    with network[1].add_hook("delta", lambda layer: seen.append(layer.delta.copy())):
        run(network)
    np.testing.assert_array_equal(seen[0], network[2].w.T @ network[2].delta)
    run(network)
    assert network[1].delta is None


@pytest.mark.parametrize("kind", [Identity, Flatten, lambda: Residual([Identity()])])
def test_the_caller_s_array_is_never_changed(kind):
    layer = kind()
    nabla_a = np.ones((3, 2))
    with layer.add_hook("delta", in_place):
        layer.forward(np.ones((3, 2)), training=True)
        assert not layer.backward(nabla_a).any()
        assert not layer.backward_from(nabla_a).any()
    assert (nabla_a == 1).all()


def test_the_delta_of_attention_and_recurrence_is_that_of_all_steps():
    for layer, rows in ((MultiHeadAttention(4, 2, dtype="float64", rng=0), 16),
                        (LSTM(4, 4, dtype="float64", rng=0), 16)):  # fmt: skip
        network, shapes = sequences(layer), []
        with layer.add_hook("delta", lambda layer, shapes=shapes: shapes.append(layer.delta.shape)):
            run(network)
        assert shapes == [(rows, 3, 3)]
