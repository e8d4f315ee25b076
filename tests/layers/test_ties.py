"""One array in several places: a layer that stands twice, and parameters tied to another's."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable

import numpy as np
import pytest

from backprop.gradients.check import check_gradients
from backprop.gradients.numeric import central_difference, relative_error
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    LayerNorm,
    MultiHeadAttention,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    ShapeError,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
)
from backprop.network import Network
from backprop.optimizers import SGD, Adam, AdamW, Momentum
from backprop.regularizers import L1, L2
from backprop.training import checkpoint
from backprop.training.trainer import Trainer
from tests.cases import CASES, Case


def dense(n_in: int = 4, n_out: int = 4, sigma: str = "tanh", seed: int = 0) -> Dense:
    return Dense(n_in, n_out, sigma, dtype="float64", rng=seed)


def end(n_in: int = 4) -> Dense:
    return dense(n_in, 3, "sigmoid", 9)


def over_time(*layers: Layer, shape=(4, 3)) -> Network:
    return Network([*layers, TimeStep(-1), end()], "quadratic", input_shape=shape)


def block(seed: int) -> Sequential:
    return Sequential([dense(seed=seed), BatchNorm(4, dtype="float64"), Dropout(0.3, rng=1)])


def twice_in_a_chain() -> Network:
    a = dense()
    return Network([a, dense(seed=1), a, end()], "quadratic")


def in_the_chain_and_in_a_residual() -> Network:
    a = dense()
    return Network([a, Residual([dense(seed=1), a]), end()], "quadratic")


def first_in_a_residual() -> Network:
    a = dense()
    return Network(
        [Residual([a]), a, Sequential([Residual([Sequential([a])])]), end()], "quadratic"
    )


def in_every_branch() -> Network:
    a = dense()
    return Network([Parallel([a, a, Sequential([a, dense(seed=1)])], "sum"), a, end()], "quadratic")


def a_container_in_two_places() -> Network:
    a = block(0)
    return Network([a, dense(seed=2), a, Residual([a]), end()], "quadratic")


def places_in_a_container_in_two_places() -> Network:
    a = dense()
    b = Sequential([a, Residual([a]), dense(seed=1)])
    return Network([b, ReLU(), b, a, end()], "quadratic")


def a_batch_norm() -> Network:
    a = BatchNorm(4, dtype="float64")
    return Network([dense(), a, dense(seed=1), a, end()], "quadratic")


def a_dropout_and_a_relu() -> Network:
    a, b = Dropout(0.3, rng=0), ReLU()
    return Network([dense(sigma="identity"), b, a, dense(seed=1, sigma="identity"), b, a, end()],
                   "quadratic")  # fmt: skip


def a_layer_norm() -> Network:
    a = LayerNorm(4, dtype="float64")
    return Network([dense(), a, dense(seed=1), a, end()], "quadratic")


def a_convolution() -> Network:
    a = Conv2d(2, 2, 3, padding="same", groups=2, activation="tanh", dtype="float64", rng=0)
    return Network([a, a, Flatten(), end(18)], "quadratic", input_shape=(2, 3, 3))


def a_recurrent(kind: type) -> Callable[[], Network]:
    def make() -> Network:
        a = kind(4, 4, dtype="float64", rng=0)
        return over_time(a, a)

    make.__name__ = f"a {kind.__name__}"
    return make


def an_attention() -> Network:
    a = MultiHeadAttention(4, 2, b_init="normal", dtype="float64", rng=0)
    return over_time(a, a)


def a_transformer() -> Network:
    a = TransformerBlock(4, 2, 5, dtype="float64", rng=0)
    return over_time(a, a)


def at_every_step() -> Network:
    a = dense()
    return over_time(TimeDistributed(a), TimeDistributed(Sequential([a, a])))


def in_a_graph() -> Network:
    x, a = Input("x", (4,)), dense()
    u = apply(a, x).named("u")
    v = apply(Residual([a]), u)
    return Network([a, Graph(apply(a, u + v)), end()], "quadratic")


def tied_densely() -> Network:
    a = dense(5, 4)
    return Network(
        [a, dense(seed=1), dense(4, 5).tie("w", a, transposed=True), end(5)], "quadratic"
    )


def tied_to_what_comes_later() -> Network:
    a = dense(5, 4)
    b = dense(4, 5).tie("w", a, transposed=True)
    return Network([b, a, end()], "quadratic")


def tied_inside() -> Network:
    a = dense()
    b = Residual([dense(seed=1).tie("w", a), dense(seed=2).tie("b", a)])
    return Network([Sequential([a, ReLU()]), b, end()], "quadratic")


def tied_and_in_two_places() -> Network:
    """The chain in two places holds a tie of its own, and is tied to what lies outside."""
    out = dense()
    a = dense(4, 5, seed=1)
    b = dense(5, 4).tie("w", a, transposed=True).tie("b", out)
    c = Sequential([a, b])
    return Network([out, c, c, dense(4, 5, seed=2), b, end()], "quadratic")


def tied_convolutions() -> Network:
    a = Conv2d(2, 3, 3, activation="tanh", dtype="float64", rng=0)
    b = ConvTranspose2d(3, 2, 3, activation="tanh", dtype="float64", rng=1).tie("w", a)
    return Network([a, b, Flatten(), end(32)], "quadratic", input_shape=(2, 4, 4))


def tied_in_reversed_axes() -> Network:
    a = Conv2d(2, 3, 2, activation="tanh", dtype="float64", rng=0)
    b = Conv2d(3, 2, 2, activation="tanh", dtype="float64", rng=1)
    c = Conv2d(2, 2, 2, activation="tanh", dtype="float64", rng=2).tie("b", b)
    return Network([a, b, c, Flatten(), end(2)], "quadratic", input_shape=(2, 4, 4))


def tied_attention() -> Network:
    a, b = (MultiHeadAttention(4, 2, b_init="normal", dtype="float64", rng=k) for k in (0, 1))
    b.tie("w_k", a).tie("w_o", a, "w_v").tie("b_q", a, "b_o")
    return over_time(a, b)


def tied_recurrence() -> Network:
    a, b = (LSTM(4, 4, dtype="float64", rng=k) for k in (0, 1))
    return over_time(a, b.tie("w_h", a).tie("w", a, "w_h"))


SHARING = [
    twice_in_a_chain, in_the_chain_and_in_a_residual, first_in_a_residual, in_every_branch,
    a_container_in_two_places, places_in_a_container_in_two_places, a_batch_norm,
    a_dropout_and_a_relu, a_layer_norm, a_convolution, *map(a_recurrent, (RNN, LSTM, GRU)),
    an_attention, a_transformer, at_every_step, in_a_graph, tied_densely,
    tied_to_what_comes_later, tied_inside, tied_and_in_two_places, tied_convolutions,
    tied_in_reversed_axes, tied_attention, tied_recurrence,
]  # fmt: skip
sharing = pytest.mark.parametrize("make", SHARING, ids=lambda make: make.__name__)


def data(network: Network, batch: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*network.input_shape, batch))
    return x, rng.random((*network.output_shape, batch))


def step(network: Network, x, y, training: bool = True) -> np.ndarray:
    network.forward(x, training=training, keep=True)
    return network.backward(y)


def trainer_of(network: Network, optimizer=None, **arguments) -> Trainer:
    optimizer = optimizer or Adam(0.01)
    return Trainer(network, optimizer, batch_size=4, rng=0, progress=False, **arguments)


def assert_shared(network: Network) -> None:
    """Check that all places, and all ties, show memory of the one theta and give to one nabla."""
    for _, layer in network.walk():
        for name in layer._sizes:
            array, gradient = getattr(layer, name), getattr(layer, "nabla_" + name)
            assert np.shares_memory(array, network.theta)
            assert np.shares_memory(gradient, network.nabla) != (name in layer.ties)
        for name, tie in layer.ties.items():
            home = getattr(tie.layer, tie.name)
            assert np.shares_memory(getattr(layer, name), home)
            assert any(tie.layer is inner for _, inner in network.walk())
        if layer.place_of is not None:
            assert any(layer.place_of is inner for _, inner in network.walk())
            for name in layer.state_names:
                assert name == "carried" or getattr(layer, name) is getattr(layer.place_of, name)
    assert len(network.theta) == sum(
        layer.n_parameters for _, layer in network.walk() if not layer.children
    )


# -- gradients ---------------------------------------------------------------------------------


@sharing
@pytest.mark.parametrize("training", [True, False])
def test_gradients_add_up_over_the_places(make, training):
    network = make()
    x, y = data(network, 2)
    assert_shared(network)
    report = check_gradients(network, x, y, training=training)
    assert report.passed, str(report)
    # And here, not in the copy that is checked: nabla itself, in some directions of theta.
    step(network, x, y, training=False)
    theta, rng, h = network.theta.copy(), np.random.default_rng(1), 1e-6
    for _ in range(5):
        v = rng.standard_normal(theta.shape)
        costs = []
        for sign in (1, -1):
            network.theta = theta + sign * h * v
            costs.append(network.evaluate(x, y)["cost"])
        numeric = (costs[0] - costs[1]) / (2 * h)
        assert numeric == pytest.approx(network.nabla @ v, rel=1e-6, abs=1e-8)
    network.theta = theta
    nabla = network.nabla.copy()
    network.nabla[...] = np.nan  # it is overwritten, in every pass
    step(network, x, y, training=False)
    np.testing.assert_array_equal(network.nabla, nabla)
    step(network, x, y, training=False)
    network.forward(x, keep=True)
    assert network.backward(y, input_gradient=False) is None
    np.testing.assert_array_equal(network.nabla, nabla)


def test_a_place_has_z_a_and_delta_of_its_own():
    network = twice_in_a_chain()
    x, y = data(network)
    step(network, x, y)
    first, second = network[0], network[2]
    for name in ("a_prev", "z", "a", "delta"):
        one, other = getattr(first, name), getattr(second, name)
        assert not np.array_equal(one, other)
    total = first.delta @ first.a_prev.T + second.delta @ second.a_prev.T
    np.testing.assert_allclose(first.nabla_w, total, rtol=1e-13)
    np.testing.assert_array_equal(second.nabla_w, second.delta @ second.a_prev.T)
    assert (first.n_parameters, second.n_parameters) == (20, 0)
    assert (second.parameters, second.gradients) == ({}, {})
    second.w = first.w + 1  # which is one array
    np.testing.assert_array_equal(first.w, second.w)
    assert first.place_of is None
    assert second.place_of is first


@pytest.mark.parametrize("case", [case for case in CASES if not case.draw], ids=str)
def test_every_layer_in_two_places(case: Case):
    """Side by side both places are given the same, so that the gradient is that of twice nabla."""
    layer, x, _ = case.problem(3)
    alone = copy.deepcopy(layer)
    both = Parallel([layer, layer], "sum")
    assert both.n_parameters == alone.n_parameters
    a = alone.forward(x, keep=True)
    nabla_a = np.random.default_rng(1).standard_normal(a.shape)
    np.testing.assert_allclose(both.forward(x, keep=True), 2 * a, rtol=1e-14)
    downstream = alone.backward(2 * nabla_a)
    found = both.backward(nabla_a)
    np.testing.assert_allclose(both.nabla, alone.nabla, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found, downstream, rtol=1e-10, atol=1e-13)


def test_running_statistics_are_those_of_all_places():
    network = a_batch_norm()
    first, second = network[1], network[3]
    x, y = data(network)
    expected = np.zeros((4, 1))
    for _ in range(3):
        step(network, x, y)
        for layer in (first, second):
            expected = 0.9 * expected + 0.1 * layer.mu
    np.testing.assert_allclose(first.running_mean, expected, rtol=1e-13)
    assert second.running_mean is first.running_mean


def test_places_draw_from_one_generator_a_mask_each():
    network = a_dropout_and_a_relu()
    x, y = data(network)
    step(network, x, y)
    assert network[2].rng is network[5].rng
    assert not np.array_equal(network[2].mask, network[5].mask)


def test_an_embedding_tied_to_the_output_layer():
    """The vectors of the tokens are the rows of the output layer's weights: one array, 5 x 4."""
    embedding = Embedding(5, 4, dtype="float64", rng=0)
    output = dense(4, 5, "softmax").tie("w", embedding, transposed=True)
    network = Network(
        [embedding, LSTM(4, 4, dtype="float64", rng=1), TimeStep(-1), output],
        "softmax_cross_entropy", input_shape=(3,))  # fmt: skip
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, (3, 6)), rng.integers(0, 5, 6)
    np.testing.assert_array_equal(output.w, embedding.w.T)
    assert np.shares_memory(output.w, embedding.w)
    report = check_gradients(network, x, y)
    assert report.passed, str(report)
    step(network, x, y)
    numeric = central_difference(lambda _: network.cost.value(network.forward(x), y), network.theta)
    assert relative_error(numeric, network.nabla, floor=0.01) <= 1e-7
    before = network.evaluate(x, y)["cost"]
    trainer_of(network, Adam(0.05)).fit(x, y, 10)
    assert network.evaluate(x, y)["cost"] < before / 2
    np.testing.assert_array_equal(output.w, embedding.w.T)


