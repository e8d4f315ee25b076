"""The doors of a pass: neither side can change what the other has; one pass, one theta."""

import copy
import pickle

import numpy as np
import pytest

from backprop import SGD, Network, Trainer
from backprop.layers import (
    LSTM,
    RNN,
    BatchNorm,
    Conv1d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    Layer,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from backprop.layers.mode import TRAINING
from tests.cases import CASES, NETWORK_CASES

F8 = {"dtype": "float64"}
every_layer = pytest.mark.parametrize("case", CASES, ids=str)
every_network = pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
modes = pytest.mark.parametrize("mode", [{"training": True}, {"keep": True}], ids=["train", "keep"])


def arrays_of(value):
    """Yield all arrays in a value: itself, or in a tuple or list."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from arrays_of(one)


def state_of(root):
    """Yield every array that the layers hold, with its name; those that passes share too."""
    for name, layer in root.walk():
        for key in vars(layer):
            for array in arrays_of(getattr(layer, key)):
                yield f"{name}.{key}", array


def assert_apart(root, *handed):
    """Assert that what was handed out, or in, shares memory with nothing that the layers hold."""
    for one in handed:
        for array in arrays_of(one):
            for name, held in state_of(root):
                assert not np.shares_memory(array, held), name
    flat = [array for one in handed for array in arrays_of(one)]
    for k, array in enumerate(flat):
        assert not any(np.shares_memory(array, other) for other in flat[:k])


def spoil(*arrays):
    for one in arrays:
        for array in arrays_of(one):
            array[...] = -1 if array.dtype.kind in "iu" else np.nan


# -- what is handed in and out ------------------------------------------------------------------


@every_layer
@modes
def test_nobody_can_change_what_backward_reads(case, mode):
    """Input, output and upstream gradient are overwritten as soon as they are through the door."""
    layer, x, u = case.problem(3)
    twin = copy.deepcopy(layer)
    twin.forward(x.copy(), **mode)
    expected = twin.backward(u.copy()), twin.nabla, twin.delta
    x, u = x.copy(), u.copy()
    a = layer.forward(x, **mode)
    kept = copy.deepcopy(layer.a)
    spoil(x, a)
    np.testing.assert_array_equal(layer.a, kept)
    downstream = layer.backward(u)
    found = copy.deepcopy((downstream, layer.nabla, layer.delta))
    spoil(u, downstream)
    for one, other, now in zip(found, expected, (found[0], layer.nabla, layer.delta), strict=True):
        if other is not None:
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(now, other)


@every_layer
@modes
def test_what_is_handed_out_is_nobody_elses(case, mode):
    layer, x, u = case.problem(3)
    a = layer.forward(x, **mode)
    assert_apart(layer, x, a)
    downstream = layer.backward(u)
    assert_apart(layer, x, a, u, downstream)
    if layer.z is not None:
        below = layer.backward_from(layer.delta.copy())
        assert_apart(layer, a, u, downstream, below)


@every_layer
def test_predictions_are_no_views(case):
    layer, x, _ = case.problem(3)
    a = layer.forward(x)
    assert_apart(layer, x, a)


@pytest.mark.parametrize(
    "make", [Identity, Flatten, lambda: Reshape((3, 2)), lambda: Dropout(0.5, rng=0), Tanh, Softmax]
)
def test_layers_that_hand_through_hand_out_copies(make):
    layer, x = make(), np.random.default_rng(0).standard_normal((2, 3, 4))
    assert not np.shares_memory(layer.forward(x), x)
    network = Network([make()], input_shape=(2, 3))
    network.root.forward(x)
    assert not np.shares_memory(network.predict(x.astype("f4")), x)


@every_network
@modes
def test_nobody_can_change_what_a_network_holds(case, mode):
    network, x, y = case.problem(3)
    twin = copy.deepcopy(network)
    twin.forward(copy.deepcopy(x), **mode)
    expected = twin.backward(y), twin.nabla
    a = network.forward(x, **mode)
    assert_apart(network.root, x, a)
    spoil(a, x)
    downstream = network.backward(y)
    np.testing.assert_array_equal(network.nabla, expected[1])
    np.testing.assert_array_equal(downstream, expected[0])
    assert_apart(network.root, a, downstream)
    again = network.backward(y)
    np.testing.assert_array_equal(again, expected[0])
    assert not np.shares_memory(again, downstream)


def test_the_gradient_below_an_activation_is_not_its_delta():
    network = Network([Sigmoid(), Dense(3, 2, **F8)], "quadratic", (3,))
    x = np.random.default_rng(0).standard_normal((3, 4))
    network.forward(x, training=True)
    downstream = network.backward(np.zeros((2, 4)))
    before = network[0].delta.copy()
    np.testing.assert_array_equal(downstream, before)  # z is the input
    downstream *= 7
    np.testing.assert_array_equal(network[0].delta, before)


class OwnActivation(Layer):
    """A layer of a user's whose downstream gradient is delta itself."""

    def output(self, a_prev, mode):
        if mode.keep:
            self.z = a_prev
        return a_prev**2

    def delta_of(self, nabla_a):
        return 2 * nabla_a * self.z

    def downstream(self, delta):
        return delta


def test_a_delta_that_is_sent_down_as_it_is_reaches_the_caller_as_a_copy():
    for layer in (OwnActivation(), Sequential([OwnActivation()]), Residual([OwnActivation()])):
        layer.forward(np.ones((2, 3)), training=True)
        downstream = layer.backward(np.ones((2, 3)))
        deltas = [inner.delta for _, inner in layer.walk() if inner.delta is not None]
        assert deltas
        assert not any(np.shares_memory(downstream, delta) for delta in deltas)


@pytest.mark.parametrize("make", [Identity, Flatten, lambda: Embedding(4, 2, **F8)])
def test_a_hook_that_changes_delta_does_not_reach_the_callers_gradient(make):
    layer = make()
    x = np.array([[1, 2, 3]]) if layer.integer_input else np.ones((2, 1, 3))
    for moment in ("delta", "backward"):
        layer.add_hook(
            moment, lambda layer: layer.delta.__imul__(0) if layer.delta is not None else 0
        )
    u = np.ones_like(layer.forward(x, training=True))
    layer.backward(u)
    np.testing.assert_array_equal(u, 1)
    layer.backward_from(u)
    np.testing.assert_array_equal(u, 1)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_output_inside_a_recurrent_layer_is_not_what_backward_reads(reverse):
    layer = LSTM(2, 3, reverse=reverse, rng=0, **F8)
    x, u = np.random.default_rng(0).standard_normal((2, 4, 3)), np.ones((3, 4, 3))
    layer.run(x, TRAINING)
    layer.go_back(u)
    expected = layer.nabla.copy()
    a = layer.run(x, TRAINING)
    a[...] = np.nan
    layer.go_back(u)
    np.testing.assert_array_equal(layer.nabla, expected)


def test_the_callers_mask_may_be_changed():
    layer, x = LSTM(2, 3, rng=0, **F8), np.random.default_rng(0).standard_normal((2, 4, 3))
    mask = np.arange(4)[:, None] < [4, 2, 1]
    found = []
    for change in (False, True):
        given = mask.copy()
        layer.forward(x, training=True, mask=given)
        given ^= change
        layer.backward(np.ones((3, 4, 3)))
        found.append(layer.nabla.copy())
    np.testing.assert_array_equal(*found)


# -- z, a and delta ------------------------------------------------------------------------------


@every_layer
def test_z_a_and_delta_are_there_after_both_passes(case):
    """What has a z has a delta of its shape, also inside; what has none has none."""
    layer, x, u = case.problem(3)
    layer.forward(x, training=True)
    layer.backward(u)
    for name, inner in layer.walk():
        assert inner.a is not None, name
        assert (inner.z is None) == (inner.delta is None), name
        if inner.z is not None:
            assert inner.delta.shape == inner.z.shape, name
            assert inner.delta.dtype == inner.z.dtype == np.float64
            if inner.output_activation is not None:
                assert inner.z.shape == inner.a.shape
    if layer.output_activation is not None or isinstance(layer, Embedding):
        assert layer.z is not None


def test_an_embedding_has_z_and_delta():
    layer = Embedding(4, 2, rng=0, **F8)
    a = layer.forward(np.array([[1, 3], [0, 0]]), training=True)
    np.testing.assert_array_equal(layer.z, a)
    u = np.random.default_rng(0).standard_normal(a.shape)
    layer.backward(u)
    np.testing.assert_array_equal(layer.delta, u)


# -- one pass, one theta -------------------------------------------------------------------------


def network_and_data():
    network = Network([Dense(3, 4, rng=0, **F8), Dense(4, 2, rng=1, **F8)], "quadratic")
    rng = np.random.default_rng(0)
    return network, rng.standard_normal((3, 6)), rng.random((2, 6))


def by_fit(network, x, y):
    Trainer(network, SGD(0.5), progress=False).fit(x, y)


def by_optimizer(network, x, y):
    SGD(0.5).step(network.theta, network.nabla)


def by_assignment(network, x, y):
    network.theta = network.theta + 1


def by_one_weight(network, x, y):
    network[1].w[0, 0] += 1e-9


def by_state(network, x, y):
    network.set_state({"theta": np.zeros_like(network.theta)})


def by_initialize(network, x, y):
    network.initialize(7)


CHANGES = [by_fit, by_optimizer, by_assignment, by_one_weight, by_state, by_initialize]


@pytest.mark.parametrize("change", CHANGES)
@modes
def test_backward_after_the_parameters_changed_is_refused(change, mode):
    network, x, y = network_and_data()
    network.forward(x, **mode)
    network.backward(y)
    change(network, x, y)
    shown = [(layer.z.copy(), layer.a.copy(), layer.delta.copy()) for layer in network.layers]
    u = np.ones_like(network[1].a)
    for call in (
        lambda: network.backward(y),
        lambda: network.backpropagate(u),
        lambda: network.root.backward(u),
        lambda: network[1].backward(u),
        lambda: network[1].backward_from(u),
    ):
        with pytest.raises(RuntimeError, match=r"changed.*: backward needs a forward\(.*training="):
            call()
    for layer, arrays in zip(network.layers, shown, strict=True):  # to be looked at, as ever
        for array, before in zip((layer.z, layer.a, layer.delta), arrays, strict=True):
            np.testing.assert_array_equal(array, before)
    network.forward(x, **mode)
    network.backward(y)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Dense(3, 4, "tanh", **F8), (3, 5)),
        (Conv1d(3, 4, 2, activation="tanh", **F8), (3, 6, 5)),
        (RNN(3, 4, **F8), (3, 6, 5)),
    ],
    ids=str,
)
@modes
def test_backward_after_an_activation_was_assigned_is_refused(layer, shape, mode):
    """What was kept is z and a of the old sigma, at which the new one has another slope."""
    x = np.random.default_rng(0).standard_normal(shape)
    for door in (copy.deepcopy(layer), Sequential([copy.deepcopy(layer)])):
        inner = door.children[0] if door.children else door
        u = np.ones_like(door.forward(x, **mode))
        old, expected = inner.activation, door.backward(u)
        inner.activation = "sigmoid"
        for call in (door.backward, inner.backward):
            with pytest.raises(RuntimeError, match="given another activation"):
                call(u)
        inner.activation = old
        np.testing.assert_array_equal(door.backward(u), expected)
        inner.activation = "sigmoid"
        door.forward(x, **mode)
        door.backward(u)


