"""The network: a chain of layers with one theta, one nabla and a cost at its end."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from backprop.costs import SoftmaxCrossEntropy
from backprop.gradients.check import check_gradients
from backprop.layers import (
    LSTM,
    Dense,
    Dropout,
    Flatten,
    Sequential,
    ShapeError,
    Tanh,
    TimeDistributed,
    TimeStep,
)
from backprop.network import Network
from tests.network.support import cost_of, data, mixed, small

# -- theta and nabla ------------------------------------------------------------------------------


def test_theta_and_nabla_are_the_layers_arrays():
    network = mixed()
    x, y = data(network, 3)
    network.forward(x, training=True)
    network.backward(y)
    for name, vector in (("parameters", network.theta), ("gradients", network.nabla)):
        arrays = [array for layer in network.layers for array in getattr(layer, name).values()]
        assert len(arrays) == 4
        assert all(np.shares_memory(array, vector) for array in arrays)
        np.testing.assert_array_equal(np.concatenate([a.ravel() for a in arrays]), vector)
        assert vector.flags.c_contiguous
    assert network.n_parameters == network.theta.size == 6 * 5 + 5 + 5 * 3 + 3


def test_a_step_of_gradient_descent():
    network = small()
    x, y = data(network, 3)
    theta, before = network.theta, cost_of(network, x, y)
    network.forward(x, training=True)
    network.backward(y)
    old = theta.copy()
    network.theta -= 0.5 * network.nabla
    assert network.theta is theta
    np.testing.assert_array_equal(theta, old - 0.5 * network.nabla)
    np.testing.assert_array_equal(network[1].b.ravel(), theta[-2:])
    assert cost_of(network, x, y) < before


def test_assigning_theta_copies():
    network = small()
    theta, values = network.theta, np.arange(network.n_parameters)
    network.theta = values
    assert network.theta is theta
    assert network[0].w[0, 1] == 1
    network.theta = list(range(1, 27))
    assert network[0].w[0, 1] == 2
    network.nabla = np.ones(26)
    assert network[1].nabla_b[1, 0] == 1
    before = theta.copy()
    for wrong in (1.0, np.ones(25), np.ones((26, 1)), np.ones((1, 26))):
        with pytest.raises(ShapeError, match=r"^theta has shape \(26,\), got "):
            network.theta = wrong
        with pytest.raises(ShapeError, match=r"^nabla has shape \(26,\), got "):
            network.nabla = wrong
    with pytest.raises(TypeError, match=r"^theta is float64, got complex128$"):
        network.theta = np.ones(26, complex)
    np.testing.assert_array_equal(theta, before)


def test_weight_parts():
    network = mixed()
    marked = np.zeros(network.n_parameters, bool)
    for part, factor in network.root.weight_parts():
        assert factor == 1
        assert not marked[part].any()
        marked[part] = True
    weights = np.zeros_like(network.theta)
    network.theta[...] = 0
    network[1].w[...] = network[5].w[...] = 1
    weights[...] = network.theta
    np.testing.assert_array_equal(marked, weights == 1)


def test_astype_copies_every_layer_once_and_what_else_a_network_holds():
    class Counted(Dense):
        copies = 0

        def __getstate__(self):
            type(self).copies += 1
            return super().__getstate__()

    network = Network([Counted(3, 4), Sequential([Counted(4, 2)])], "quadratic")
    network.first, network.inner = network[0], [network[1].children[0]]
    twin = network.astype("float64")
    assert Counted.copies == 2
    assert twin.first is twin[0]
    assert twin.inner[0] is twin[1].children[0]
    assert (twin.root.owner, network.root.owner) == (twin, network)
    twin.theta += 1
    assert not np.may_share_memory(twin.theta, network.theta)
    network.check_whole()
    x, y = np.ones((3, 2), "f4"), np.ones((2, 2), "f4")
    for one, dtype in ((network, "f4"), (twin, "f8")):
        one.forward(x.astype(dtype), training=True)
        one.backward(y.astype(dtype))


def test_astype():
    network = small(dtype="float32")
    x, y = data(network, 3)
    twin = network.astype(np.float64)
    assert (network.dtype, twin.dtype, twin.theta.dtype) == (np.float32, np.float64, np.float64)
    assert not np.shares_memory(network.theta, twin.theta)
    assert np.shares_memory(twin.theta, twin[0].w)
    np.testing.assert_array_equal(twin.theta, network.theta)
    np.testing.assert_allclose(twin.predict(x.astype(float)), network.predict(x), rtol=1e-5)
    twin.forward(x.astype(float), training=True)
    assert twin.backward(y.astype(float)).dtype == np.float64
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got float16"):
        network.astype("float16")
    bare = Network([Tanh()], "quadratic", input_shape=(2,)).astype("float64")
    assert bare.predict(np.ones((2, 3))).dtype == bare.theta.dtype == np.float64


# -- copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, copy.copy, lambda network: pickle.loads(pickle.dumps(network))]
)
def test_copies_work_and_are_independent(duplicate):
    network = mixed()
    x, y = data(network, 3)
    network.forward(x, training=True)
    network.backward(y)
    nabla, theta = network.nabla.copy(), network.theta.copy()
    twin = duplicate(network)
    np.testing.assert_array_equal(twin.theta, theta, strict=True)
    np.testing.assert_array_equal(twin.nabla, nabla, strict=True)
    np.testing.assert_array_equal(twin[1].delta, network[1].delta)
    np.testing.assert_array_equal(twin.predict(x), network.predict(x), strict=True)
    for one, two in zip(network.layers, twin.layers, strict=True):
        assert one is not two
        for name, parameter in two.parameters.items():
            assert np.shares_memory(parameter, twin.theta)
            assert np.shares_memory(one.parameters[name], network.theta)
            assert np.shares_memory(two.gradients[name], twin.nabla)
    twin.nabla[...] = 0
    twin.backward(y)  # from the copied forward pass
    np.testing.assert_array_equal(twin.nabla, nabla)
    twin.theta += 1
    twin[0].forward(x, training=True)
    np.testing.assert_array_equal(network.theta, theta)
    network.backward(y)
    np.testing.assert_array_equal(network.nabla, nabla)
    Network([twin[1]])  # which takes the layer over
    with pytest.raises(RuntimeError, match="has been built into another network since"):
        twin.predict(x)
    network.predict(x)


def test_a_copied_layer_is_free():
    network = small()
    layer = copy.deepcopy(network[0])
    assert not np.shares_memory(layer.theta, network.theta)
    np.testing.assert_array_equal(layer.theta, network[0].theta)
    Network([layer])


# -- text -----------------------------------------------------------------------------------------


def test_summary():
    network = Network(
        [
            Flatten(),
            Dense(784, 30, "relu", rng=0),
            Dropout(0.5, rng=0),
            Dense(30, 10, "softmax", rng=0),
        ],
        SoftmaxCrossEntropy(label_smoothing=0.1),
        input_shape=(1, 28, 28),
    )
    assert network.summary() == (
        "   layer                     output shape     parameters  initializers\n"
        "------------------------------------------------------------------------------\n"
        "   input                     1 x 28 x 28 x B\n"
        "0  Flatten()                 784 x B                   0\n"
        "1  Dense(784 -> 30, relu)    30 x B               23,550  w he_normal, b zeros\n"
        "2  Dropout(0.5)              30 x B                    0\n"
        "3  Dense(30 -> 10, softmax)  10 x B                  310  w nielsen, b normal\n"
        "------------------------------------------------------------------------------\n"
        "23,860 parameters, float32, 0.09 MiB; cost SoftmaxCrossEntropy(label_smoothing=0.1)"
    )


def test_repr():
    network = Network([Dense(3, 2), Tanh()], "quadratic")
    assert repr(network) == "Network([Dense(3 -> 2, sigmoid), Tanh()], Quadratic())"


# -- axes of any length ---------------------------------------------------------------------------


def any_length(shape=(3, None)):
    layers = [TimeDistributed(Dense(3, 4, "tanh", dtype="float64", rng=1)), Tanh(),
              TimeDistributed(Dense(4, 2, "softmax", dtype="float64", rng=2))]  # fmt: skip
    return Network(layers, "softmax_cross_entropy", input_shape=shape)


def test_none_in_the_input_shape_stands_for_any_length(tmp_path):
    network, rng = any_length(), np.random.default_rng(0)
    assert network.output_shape == (2, None)
    assert "2 x any x B" in network.summary()
    for steps in (1, 5):
        x, y = rng.standard_normal((3, steps, 4)), rng.integers(0, 2, (steps, 4))
        fixed = any_length((3, steps))
        np.testing.assert_array_equal(network.forward(x, True), fixed.forward(x, True))
        np.testing.assert_array_equal(network.backward(y), fixed.backward(y))
        assert network.evaluate(x, y) == fixed.evaluate(x, y)
        assert check_gradients(network, x, y).passed
    network.save(tmp_path / "network.npz")
    loaded = Network.load(tmp_path / "network.npz")
    assert loaded.input_shape == (3, None)
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x))


def test_the_last_step_of_any_length():
    layers = [LSTM(2, 3, dtype="float64", rng=0), TimeStep(-2)]
    network, x = Network(layers, input_shape=(2, None)), np.ones((2, 5, 4))
    assert network.output_shape == (3,)
    np.testing.assert_array_equal(network.predict(x), layers[0].forward(x)[:, -2])
    with pytest.raises(ShapeError, match=r"layer 1, TimeStep\(-2\), expects shape \(d, T >= 2\)"):
        network.forward(x[:, :1])


def test_what_has_no_length_of_any_kind():
    network = any_length()
    with pytest.raises(ShapeError, match=r"expected input of shape \(3, T, B\), got \(2, 5, 4\)"):
        network.forward(np.zeros((2, 5, 4)))
    with pytest.raises(ShapeError, match=r"got \(3, 4\)"):
        network.forward(np.zeros((3, 4)))
    with pytest.raises(
        ShapeError, match=r"layer 0, Flatten\(\), needs fixed lengths, got \(3, None"
    ):
        Network([Flatten()], input_shape=(3, None))
    with pytest.raises(TypeError, match="give x, or the input_shape"):
        check_gradients(network)