def test_the_transposed_convolution_of_a_convolution_is_its_way_back():
    network = tied_convolutions()
    conv, transposed = network[:2]
    assert np.shares_memory(conv.w, transposed.w)
    x, y = data(network)
    step(network, x, y)
    linear = copy.deepcopy(conv)
    linear.forward(x, training=True)
    transposed.b[...] = 0
    np.testing.assert_allclose(
        np.arctanh(transposed.forward(conv.a)), linear.backward_from(conv.a), rtol=1e-10
    )


# -- copies and files --------------------------------------------------------------------------


def saved(network: Network, path) -> Network:
    network.save(path / "network.npz")
    return Network.load(path / "network.npz")


@sharing
def test_copies_share_as_the_network_does(make, tmp_path):
    network = make()
    x, y = data(network)
    for _ in range(2):
        step(network, x, y)
        network.theta -= 0.1 * network.nabla
    state = network.state()
    twins = {
        "deepcopy": copy.deepcopy(network),
        "copy": copy.copy(network),
        "pickle": pickle.loads(pickle.dumps(network)),
        "load": saved(network, tmp_path),
        "astype": network.astype("float64"),
        "twice": saved(copy.deepcopy(saved(network, tmp_path)), tmp_path),
        "rebuilt": Network(copy.deepcopy(network.root), network.cost, network.input_shape),
    }
    expected = copy.deepcopy(network)
    expected.forward(x, keep=True)
    nabla_x = expected.backward(y)
    for name, twin in twins.items():
        assert_shared(twin)
        assert twin.n_parameters == network.n_parameters, name
        assert twin.summary() == network.summary(), name
        assert twin.config() == network.config(), name
        assert twin.state().keys() == state.keys()
        for key, array in twin.state().items():
            np.testing.assert_array_equal(array, state[key], strict=True)
        np.testing.assert_array_equal(step(twin, x, y, training=False), nabla_x, strict=True)
        np.testing.assert_array_equal(twin.nabla, expected.nabla, strict=True)
        step(twin, x, y)  # which would move statistics, if they came apart, in one place only
        assert_shared(twin)
        assert not np.shares_memory(twin.theta, network.theta)
    for key, array in network.state().items():
        np.testing.assert_array_equal(array, state[key], strict=True)


