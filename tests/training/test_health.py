"""Gradient health: what is recorded, of layers inside layers and of units, and its arguments."""

import copy
import csv
import math
import warnings

import numpy as np
import pytest

import backprop as bp
from backprop import GradientHealth, GradientHealthWarning
from backprop.graph import Graph, Input, apply
from backprop.layers import Dense, Dropout, ReLU, Sigmoid, Tanh
from backprop.layers.chain import walk_order
from backprop.training.health import _norm
from tests.training.watched import N_IN, N_OUT, fit, make_data, make_network

# -- what is recorded ------------------------------------------------------------------------


class Spy(bp.Callback):
    """Keep what `GradientHealth` should have looked at, of every step."""

    def on_fit_start(self, trainer):
        self.seen = []
        self.before = [layer.theta.copy() for layer in trainer.network.layers]

    def on_step_end(self, trainer):
        step = []
        for layer, before in zip(trainer.network.layers, self.before, strict=True):
            w = before[: layer.w.size].reshape(layer.w.shape)
            step.append((layer.delta.copy(), layer.nabla_w.copy(), w, layer.w - w))
        self.seen.append(step)
        self.before = [layer.theta.copy() for layer in trainer.network.layers]


@pytest.mark.parametrize("optimizer", [bp.SGD(0.3), bp.Adam(0.01), bp.Momentum(0.1)])
def test_the_norms_are_those_of_the_step_that_was_taken(optimizer):
    spy, health = Spy(), GradientHealth(every=7)
    network = make_network([9], dtype="float64")
    options = {"regularizer": bp.L2(0.01), "clip_norm": 0.5}
    fit(network, health, optimizer, 2, callbacks=[spy], **options)
    assert health.history["step"] == list(range(1, 121, 7))
    for record in health.history:
        for index, (delta, nabla_w, w, change) in enumerate(spy.seen[record["step"] - 1]):
            examples = 10 * delta  # the book's delta of every example
            expected = math.sqrt((examples**2).sum(axis=0).mean())
            assert record[f"delta_{index}"] == pytest.approx(expected, rel=1e-12)
            assert record[f"nabla_w_{index}"] == pytest.approx(np.linalg.norm(nabla_w), rel=1e-12)
            ratio = np.linalg.norm(change) / np.linalg.norm(w)
            assert record[f"update_ratio_{index}"] == pytest.approx(ratio, rel=1e-9)


def test_delta_does_not_depend_on_the_size_of_the_minibatch():
    x, y = make_data(30)
    found = []
    for copies in (1, 7):
        health = GradientHealth()
        trainer = bp.Trainer(make_network([9]), "sgd", 1000, callbacks=[health], progress=False)
        trainer.fit(np.tile(x, copies), np.tile(y, copies))
        found.append([health.history[f"delta_{index}"][0] for index in (0, 1)])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_steps_are_counted_on_by_the_next_fit():
    health = GradientHealth(every=25)
    trainer = bp.Trainer(make_network([5]), "sgd", 10, callbacks=[health], progress=False)
    for _ in range(3):  # 60 steps each
        trainer.fit(*make_data())
    assert health.history["step"] == [1, 26, 51, 76, 101, 126, 151, 176]


def test_parameters_changed_between_two_fits_are_no_update():
    health, spy = GradientHealth(every=60), Spy()
    network = make_network([5])
    trainer = bp.Trainer(network, bp.SGD(0.1), 10, callbacks=[spy, health], progress=False)
    trainer.fit(*make_data())
    network.theta *= 3
    trainer.fit(*make_data())
    assert health.history["step"] == [1, 61]
    _, _, w, change = spy.seen[0][0]
    ratio = np.linalg.norm(change) / np.linalg.norm(w)
    assert health.history["update_ratio_0"][1] == pytest.approx(ratio, rel=1e-4)


def test_looking_changes_nothing():
    networks = [make_network([9], "relu") for _ in range(2)]
    fit(networks[0], GradientHealth(every=1), bp.Adam())
    fit(networks[1], bp.Callback(), bp.Adam())
    np.testing.assert_array_equal(networks[0].theta, networks[1].theta)


