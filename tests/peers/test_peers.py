"""Every layer, cost and network against PyTorch in float64, live and from stored numbers."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from backprop import costs, layers
from backprop.costs import Cost, WeightedCosts
from backprop.gradients.numeric import relative_error
from backprop.layers import Activation, Layer
from tests.cases import CASES, COST_CASES, NETWORK_CASES
from tests.peers import stored as peers

STORED = peers.load()


def compare(name: str, inputs: peers.Numbers, expected: peers.Numbers) -> None:
    found = peers.ours(name, inputs)
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert relative_error(found[key], array) <= 1e-12, f"{name}, {key}"


@pytest.mark.parametrize("name", STORED)
def test_against_the_stored_numbers(name: str):
    compare(name, *STORED[name])


def test_against_pytorch_itself():
    torch = pytest.importorskip("torch")
    live = peers.compute(torch)
    assert live.keys() == peers.with_peer()
    for name, (inputs, expected) in live.items():
        compare(name, inputs, expected)


def test_the_stored_numbers_are_those_of_pytorch():
    """What is committed is what `python -m tests.peers.stored` writes, but for the last bits."""
    torch = pytest.importorskip("torch")
    for name, (inputs, expected) in peers.compute(torch).items():
        for now, stored in zip((inputs, expected), STORED[name], strict=True):
            assert now.keys() == stored.keys()
            for key in now:
                assert relative_error(now[key], stored[key]) <= 1e-12, f"{name}, {key}"


def exported(module: object, base: type) -> set[type]:
    """Return the public classes of a module that are subclasses of `base`, and whole."""
    values = {v for n, v in vars(module).items() if not n.startswith("_")}
    found = {v for v in values if isinstance(v, type) and issubclass(v, base)}
    return {v for v in found if not inspect.isabstract(v)}


def test_every_layer_activation_and_cost_has_cases():
    assert exported(layers, Layer) == {type(case.make(np.float64)) for case in CASES}
    assert exported(layers, Activation) == peers.activations_inside()
    alone = {type(case.cost) for case in COST_CASES}
    assert exported(costs, Cost) == alone | {WeightedCosts}
    assert WeightedCosts in {type(case.make().cost) for case in NETWORK_CASES}  # of two outputs


def test_every_layer_activation_and_cost_has_a_peer_or_a_reason():
    everything = exported(layers, Layer) | exported(costs, Cost)
    assert everything == peers.LAYERS.keys() | peers.COSTS.keys() | peers.WITHOUT_PEER.keys()
    assert all(peers.WITHOUT_PEER.values())


def test_every_case_has_its_stored_numbers():
    """If this fails: PYTHONPATH=. python -m tests.peers.stored, with PyTorch 2.13.0 installed."""
    assert STORED.keys() == peers.with_peer()


def test_a_wrong_gradient_is_seen():
    name = "layer dense-tanh"
    inputs, expected = STORED[name]
    for key in expected:
        wrong = {**expected, key: expected[key] * (1 + 1e-11)}
        with pytest.raises(AssertionError, match=f"{name}, {key}"):
            compare(name, inputs, wrong)