def test_a_layer_alone_minds_its_own_parameters_only():
    """So that one may step layer by layer on the way back."""
    network, x, _ = network_and_data()
    a = network.forward(x, training=True)
    u = network[1].backward(np.ones_like(a))
    network[1].w -= network[1].nabla_w
    assert network[0].backward(u).shape == x.shape
    with pytest.raises(RuntimeError, match="parameters have changed"):
        network[1].backward(np.ones_like(a))


def test_the_parameters_of_a_tied_layer_are_those_of_the_other():
    encoder = Dense(3, 2, rng=0, **F8)
    decoder = Dense(2, 3, rng=1, **F8).tie("w", encoder, transposed=True)
    decoder.forward(np.ones((2, 4)), training=True)
    decoder.backward(np.ones((3, 4)))
    encoder.w += 1
    with pytest.raises(RuntimeError, match="parameters have changed"):
        decoder.backward(np.ones((3, 4)))


def test_parameters_that_are_as_they_were_have_not_changed():
    network, x, y = network_and_data()
    network.forward(x, training=True)
    network.backward(y)
    expected = network.nabla.copy()
    network.theta += 1
    network.theta = network.theta * 0 + copy.deepcopy(network_and_data()[0]).theta
    network.backward(y)
    np.testing.assert_array_equal(network.nabla, expected)


