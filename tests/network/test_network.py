"""The network: a chain of layers with one theta, one nabla and a cost at its end."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import re
import weakref

import numpy as np
import pytest

from backprop.core.storage import FileError
from backprop.costs import (
    Cost,
    CrossEntropy,
    Quadratic,
    SoftmaxCrossEntropy,
)
from backprop.gradients.check import check_gradients
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.layers import (
    LSTM,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    Identity,
    Layer,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    ShapeError,
    Sigmoid,
    Tanh,
    TimeDistributed,
    TimeStep,
)
from backprop.layers.chain import chain_shapes
from backprop.network import Network
from backprop.optimizers import SGD
from backprop.training.trainer import Trainer
from tests.cases import CASES, Case, Scale
from tests.network.support import (
    PAIRS,
    assert_same_states,
    cost_of,
    data,
    mixed,
    one_hot,
    pairs,
    small,
    states,
)
from tests.support import refusal_of

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


def assert_gradients(network: Network, x, y) -> None:
    """Check nabla and dC/dx by both methods, against the cost of the output."""
    network.forward(x, training=True)
    nabla_x = network.backward(y)
    # The rounding error of C, some 1e-16, over the step of 6e-6 is in every element: hence floor.
    numeric = central_difference(lambda _: cost_of(network, x, y), network.theta)
    assert relative_error(numeric, network.nabla, floor=0.01) <= 1e-7
    numeric = central_difference(lambda x: cost_of(network, x, y), x)
    assert relative_error(numeric, nabla_x, floor=0.01) <= 1e-7
    twin, z = network.astype(complex), x.astype(complex)
    exact = complex_step(lambda _: cost_of(twin, z, y), twin.theta)
    assert relative_error(exact, network.nabla) <= 1e-12
    assert relative_error(complex_step(lambda z: cost_of(network, z, y), z), nabla_x) <= 1e-12


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


# -- building -------------------------------------------------------------------------------------


def test_the_chain_is_checked_when_built():
    layers = [Dense(3, 4), Dropout(0.5), Dense(5, 2)]
    message = (
        "layer 2, Dense(5 -> 2, sigmoid), expects shape (5,), got (4,) from layer 1, Dropout(0.5)"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        Network(layers)
    message = "layer 0, Dense(3 -> 4, sigmoid), expects shape (3,), got (2, 3) from the input"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        Network(layers[:1], input_shape=(2, 3))
    Network(layers[:2])  # nothing was claimed by the networks that failed


def test_input_shape():
    assert Network([Dense(3, 2)]).input_shape == (3,)
    assert Network([Flatten(), Dense(6, 2)], input_shape=[np.int64(2), 3]).input_shape == (2, 3)
    with pytest.raises(ValueError, match=r"^layer 0, Flatten\(\), takes any shape: give input_sha"):
        Network([Flatten(), Dense(6, 2)])
    for wrong in (0, 2.0, "3", -1, True):
        error, message = refusal_of(wrong)
        with pytest.raises(error, match=f"^network: input_shape {message}"):
            Network([Sigmoid()], input_shape=(2, wrong))
    with pytest.raises(ValueError, match="input_shape must not be empty, got"):
        Network([Sigmoid()], input_shape=())
    for wrong in (784, "784"):
        with pytest.raises(TypeError, match="input_shape must be a sequence of integers, got"):
            Network([Sigmoid()], input_shape=wrong)


def test_layers_that_are_none():
    with pytest.raises(ValueError, match=r"^a network needs at least one layer$"):
        Network([])
    with pytest.raises(TypeError, match=r"^a network: layer 1 is no Layer but 'sigmoid'$"):
        Network([Dense(3, 2), "sigmoid"])
    with pytest.raises(TypeError, match=r"0 is no Layer but the class Sigmoid: give Sigmoid"):
        Network([Sigmoid], input_shape=(3,))


def test_a_layer_used_twice_stands_in_two_places():
    layer = Dense(3, 3, dtype="float64", rng=0)
    theta = layer.theta.copy()
    network = Network([layer, Tanh(), layer], "quadratic")
    assert network[0] is layer
    assert network[2] is not layer
    assert network.n_parameters == 12
    np.testing.assert_array_equal(network.theta, theta)
    assert np.shares_memory(network[2].w, layer.w)
    assert not np.shares_memory(network[2].nabla_w, layer.nabla_w)
    assert_gradients(network, *data(network, 3))
    twice = Network([layer, copy.deepcopy(layer)])
    assert twice.n_parameters == 24


def test_a_layer_in_two_networks_belongs_to_the_younger():
    layer = Dense(3, 2, rng=0)
    network = Network([layer], "quadratic")
    x, y = data(network, 4)
    values = layer.theta.copy()
    network.forward(x, training=True)
    younger = Network([Dense(4, 3), layer])
    assert np.shares_memory(layer.w, younger.theta)
    np.testing.assert_array_equal(layer.theta, values)
    message = (
        "network: its layer Dense(3 -> 2, sigmoid) has been built into another network since, and "
        "one layer has one state: build one of the two of copies, copy.deepcopy(layers)"
    )
    trainer = Trainer(copy.copy(network))
    trainer.network = network
    for use in (
        lambda: network.forward(x),
        lambda: network.forward(x, keep=True),
        lambda: network.backward(y),
        lambda: network.backpropagate(y),
        lambda: network.predict(x),
        lambda: network.evaluate(x, y),
        lambda: network.trace(x, y),
        lambda: network.save("nowhere.npz"),
        lambda: check_gradients(network, x, y),
        lambda: trainer.fit(x, y),
    ):
        with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
            use()
    before = copy.copy(network)  # a copy has layers of its own, and is whole
    np.testing.assert_array_equal(before.predict(x), layer.forward(x))
    again = Network([layer], "quadratic")
    np.testing.assert_array_equal(again.theta, values)
    again.evaluate(x, y)
    with pytest.raises(RuntimeError, match="build one of the two of copies"):
        younger.predict(np.ones((4, 2), np.float32))


def test_a_layer_of_a_network_that_is_gone():
    layer = Dense(3, 2, rng=0)
    network = Network([layer])
    values = layer.theta.copy()
    del network
    again = Network([Dense(4, 3), layer])
    assert np.shares_memory(layer.w, again.theta)
    np.testing.assert_array_equal(layer.theta, values)


def test_layers_that_stand_in_containers_are_taken_over_with_their_numbers():
    """Also back again: what a container thought they were is of no account."""
    layer = Dense(3, 3, dtype="float64", rng=0)
    residual = Residual([layer])
    inside = Sequential([residual])
    first = Network([inside, Tanh()], "quadratic")
    x, y = data(first, 2)
    second = Network([layer], "quadratic")
    for lost in (inside, residual):
        with pytest.raises(RuntimeError, match="has been built into something else since"):
            lost.forward(x)
    with pytest.raises(RuntimeError, match="has been built into another network since"):
        first.forward(x)
    second.theta += 1
    values = second.theta.copy()
    third = Network([inside, Tanh()], "quadratic")
    np.testing.assert_array_equal(third.theta, values)
    assert np.shares_memory(layer.w, third.theta)
    np.testing.assert_array_equal(residual.forward(x), x + layer.forward(x))
    assert_gradients(third, x, y)
    with pytest.raises(RuntimeError, match="has been built into another network since"):
        second.forward(x)


@pytest.mark.parametrize("nested", [False, True])
def test_the_cell_of_a_notebook_may_run_twice(nested: bool):
    shared = Dense(4, 4, "tanh", dtype="float64", rng=1)
    layers = [Dense(3, 4, "tanh", dtype="float64", rng=0), shared,
              Residual([shared]) if nested else shared,
              Dense(4, 2, dtype="float64", rng=2)]  # fmt: skip
    found = []
    for _ in range(3):
        network = Network(layers, "quadratic", rng=3)
        x, y = data(network, 20)
        before = network.evaluate(x, y)["cost"]
        Trainer(network, SGD(0.5), rng=0, progress=False).fit(x, y, epochs=3)
        assert network.evaluate(x, y)["cost"] < before
        assert network.n_parameters == 16 + 20 + 10
        found.append(network.theta.copy())
        assert_gradients(network, x, y)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize(
    ("error", "build"),
    [
        (ValueError, lambda layers: Network([*layers, Tanh()], "cross_entropy")),
        (ValueError, lambda layers: Network(layers, "no cost")),
        (ShapeError, lambda layers: Network([*layers, Dense(5, 2, dtype="float64")])),
        (ShapeError, lambda layers: Network(layers, input_shape=(4,))),
        (TypeError, lambda layers: Network([*layers, Dense(2, 2)])),
        (TypeError, lambda layers: Network([*layers, "sigmoid"])),
        (TypeError, lambda layers: Network(layers, rng="no seed")),
        (TypeError, lambda layers: Sequential([*layers, Dense(2, 2)])),
        (TypeError, lambda layers: Residual([*layers, 3])),
        (ValueError, lambda layers: Parallel(layers, "no join")),
    ],
)
def test_building_that_fails_has_taken_nothing(error, build):
    layers = [Dense(3, 4, dtype="float64", rng=0), Dense(4, 2, dtype="float64", rng=1)]
    network = Network(layers, "quadratic")
    x, y = data(network, 3)
    network.forward(x, training=True)
    theta = network.theta.copy()
    with pytest.raises(error):
        build(layers)
    network.backward(y)
    network.theta[...] += 0
    np.testing.assert_array_equal(network.theta, theta)
    assert np.shares_memory(network.theta, layers[1].w)
    assert layers[0].owner is network.root


def test_a_network_and_its_layers_are_freed_at_once():
    """No cycle of references keeps big arrays alive until the collector comes."""
    shared = Dense(3, 3, rng=0)
    decoder = Dense(3, 3).tie("w", shared, transposed=True)
    network = Network([shared, Residual([shared]), BatchNorm(3), decoder], "quadratic")
    network[1].add_hook("forward", print)
    x, y = data(network, 4)
    with network.root.add_hook("delta", lambda layer: None):
        network[1].hooks["forward hook 1"].remove()
        network.forward(x, training=True)
        network.backward(y)
    copies = [copy.deepcopy(network), pickle.loads(pickle.dumps(network)), network.astype(float)]
    dead = [weakref.ref(layer) for net in (network, *copies) for _, layer in net.walk()]
    dead += [weakref.ref(net) for net in (network, *copies)]
    gc.disable()
    try:
        del shared, decoder, network, copies
        assert all(ref() is None for ref in dead)
    finally:
        gc.enable()


def test_mixed_dtypes():
    layers = [Dense(3, 4, dtype="float32"), Tanh(), Dense(4, 2, dtype="float64")]
    message = (
        r"one dtype, got float32 in Dense\(3 -> 4, .* and float64 in Dense\(4 -> 2, sigmoid\)$"
    )
    with pytest.raises(TypeError, match=message):
        Network(layers)


def test_costs_are_checked():
    assert isinstance(Network([Dense(3, 2)], "quadratic").cost, Quadratic)
    with pytest.raises(ValueError, match=r"^Network: unknown cost 'square': choose from .*cross_"):
        Network([Dense(3, 2)], "square")
    with pytest.raises(TypeError, match=r"^Network: cost must be a Cost or its name, got 3$"):
        Network([Dense(3, 2)], 3)
    with pytest.raises(
        ValueError, match=r"takes probabilities that .* Dense\(3 -> 2, tanh\), gives any numbers: "
    ):
        Network([Dense(3, 2, "tanh")], SoftmaxCrossEntropy())


def test_the_cost_may_be_changed():
    network = small("cross_entropy")
    network.cost = Quadratic()
    assert_gradients(network, *data(network, 3))
    network = small("quadratic")
    network.cost = CrossEntropy()
    network[-1].w *= 1e4
    x, y = data(network, 3)
    network.forward(x, training=True)
    network.backward(y)
    np.testing.assert_array_equal(network[-1].delta, (network[-1].a - y) / 3)


def test_from_sizes():
    network = Network.from_sizes([784, 30, 10], rng=0)
    assert [str(layer) for layer in network.layers] == [
        "Dense(784 -> 30, sigmoid)",
        "Dense(30 -> 10, sigmoid)",
    ]
    assert isinstance(network.cost, Quadratic)
    assert network.dtype == np.float32
    assert network.n_parameters == 784 * 30 + 30 + 30 * 10 + 10
    assert (network.input_shape, network.output_shape) == ((784,), (10,))
    assert len(network) == 2
    np.testing.assert_array_equal(network.theta, Network.from_sizes((784, 30, 10), rng=0).theta)
    rng = np.random.default_rng(0)
    by_hand = Network([Dense(784, 30, rng=rng), Dense(30, 10, rng=rng)])
    np.testing.assert_array_equal(network.theta, by_hand.theta)


@pytest.mark.parametrize(
    ("cost", "activation", "output"),
    [
        ("quadratic", "sigmoid", "sigmoid"),
        ("quadratic", "tanh", "tanh"),
        ("quadratic", "relu", "identity"),
        ("mean_squared_error", "gelu", "identity"),
        ("cross_entropy", "relu", "sigmoid"),
        ("softmax_cross_entropy", "tanh", "softmax"),
        (SoftmaxCrossEntropy(0.1), ReLU(), "softmax"),
    ],
    ids=str,
)
def test_the_output_activation_goes_with_the_cost(cost, activation, output):
    network = Network.from_sizes([3, 4, 2], activation, cost)
    assert network[-1].activation.name == output
    assert network[0].activation.name in str(activation).lower()
    chosen = Network.from_sizes([3, 4, 2], activation, "quadratic", "softmax")
    assert chosen[-1].activation.name == "softmax"


@pytest.mark.parametrize("sizes", [[3, 0, 2], [3, -1], [2.0, 3], [3, 2.5], ["3", 2], [True, 2]])
def test_from_sizes_takes_positive_integers(sizes):
    wrong = next(size for size in sizes if type(size) is not int or size < 1)
    error, message = refusal_of(wrong)
    with pytest.raises(error, match=rf"^Dense: n_\w+ {message}"):
        Network.from_sizes(sizes)


@pytest.mark.parametrize("sizes", [[], [784]])
def test_from_sizes_takes_two_sizes_or_more(sizes):
    with pytest.raises(ValueError, match=r"^sizes must hold at least input and output, got "):
        Network.from_sizes(sizes)


def test_initialize():
    layers = [Dense(3, 4, rng=5), Dropout(0.5), Dense(4, 2, rng=6)]
    network = Network(layers, rng=7)
    first = network.theta.copy()
    network.initialize(8)
    assert not np.array_equal(network.theta, first)
    network.initialize(7)
    np.testing.assert_array_equal(network.theta, first)
    twin = Network([Dense(3, 4), Dropout(0.5), Dense(4, 2)], rng=np.random.default_rng(7))
    np.testing.assert_array_equal(twin.theta, first)
    x = np.ones((3, 50), np.float32)
    np.testing.assert_array_equal(network.forward(x, training=True), twin.forward(x, training=True))
    other = Network([Dense(3, 4), Dropout(0.5, rng=1), Dense(4, 2)], rng=7)  # keeps its own
    np.testing.assert_array_equal(other.theta, first)


def test_without_rng_the_layers_keep_their_parameters():
    layer = Dense(3, 2, rng=0)
    values = layer.theta.copy()
    np.testing.assert_array_equal(Network([layer]).theta, values)


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


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_save_and_load_every_layer(case: Case, dtype, tmp_path):
    network = Network([case.make(dtype)], input_shape=case.input_shape).astype(dtype)
    _, x, _ = case.problem(3, dtype)
    network.forward(x, training=True)  # which moves running statistics and carried states
    network.save(tmp_path / "model.npz")
    twin = Network.load(tmp_path / "model.npz")
    assert twin.dtype == network.dtype == dtype
    assert twin.config() == network.config()
    assert repr(twin) == repr(network)
    np.testing.assert_array_equal(twin.theta, network.theta, strict=True)
    np.testing.assert_array_equal(twin.predict(x), network.predict(x), strict=True)


@pairs
def test_save_and_load_every_cost(cost: Cost, output: str, tmp_path):
    network = small(cost, output_activation=output)
    x, y = data(network, 3)
    path = str(tmp_path / "folder" / "model")  # made on the way, and the name is kept
    network.save(path)
    twin = Network.load(path)
    assert repr(twin.cost) == repr(cost)
    assert twin.evaluate(x, y) == network.evaluate(x, y)
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))


def test_save_and_load_a_mixed_chain(tmp_path):
    network = mixed("float32")
    network.save(tmp_path / "model.npz")
    twin = Network.load(tmp_path / "model.npz")
    x, y = data(network, 3)
    assert twin.summary() == network.summary()
    for one in (network, twin):
        one.forward(x, training=True)
        one.backward(y)
    np.testing.assert_array_equal(twin.nabla, network.nabla, strict=True)


def test_save_and_load_a_layer_of_ones_own(tmp_path):
    layers = [Scale(3, "float64"), Dense(3, 2, dtype="float64", rng=0)]
    network = Network(layers, "quadratic", input_shape=(3,))
    x, y = data(network, 3)
    network[0].g = [[2.0], [-3.0], [4.0]]
    assert_gradients(network, x, y)
    network.save(tmp_path / "model.npz")
    twin = Network.load(tmp_path / "model.npz")
    assert type(twin[0]) is Scale
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))
    assert network.root.weight_parts() == [(slice(0, 9), 1.0)]
    network[1].decay_factor = 2
    assert network.root.weight_parts() == [(slice(0, 3), 1.0), (slice(3, 9), 2.0)]


def test_load_of_what_is_no_network(tmp_path):
    network, path = small(), tmp_path / "model.npz"
    network.save(path)
    whole = path.read_bytes()
    for content, match in (
        (b"", "is not a backprop archive, or is damaged"),
        (b"PK\x03\x04 but no more", "is not a backprop archive, or is damaged"),
        (pickle.dumps({"theta": 1}), "is not a backprop archive, or is damaged"),
        (whole[: len(whole) // 2], "is not a backprop archive, or is damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(FileError, match=match) as error:
            Network.load(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError):
        Network.load(tmp_path / "none.npz")


def test_load_of_a_damaged_description(tmp_path):
    from backprop.core.storage import read_archive, write_archive

    network, path = small(), tmp_path / "model.npz"
    network.save(path)
    arrays, meta = read_archive(path)
    good = meta["network"]
    root, layers = good["root"], good["root"]["layers"]
    layer = layers[0]

    def of(*layers):
        return {**good, "root": {**root, "layers": list(layers)}}

    for description, match in (
        (None, "does not describe a network"),
        ({}, "does not describe a network"),
        ({**good, "root": None}, "does not describe a network"),
        ({**good, "root": good["cost"]}, r"the root of a network is no Layer but Quadratic\(\)"),
        (of(), "at least one layer"),
        (of(good["cost"]), "is no Layer"),
        ({**good, "cost": layer}, "cost must be a Cost"),
        (of(layer), "theta has 16 numbers of float64, the state has 26"),
        (of(*layers[::-1]), "expects shape"),
        (of({**layer, "class": "Dens"}), "unknown class 'Dens'"),
        (of({**layer, "n_put": 3}), "Dense takes no argument n_put"),
        (of({**layer, "n_in": "3"}), "Dense: n_in must be an integer, got '3'"),
        (of({"class": "Dense"}), "missing 2 required"),
        (
            {**good, "dtype": "float32"},
            "theta has 26 numbers of float32, the state has 26 numbers of",
        ),
        ({**good, "dtype": "no dtype"}, "does not describe a network"),
        ({**good, "places": {"1": "0"}}, "layer 1, .* cannot be another place of Dense"),
        ({**good, "places": {"1": "7"}}, "does not describe a network"),
        ({**good, "learning": {"1": {"trainable": 3}}}, "trainable must be True or False"),
        ({**good, "learning": {"1": {"learns": 3}}}, "learns is none of trainable, eta_f"),
        ({**good, "ties": [{"layer": "1"}]}, "does not describe a network"),
        (
            {**good, "ties": [{"layer": "1", "parameter": "w", "to": "0", "of": "w",
                               "transposed": False}]},
            r"w has shape \(2, 4\), and w of Dense\(3 -> 4, sigmoid\) is \(4, 3\)",
        ),
    ):  # fmt: skip
        write_archive(path, arrays, {**meta, "network": description})
        with pytest.raises(FileError, match=match) as error:
            Network.load(path)
        assert str(error.value).startswith(f"{path} does not describe a network: ")
        assert "\n" not in str(error.value)
    write_archive(path, {}, meta)
    with pytest.raises(FileError, match="the state has none"):
        Network.load(path)
    for other in ("backprop checkpoint 4", "backprop network 1", None):
        write_archive(path, arrays, {**meta, "format": other})
        with pytest.raises(FileError, match=f"is not a saved network, but {other!r}"):
            Network.load(path)


def test_state():
    network, twin = small(), small()
    twin.theta += 1
    state = twin.state()
    network.set_state(state)
    np.testing.assert_array_equal(network.theta, twin.theta)
    twin.theta += 1
    assert not np.array_equal(state["theta"], twin.theta)  # the state is a copy
    assert not np.shares_memory(network.theta, state["theta"])


def test_the_state_of_another_architecture():
    network = small()
    before = network.theta.copy()
    for theta in (np.zeros(25), np.zeros((26, 1)), np.zeros(26, np.float32)):
        match = (
            f"^theta has 26 numbers of float64, the state has {theta.size} numbers of {theta.dtype}"
        )
        with pytest.raises(ValueError, match=match):
            network.set_state({"theta": theta})
    with pytest.raises(ValueError, match=r"^theta has 26 numbers of float64, the state has none$"):
        network.set_state({})
    np.testing.assert_array_equal(network.theta, before)


def test_a_save_that_fails_leaves_the_earlier_file(tmp_path, monkeypatch):
    network, path = small(), tmp_path / "model.npz"
    network.save(path)
    before, theta = path.read_bytes(), network.theta.copy()
    network.theta += 1

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    message = re.escape(f"cannot write {path}: No space left on device")
    with pytest.raises(OSError, match=message):
        network.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]
    np.testing.assert_array_equal(Network.load(path).theta, theta)


def test_layers_are_layers():
    assert all(isinstance(layer, Layer) for layer in mixed().layers)
    assert isinstance(mixed().layers, tuple)


def test_what_predict_returns_is_the_caller_s_own():
    x = np.ones((3, 2, 4), np.float32)
    a = Network([Flatten()], input_shape=(3, 2)).predict(x)
    a[...] = 5
    assert (x == 1).all()


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
