"""Hooks end: when they are removed, and by an error."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

from backprop.layers import Residual, Sequential
from backprop.network import Network
from backprop.optimizers import SGD
from backprop.training.trainer import Trainer
from tests.layers.hooks.networks import MOMENTS, data, run
from tests.support import dense

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
    inside = Residual([Sequential([dense(4, 4, rng=1)])])
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
    network = Network([shared, dense(3, 3, rng=1), shared], "quadratic")
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