@sharing
def test_another_dtype(make):
    network = make().astype("float32")
    assert_shared(network)
    x, y = data(network)
    x, y = x.astype("float32"), y.astype("float32")
    step(network, x, y)
    for name, array in network.state().items():  # a variance is a square, and larger than float32
        assert array.dtype == ("float64" if name.endswith("running_variance") else "float32")
    again = network.astype("float64")
    assert_shared(again)
    step(again, x.astype(float), y.astype(float))
    network.forward(x, keep=True)
    network.backward(y)
    again.forward(x.astype(float), keep=True)


@sharing
def test_what_is_shared_is_drawn_once(make):
    network = make()
    network.initialize(7)
    theta = network.theta.copy()
    twin = make()
    twin.theta[...] = 0
    twin.initialize(np.random.default_rng(7))
    np.testing.assert_array_equal(twin.theta, theta)
    assert_shared(network)
    masks = [layer.rng for _, layer in network.walk() if layer.place_of and layer.rng is not None]
    homes = [layer.place_of.rng for _, layer in network.walk() if layer.place_of and layer.rng]
    assert all(one is other for one, other in zip(masks, homes, strict=True))


def test_places_draw_nothing():
    a, b = dense(), dense(seed=1)
    shared = Network([a, b, a, end()], "quadratic", rng=5)
    apart = Network([dense(), dense(), end()], "quadratic", rng=5)
    np.testing.assert_array_equal(shared.theta, apart.theta)


