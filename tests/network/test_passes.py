"""The two passes of a network: worked examples, gradients, and what they leave in the layers."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from backprop.costs import Cost, SoftmaxCrossEntropy
from backprop.layers import Dense, Identity
from backprop.layers.chain import chain_shapes
from backprop.network import Network
from tests.network.support import (
    PAIRS,
    assert_gradients,
    assert_same_states,
    data,
    mixed,
    one_hot,
    pairs,
    small,
    states,
)

# -- worked examples ------------------------------------------------------------------------------


def test_the_2_2_2_network_of_a_well_known_example():
    """Every number of Mazur, "A Step by Step Backpropagation Example", 2015 (8 to 9 digits)."""
    network = Network.from_sizes([2, 2, 2], cost="quadratic", dtype="float64")
    hidden, output = network.layers
    hidden.w, hidden.b = [[0.15, 0.20], [0.25, 0.30]], [[0.35], [0.35]]
    output.w, output.b = [[0.40, 0.45], [0.50, 0.55]], [[0.60], [0.60]]
    x, y = np.array([[0.05], [0.10]]), np.array([[0.01], [0.99]])

    a = network.forward(x, training=True)
    np.testing.assert_allclose(hidden.z[0], 0.3775, rtol=1e-12)
    np.testing.assert_allclose(hidden.a.ravel(), [0.593269992, 0.596884378], atol=1e-9)
    np.testing.assert_allclose(a.ravel(), [0.75136507, 0.772928465], atol=1e-8)
    assert network.cost.value(a, y) == pytest.approx(0.298371109, abs=1e-9)

    network.backward(y)
    assert output.delta[0, 0] == pytest.approx(0.138498562, abs=1e-9)
    assert output.nabla_w[0, 0] == pytest.approx(0.082167041, abs=1e-9)
    assert hidden.nabla_w[0, 0] == pytest.approx(0.000438568, abs=1e-9)
    new = output.w - 0.5 * output.nabla_w
    expected = [[0.35891648, 0.408666186], [0.511301270, 0.561370121]]
    np.testing.assert_allclose(new, expected, atol=1e-8)
    new = hidden.w - 0.5 * hidden.nabla_w
    expected = [[0.149780716, 0.19956143], [0.24975114, 0.29950229]]
    np.testing.assert_allclose(new, expected, atol=1e-8)


def by_loops(network: Network, x, y):
    """Return C, every layer's delta, and nabla, by the book's equations for one scalar each.

    For sigmoid layers and the quadratic cost; one example and one neuron at a time.
    """
    layers, batch = network.layers, x.shape[1]
    cost = 0.0
    deltas = [np.zeros((layer.n_out, batch)) for layer in layers]
    nablas = [(np.zeros(layer.w.shape), np.zeros(layer.b.shape)) for layer in layers]
    for i in range(batch):
        activations = [list(x[:, i])]
        for layer in layers:
            below, above = activations[-1], []
            for j in range(layer.n_out):
                z = layer.b[j, 0]
                for k in range(layer.n_in):
                    z += layer.w[j, k] * below[k]
                above.append(1 / (1 + math.exp(-z)))
            activations.append(above)
        for j, a in enumerate(activations[-1]):
            cost += 0.5 * (a - y[j, i]) ** 2 / batch
        for index in reversed(range(len(layers))):
            layer, below, a = layers[index], activations[index], activations[index + 1]
            for j in range(layer.n_out):
                if index == len(layers) - 1:  # BP1
                    upstream = (a[j] - y[j, i]) / batch
                else:  # BP2
                    above = layers[index + 1]
                    upstream = 0.0
                    for m in range(above.n_out):
                        upstream += above.w[m, j] * deltas[index + 1][m, i]
                deltas[index][j, i] = upstream * a[j] * (1 - a[j])
                nablas[index][1][j, 0] += deltas[index][j, i]  # BP3
                for k in range(layer.n_in):  # BP4
                    nablas[index][0][j, k] += deltas[index][j, i] * below[k]
    nabla = np.concatenate([array.ravel() for pair in nablas for array in pair])
    return cost, deltas, nabla


@pytest.mark.parametrize("sizes", [(2, 2, 2), (1, 1), (4, 3), (3, 5, 2, 4)])
@pytest.mark.parametrize("batch", [1, 4])
def test_against_loops(sizes, batch: int):
    network = Network.from_sizes(sizes, dtype="float64", rng=3)
    x, y = data(network, batch)
    cost, deltas, nabla = by_loops(network, x, y)
    a = network.forward(x, training=True)
    network.backward(y)
    assert network.cost.value(a, y) == pytest.approx(cost, rel=1e-13)
    for layer, delta in zip(network.layers, deltas, strict=True):
        np.testing.assert_allclose(layer.delta, delta, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(network.nabla, nabla, rtol=1e-12, atol=1e-16)


# -- gradients ------------------------------------------------------------------------------------


@pairs
@pytest.mark.parametrize("batch", [1, 3])
def test_gradients_of_every_pair(cost: Cost, output: str, batch: int):
    network = small(cost, "tanh", output_activation=output)
    assert_gradients(network, *data(network, batch))


@pytest.mark.parametrize(
    ("cost", "output", "n_out"),
    [(*pair, n) for pair in PAIRS for n in (1, 2, 5) if (pair[1], n) != ("softmax", 1)],
)
def test_gradients_with_any_number_of_outputs(cost: Cost, output: str, n_out: int):
    network = Network.from_sizes([3, n_out], "sigmoid", cost, output, dtype="float64", rng=4)
    assert_gradients(network, *data(network, 2))


def test_gradients_with_labels():
    network = small(SoftmaxCrossEntropy(0.1))
    x, _ = data(network, 4)
    assert_gradients(network, x, np.array([0, 1, 1, 0]))


def test_gradients_of_a_mixed_chain():
    network = mixed()
    assert_gradients(network, *data(network, 3))


def test_a_pair_that_is_not_canonical_goes_through_sigma_prime():
    network = small("quadratic", "sigmoid")
    x, y = data(network, 3)
    a = network.forward(x, training=True)
    network.backward(y)
    np.testing.assert_allclose(network[-1].delta, (a - y) / 3 * a * (1 - a), rtol=1e-13)


def test_the_learning_slowdown_and_its_cure():
    """The quadratic cost has delta = (a - y) a (1 - a), next to 0; the cross-entropy has a - y."""
    x, y = np.full((1, 1), 2.0), np.zeros((1, 1))
    a, from_one = 1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10))  # sigma(3 * 2 + 4), and 1 - a
    for cost, expected in (("quadratic", (a - 0) * a * from_one), ("cross_entropy", a - 0)):
        network = Network.from_sizes([1, 1], cost=cost, dtype="float64", rng=0)
        network[0].w, network[0].b = [[3.0]], [[4.0]]  # a = 0.99995: wrong and saturated
        network.forward(x, training=True)
        network.backward(y)
        assert network[0].delta[0, 0] == pytest.approx(expected, rel=1e-9, abs=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cost", ["cross_entropy", "softmax_cross_entropy"])
def test_a_saturated_canonical_pair(cost: str, dtype):
    network = small(cost, dtype=dtype)
    network[-1].w = 1e4 * np.array([[1, -1, 1, -1], [-1, -1, 1, 1]])
    network[-1].b = [[2e4], [-2e4]]
    x, _ = data(network, 5)
    y = one_hot([1, 1, 1, 0, 1], 2, dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        network.forward(x, training=True)
        network.backward(y)
        found = network.evaluate(x, y)
    assert np.isfinite(network.nabla).all()
    assert 1e3 < found["cost"] < 1e5
    assert np.abs(network[-1].delta).max() == pytest.approx(1 / 5)


# -- the two passes -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [small, mixed])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_and_shapes(make, dtype):
    network = make(dtype=dtype)
    x, y = data(network, 3)
    assert network.dtype == network.theta.dtype == network.nabla.dtype == dtype
    for a in (network.forward(x), network.forward(x, training=True), network.predict(x)):
        assert (a.shape, a.dtype) == ((*network.output_shape, 3), dtype)
    nabla_x = network.backward(y)
    assert (nabla_x.shape, nabla_x.dtype) == (x.shape, dtype)
    shapes = chain_shapes(network.layers, network.input_shape)
    for layer, shape in zip(network.layers, shapes, strict=True):
        assert (layer.a.shape, layer.a.dtype) == ((*shape, 3), dtype)
        for array in (layer.z, layer.delta):
            assert array is None or (array.shape, array.dtype) == ((*shape, 3), dtype)


def test_forward_is_one_layer_after_the_other():
    network = mixed()
    x, _ = data(network, 3)
    a = x
    for layer in copy.deepcopy(network).layers:
        a = layer.forward(a)
    np.testing.assert_array_equal(network.forward(x), a)
    np.testing.assert_array_equal(network.forward(x, training=True), a)
    np.testing.assert_array_equal(network[-1].a, a)


def test_backpropagate_is_one_layer_after_the_other():
    network = mixed()
    x, _ = data(network, 3)
    nabla_a = np.random.default_rng(1).standard_normal((3, 3))
    network.forward(x, training=True)
    nabla_x = network.backpropagate(nabla_a)
    twin = copy.deepcopy(network)
    for layer in reversed(twin.layers):
        nabla_a = layer.backward(nabla_a)
    np.testing.assert_array_equal(nabla_x, nabla_a)
    np.testing.assert_array_equal(network.nabla, twin.nabla)


def test_backward_is_backpropagate_from_the_cost():
    network = small("quadratic", "tanh")
    x, y = data(network, 3)
    a = network.forward(x, training=True)
    nabla_x, nabla = network.backward(y), network.nabla.copy()
    np.testing.assert_array_equal(network.backpropagate(network.cost.nabla_a(a, y)), nabla_x)
    np.testing.assert_array_equal(network.nabla, nabla)


@pytest.mark.parametrize("output", ["tanh", "identity"])
def test_backward_overwrites_and_can_be_repeated(output: str):
    network = small("quadratic", output_activation=output)
    x, y = data(network, 3)
    network.nabla[...] = np.nan
    network.forward(x, training=True)
    nabla_x, nabla = network.backward(y), network.nabla.copy()
    network.backward(-y)
    np.testing.assert_array_equal(network.backward(y), nabla_x)
    np.testing.assert_array_equal(network.nabla, nabla)
    assert network.backward(y, input_gradient=False) is None
    np.testing.assert_array_equal(network.nabla, nabla)
    assert network.backpropagate(y, input_gradient=False) is None


@pytest.mark.parametrize("output", ["tanh", "identity"])
def test_a_network_of_one_layer(output: str):
    network = Network([Dense(3, 2, output, dtype="float64", rng=0)], "quadratic")
    x, y = data(network, 4)
    network.forward(x, training=True)
    assert network.backward(y).shape == x.shape
    nabla = network.nabla.copy()
    assert network.backward(y, input_gradient=False) is None
    np.testing.assert_array_equal(network.nabla, nabla)


def test_nabla_is_the_mean_of_the_gradients_of_the_examples():
    network = small("cross_entropy")
    x, y = data(network, 5)
    network.forward(x, training=True)
    network.backward(y)
    nabla, delta = network.nabla.copy(), network[0].delta
    total = np.zeros_like(nabla)
    for j in range(5):
        network.forward(x[:, j : j + 1], training=True)
        network.backward(y[:, j : j + 1])
        np.testing.assert_allclose(network[0].delta[:, 0], 5 * delta[:, j], rtol=1e-12)
        total += network.nabla / 5
    np.testing.assert_allclose(total, nabla, rtol=1e-12, atol=1e-15)


def test_inference_between_the_passes_does_no_harm():
    network = mixed()
    x, y = data(network, 3)
    network.forward(x, training=True)
    network.backward(y)
    nabla, before = network.nabla.copy(), states(network)
    network.forward(2 * x[..., :1])
    network.predict(3 * x)
    network.evaluate(-x, y)
    assert_same_states(network, before)
    network.backward(y)
    np.testing.assert_array_equal(network.nabla, nabla)


def test_arguments_are_only_read():
    network = mixed()
    x, y = data(network, 3)
    before = x.copy(), y.copy()
    x.flags.writeable = y.flags.writeable = False
    network.forward(x, training=True)
    network.backward(y)
    network.predict(x)
    network.evaluate(x, y)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


def test_backward_needs_a_forward_and_a_cost():
    network = small()
    x, y = data(network, 3)
    for backward in (network.backward, network.backpropagate):
        with pytest.raises(RuntimeError, match=r"^network: backward needs a forward\(x, training="):
            backward(y)
    network.forward(x)  # inference is no substitute
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        network.backward(y)
    network = Network([Dense(3, 2, dtype="float64", rng=0)])
    network.forward(x, training=True)
    for call in (lambda: network.backward(y), lambda: network.evaluate(x, y)):
        with pytest.raises(RuntimeError, match="the network has no cost: give Network one, or use"):
            call()
    assert network.backpropagate(y).shape == x.shape


def test_after_a_forward_that_failed_there_is_no_way_back():
    class Broken(Identity):
        broken = False

        def output(self, a_prev, mode):
            if self.broken:
                raise ZeroDivisionError
            return super().output(a_prev, mode)

    network = Network([Dense(3, 2, dtype="float64", rng=0), Broken()], "quadratic")
    x, y = data(network, 3)
    network.forward(x, training=True)
    network[1].broken = True
    with pytest.raises(ZeroDivisionError):
        network.forward(2 * x, training=True)
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        network.backward(y)
