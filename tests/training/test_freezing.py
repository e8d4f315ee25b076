"""Layers that do not learn, alone and in containers: trainable."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop.gradients.check import check_gradients
from backprop.layers import (
    LSTM,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    MultiHeadAttention,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
)
from backprop.network import Network
from backprop.optimizers import SGD, Adam, AdamW, Momentum
from backprop.regularizers import L1, L2
from backprop.training.callback import Callback
from backprop.training.health import GradientHealth
from backprop.training.trainer import Trainer
from tests.cases import CASES, Case
from tests.training.learning import (
    KIND,
    OPTIMIZERS,
    chain,
    data,
    every_optimizer,
    fit,
    moved,
    nested,
    numbers,
)

# -- frozen layers ------------------------------------------------------------------------------


@every_optimizer
@pytest.mark.parametrize("penalty", [None, L2(0.3), L1(0.3)], ids=str)
@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.01}, {"clip_value": 0.001}], ids=str)
def test_what_is_frozen_keeps_its_bits(optimizer, penalty, clip):
    network = chain()
    network[0].trainable = network[1].trainable = False
    before = numbers(network)
    fit(network, optimizer(), regularizer=penalty, **clip)
    assert moved(network, before) == {"2", "4"}
    network[4].trainable = False
    before = numbers(network)
    fit(network, optimizer(), regularizer=penalty, **clip)
    assert moved(network, before) == {"2"}


@every_optimizer
def test_freezing_in_the_middle_of_a_fit_stops_what_is_under_way(optimizer):
    """No velocity carries a frozen layer on, and freed again it goes on from where it was."""

    class Freeze(Callback):
        wants_steps = True

        def __init__(self) -> None:
            self.seen: list[set[str]] = []

        def on_step_end(self, trainer: Trainer) -> None:
            self.seen.append(moved(network, self.before))
            number = len(self.seen)
            if number in (3, 5):
                network[0].trainable = network[1].trainable = number == 5
            self.before = numbers(network)

    network, freeze = chain(), Freeze()
    freeze.before = numbers(network)
    trainer = fit(network, optimizer(), regularizer=L2(0.1), callbacks=[freeze])
    everything = {"0", "1", "2", "4"}
    assert freeze.seen == [*[everything] * 3, *[everything - {"0", "1"}] * 2, *[everything] * 3]
    assert trainer.optimizer.t == 8


@every_optimizer
def test_the_accumulators_of_what_is_frozen_rest(optimizer):
    network = chain()
    trainer = fit(network, optimizer())
    n = network[0].n_parameters
    before = trainer.optimizer.state()
    network[0].trainable = False
    trainer.fit(*data(network), 2)
    for name, vector in trainer.optimizer.state().items():
        if name != "t":
            np.testing.assert_array_equal(vector[:n], before[name][:n])
            assert not np.array_equal(vector[n:], before[name][n:])


@every_optimizer
def test_a_frozen_half_is_a_network_of_the_other_half(optimizer):
    """Training above frozen layers is training on what they make of the data."""
    network = chain()
    network[3].p = 0.0
    below = Network(copy.deepcopy(network.layers[:2]))
    above = Network(copy.deepcopy(network.layers[2:]), "softmax_cross_entropy")
    network[0].trainable = network[1].trainable = False
    x, y = data(network)
    fit(network, optimizer(), regularizer=L2(0.1))
    arguments = {"batch_size": 6, "rng": 0, "progress": False, "regularizer": L2(0.1)}
    Trainer(above, optimizer(), **arguments).fit(below.predict(x), y, 2)
    split = below.n_parameters
    np.testing.assert_allclose(network.theta[split:], above.theta, rtol=1e-10)


def test_clipping_goes_by_what_learns():
    """The norm is that of the gradients there are, also where a hook has asked for others."""
    found = []
    for hooked in (False, True):
        network = chain()
        network[0].trainable = network[1].trainable = False
        if hooked:
            network[0].add_hook("backward", lambda layer: layer.nabla.fill(1e6))
        fit(network, SGD(0.1), clip_norm=0.1)
        found.append(network.theta)
    np.testing.assert_array_equal(found[0], found[1])


def test_a_frozen_batch_norm_goes_by_its_running_statistics():
    network = chain()
    fit(network, SGD(0.1))
    norm = network[1]
    before = norm.state()
    norm.trainable = False
    x, _ = data(network)
    below = network[0].forward(x)
    found = norm.forward(below, training=True)
    np.testing.assert_array_equal(found, norm.forward(below))
    assert norm.independent_examples or not norm.by_batch
    for name, array in norm.state().items():
        np.testing.assert_array_equal(array, before[name])
    network[3].p = 0.0
    for training in (True, False):
        assert check_gradients(network, *data(network, 4), training=training).passed
    norm.trainable = True
    assert not np.array_equal(norm.forward(below, training=True), found)


def test_with_nothing_to_learn_nothing_changes():
    network = chain()
    network.root.trainable = False
    before = numbers(network)
    for optimizer in OPTIMIZERS:
        trainer = fit(network, optimizer(), regularizer=L2(0.1), clip_norm=1.0)
        assert len(trainer.history) == 2
        assert trainer.history["penalty"] == [0.0, 0.0]
    assert moved(network, before) == set()
    assert not network.nabla.any()


def test_the_penalty_is_that_of_what_learns():
    network = chain()
    network[0].trainable = False
    trainer = fit(network, SGD(0.0), regularizer=L2(0.5))
    expected = 0.5 * sum((network[i].w ** 2).sum() for i in (2, 4))
    assert trainer.history["penalty"][-1] == pytest.approx(expected, rel=1e-12)


# -- BP3 and BP4 are left out -------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in CASES if not case.draw], ids=str)
def test_the_gradients_of_a_frozen_layer_are_not_computed(case: Case, monkeypatch):
    layer, x, nabla_a = case.problem(3)
    layer.forward(x, keep=True)
    downstream, nabla = layer.backward(nabla_a), layer.nabla.copy()
    parts = [inner for _, inner in layer.walk() if inner._sizes]
    calls = []
    for kind in {type(inner) for inner in parts}:
        whole = kind.parameter_gradients

        def spy(inner, delta, whole=whole):
            calls.append(inner)
            whole(inner, delta)

        monkeypatch.setattr(kind, "parameter_gradients", spy)
    layer.trainable = False
    assert not layer.nabla.any()
    layer.forward(x, keep=True)
    found = layer.backward(nabla_a)
    np.testing.assert_allclose(found, downstream, rtol=1e-12, atol=1e-14)
    assert layer.backward(nabla_a, input_gradient=False) is None
    assert calls == []
    assert not layer.nabla.any()
    for inner in parts:
        with inner.add_hook("backward", lambda layer: None):
            layer.forward(x, keep=True)
            layer.backward(nabla_a)
    assert set(map(id, calls)) == set(map(id, parts))
    np.testing.assert_allclose(layer.nabla, nabla, rtol=1e-10, atol=1e-13)
    layer.trainable = True
    layer.forward(x, keep=True)
    np.testing.assert_array_equal(layer.backward(nabla_a), downstream)
    np.testing.assert_array_equal(layer.nabla, nabla)


@pytest.mark.parametrize("kind", [Dense, Conv2d, BatchNorm, LSTM, MultiHeadAttention])
def test_nor_by_the_way_that_shares_work(kind, monkeypatch):
    """Convolutions and batch normalisation make BP2 and BP4 at once: but not of a frozen layer."""
    made = {
        Dense: lambda: (Dense(3, 4, rng=0), (3, 5)),
        Conv2d: lambda: (Conv2d(2, 3, 2, rng=0), (2, 4, 4, 5)),
        BatchNorm: lambda: (BatchNorm(3), (3, 5)),
        LSTM: lambda: (LSTM(3, 2, rng=0), (3, 4, 5)),
        MultiHeadAttention: lambda: (MultiHeadAttention(4, 2, rng=0), (4, 3, 5)),
    }
    layer, shape = made[kind]()
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    a = layer.forward(x, training=True)
    layer.backward(a)
    layer.trainable = False
    layer.nabla[...] = 7  # which would be overwritten
    layer.forward(x, training=True)
    layer.backward(a)
    assert (layer.nabla == 7).all()


def test_a_gradient_that_a_hook_asks_for_is_not_learnt():
    network = chain()
    network[0].trainable = False
    before, norms = numbers(network), []
    network[0].add_hook("backward", lambda layer: norms.append(np.abs(layer.nabla).max()))
    fit(network, AdamW(0.1), regularizer=L2(0.1))
    assert moved(network, before) == {"1", "2", "4"}
    assert min(norms) > 0


def test_looking_at_a_frozen_network():
    network = chain()
    network[0].trainable = False
    x, y = data(network, 4)
    trace = network.trace(x, y)
    assert not trace.layers[0].gradients["w"].any()  # it shows what is learnt
    assert trace.layers[0].delta.any()
    assert not network[0].nabla.any()
    assert check_gradients(network, x, y, training=False).passed
    health = GradientHealth(every=1)
    fit(network, SGD(0.1), callbacks=[health])
    assert "update_ratio_0" not in health.history.columns
    assert "update_ratio_2" in health.history.columns
    assert "delta_0" in health.history.columns


# -- containers ---------------------------------------------------------------------------------


LEAVES = {"0.0", "0.1.0", "1.0", "1.1", "2.0", "2.1", "3"}


@pytest.mark.parametrize("place", ["0", "0.1", "1", "2", "2.1", "3"])
def test_a_container_is_frozen_with_all_that_is_inside(place):
    network = nested()
    layers = dict(network.walk())
    layers[place].trainable = False
    assert not layers[place].trainable
    assert all(not inner.trainable for _, inner in layers[place].walk())
    before = numbers(network)
    fit(network, AdamW(0.1), regularizer=L2(0.1))
    frozen = {name for name in LEAVES if name == place or name.startswith(f"{place}.")}
    assert moved(network, before) == LEAVES - frozen
    layers[place].trainable = True
    fit(network, AdamW(0.1))
    assert moved(network, before) == LEAVES


def test_a_container_learns_if_something_inside_does():
    network = nested()
    residual = network[0]
    residual.children[0].trainable = False
    assert residual.trainable
    assert network.root.trainable
    residual.children[1].trainable = False
    assert not residual.trainable
    residual.eta_factor = 0.5
    assert [layer.eta_factor for _, layer in residual.walk()] == [0.5] * 5
    assert "frozen" in network.summary()
    assert "eta_factor 0.5" in network.summary()


def test_frozen_transformers_and_steps():
    block = TransformerBlock(4, 2, 5, rng=0, **KIND)
    steps = TimeDistributed(Dense(4, 4, "tanh", rng=0, **KIND))
    network = Network([steps, block, TimeStep(-1), Dense(4, 3, "softmax", rng=1, **KIND)],
                      "softmax_cross_entropy", input_shape=(4, 3))  # fmt: skip
    block.trainable = False
    before = numbers(network)
    fit(network, Adam(0.01))
    assert moved(network, before) == {"0.0", "3"}


def test_a_frozen_convolution_below():
    network = Network([Conv2d(1, 2, 2, dtype="float64", rng=0), Flatten(),
                       Dense(8, 3, "softmax", rng=0, **KIND)],
                      "softmax_cross_entropy", input_shape=(1, 3, 3))  # fmt: skip
    network[0].trainable = False
    before = numbers(network)
    fit(network, Momentum(0.1))
    assert moved(network, before) == {"2"}
