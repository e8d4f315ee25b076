"""A layer stays as it was made: its constructor's arguments are fixed, or their assignment works.

One rule for all layers, tried on every argument of every case.
"""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import backprop as bp
from backprop.core.config import arguments_of, from_config
from backprop.graph import Concatenate, Graph, Input, Slice, Variable, apply
from backprop.layers import Dense, Layer, Parameter
from tests.cases import CASES

LAYERS = {case.name: case.make(np.float64) for case in CASES}
LAYERS |= {
    "Slice": Slice(0, 2),
    "Variable": Variable((2, 3), dtype="float64"),
    "Concatenate": Concatenate(3),
    "Graph": Graph(apply(Dense(2, 3), Input("x", (2,)))),
}
ASSIGNABLE = {  # each with another value, and one that is refused
    "activation": ("softplus", "no such"),
    "p": (0.125, 1.0),
    "std": (3.0, -1.0),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def inner_arguments(layer: Layer):
    return [
        (inner, name)
        for _, inner in layer.walk()
        for name in arguments_of(type(inner))
        if hasattr(inner, name)
    ]


@every_layer
def test_an_argument_of_a_layer_that_is_made_is_fixed_or_can_be_assigned(layer):
    layer = copy.deepcopy(layer)
    before = layer.config()
    for inner, name in inner_arguments(layer):
        value = getattr(inner, name)
        if name in ASSIGNABLE and not isinstance(inner, bp.TransformerBlock):
            continue
        for other in (3, value):  # also what it is already
            with pytest.raises(AttributeError, match=f"{name}.* cannot be assigned|set"):
                setattr(inner, name, other)
        assert getattr(inner, name) is value or type(value) is tuple
    assert layer.config() == before


@every_layer
def test_what_can_be_assigned_is_checked_and_is_in_copies_and_files(layer, tmp_path):
    layer = copy.deepcopy(layer)
    inside_block = isinstance(layer, bp.TransformerBlock)
    for inner, name in inner_arguments(layer):
        if name not in ASSIGNABLE or isinstance(inner, bp.TransformerBlock):
            continue
        value, wrong = ASSIGNABLE[name]
        before = getattr(inner, name)
        with pytest.raises((ValueError, AttributeError)):
            setattr(inner, name, wrong)
        assert getattr(inner, name) is before
        if inside_block:
            with pytest.raises(AttributeError, match="make another TransformerBlock"):
                setattr(inner, name, value)
            continue
        setattr(inner, name, value)
        of_inner = inner.config()
        assert of_inner[name] == ({"class": "Softplus"} if name == "activation" else value)
        twin = from_config(layer.config())
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), twin):
            assert other.config() == layer.config()
            assert repr(other) == repr(layer)


def test_the_pass_back_is_that_of_the_pass_up_whatever_was_assigned_between():
    x = np.random.default_rng(0).standard_normal((4, 5))
    dropout, noise = bp.Dropout(0.5, rng=0), bp.GaussianNoise(1.0, rng=0)
    for layer, name, value in ((dropout, "p", 0.1), (noise, "std", 9.0)):
        layer.forward(x, training=True)
        before = layer.backward(np.ones_like(x))
        setattr(layer, name, value)
        np.testing.assert_array_equal(layer.backward(np.ones_like(x)), before)
    dropout.p = 0.0
    np.testing.assert_array_equal(dropout.forward(x, training=True), x)


def test_a_place_of_a_layer_may_have_another_activation_and_file_and_copies_have_it(tmp_path):
    layer = Dense(3, 3, "tanh", rng=0)
    network = bp.Network([layer, layer], "quadratic")
    network[1].activation = "relu"
    network.save(tmp_path / "net.npz")
    x = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)
    for twin in (bp.Network.load(tmp_path / "net.npz"), copy.deepcopy(network)):
        assert twin[1].place_of is twin[0]
        np.testing.assert_array_equal(twin.predict(x), network.predict(x))


class Half(bp.Dropout):
    """A subclass may say itself what is kept, and keeps it when it is made."""

    def __init__(self, p: float, table: np.ndarray, warm: float = 1.0) -> None:
        super().__init__(p)
        self.p, self.table, self.warm = p / 2, table, warm
        self.warm = self.warm * 2
        self.later = None

    @property
    def warm(self) -> float:
        return self._warm

    @warm.setter
    def warm(self, value: float) -> None:
        self._warm = value


def test_layers_of_ones_own_keep_the_rule():
    for _ in range(2):  # the second is made when the class has its fixed arguments
        layer = Half(0.5, np.ones(3))
        assert (layer.p, layer.warm) == (0.25, 2.0)
        layer.warm = 3.0  # its class says how
        layer.later = 1  # no argument
        with pytest.raises(AttributeError, match=r"table cannot be assigned.*Half\(\.\.\., table="):
            layer.table = np.zeros(3)
        np.testing.assert_array_equal(layer.astype("float64").table, 1)
        np.testing.assert_array_equal(copy.deepcopy(layer).table, 1)


class Forgets(Layer):
    g = Parameter()

    def __init__(self, n: int) -> None:
        pass

    def output(self, a_prev, mode):
        return a_prev

    def downstream(self, delta):
        return delta


def test_what_was_not_kept_is_missed_as_ever():
    with pytest.raises(AttributeError, match="has not kept its argument 'n'"):
        Forgets(3).config()
    with pytest.raises(AttributeError, match="no attribute 'n'"):
        Forgets(3).n  # noqa: B018


def test_what_comes_out_of_a_pickle_is_fixed_in_a_process_that_made_no_such_layer(tmp_path):
    (tmp_path / "layer.pickle").write_bytes(pickle.dumps(Dense(2, 2)))
    code = """
import pickle, sys
layer = pickle.load(open(sys.argv[1], "rb"))
try:
    layer.n_in = 3
except AttributeError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "layer.pickle")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "n_in cannot be assigned" in found.stdout
