"""What a network is given is checked before anything changes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from backprop.layers import ShapeError, Sigmoid
from backprop.network import Network
from tests.network.support import assert_same_states, data, small, states


def bad_inputs(x):
    yield x.tolist(), TypeError, "the input must be a numpy array, got list"
    yield x.astype(np.float32), TypeError, "must be float64, got float32; convert it yourself"
    yield x.astype(int), TypeError, "must be float64, got int64"
    yield x.astype(object), TypeError, "must be float64, got object"
    yield np.ma.masked_array(x), TypeError, "must be a numpy array, got MaskedArray"
    yield x.view(np.matrix), TypeError, "must be a numpy array, got matrix"
    yield x[:2], ShapeError, r"Dense\(3 -> 4, sigmoid\): expected input of shape \(3, B\), got \(2,"
    yield x.T, ShapeError, r"got \(5, 3\); the batch is the last axis: did you mean x\.T\?"
    yield x[:, 0], ShapeError, r"needs a batch axis, got \(3,\); a single example is a column"
    yield x[:, :0], ShapeError, r"the input is empty, its shape is \(3, 0\)"
    for value, name in ((np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")):
        wrong = x.copy()
        wrong[1, 3] = wrong[2, 4] = value
        message = rf"^x\[1, 3\] is {name}: x must be finite, and 2 of 15 numbers are not$"
        yield wrong, ValueError, message


def test_bad_inputs_are_refused_before_anything_changes():
    network = small()
    x, y = data(network, 5)
    network.forward(x, training=True)
    network.backward(y)
    before, nabla = states(network), network.nabla.copy()
    for wrong, error_type, match in bad_inputs(x):
        for call in (
            lambda wrong=wrong: network.forward(wrong),
            lambda wrong=wrong: network.forward(wrong, training=True),
            lambda wrong=wrong: network.predict(wrong, batch_size=2),
            lambda wrong=wrong: network.evaluate(wrong, y),
        ):
            with pytest.raises(error_type, match=match) as error:
                call()
            assert "\n" not in str(error.value)
            assert_same_states(network, before)
    network.backward(y)  # the way back is still there
    np.testing.assert_array_equal(network.nabla, nabla)


def bad_targets(y):
    yield y.tolist(), TypeError, "must be a numpy array, got list"
    yield y.astype(np.float32), TypeError, "target y must be float64, got float32"
    yield y.astype(int), TypeError, "target y must be float64, got int64"
    yield np.zeros(5, int), TypeError, r"got labels of shape \(5,\), int64: give one_hot\(y, 2,"
    yield y[:1], ShapeError, r"y must have the output's shape \(2, 5\), got \(1, 5\)"
    wrong = y.copy()
    wrong[0, 4] = np.nan
    yield wrong, ValueError, r"^y\[0, 4\] is nan: y must be finite"


def test_bad_targets_are_refused_before_anything_changes():
    network = small()
    x, y = data(network, 5)
    network.forward(x, training=True)
    network.backward(y)
    before = states(network)
    counts = [
        (y[:, :1], ShapeError, r"shape \(2, 5\), got \(2, 1\)"),
        (y.T, ShapeError, r"shape \(2, 5\), got \(5, 2\)"),
    ]
    for wrong, error_type, match in [*bad_targets(y), *counts]:
        with pytest.raises(error_type, match=match) as error:
            network.backward(wrong)
        assert "\n" not in str(error.value)
        assert_same_states(network, before)
    counts = [
        (
            y[:, :4],
            ShapeError,
            r"x holds 5 examples but y has 4 targets: the batch is the last axis",
        ),
        (y.T, ShapeError, r"y must have the output.s shape \(2, 5\), got \(5, 2\): give y\.T$"),
        (np.float64(1) * np.array(1.0), TypeError, "y must be a numpy array, got float64"),
        (np.array(1.0), ShapeError, "y has no targets"),
    ]
    for wrong, error_type, match in [*bad_targets(y), *counts]:
        with pytest.raises(error_type, match=match) as error:
            network.evaluate(x, wrong)
        assert "\n" not in str(error.value)
        assert_same_states(network, before)


def test_a_wrong_upstream_gradient_is_refused_before_anything_changes():
    network = small()
    x, y = data(network, 3)
    network.forward(x, training=True)
    network.backward(y)
    before = states(network)
    for shape in [(2, 1), (1, 3), (3, 2), (2,), (4, 3)]:
        with pytest.raises(ShapeError, match=re.escape(f"activation, (2, 3), got {shape}")):
            network.backpropagate(np.ones(shape))
        assert_same_states(network, before)
    with pytest.raises(TypeError, match="nabla_a must be float64, got float32"):
        network.backpropagate(np.ones((2, 3), np.float32))
    assert_same_states(network, before)


def test_an_input_shape_that_only_the_network_knows():
    network = Network([Sigmoid()], input_shape=(2, 3))
    with pytest.raises(
        ShapeError, match=r"^network: expected input of shape \(2, 3, B\), got \(3, 2"
    ):
        network.forward(np.zeros((3, 2, 5), np.float32))
    with pytest.raises(ShapeError, match=r"did you mean np\.moveaxis\(x, 0, -1\)\?$"):
        network.forward(np.zeros((5, 2, 3), np.float32))