def test_a_record_holds_what_a_layer_has(tmp_path):
    layers = [
        Dense(N_IN, 8, "relu", rng=0),
        Dropout(0.2, rng=1),
        Dense(8, 6, "identity", rng=2),
        Tanh(),
        Dense(6, N_OUT, "softmax", rng=3),
    ]
    health = GradientHealth(every=1, examples=10)
    assert not fit(bp.Network(layers, "softmax_cross_entropy"), health, epochs=1)
    learns = {"delta", "nabla_w", "update_ratio"}
    expected = {0: learns | {"dead"}, 2: learns, 3: {"delta", "saturated"}, 4: learns}
    columns = {f"{name}_{index}" for index, names in expected.items() for name in names}
    for record in health.history:
        assert record.keys() == {"step"} | columns
        assert all(type(value) in (int, float) for value in record.values())
    assert health.layers == {str(i): repr(layers[i]) for i in expected}
    path = tmp_path / "health.csv"
    health.history.to_csv(path)
    assert bp.History.from_csv(path) == health.history
    with open(path, newline="") as file:
        assert len(list(csv.reader(file))) == 61


def test_weights_that_start_at_zero_have_no_ratio_yet():
    health = GradientHealth(every=1)
    fit(make_network([], w_init="zeros", b_init="zeros"), health, epochs=1)
    assert "update_ratio_0" not in health.history.records[0]
    assert health.history.records[1]["update_ratio_0"] > 0


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1e-12, 1.0, 1e12, 1e30, 1e200])
def test_a_norm_neither_underflows_nor_overflows(size):
    x = np.full((5, 4), size, np.float32 if 1e-37 < size < 1e37 else np.float64).T
    assert _norm(x) == pytest.approx(size * math.sqrt(20), rel=1e-6, abs=0)
    parts = [slice(3, 5), slice(9, 11)]
    assert _norm(x.T.ravel(), parts) == pytest.approx(2 * size, rel=1e-6, abs=0)
    assert _norm(np.zeros(3, np.float32)) == 0


def test_a_graph_has_its_health_too():
    x = Input("x", shape=(N_IN,))
    h = apply(Dense(N_IN, 6, "relu", rng=0), x)
    out = apply(Dense(6, N_OUT, "softmax", rng=1), h + apply(Dense(N_IN, 6, "tanh", rng=2), x))
    graph = bp.Network(Graph(out), "softmax_cross_entropy")
    health = GradientHealth(every=1)
    assert not fit(graph, health, bp.SGD(0.1), epochs=1)
    dense = [index for index, layer in enumerate(graph.layers) if isinstance(layer, Dense)]
    assert {f"update_ratio_{index}" for index in dense} <= set(health.history.columns)
    assert len([name for name in health.history.columns if name.startswith("dead")]) == 1
    assert len([name for name in health.history.columns if name.startswith("saturated")]) == 1


# -- layers inside layers --------------------------------------------------------------------


def nested():
    return bp.Network(
        [
            Dense(N_IN, 8, "relu", rng=0),
            bp.Residual(
                [Dense(8, 6, "tanh", rng=1), Dropout(0.1, rng=2), Dense(6, 8, "relu", rng=3)]
            ),
            bp.Parallel([bp.Identity(), bp.Sequential([Dense(8, 5, "sigmoid", rng=4)])]),
            bp.Sequential([Dense(13, N_OUT, "softmax", rng=5)]),
        ],
        "softmax_cross_entropy",
    )


def test_layers_inside_containers_have_records_and_containers_have_none():
    health = GradientHealth(every=1, examples=10, dead=1)
    network = nested()
    assert not fit(network, health, epochs=1)
    learns = {"delta", "nabla_w", "update_ratio"}
    expected = {
        0: learns | {"dead"},
        "1.0": learns | {"saturated"},
        "1.2": learns | {"dead"},
        "2.0": {"delta"},
        "2.1.0": learns | {"saturated"},
        "3.0": learns,
    }
    columns = {f"{name}_{index}" for index, names in expected.items() for name in names}
    for record in health.history:
        assert record.keys() == {"step"} | columns
    layers = dict(network.walk())
    assert health.layers == {str(index): repr(layers[str(index)]) for index in expected}
    assert list(health.layers) == list(map(str, expected))


