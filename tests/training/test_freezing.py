"""Layers that do not learn, or learn more slowly: trainable, eta_factor and decay_factor."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable

import numpy as np
import pytest

from backprop.gradients.check import check_gradients
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    LSTM,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MultiHeadAttention,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
)
from backprop.network import Network
from backprop.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, RMSProp
from backprop.regularizers import L1, L2
from backprop.training import checkpoint
from backprop.training.callback import Callback
from backprop.training.health import GradientHealth
from backprop.training.trainer import Trainer
from tests.cases import CASES, Case

OPTIMIZERS: list[Callable[[], object]] = [
    lambda: SGD(0.2),
    lambda: Momentum(0.1, 0.9),
    lambda: Nesterov(0.1, 0.9),
    lambda: RMSProp(0.01),
    lambda: Adam(0.01),
    lambda: AdamW(0.01, weight_decay=0.1),
]
every_optimizer = pytest.mark.parametrize(
    "optimizer", OPTIMIZERS, ids=lambda make: type(make()).__name__
)
KIND = {"dtype": "float64"}


def chain(seed: int = 0) -> Network:
    layers = [Dense(4, 5, "tanh", **KIND), BatchNorm(5, **KIND), Dense(5, 4, "tanh", **KIND),
              Dropout(0.2), Dense(4, 3, "softmax", **KIND)]  # fmt: skip
    return Network(layers, "softmax_cross_entropy", rng=seed)


def data(network: Network, batch: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((*network.input_shape, batch)), rng.integers(0, 3, batch)


def fit(network: Network, optimizer, epochs: int = 2, **arguments) -> Trainer:
    arguments = {"batch_size": 6, "rng": 0, "progress": False, **arguments}
    trainer = Trainer(network, optimizer, **arguments)
    trainer.fit(*data(network), epochs)
    return trainer


def moved(network: Network, before: dict[str, np.ndarray]) -> set[str]:
    """Return the names of the layers of which a number is not what it was, to the bit."""
    found = set()
    for name, layer in network.walk():
        if not layer.children:
            for key, array in layer.state().items():
                if array.tobytes() != before[f"{name}.{key}"].tobytes():
                    found.add(name)
    return found


def numbers(network: Network) -> dict[str, np.ndarray]:
    return {
        f"{name}.{key}": array
        for name, layer in network.walk()
        if not layer.children
        for key, array in layer.state().items()
    }


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


# -- factors ------------------------------------------------------------------------------------


@every_optimizer
def test_factors_are_optimizers_of_their_own(optimizer):
    """A step of groups is one of an optimizer for each layer, with its eta and its decay."""
    factors = {0: (0.5, 1.0), 1: (1.0, 1.0), 2: (3.0, 0.25), 4: (0.0, 2.0)}
    network, twin = chain(), chain()
    penalty = L2(0.2)
    for index, (eta, decay) in factors.items():
        network[index].eta_factor, network[index].decay_factor = eta, decay
    separate = {}
    for index, (eta, decay) in factors.items():
        separate[index] = optimizer()
        separate[index].eta *= eta
        if isinstance(separate[index], AdamW):
            separate[index].weight_decay *= decay
    trainer = fit(network, optimizer(), epochs=3, regularizer=penalty)
    assert trainer.optimizer.eta == optimizer().eta
    order, (x, y) = np.random.default_rng(0), data(network)
    for _ in range(3):
        shuffled = order.permutation(20)
        for start in range(0, 20, 6):
            batch = shuffled[start : start + 6]
            twin.forward(np.ascontiguousarray(x[:, batch]), training=True)
            twin.backward(y[batch], input_gradient=False)
            for index, (_, decay) in factors.items():
                layer = twin[index]
                for part, _ in layer.weight_parts():
                    scaled = L2(0.2 * decay)
                    scaled.add_gradient(layer.theta[part], layer.nabla[part])
                weights = [part for part, _ in layer.weight_parts()]
                separate[index].step(layer.theta, layer.nabla, weights)
    np.testing.assert_allclose(network.theta, twin.theta, rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(network[4].theta, chain()[4].theta)


def test_an_eta_factor_of_1_and_groups_change_no_bit():
    plain, network = chain(), chain()
    network[0].eta_factor = 2.0
    network[0].eta_factor = 1.0
    network[2].decay_factor = 3.0  # without decay nor penalty
    for one in (plain, network):
        fit(one, Momentum(0.1))
    np.testing.assert_array_equal(network.theta, plain.theta)


def test_a_schedule_goes_on_under_the_factors():
    from backprop.schedules import StepDecay

    network = chain()
    network[0].eta_factor = 0.5
    trainer = fit(network, SGD(0.1), 2, schedule=StepDecay(0.1, 0.5, 1))
    assert trainer.history["eta"] == [0.1, 0.05]


@pytest.mark.parametrize("name", ["eta_factor", "decay_factor"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "1", None, True])
def test_a_factor_is_a_number_from_0_up(name, value):
    layer = Dense(2, 3, rng=0)
    error = ValueError if isinstance(value, (int, float)) and value is not True else TypeError
    with pytest.raises(error, match=f"{name} must be"):
        setattr(layer, name, value)
    assert layer.learning == {}
    block = Sequential([layer])
    with pytest.raises(error):
        setattr(block, name, value)
    assert layer.learning == {}


@pytest.mark.parametrize("value", [0, 1, None, "no", 1.0, np.ones(1)])
def test_trainable_is_true_or_false(value):
    layer = Dense(2, 3, rng=0)
    with pytest.raises(TypeError, match="trainable must be True or False, got"):
        layer.trainable = value
    layer.trainable = np.False_
    assert layer.trainable is False
    assert layer.learning == {"trainable": False}


# -- containers ---------------------------------------------------------------------------------


def nested() -> Network:
    x = Input("x", (4,))
    u = apply(Dense(4, 4, "tanh", **KIND), x)
    graph = Graph(u + apply(Dense(4, 4, "tanh", **KIND), u))
    residual = Residual([Dense(4, 4, "tanh", **KIND), Sequential([BatchNorm(4, **KIND), ReLU()])])
    branches = Parallel([Dense(4, 2, **KIND), Dense(4, 3, **KIND)])
    return Network([residual, graph, branches, Dense(5, 3, "softmax", **KIND)],
                   "softmax_cross_entropy", rng=0)  # fmt: skip


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


# -- where it is remembered ---------------------------------------------------------------------


def learning_of(network: Network) -> dict[str, dict]:
    return {name: layer.learning for name, layer in network.walk() if layer.learning}


def test_how_layers_learn_goes_with_the_network(tmp_path):
    network = nested()
    network[0].trainable = False
    network[1]["dense_1"].eta_factor = 0.25
    network[3].decay_factor = 0.0
    expected = {"0.0": {"trainable": False}, "0.1.0": {"trainable": False},
                "0.1.1": {"trainable": False}, "1.0": {"eta_factor": 0.25},
                "3": {"decay_factor": 0.0}}  # fmt: skip
    assert learning_of(network) == expected
    network.save(tmp_path / "n.npz")
    again = Network(copy.deepcopy(network.layers), network.cost)
    twins = [again, copy.deepcopy(network), pickle.loads(pickle.dumps(network)),
             network.astype("float32").astype("float64"), Network.load(tmp_path / "n.npz"),
             Network.from_config(network.config())]  # fmt: skip
    for twin in twins:
        assert learning_of(twin) == expected
        assert twin.config()["learning"] == expected
        twin.root.trainable = True
        assert learning_of(twin)["3"] == {"decay_factor": 0.0}
    twins[0].root.trainable = False
    assert learning_of(twins[1])["1.0"] == {"eta_factor": 0.25}


def test_a_network_that_learns_as_usual_says_nothing_of_it():
    network = nested()
    assert "learning" not in network.config()
    network[3].trainable = False
    network[3].trainable = True
    assert "learning" not in network.config()


class FreezeAt(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.epoch == self.epoch:
            trainer.network[0].trainable = False
            trainer.network[2].eta_factor = 0.1


@every_optimizer
def test_a_run_that_froze_layers_goes_on_to_the_bit(optimizer, tmp_path):
    last = fit(chain(), optimizer(), 6, callbacks=[FreezeAt(2)])
    first = fit(chain(), optimizer(), 4, callbacks=[FreezeAt(2)])
    checkpoint.save(first, tmp_path / "c.npz")
    arguments = {"batch_size": 6, "rng": 0, "progress": False}
    second = Trainer(chain(), optimizer(), callbacks=[FreezeAt(2)], **arguments)
    checkpoint.restore(second, tmp_path / "c.npz")
    assert learning_of(second.network) == {
        "0": {"trainable": False}, "2": {"eta_factor": 0.1}}  # fmt: skip
    second.fit(*data(second.network), 2)
    for found, expected in ((second.network, last.network), (second.optimizer, last.optimizer)):
        for name, array in found.state().items():
            np.testing.assert_array_equal(array, expected.state()[name], strict=True)


def test_a_checkpoint_from_before_the_freezing_frees_again(tmp_path):
    trainer = fit(chain(), Momentum(0.1), 1)
    checkpoint.save(trainer, tmp_path / "c.npz")
    trainer.network.root.trainable = False
    trainer.fit(*data(trainer.network), 1)
    checkpoint.restore(trainer, tmp_path / "c.npz")
    assert learning_of(trainer.network) == {}
    trainer.fit(*data(trainer.network), 1)
    whole = fit(chain(), Momentum(0.1), 2)
    np.testing.assert_array_equal(trainer.network.theta, whole.network.theta)


def test_freezing_between_fits():
    network = chain()
    trainer = fit(network, Adam(0.01), 1)
    network[2].trainable = False
    before = numbers(network)
    trainer.fit(*data(network), 1)
    assert moved(network, before) == {"0", "1", "4"}
    network[2].trainable, network[4].trainable = True, False
    before = numbers(network)
    trainer.fit(*data(network), 1)
    assert moved(network, before) == {"0", "1", "2"}


def test_two_trainers_of_two_networks_do_not_disturb_one_another():
    one, other = chain(), chain(1)
    plain = chain()
    first = fit(one, Momentum(0.1), 1)
    fit(other, Momentum(0.1), 1)
    other[0].trainable = False
    first.fit(*data(one), 1)
    fit(plain, Momentum(0.1), 2)
    np.testing.assert_array_equal(one.theta, plain.theta)


def test_layers_say_how_they_learn():
    layer = Dense(2, 3, rng=0)
    assert (layer.trainable, layer.eta_factor, layer.decay_factor) == (True, 1.0, 1.0)
    layer.eta_factor = 2
    assert (layer.eta_factor, type(layer.eta_factor)) == (2.0, float)
    plain: Layer = Dense(2, 3, rng=0)
    assert plain.learning == {}
    twin = copy.deepcopy(layer)
    twin.eta_factor = 5
    assert layer.eta_factor == 2
    network = Network([layer, Dense(3, 2, rng=0)])
    layer.trainable = False
    line = network.summary().splitlines()[3]
    assert re.search(r"Dense\(2 -> 3, sigmoid\) \(frozen, eta_factor 2\)", line)