def test_a_callback_cannot_go_back_from_a_step_of_training():
    from backprop.training.callback import Callback

    class Back(Callback):
        wants_steps = True

        def on_step_end(self, trainer):
            trainer.network.backward(np.zeros((2, 6)))

    network, x, y = network_and_data()
    with pytest.raises(RuntimeError, match="not of one forward pass: a fit has changed"):
        Trainer(network, SGD(0.5), progress=False, callbacks=[Back()], batch_size=6).fit(x, y)


def test_a_layer_that_went_forward_by_itself_is_not_mixed_in():
    network, x, y = network_and_data()
    network.forward(x, training=True)
    network[0].forward(x[:, ::-1].copy(), keep=True)
    with pytest.raises(RuntimeError, match="a layer has gone forward by itself"):
        network.backward(y)
    network[0].backward(np.ones((4, 6)))  # its own pass
    network[1].backward(np.ones((2, 6)))  # still of the network's
    chain = Sequential([Dense(3, 4, rng=0), Dense(4, 2, rng=1)])
    chain.forward(np.ones((3, 5), "f4"), training=True)
    chain[1].forward(np.ones((4, 5), "f4"), training=True)
    with pytest.raises(RuntimeError, match="a layer has gone forward by itself"):
        chain.backward(np.ones((2, 5), "f4"))