@sharing
def test_a_checkpoint_goes_on_to_the_bit(make, tmp_path):
    network, whole = make(), make()
    x, y = data(network, 12)
    trainer_of(whole, regularizer=L2(0.01)).fit(x, y, 4)
    first = trainer_of(network, regularizer=L2(0.01))
    first.fit(x, y, 2)
    checkpoint.save(first, tmp_path / "c.npz")
    second = trainer_of(make(), regularizer=L2(0.01))
    checkpoint.restore(second, tmp_path / "c.npz")
    second.fit(x, y, 2)
    for key, array in second.network.state().items():
        np.testing.assert_array_equal(array, whole.state()[key], strict=True)
    assert_shared(second.network)


def test_a_checkpoint_of_a_network_that_shares_otherwise_is_refused(tmp_path):
    shared = twice_in_a_chain()
    trainer = trainer_of(shared)
    trainer.fit(*data(shared), 1)
    checkpoint.save(trainer, tmp_path / "c.npz")
    apart = Network([dense(), dense(seed=1), dense(seed=2), end()], "quadratic")
    with pytest.raises(ValueError, match=r"another network: it has \{'places': \{'2': '0'\}\} the"):
        checkpoint.restore(trainer_of(apart), tmp_path / "c.npz")


def test_the_summary_says_what_is_shared():
    lines = twice_in_a_chain().summary().splitlines()
    assert re.search(r"^0 +Dense\(4 -> 4, tanh\) +4 x B +20 +w nielsen, b normal$", lines[3])
    assert re.search(r"^2 +Dense.* \(in another place: Dense\(4 -> 4, tanh\)\) .* 0$", lines[5])
    assert lines[-1].startswith("55 parameters, float64")
    lines = tied_densely().summary().splitlines()
    assert re.search(r"^2 .*\(w is that of Dense\(5 -> 4, tanh\)\) +5 x B +5 +b normal$", lines[5])


