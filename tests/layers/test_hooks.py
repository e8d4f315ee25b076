"""Hooks: called after a layer's own pass, in training only, until they are removed."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import weakref

import numpy as np
import pytest

from backprop import SGD, Dense, Dropout, Network, Trainer


@pytest.fixture(params=["quadratic", "cross_entropy"], ids=["any", "canonical"])
def network(request) -> Network:
    return Network.from_sizes([3, 4, 5, 2], cost=request.param, dtype="float64", rng=0)


def data(network: Network, batch: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((3, batch)), rng.random((2, batch))


def run(network: Network) -> None:
    x, y = data(network)
    network.forward(x, training=True)
    network.backward(y)


def test_forward_hooks_run_in_order_after_their_layer(network):
    seen = []
    for index in range(3):
        network.add_hook("forward", index, lambda i, layer: seen.append((i, layer, layer.a)))
    x, _ = data(network)
    network.forward(x, training=True)
    assert [index for index, _, _ in seen] == [0, 1, 2]
    for index, layer, a in seen:
        assert layer is network[index]
        assert a is layer.a


def test_a_forward_hook_runs_before_the_layer_above(network):
    above = []
    network.add_hook("forward", 0, lambda index, layer: above.append(network[1].a is None))
    network.forward(data(network)[0], training=True)
    assert above == [True]


def test_backward_hooks_run_in_order_after_their_layer(network):
    seen = []
    for index in range(3):
        network.add_hook(
            "backward",
            index,
            lambda i, layer: seen.append((i, layer.delta, layer.nabla_w.copy())),
        )
    network.nabla[...] = np.nan
    run(network)
    assert [index for index, _, _ in seen] == [2, 1, 0]
    for index, delta, nabla_w in seen:
        assert delta is network[index].delta
        np.testing.assert_array_equal(nabla_w, network[index].nabla_w)
        np.testing.assert_array_equal(nabla_w, delta @ network[index].a_prev.T)


def test_a_backward_hook_runs_before_the_layer_below(network):
    below = []
    network.add_hook("backward", 1, lambda index, layer: below.append(network[0].delta is None))
    network.add_hook("backward", 2, lambda index, layer: below.append(network[1].delta is None))
    run(network)
    assert below == [True, True]


def test_backpropagate_calls_them_too(network):
    seen = []
    network.add_hook("backward", -1, lambda index, layer: seen.append(index))
    x, y = data(network)
    network.forward(x, training=True)
    network.backpropagate(y)
    assert seen == [2]


def test_only_training_calls_them(network):
    seen = []
    for direction in ("forward", "backward"):
        for index in range(3):
            network.add_hook(direction, index, lambda i, layer: seen.append(i))
    x, y = data(network)
    network.forward(x)
    network.predict(x)
    network.evaluate(x, y)
    network.trace(x, y)
    assert seen == []
    run(network)
    assert seen == [0, 1, 2, 2, 1, 0]


def test_the_trainer_calls_them(network):
    seen = []
    network.add_hook("forward", 0, lambda index, layer: seen.append("forward"))
    network.add_hook("backward", 0, lambda index, layer: seen.append("backward"))
    Trainer(network, SGD(0.1), batch_size=2, rng=0).fit(*data(network, 6), epochs=1)
    assert seen == ["forward", "backward"] * 3


def test_what_a_hook_changes_in_place_counts(network):
    def freeze(index, layer):
        layer.nabla[...] = 0

    run(network)
    before = network.nabla.copy()
    with network.add_hook("backward", 1, freeze):
        run(network)
    size = network[0].n_parameters
    frozen = slice(size, size + network[1].n_parameters)
    assert before[frozen].any()
    before[frozen] = 0
    np.testing.assert_array_equal(network.nabla, before)


def test_hooks_change_nothing_by_themselves(network):
    plain = copy.deepcopy(network)
    for direction in ("forward", "backward"):
        network.add_hook(direction, 1, lambda index, layer: None)
    for net in (plain, network):
        run(net)
    np.testing.assert_array_equal(network.nabla, plain.nabla, strict=True)


def test_removal_ends_them(network):
    seen = []
    hook = network.add_hook("forward", 0, lambda index, layer: seen.append("a"))
    network.add_hook("forward", 0, lambda index, layer: seen.append("b"))
    run(network)
    hook.remove()
    hook.remove()
    run(network)
    assert seen == ["a", "b", "b"]


def test_a_second_removal_leaves_a_namesake_alone(network):
    first = network.add_hook("forward", 0, print, name="mine")
    first.remove()
    second = network.add_hook("backward", 1, print, name="mine")
    first.remove()
    assert network.hooks == {"mine": second}


def test_a_context_ends_them_even_by_an_error(network):
    with network.add_hook("forward", 0, print) as hook:
        assert network.hooks == {"forward hook 1": hook}
    assert network.hooks == {}
    x, _ = data(network)
    with pytest.raises(ValueError, match="expected input"), network.add_hook("forward", 0, print):
        network.forward(x[:2], training=True)
    assert network.hooks == {}


def test_a_hook_may_remove_itself(network):
    seen = []

    def once(index, layer):
        seen.append(index)
        hook.remove()

    hook = network.add_hook("backward", 1, once)
    last = network.add_hook("backward", 1, lambda index, layer: seen.append("after"))
    run(network)
    run(network)
    assert seen == [1, "after", "after"]
    assert network.hooks == {last.name: last}


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_error_in_a_hook_ends_the_pass(network, direction, index):
    def fail(index, layer):
        raise ZeroDivisionError("in the hook")

    with network.add_hook(direction, index, fail), pytest.raises(ZeroDivisionError, match="in the"):
        run(network)
    run(network)
    if direction == "forward":
        x, y = data(network)
        with network.add_hook(direction, index, fail), pytest.raises(ZeroDivisionError):
            network.forward(x, training=True)
        with pytest.raises(RuntimeError, match="backward needs a forward"):
            network.backward(y)


def test_names(network):
    one = network.add_hook("forward", 0, print)
    two = network.add_hook("backward", 2, print, name="watch")
    three = network.add_hook("forward", 1, print)
    names = [hook.name for hook in (one, two, three)]
    assert names == ["forward hook 1", "watch", "forward hook 2"]
    assert list(network.hooks.values()) == [one, two, three]
    one.remove()
    assert network.add_hook("forward", 1, print).name == "forward hook 1"
    assert repr(two) == "<backward hook 'watch' on layer 2, " + repr(network[2]) + ">"
    network.hooks.clear()  # a copy
    assert len(network.hooks) == 3


def test_bad_arguments(network):
    network.add_hook("forward", 0, print, name="mine")
    for error, match, arguments in [
        (ValueError, "a hook's direction is 'forward' or 'backward', got 'up'", ("up", 0, print)),
        (TypeError, "a hook must be callable, got 3", ("forward", 0, 3)),
        (TypeError, "a layer is given by its index, got '0'", ("forward", "0", print)),
        (TypeError, "a layer is given by its index, got True", ("forward", True, print)),
        (IndexError, "no layer 3: the network has layers 0 to 2", ("forward", 3, print)),
        (IndexError, "no layer -4: the network has layers 0 to 2", ("backward", -4, print)),
        (ValueError, "there is a hook 'mine' already: <forward", ("backward", 1, print, "mine")),
    ]:
        with pytest.raises(error, match=re.escape(match)):
            network.add_hook(*arguments)
    assert list(network.hooks) == ["mine"]


def test_negative_indices_count_from_the_end(network):
    hook = network.add_hook("forward", np.int64(-1), print)
    assert (hook.index, hook.layer) == (2, network[2])
    assert type(hook.index) is int


def test_layers_without_parameters_have_hooks():
    network = Network([Dense(3, 2, rng=0), Dropout(0.5, rng=0)])
    masks = []
    network.add_hook("forward", 1, lambda index, layer: masks.append(layer.mask))
    network.forward(np.ones((3, 4), np.float32), training=True)
    assert masks[0] is network[1].mask


def test_copies_and_files_have_none(network, tmp_path):
    network.add_hook("forward", 0, lambda index, layer: None)  # which no pickle could hold
    network.save(tmp_path / "network.npz")
    twins = [copy.deepcopy(network), copy.copy(network), pickle.loads(pickle.dumps(network))]
    twins += [network.astype("float32"), Network.load(tmp_path / "network.npz")]
    for twin in twins:
        assert twin.hooks == {}
        twin.add_hook("forward", 0, print)
    assert len(network.hooks) == 1


def test_a_hook_keeps_no_network_alive(network):
    hook = network.add_hook("forward", 0, print)
    dead = weakref.ref(network)
    twin = copy.deepcopy(network)
    gc.disable()
    try:
        twin_dead = weakref.ref(twin)
        twin.add_hook("forward", 0, print)
        del twin
        assert twin_dead() is None
    finally:
        gc.enable()
    assert dead() is network
    hook.remove()


def test_without_hooks_the_layers_are_looped_over_as_they_are(network):
    assert network._hooked("forward", network.layers) is network.layers


def test_a_hook_that_another_removes_is_not_called_any_more():
    network = Network.from_sizes([2, 3, 1], rng=0)
    called = []
    with network.add_hook("forward", 0, lambda index, layer: victim.remove()):
        victim = network.add_hook("forward", 0, lambda index, layer: called.append(index))
        network.forward(np.ones((2, 4), np.float32), training=True)
    assert called == []


@pytest.mark.parametrize("name", [3, [1]])
def test_a_name_is_a_string(name):
    network = Network.from_sizes([2, 3, 1], rng=0)
    with pytest.raises(TypeError, match="a hook's name must be a string, got"):
        network.add_hook("forward", 0, print, name=name)
