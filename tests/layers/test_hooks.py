"""Hooks: four moments of every layer's pass, at any depth, until they are removed."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from backprop.costs import WeightedCosts
from backprop.gradients.check import check_gradients
from backprop.graph import Graph, Input, apply, concatenate
from backprop.layers import (
    LSTM,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    Layer,
    LayerNorm,
    Masked,
    MultiHeadAttention,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    ShapeError,
    Softmax,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
)
from backprop.layers.containers.sequential import Chain
from backprop.network import Network
from backprop.optimizers import SGD
from backprop.training.trainer import Trainer
from tests.cases import CASES, Case

MOMENTS = ("forward", "delta", "backward")


@pytest.fixture(params=["quadratic", "cross_entropy"], ids=["any", "canonical"])
def network(request) -> Network:
    return Network.from_sizes([3, 4, 5, 2], cost=request.param, dtype="float64", rng=0)


def data(network: Network, batch: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    shape = (*network.input_shape, batch)
    return rng.standard_normal(shape), rng.random((*network.output_shape, batch))


def run(network: Network) -> np.ndarray:
    x, y = data(network)
    network.forward(x, training=True)
    return network.backward(y)


# -- when they are called ----------------------------------------------------------------------


def test_forward_hooks_run_in_order_after_their_layer(network):
    seen = []
    for layer in network.layers:
        layer.add_hook("forward", lambda layer: seen.append((layer, layer.a)))
    x, _ = data(network)
    network.forward(x, training=True)
    assert [layer for layer, _ in seen] == list(network.layers)
    for layer, a in seen:
        assert a is layer.a


def test_a_forward_hook_runs_before_the_layer_above(network):
    above = []
    network[0].add_hook("forward", lambda layer: above.append(network[1].a is None))
    network.forward(data(network)[0], training=True)
    assert above == [True]


def test_backward_hooks_run_in_order_after_their_layer(network):
    seen = []
    for layer in network.layers:
        layer.add_hook("backward", lambda layer: seen.append((layer, layer.delta, layer.nabla_w)))
    network.nabla[...] = np.nan
    run(network)
    assert [layer for layer, _, _ in seen] == list(network.layers[::-1])
    for layer, delta, nabla_w in seen:
        assert delta is layer.delta
        np.testing.assert_array_equal(nabla_w, layer.nabla_w)
        np.testing.assert_array_equal(nabla_w, delta @ layer.a_prev.T)


def test_a_backward_hook_runs_before_the_layer_below(network):
    below = []
    network[1].add_hook("backward", lambda layer: below.append(network[0].delta is None))
    network[2].add_hook("backward", lambda layer: below.append(network[1].delta is None))
    run(network)
    assert below == [True, True]


def test_a_delta_hook_runs_before_the_gradients_of_its_layer(network):
    seen = []
    for layer in network.layers:
        layer.add_hook("delta", lambda layer: seen.append((layer, layer.nabla_w.copy())))
    network.nabla[...] = np.nan
    run(network)
    assert [layer for layer, _ in seen] == list(network.layers[::-1])
    assert all(np.isnan(nabla_w).all() for _, nabla_w in seen)


def test_the_moments_of_one_layer_in_their_order(network):
    seen: list[str] = []
    for moment in ("backward", "delta", "forward", "delta"):
        network[1].add_hook(moment, lambda layer, moment=moment: seen.append(moment))
    run(network)
    assert seen == ["forward", "delta", "delta", "backward"]


def test_backpropagate_calls_them_too(network):
    seen = []
    for moment in MOMENTS:
        network[-1].add_hook(moment, lambda layer, moment=moment: seen.append(moment))
    x, y = data(network)
    network.forward(x, training=True)
    network.backpropagate(y)
    assert seen == ["forward", "delta", "backward"]


def test_passes_that_keep_nothing_call_none(network):
    seen = []
    for index, layer in enumerate(network.layers):
        for moment in MOMENTS:
            layer.add_hook(moment, lambda layer, i=index, m=moment: seen.append((m[0], i)))
    x, y = data(network)
    network.forward(x)
    network.predict(x)
    network.evaluate(x, y)
    network.trace(x, y)
    check_gradients(network, x, y)
    assert seen == []
    run(network)
    once = [("f", 0), ("f", 1), ("f", 2), ("d", 2), ("b", 2), ("d", 1), ("b", 1), ("d", 0)]
    assert seen == [*once, ("b", 0)]
    seen.clear()
    network.forward(x, keep=True)
    network.backward(y)
    assert seen == [*once, ("b", 0)]


def test_the_trainer_calls_them(network):
    seen = []
    for moment in MOMENTS:
        network[0].add_hook(moment, lambda layer, moment=moment: seen.append(moment))
    Trainer(network, SGD(0.1), batch_size=2, rng=0, progress=False).fit(*data(network, 6))
    assert seen == ["forward", "delta", "backward"] * 3


def test_what_a_hook_changes_in_place_counts(network):
    def freeze(layer):
        layer.nabla[...] = 0

    run(network)
    before = network.nabla.copy()
    with network[1].add_hook("backward", freeze):
        run(network)
    size = network[0].n_parameters
    frozen = slice(size, size + network[1].n_parameters)
    assert before[frozen].any()
    before[frozen] = 0
    np.testing.assert_array_equal(network.nabla, before)


def test_a_forward_hook_changes_what_the_layer_above_is_given(network):
    x, y = data(network)

    def silence(layer):
        layer.a[0] = 0

    with network[0].add_hook("forward", silence):
        a = network.forward(x, training=True)
        network.backward(y)
    assert not network[1].a_prev[0].any()
    assert not network[1].nabla_w[:, 0].any()
    assert not np.array_equal(a, network.forward(x))


def test_hooks_change_nothing_by_themselves(network):
    plain = copy.deepcopy(network)
    for moment in MOMENTS:
        network[1].add_hook(moment, lambda layer: None)
        network.root.add_hook(moment, lambda layer: None)
    np.testing.assert_array_equal(run(network), run(plain), strict=True)
    np.testing.assert_array_equal(network.nabla, plain.nabla, strict=True)


# -- delta = 0, everywhere ---------------------------------------------------------------------


def in_place(layer: Layer) -> None:
    for delta in layer.delta if isinstance(layer.delta, tuple) else (layer.delta,):
        delta[...] = 0


def assigned(layer: Layer) -> None:
    several = isinstance(layer.delta, tuple)
    layer.delta = tuple(map(np.zeros_like, layer.delta)) if several else np.zeros_like(layer.delta)


zeroing = pytest.mark.parametrize("zero", [in_place, assigned])


def dense(n_in: int, n_out: int, sigma: str = "tanh", seed: int = 0) -> Dense:
    return Dense(n_in, n_out, sigma, dtype="float64", rng=seed)


def sequences(*layers: Layer, shape=(4, 3)) -> Network:
    chain = [*layers, TimeStep(-1), dense(4, 2, "sigmoid", 9)]
    return Network(chain, "cross_entropy", input_shape=shape)


def graph() -> Network:
    """Return a chain in which a graph of two branches stands, of which one goes past the other."""
    x = Input("x", (4,))
    u = apply(dense(4, 4, seed=1), x).named("u")
    out = apply(dense(4, 4, seed=2), u) + x * 0.5
    return Network([dense(4, 4), Graph(out), dense(4, 2, "sigmoid", 3)], "cross_entropy")


NETWORKS: dict[str, Callable[[], Network]] = {
    "chain": lambda: Network([dense(4, 5), dense(5, 4), dense(4, 2, "sigmoid")], "cross_entropy"),
    "any cost": lambda: Network([dense(4, 5), dense(5, 4), dense(4, 2, "sigmoid")], "quadratic"),
    "no sigma": lambda: Network(
        [dense(4, 4), LayerNorm(4, dtype="float64"), BatchNorm(4, dtype="float64"), ReLU(),
         Dropout(0.3, rng=0), Identity(), dense(4, 2, "identity"), Softmax()],
        "quadratic"),
    "sequential": lambda: Network(
        [dense(4, 4), Sequential([dense(4, 4, seed=1), Sequential([dense(4, 4, seed=2)])]),
         Sequential([dense(4, 3, seed=3), dense(3, 2, "sigmoid", 4)])], "cross_entropy"),
    "residual": lambda: Network(
        [dense(4, 4), Residual([dense(4, 4, seed=1), Residual([dense(4, 4, seed=2)])]),
         dense(4, 2, "sigmoid", 3)], "cross_entropy"),
    "concat": lambda: Network(
        [dense(4, 4), Parallel([dense(4, 2, seed=1), Sequential([dense(4, 3, seed=2)])]),
         dense(5, 2, "sigmoid", 3)], "cross_entropy"),
    "sum": lambda: Network(
        [dense(4, 4), Parallel([dense(4, 3, seed=1), dense(4, 3, seed=2), dense(4, 3)], "sum"),
         dense(3, 2, "sigmoid", 3)], "cross_entropy"),
    "every step": lambda: sequences(
        TimeDistributed(dense(4, 4)), TimeDistributed(Sequential([dense(4, 4, seed=1)]))),
    "masked": lambda: sequences(
        TimeDistributed(dense(4, 4)),
        Masked([LSTM(3, 4, dtype="float64", rng=0), LSTM(4, 4, dtype="float64", rng=1)])),
    "transformer": lambda: sequences(
        TimeDistributed(dense(4, 4)), TransformerBlock(4, 2, 3, dtype="float64", rng=0)),
    "convolution": lambda: Network(
        [Conv2d(1, 2, 2, activation="tanh", dtype="float64", rng=0),
         Conv2d(2, 2, 2, padding="same", activation="tanh", dtype="float64", rng=1), Flatten(),
         dense(8, 2, "sigmoid")], "cross_entropy", input_shape=(1, 3, 3)),
    "graph": graph,
}  # fmt: skip

EVERYWHERE = [(name, place) for name, make in NETWORKS.items() for place, _ in make().root.walk()]


def around(root: Layer, place: str) -> tuple[set[str], set[str], bool]:
    """Return where the gradient is 0 if no delta goes below `place`, and where it stays as it is.

    Last, whether nothing reaches the input.
    """
    layers = dict(root.walk())
    zero, same, no_way_past = {n for n, _ in layers[place].walk(place)}, set(), True
    while place:
        above, _, index = place.rpartition(".")
        parent = layers[above]
        for number, child in enumerate(parent.children):
            names = {n for n, _ in child.walk(f"{above}.{number}" if above else str(number))}
            if isinstance(parent, Chain) and number < int(index):
                zero |= names if no_way_past else set()
            elif isinstance(parent, (Chain, Parallel)) and number != int(index):
                same |= names
        at_the_top = isinstance(parent, Graph) and parent.output_layers == [parent[int(index)]]
        no_way_past &= at_the_top or isinstance(parent, (Sequential, Masked, TimeDistributed))
        place = above
    return zero, same, no_way_past


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


# -- removal -----------------------------------------------------------------------------------


def test_removal_ends_them(network):
    seen = []
    hook = network[0].add_hook("forward", lambda layer: seen.append("a"))
    network[0].add_hook("forward", lambda layer: seen.append("b"))
    run(network)
    hook.remove()
    hook.remove()
    run(network)
    assert seen == ["a", "b", "b"]


def test_a_second_removal_leaves_a_namesake_alone(network):
    first = network[0].add_hook("forward", print, name="mine")
    first.remove()
    second = network[0].add_hook("backward", print, name="mine")
    first.remove()
    assert network[0].hooks == {"mine": second}


def test_a_context_ends_them_even_by_an_error(network):
    with network[0].add_hook("forward", print) as hook:
        assert network[0].hooks == {"forward hook 1": hook}
    assert network[0].hooks == {}
    x, _ = data(network)
    with pytest.raises(ValueError, match="expected input"), network[0].add_hook("forward", print):
        network.forward(x[:2], training=True)
    assert network[0].hooks == {}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_hook_may_remove_itself(network, moment):
    seen = []

    def once(layer):
        seen.append(layer)
        hook.remove()

    hook = network[1].add_hook(moment, once)
    last = network[1].add_hook(moment, lambda layer: seen.append("after"))
    run(network)
    run(network)
    assert seen == [network[1], "after", "after"]
    assert network[1].hooks == {last.name: last}
    last.remove()
    alone = network[1].add_hook(moment, lambda layer: alone.remove())
    nabla_x, nabla = run(network), network.nabla.copy()
    np.testing.assert_array_equal(run(network), nabla_x)
    np.testing.assert_array_equal(network.nabla, nabla)
    assert network[1].hooks == {}


def test_a_hook_that_another_removes_is_not_called_any_more(network):
    called = []
    with network[0].add_hook("forward", lambda layer: victim.remove()):
        victim = network[0].add_hook("forward", called.append)
        run(network)
    assert called == []


def test_a_hook_that_another_adds_is_called_from_the_next_pass_on(network):
    seen: list[str] = []

    def add(layer):
        if not seen:
            layer.add_hook("forward", lambda layer: seen.append("added"))
        seen.append("adds")

    with network[0].add_hook("forward", add):
        run(network)
        assert seen == ["adds"]
        run(network)
    assert seen == ["adds", "adds", "added"]


# -- errors ------------------------------------------------------------------------------------


def fail(layer):
    raise ZeroDivisionError("in the hook")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("place", ["", "0", "1", "1.0", "1.0.0", "2"])
def test_an_error_in_a_hook_ends_the_pass(moment, place):
    inside = Residual([Sequential([dense(4, 4, seed=1)])])
    network = Network([dense(3, 4), inside, dense(4, 2, "sigmoid")], "cross_entropy")
    layer = dict(network.root.walk())[place]
    plain = copy.deepcopy(network)
    with layer.add_hook(moment, fail), pytest.raises(ZeroDivisionError, match="in the hook"):
        run(network)
    nabla_x = run(network)  # nothing of the pass that failed is left
    np.testing.assert_array_equal(nabla_x, run(plain), strict=True)
    np.testing.assert_array_equal(network.nabla, plain.nabla, strict=True)
    if moment == "forward":
        x, y = data(network)
        with layer.add_hook(moment, fail), pytest.raises(ZeroDivisionError):
            network.forward(x, training=True)
        with pytest.raises(RuntimeError, match="backward needs a forward"):
            network.backward(y)
        with pytest.raises(RuntimeError, match="backward needs a forward"):
            layer.backward(np.zeros((4, 3)))


def test_an_error_in_a_hook_between_ties_leaves_no_gradient_behind():
    """What one place has given already must not be added in the next pass again."""
    shared = dense(3, 3)
    network = Network([shared, dense(3, 3, seed=1), shared], "quadratic")
    run(network)
    before = network.nabla.copy()
    with network[1].add_hook("backward", fail), pytest.raises(ZeroDivisionError):
        run(network)
    run(network)
    np.testing.assert_array_equal(network.nabla, before, strict=True)


def test_a_trainer_ends_with_the_error_of_a_hook(network):
    trainer = Trainer(network, SGD(0.1), batch_size=2, rng=0, progress=False)
    theta = network.theta.copy()
    with network[0].add_hook("backward", fail), pytest.raises(ZeroDivisionError):
        trainer.fit(*data(network, 6))
    assert isinstance(trainer.error, ZeroDivisionError)
    np.testing.assert_array_equal(network.theta, theta)  # the step was not taken
    trainer.fit(*data(network, 6), epochs=2)


def test_names(network):
    layer = network[2]
    one = layer.add_hook("forward", print)
    two = layer.add_hook("backward", print, name="watch")
    three = layer.add_hook("forward", print)
    names = [hook.name for hook in (one, two, three)]
    assert names == ["forward hook 1", "watch", "forward hook 2"]
    assert list(layer.hooks.values()) == [one, two, three]
    one.remove()
    assert layer.add_hook("forward", print).name == "forward hook 1"
    assert network[0].add_hook("delta", print, name="watch").name == "watch"  # another layer's
    assert repr(two) == f"<backward hook 'watch' on {layer!r}>"
    assert (two.layer, two.moment, two.function) == (layer, "backward", print)
    layer.hooks.clear()  # a copy
    assert len(layer.hooks) == 3


def test_bad_arguments(network):
    layer = network[1]
    layer.add_hook("forward", print, name="mine")
    for error, match, arguments in [
        (
            ValueError,
            "hook's moment is 'forward' or 'upstream' or 'delta' or 'backward', got 'up'",
            ("up", print),
        ),
        (ValueError, "a hook's moment is", (0, print)),
        (TypeError, "a hook must be callable, got 3", ("forward", 3)),
        (ValueError, "there is a hook 'mine' already", ("backward", print, "mine")),
        (TypeError, "a hook's name must be a string, got 3", ("forward", print, 3)),
        (TypeError, "a hook's name must be a string, got [1]", ("forward", print, [1])),
    ]:
        with pytest.raises(error, match=f"^{re.escape(str(layer))}: .*{re.escape(match)}"):
            layer.add_hook(*arguments)
    assert list(layer.hooks) == ["mine"]


# -- whose they are ----------------------------------------------------------------------------


def test_layers_without_parameters_have_hooks():
    network = Network([Dense(3, 2, rng=0), Dropout(0.5, rng=0)])
    masks = []
    network[1].add_hook("forward", lambda layer: masks.append(layer.mask))
    network.forward(np.ones((3, 4), np.float32), training=True)
    assert masks[0] is network[1].mask


def test_copies_and_files_have_none(network, tmp_path):
    for _, layer in network.root.walk():
        layer.add_hook("forward", lambda layer: None)  # which no pickle could hold
    network.save(tmp_path / "network.npz")
    twins = [copy.deepcopy(network), copy.copy(network), pickle.loads(pickle.dumps(network))]
    twins += [network.astype("float32"), Network.load(tmp_path / "network.npz")]
    for twin in twins:
        for _, layer in twin.root.walk():
            assert layer.hooks == {}
            assert layer._hooks is None
            layer.add_hook("forward", print)
    one = copy.copy(network[0])
    assert one.hooks == {}
    assert all(len(layer.hooks) == 1 for _, layer in network.root.walk())


def test_a_second_place_has_hooks_of_its_own():
    layer = dense(3, 3)
    seen = []
    layer.add_hook("forward", seen.append)
    network = Network([layer, dense(3, 3, seed=1), layer], "quadratic")
    run(network)
    assert seen == [network[0]]
    network[2].add_hook("forward", seen.append)
    run(network)
    assert seen == [network[0], network[0], network[2]]


def test_hooks_stay_when_a_layer_is_built_into_another_network(network):
    seen = []
    network[1].add_hook("forward", seen.append)
    other = Network(network.layers, "quadratic")
    run(other)
    assert seen == [other[1]]


def test_a_hook_keeps_no_network_alive(network):
    hook = network[0].add_hook("forward", print)
    dead = weakref.ref(network)
    twin = copy.deepcopy(network)
    gc.disable()
    try:
        twin_dead = weakref.ref(twin)
        other = twin[0].add_hook("forward", print)  # which is held, and with it the one layer
        del twin
        assert twin_dead() is None
        assert other.layer.owner is None
    finally:
        gc.enable()
    assert dead() is network
    hook.remove()


@pytest.mark.parametrize("moment", MOMENTS)
def test_without_hooks_a_layer_is_as_it_was(network, moment):
    assert network[0]._hooks is None
    network[0].add_hook(moment, print).remove()
    assert network[0]._hooks is None


def test_tokens_have_hooks_too():
    embedding = Embedding(5, 4, dtype="float64", rng=0)
    network = Network([embedding, TimeStep(-1), dense(4, 2, "sigmoid")], "cross_entropy", (3,))
    x, y = np.array([[0, 1], [2, 3], [4, 0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    for zero in (in_place, assigned):
        with embedding.add_hook("delta", zero):
            network.forward(x, training=True)
            assert network.backward(y) is None
        assert not embedding.nabla.any()
        assert network[2].nabla.any()


def test_the_delta_of_attention_and_recurrence_is_that_of_all_steps():
    for layer, rows in ((MultiHeadAttention(4, 2, dtype="float64", rng=0), 16),
                        (LSTM(4, 4, dtype="float64", rng=0), 16)):  # fmt: skip
        network, shapes = sequences(layer), []
        with layer.add_hook("delta", lambda layer, shapes=shapes: shapes.append(layer.delta.shape)):
            run(network)
        assert shapes == [(rows, 3, 3)]


def test_hooks_of_a_graph_s_nodes_run_in_its_order():
    x = Input("x", (2,))
    u = apply(dense(2, 3), x).named("u")
    v = apply(dense(2, 3, seed=1), x).named("v")
    network = Network(Graph(apply(dense(6, 2, "sigmoid", 2), concatenate(u, v))), "cross_entropy")
    seen = []
    for index, layer in enumerate(network.layers):
        for moment in MOMENTS:
            layer.add_hook(moment, lambda layer, i=index, m=moment: seen.append(f"{m[0]}{i}"))
    run(network)
    assert seen == ["f0", "f1", "f2", "f3", "d3", "b3", "d2", "b2", "d1", "b1", "d0", "b0"]


def test_what_a_forward_hook_assigns_is_the_output():
    network = Network.from_sizes([3, 4, 2], dtype="float64", rng=0)
    network[0].add_hook("forward", lambda layer: setattr(layer, "a", 0 * layer.a))
    x = np.ones((3, 5))
    a = network.forward(x, keep=True)
    np.testing.assert_array_equal(a, network[1].forward(np.zeros((4, 5))))
    assert not network[0].a.any()
    network[1].add_hook("forward", lambda layer: setattr(layer, "a", layer.a[:1]))
    with pytest.raises(ShapeError, match=r"a hook must leave a of shape \(2, 5\)"):
        network.forward(x, keep=True)
    assert network.root.a is None