def test_a_tie_to_what_is_elsewhere_follows_it_and_cannot_be_saved(tmp_path):
    encoder = dense(5, 4)
    decoder = dense(4, 5).tie("w", encoder, transposed=True)
    network = Network([decoder], "quadratic")  # decodes alone, and learns its b alone
    assert network.n_parameters == 5
    both = Network([encoder, end()], "quadratic")  # to which the numbers have moved
    both.theta[...] = np.linspace(-0.5, 0.5, both.n_parameters)
    np.testing.assert_array_equal(decoder.w, encoder.w.T)
    assert np.shares_memory(decoder.w, both.theta)
    x = np.ones((4, 2))
    np.testing.assert_array_equal(network.predict(x), np.tanh(encoder.w.T @ x + decoder.b))
    with pytest.raises(
        ValueError, match=r"layer 0, .*: its w is tied to Dense\(5 -> 4.*no part of"
    ):
        network.save(tmp_path / "network.npz")
    assert check_gradients(network, x, np.zeros((5, 2))).passed
    twin = copy.deepcopy(network)
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))
    both.theta += 1
    assert not np.array_equal(twin.predict(x), network.predict(x))  # a copy is a copy


def test_a_place_of_what_is_elsewhere_cannot_be_saved(tmp_path):
    network = Network(twice_in_a_chain().layers[1:], "quadratic")
    assert "in another place" in network.summary()
    match = r"layer 1, Dense\(4 -> 4, tanh\): it is another place of a layer that is no part"
    with pytest.raises(ValueError, match=match):
        network.save(tmp_path / "network.npz")


def test_places_may_be_built_into_other_networks():
    network = twice_in_a_chain()
    home, place = network[0], network[2]
    for layers in ([home, place, end()], [place, home, place, end()]):
        again = Network(layers, "quadratic")
        assert again.n_parameters == 20 + 15
        assert_shared(again)
        assert check_gradients(again, *data(again, 2)).passed