class _Failing(Identity):
    """A layer that fails when it is told to."""

    fails = False

    def sigma(self, z):
        if self.fails:
            raise ValueError("no")
        return super().sigma(z)


@pytest.mark.parametrize("kind", [Sequential, Residual])
@modes
def test_after_a_forward_that_failed_halfway_there_is_nothing_to_go_back_from(kind, mode):
    failing = _Failing()
    container = kind([Dense(3, 3, rng=0, **F8), failing, BatchNorm(3, **F8)])
    x = np.random.default_rng(0).standard_normal((3, 4))
    container.forward(x, **mode)
    container.backward(x)
    failing.fails = True
    with pytest.raises(ValueError, match="no"):
        container.forward(2 * x, **mode)
    for layer in (container, *container.children):
        for call in (layer.backward, layer.backward_from):
            with pytest.raises(RuntimeError, match="backward needs a forward"):
                call(x)
    failing.fails = False
    container.forward(x, **mode)
    container.backward(x)


def test_a_copy_goes_back_from_the_pass_of_the_original():
    network, x, y = network_and_data()
    network.forward(x, training=True)
    expected = network.backward(y)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        np.testing.assert_array_equal(twin.backward(y), expected)
        twin.theta += 1
        with pytest.raises(RuntimeError, match="parameters have changed"):
            twin.backward(y)
    network.backward(y)


def test_layers_without_parameters_and_nan_parameters_are_no_trap():
    layer = Conv1d(1, 1, 1, **F8)
    layer.w = np.full((1, 1, 1), np.nan)
    layer.forward(np.ones((1, 2, 3)), training=True)
    layer.backward(np.ones((1, 2, 3)))
    Tanh().forward(np.ones((2, 3)), training=True)
