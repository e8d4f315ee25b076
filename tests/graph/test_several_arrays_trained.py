"""Networks of several inputs and outputs: trained, evaluated, saved, copied."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from backprop.graph import Graph, Input, apply, concatenate, exp
from backprop.kernels import threads
from backprop.layers import (
    Conv2d,
    Dense,
    Flatten,
)
from backprop.metrics import Metric, accuracy, metric_named
from backprop.network import Network
from backprop.optimizers import Adam
from backprop.training.health import GradientHealth
from backprop.training.trainer import DivergenceError, Trainer
from tests.graph.examples import HEADS, heads, heads_data
from tests.training.support import assert_resumes

cases = pytest.mark.parametrize("case", HEADS)


# -- training, prediction, evaluation --------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_with_tuples(dtype):
    network = heads(HEADS["canonical, and not"][1], dtype, "sigmoid")
    x, y = heads_data(90, dtype)
    validation = heads_data(20, dtype, seed=1)
    labels = y[1].argmax(axis=0)
    y = y[0], labels, y[2], y[3]
    validation = validation[0], (validation[1][0], labels[:20], *validation[1][2:])
    trainer = Trainer(network, Adam(0.01), 8, rng=0, callbacks=[GradientHealth(every=2)],
                      progress=False)  # fmt: skip
    history = trainer.fit(x, y, 20, validation)
    assert history["training_cost"][-1] < 0.8 * history["training_cost"][0]
    evaluated = network.evaluate(x, y)
    assert history["training_cost"][-1] == evaluated["cost"]
    assert history["training_accuracy_1"][-1] == evaluated["accuracy_1"]
    assert evaluated["accuracy_1"] == accuracy(network.predict(x)[1], labels)
    assert "validation_cost" in history.records[-1]
    assert all(one.dtype == dtype for one in network.predict(x))


def test_a_step_on_a_minibatch_is_backward_and_the_optimizer():
    network = heads(HEADS["weights"][1], last="sigmoid")
    twin = copy.deepcopy(network)
    x, y = heads_data(7)
    Trainer(network, "sgd", 7, shuffle=False, progress=False, monitor_training=False).fit(x, y)
    twin.forward(x, training=True)
    twin.backward(y)
    twin.theta -= 0.1 * twin.nabla  # not what the default eta is: only the direction is compared
    step, expected = network.theta - heads().theta, twin.theta - heads().theta
    np.testing.assert_allclose(step / np.linalg.norm(step),
                               expected / np.linalg.norm(expected), atol=1e-12)  # fmt: skip


def test_the_name_of_a_metric_stands_for_that_of_every_output():
    network = heads(HEADS["canonical, and not"][1], last="sigmoid")
    x, y = heads_data(7)
    a, mse = network.predict(x), metric_named("mse")
    each = [mse(one, targets) for one, targets in zip(a, y, strict=True)]
    found = network.evaluate(x, y, metrics=["mse", "accuracy_1"])
    cost = found.pop("cost")
    assert found == {"mse_0": each[0], "mse_1": each[1], "mse_2": each[2], "mse_3": each[3],
                     "accuracy_1": accuracy(a[1], y[1])}  # fmt: skip
    found = network.evaluate(x, y, metrics={"error": "mse_2", "second": mse.of_output(1)})
    assert found == {"cost": cost, "error_2": each[2], "second": each[1]}
    trainer = Trainer(network, metrics=["mse", "accuracy_1"], progress=False)
    history = trainer.fit(x, y, 2, (x, y))
    assert history.greater_is_better("validation_accuracy_1")
    assert not history.greater_is_better("validation_mse_3")


@pytest.mark.parametrize("batch_size", [1, 4, 7, 1000])
def test_prediction_and_evaluation_in_batches(batch_size):
    network = heads(HEADS["canonical, and not"][1], last="sigmoid")
    x, y = heads_data(11)
    whole = network.forward(x)
    for one, other in zip(network.predict(x, batch_size), whole, strict=True):
        # A product with one column may add in another order, as that of NumPy 1.24 does.
        np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-15)
    found = network.evaluate(x, y, batch_size, [Metric(lambda a, y: a[2].mean(), True, "mean")])
    assert found["cost"] == pytest.approx(network.evaluate(x, y)["cost"], rel=1e-14)
    assert found["mean"] == pytest.approx(whole[2].mean(), rel=1e-14)
    assert network.root.a is None  # nothing was kept


def images(cost=None) -> Network:
    """Return an image and a vector, of which two outputs are made, with convolutions."""
    image, extra = Input("image", (1, 6, 6)), Input("extra", (2,))
    maps = apply(Conv2d(1, 2, 3, activation="tanh", dtype="float64", rng=0), image)
    flat = concatenate(apply(Flatten(), maps), extra)
    classes = apply(Dense(34, 3, "softmax", dtype="float64", rng=1), flat)
    return Network(Graph([maps, classes]), cost)


def test_several_threads_give_the_same_bits(monkeypatch):
    class Library:
        count = 3

        def get_num_threads(self):
            return self.count

        def set_num_threads(self, count):
            self.count = count

    network = images(["quadratic", "softmax_cross_entropy"])
    assert network.root.uses_threads
    rng = np.random.default_rng(0)
    x = rng.random((1, 6, 6, 150)), rng.random((2, 150))
    y = rng.random((2, 4, 4, 150)), rng.integers(3, size=150)
    found = []
    for libraries in ((), (Library(),)):
        monkeypatch.setattr(threads, "_blas", lambda libraries=libraries: libraries)
        twin = copy.deepcopy(network)
        Trainer(twin, "sgd", 32, rng=0, progress=False).fit(x, y, 2)
        found.append((twin.theta, *twin.predict(x), twin.evaluate(x, y)["cost"]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_output_that_shows_its_input_is_the_callers_own():
    u, v = Input("u", (4,)), Input("v", (4,))
    network = Network(Graph([u[:2], u * v]))
    x = tuple(np.ones((2, 4, 3), np.float32))
    assert not any(np.shares_memory(one, other) for one in network.predict(x) for other in x)


def test_divergence_is_seen_in_any_output():
    u, v = Input("u", (2,)), Input("v", (2,))
    fine = apply(Dense(2, 2, rng=0), u)
    network = Network(Graph([fine, exp(apply(Dense(2, 2, "identity", rng=1), v * 1e3))]),
                      ["quadratic"] * 2)  # fmt: skip
    x = tuple(np.full((2, 2, 5), 10, np.float32))
    with pytest.raises(DivergenceError, match=r"first in a of layer \d, Exp\(\)"):
        Trainer(network, progress=False).fit(x, x)


# -- files and copies ------------------------------------------------------------------------------


@cases
def test_save_load_and_copies(case, tmp_path):
    last, costs = HEADS[case]
    network = heads(costs, last=last)
    x, y = heads_data(5)
    network.theta += 0.1
    network.save(tmp_path / "network.npz")
    loaded = Network.load(tmp_path / "network.npz")
    assert loaded.config() == network.config()
    assert loaded.root.names == network.root.names
    assert loaded.root.input_names == ("u", "v")
    network.forward(x, training=True)
    network.backward(y)
    for twin in (loaded, copy.deepcopy(network), copy.copy(network),
                 pickle.loads(pickle.dumps(network)), network.astype("float64")):  # fmt: skip
        assert twin.evaluate(x, y) == network.evaluate(x, y)
        for one, other in zip(twin.predict(x), network.predict(x), strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
        twin.forward(x, training=True)
        twin.backward(y)
        np.testing.assert_array_equal(twin.nabla, network.nabla)
        twin.theta += 1
        assert twin.evaluate(x, y) != network.evaluate(x, y)
    single = network.astype("float32")
    assert [one.dtype for one in single.predict(heads_data(5, "float32")[0])] == [np.float32] * 4


def test_the_inputs_keep_the_order_they_were_given_in(tmp_path):
    u, v = Input("u", (2,)), Input("v", (2,))
    network = Network(Graph(u - v, [v, u]))
    x = np.full((2, 1), 5, np.float32), np.full((2, 1), 3, np.float32)
    network.save(tmp_path / "network.npz")
    for one in (network, Network.load(tmp_path / "network.npz"), copy.deepcopy(network)):
        np.testing.assert_array_equal(one.predict(x), np.full((2, 1), -2))
    assert Graph(u - v).input_names == ("u", "v")


def test_resuming_is_bit_exact(tmp_path):
    def trainer():
        network = heads(HEADS["weights"][1], last="sigmoid")
        return Trainer(network, Adam(), 4, rng=3, progress=False)

    assert_resumes(trainer, *heads_data(18), tmp_path / "checkpoint.npz")


def test_the_summary_lists_the_inputs_and_what_the_costs_are():
    lines = heads(HEADS["weights"][1], last="sigmoid").summary().split("\n")
    assert "u              input                               3 x B" in lines
    assert "v              input                               2 x B" in lines
    assert "concatenate_1  [u; v]                              5 x B         0" in lines
    assert lines[-1].endswith(
        "cost WeightedCosts(0.3 Quadratic() + 2 SoftmaxCrossEntropy() + 0 CrossEntropy() + "
        "1.5 Quadratic())"
    )