def test_a_layer_shared_by_two_networks():
    """By a place of its own: what one network learns the other uses, each with its own state."""
    judge = dense(4, 3, "sigmoid")
    one = Network([judge], "quadratic")
    other = Network([dense(seed=1), judge.placed_again()], "quadratic")
    x, y = data(one)
    before = other.predict(x)
    trainer_of(one).fit(x, y, 2)
    np.testing.assert_array_equal(other[1].w, judge.w)
    assert not np.array_equal(other.predict(x), before)
    theta = one.theta.copy()
    trainer_of(other).fit(x, y, 2)
    np.testing.assert_array_equal(one.theta, theta)  # which is no part of the other's theta


def test_layers_that_are_tied_may_be_built_into_other_networks():
    encoder = dense(5, 4)
    decoder = dense(4, 5).tie("w", encoder, transposed=True)
    for _ in range(2):  # a cell that runs twice
        network = Network([encoder, decoder], "quadratic", rng=3)
        x, y = data(network)
        assert_shared(network)
        assert network.n_parameters == 20 + 4 + 5
        trainer_of(network).fit(x, y, 2)
        assert check_gradients(network, x, y).passed
    network = Network([decoder, encoder], "quadratic")
    assert_shared(network)
    assert check_gradients(network, *data(network)).passed


# -- what goes over theta ----------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [SGD(0.1), Momentum(0.1), Adam(0.1), AdamW(0.1)], ids=str)
@pytest.mark.parametrize("penalty", [None, L2(0.1), L1(0.1)], ids=str)
def test_regularizers_and_optimizers_see_a_shared_array_once(optimizer, penalty):
    """One step is one of the rule, with the gradient that is the sum."""
    network = tied_densely()
    x, y = data(network, 4)
    twin = copy.deepcopy(network)
    trainer = trainer_of(network, copy.deepcopy(optimizer), regularizer=penalty)
    trainer.fit(x, y, 1)
    x, y = (array[..., np.random.default_rng(0).permutation(4)] for array in (x, y))
    step(twin, x, y)
    weights = np.zeros(twin.n_parameters, bool)
    for part, factor in twin.root.weight_parts():
        assert factor == 1
        weights[part] = True
    marked = copy.deepcopy(twin)
    marked.theta[...] = 0
    for layer in (marked[0], marked[1], marked[3]):
        layer.w[...] = 1
    np.testing.assert_array_equal(weights, marked.theta == 1)
    nabla = twin.nabla
    if penalty is not None:
        own = nabla[weights]
        penalty.add_gradient(twin.theta[weights], own)
        nabla[weights] = own
    copy.deepcopy(optimizer).step(twin.theta, nabla, twin.root.weight_parts())
    np.testing.assert_allclose(network.theta, twin.theta, rtol=1e-12)


def test_freezing_one_place_freezes_all():
    network = twice_in_a_chain()
    x, y = data(network)
    step(network, x, y)
    before = network.nabla.copy()
    network[2].trainable = False
    assert not network[0].trainable
    assert network.summary().count("frozen") == 2
    assert not network[0].nabla.any()  # that of the pass before is no gradient any more
    step(network, x, y)
    assert not network[0].nabla.any()
    np.testing.assert_array_equal(network.nabla[20:], before[20:])
    network[0].trainable = True
    step(network, x, y)
    np.testing.assert_array_equal(network.nabla, before)
    network[0].eta_factor = 3
    assert network[2].eta_factor == 3
    with network[0].add_hook("backward", lambda layer: None):
        network[0].trainable = False
        step(network, x, y)  # asked for, so it is all of it
        np.testing.assert_array_equal(network.nabla, before)


def test_what_is_tied_learns_with_the_layer_whose_it_is():
    network = tied_densely()
    x, y = data(network)
    step(network, x, y)
    before = network.nabla.copy()
    encoder, decoder = network[0], network[2]
    decoder.trainable = False
    assert encoder.trainable
    step(network, x, y)
    np.testing.assert_array_equal(encoder.nabla, before[:24])  # the gradient is the true one
    assert not decoder.nabla_b.any()
    assert check_gradients(network, x, y).passed
    hook = decoder.add_hook("forward", lambda layer: None)
    step(network, x, y)
    np.testing.assert_array_equal(encoder.nabla, before[:24])  # also where somebody looks
    hook.remove()
    decoder.trainable, encoder.trainable = True, False
    w, b = encoder.w.copy(), decoder.b.copy()
    step(network, x, y)
    assert not encoder.nabla.any()
    trainer_of(network, AdamW(0.1), regularizer=L2(0.1)).fit(x, y, 2)
    np.testing.assert_array_equal(decoder.w, w.T)
    assert not np.array_equal(decoder.b, b)