def test_the_records_of_a_chain_are_the_same_inside_a_container():
    """And its updates are those of its own part of theta."""
    found = []
    for inside in (False, True):
        flat = make_network([9, 7], "relu", "he_normal", dtype="float64")
        layers = [copy.deepcopy(layer) for layer in flat.layers]
        if inside:
            layers = [layers[0], bp.Sequential(layers[1:])]
        health = GradientHealth(every=1, examples=20)
        fit(bp.Network(layers, "softmax_cross_entropy"), health, epochs=1)
        found.append(health.history)
    names = {"0": "0", "1": "1.0", "2": "1.1"}
    for column in found[0].columns:
        quantity, _, index = column.rpartition("_")
        other = f"{quantity}_{names[index]}" if index in names else column
        pairs = zip(found[0].records, found[1].records, strict=True)
        for one, two in pairs:
            assert (column in one) == (other in two)
            if column in one:
                assert one[column] == pytest.approx(two[other], rel=1e-9)


def test_what_is_wrong_inside_a_container_is_told_by_its_name():
    network = nested()
    network[1].children[2].b[...] = -1e3  # all of its ReLUs are dead
    health = GradientHealth(every=1)
    fit(network, health, bp.SGD(1e-3), epochs=1)
    dead = [message for message in health.messages if "units die" in message]
    assert len(dead) == 1
    assert dead[0].startswith("layer 1.2, Dense(6 -> 8, relu), step 50: 100% of its ReLUs were 0")
    stuck = [message for message in health.messages if "cannot learn" in message]
    assert [message.split(",")[0] for message in stuck] == ["layer 1.0", "layer 1.2"]


def test_the_order_is_that_of_the_walk():
    names = ["0", "2.0", "2.0.1", "2.1", "3", "10", "10.2", "10.10"]
    shuffled = [names[i] for i in (5, 2, 7, 0, 3, 6, 1, 4)]
    assert sorted(shuffled, key=walk_order) == names


def test_a_dead_channel_of_a_convolution_is_one_dead_unit():
    conv = bp.Conv2d(1, 4, 2, dtype="float32", rng=0)
    conv.w[...], conv.b[...] = 0, 1
    conv.b[3] = -1  # silent at all places
    dense = Dense(16, 2, "identity", rng=0)
    network = bp.Network([bp.Sequential([conv, bp.Flatten()]), dense], "quadratic", (1, 3, 3))
    health = GradientHealth(examples=5, dead=1, small_update=0)
    x, y = np.ones((1, 3, 3, 5), np.float32), np.ones((2, 5), np.float32)
    bp.Trainer(network, bp.SGD(0.0), 5, callbacks=[health], progress=False).fit(x, y)
    assert health.history["dead_0.0"] == [1 / 4]
    b_delta = 5 * conv.delta
    expected = math.sqrt((b_delta**2).sum(axis=(0, 1, 2)).mean())
    assert health.history["delta_0.0"] == [pytest.approx(expected, rel=1e-6)]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_sequence_is_one_example(kind):
    layer = getattr(bp, kind)(2, 3, rng=0)
    layer.w[...] *= 100
    network = bp.Network(
        [layer, bp.TimeDistributed(Dense(3, 2, "relu", rng=1))], "quadratic", (2, 4)
    )
    health = GradientHealth(every=1, examples=6, saturated=1, dead=1)
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    y = np.ones((2, 4, 6), np.float32)
    trainer = bp.Trainer(network, bp.SGD(0.0), 3, callbacks=[health], progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GradientHealthWarning)
        trainer.fit(x, y)
    delta = 3 * layer.delta
    expected = math.sqrt((delta**2).sum(axis=(0, 1)).mean())
    assert health.history["delta_0"][-1] == pytest.approx(expected, rel=1e-5)
    record = health.history.records[-1]
    assert ("saturated_0" in record) == (kind == "RNN")  # gates are meant to open and close
    if kind == "RNN":
        flat = 1 - np.tanh(layer.z) ** 2 < 0.01
        assert record["saturated_0"] == pytest.approx(flat.mean(), abs=1e-3)
    assert "dead_1.0" not in health.history.records[0]  # 3 examples seen, though 12 steps
    assert "dead_1.0" in record