# -- errors of tie -----------------------------------------------------------------------------


def test_what_cannot_be_tied_is_refused_and_nothing_changes():
    a, b, inside = dense(5, 4), dense(4, 5, seed=1), dense(4, 5, seed=2)
    network = Network([inside])
    c = dense(4, 5, seed=3).tie("w", a, transposed=True)
    values = [layer.theta.copy() for layer in (a, b, c)]
    for error, match, tie in [
        (ValueError, r"tie: Dense\(4 -> 5, tanh\) has no parameter 'v'", lambda: b.tie("v", a)),
        (ValueError, r"tie: Dense\(5 -> 4.* has no parameter 'v'", lambda: b.tie("w", a, "v")),
        (ValueError, r"tie: ReLU\(\) has no parameter 'w'", lambda: b.tie("w", ReLU())),
        (ValueError, "tie: 3 has no parameter 'w'", lambda: b.tie("w", 3)),
        (ValueError, "w cannot be tied to itself", lambda: b.tie("w", b)),
        (ValueError, "w cannot be tied to another: it stands in a network",
         lambda: inside.tie("w", a, transposed=True)),
        (ValueError, r"w is tied to Dense\(5 -> 4, tanh\) already", lambda: c.tie("w", b)),
        (ValueError, r"Dense\(4 -> 5, tanh\) is tied to its w: tie this one first",
         lambda: a.tie("w", b, transposed=True)),
        (ShapeError, r"w has shape \(5, 4\), and w of Dense\(5 -> 4, tanh\) is \(4, 5\)",
         lambda: b.tie("w", a)),
        (ShapeError, r"b has shape \(5, 1\), and w of .*, transposed, is \(5, 4\)",
         lambda: b.tie("b", a, "w", transposed=True)),
        (TypeError, r"w is float64, and w of .* is float32",
         lambda: b.tie("w", Dense(4, 5, rng=0))),
        (ValueError, "w cannot be tied to itself", lambda: a.tie("w", c, transposed=True)),
        (ValueError, "tie: Sequential", lambda: Sequential([dense()]).tie("w", a)),
    ]:  # fmt: skip
        with pytest.raises(error, match=match):
            tie()
    for layer, theta in zip((a, b, c), values, strict=True):
        np.testing.assert_array_equal(layer.theta, theta)
    assert b.ties == {}
    assert a.ties == {}
    assert network[0].ties == {}


def test_a_tie_to_a_tie_is_one_to_where_the_numbers_are():
    a = dense(5, 4)
    b = dense(4, 5).tie("w", a, transposed=True)
    c = dense(5, 4, seed=2).tie("w", b, transposed=True)
    d = dense(4, 5, seed=3).tie("w", c, transposed=True)
    for layer, transposed in ((b, True), (c, False), (d, True)):
        tie = layer.ties["w"]
        assert (tie.layer, tie.name, tie.transposed) == (a, "w", transposed)
        assert np.shares_memory(layer.w, a.w)
    network = Network([d, c, b, a, end()], "quadratic")
    assert network.n_parameters == 20 + 4 + 5 + 4 + 5 + 15
    assert_shared(network)
    assert check_gradients(network, *data(network)).passed


def test_a_tied_layer_used_alone_gives_its_own_gradient():
    a = dense(5, 4)
    b = dense(4, 5).tie("w", a, transposed=True)
    x, nabla_a = np.ones((4, 3)), np.ones((5, 3))
    b.forward(x, training=True)
    b.backward(nabla_a)
    np.testing.assert_allclose(b.nabla_w, b.delta @ x.T, rtol=1e-14)
    assert not a.nabla.any()
    assert (list(b.parameters), b.n_parameters) == (["b"], 5)
    b.w = np.full((5, 4), 2.0)
    np.testing.assert_array_equal(a.w, np.full((4, 5), 2.0))