# -- units -----------------------------------------------------------------------------------


def test_a_dead_unit_is_one_that_was_silent_for_so_many_examples():
    """Of ten units two never fire, and one in the last minibatch of every epoch alone."""
    network = make_network([10], "relu", "he_normal", "zeros")
    layer = network[0]
    layer.b[:2] = -1e3
    layer.w[2], layer.b[2] = 0, -1.0

    class Rarely(bp.Callback):
        def on_step_end(self, trainer):
            layer.b[2] = 1.0 if trainer.step == 59 else -1.0

    health = GradientHealth(every=1, examples=500, dead=0.35, small_update=0)
    assert not fit(network, health, bp.SGD(0.0), 2, callbacks=[Rarely()])
    dead = [record.get("dead_0") for record in health.history]
    assert dead == [None] * 49 + [0.3] * 10 + [0.2] * 50 + [0.3] * 10 + [0.2]


def test_of_feature_maps_each_is_a_unit():
    """Channel 1 fires at one place of one example, channel 2 nowhere."""
    x = -np.ones((3, 2, 4, 5), np.float32)
    x[0] = 1
    x[1, 1, 2, 3] = 1
    dense = Dense(24, 2, "identity", rng=0)
    network = bp.Network([ReLU(), bp.Flatten(), dense], "quadratic", (3, 2, 4))
    health = GradientHealth(examples=5, dead=1)
    y = np.ones((2, 5), np.float32)
    bp.Trainer(network, batch_size=5, callbacks=[health], progress=False).fit(x, y)
    assert health.history["dead_0"] == [1 / 3]


@pytest.mark.parametrize(("activation", "edge"), [("sigmoid", 5.985), ("tanh", 2.9932)])
def test_saturated_is_where_the_slope_is_below_a_hundredth_of_the_largest(activation, edge):
    z = edge * np.array([[0, 0.999, 1.001, 0.5], [-1.001, -0.999, 5, -5]])
    hidden = Sigmoid() if activation == "sigmoid" else Tanh()
    network = bp.Network(
        [hidden, Dense(2, 1, activation, dtype="float64")], "quadratic", (2,), rng=0
    )
    health = GradientHealth(saturated=0.5)
    bp.Trainer(network, batch_size=4, callbacks=[health], progress=False).fit(z, np.ones((1, 4)))
    assert health.history["saturated_0"] == [4 / 8]
    assert "saturated_1" not in health.history  # an output is meant to go there


# -- arguments -------------------------------------------------------------------------------


def test_the_records_of_two_networks_are_not_mixed():
    health = GradientHealth()
    fit(make_network([9]), health)
    records = list(health.history)
    with pytest.raises(ValueError, match=r"^GradientHealth: holds the records of another network"):
        fit(make_network([9]), health)
    assert list(health.history) == records


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"every": 0}, ValueError, "every must be at least 1, got 0"),
        ({"every": 1.5}, TypeError, "every must be an integer, got 1.5"),
        ({"window": 0}, ValueError, "window must be at least 1, got 0"),
        ({"examples": 0}, ValueError, "examples must be at least 1, got 0"),
        ({"vanishing": 0.5}, ValueError, r"vanishing must be in \[1, inf\], got 0.5"),
        ({"exploding": "much"}, TypeError, "exploding must be a number, got 'much'"),
        ({"dead": 1.5}, ValueError, r"dead must be in \[0, 1\], got 1.5"),
        ({"saturated": -1}, ValueError, r"saturated must be in \[0, 1\], got -1"),
        ({"large_update": 0}, ValueError, r"large_update must be in \(0, inf\], got 0"),
        ({"small_update": math.nan}, ValueError, r"small_update must be in \[0, inf\), got nan"),
    ],
)
def test_bad_settings_are_refused(options, error, message):
    with pytest.raises(error, match=f"^GradientHealth: {message}"):
        GradientHealth(**options)


def test_the_records_of_one_run_take_no_other():
    health = GradientHealth()
    network = make_network([5])
    fit(network, health)
    with pytest.raises(ValueError, match=r"^GradientHealth: holds the records of another run"):
        fit(network, health)
