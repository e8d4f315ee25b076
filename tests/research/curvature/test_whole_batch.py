"""L-BFGS and conjugate gradients on theta: minima that are known, histories, callbacks."""

import numpy as np
import pytest
import scipy.optimize

from backprop import L2, Network
from backprop.layers import Dense
from backprop.research import WholeBatchTrainer
from backprop.training.callback import Callback
from backprop.training.callbacks import Checkpoint, EarlyStopping, ReduceOnPlateau
from backprop.training.divergence import DivergenceError

every_method = pytest.mark.parametrize("method", ["lbfgs", "cg"])


def regression(n=30):
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, n)), rng.standard_normal((2, n))


def linear():
    return Network([Dense(4, 2, "identity", dtype="float64")], "quadratic", rng=0)


def classifier(dtype="float64"):
    return Network.from_sizes([4, 6, 3], "tanh", "softmax_cross_entropy", dtype=dtype, rng=0)


def labelled(n=50):
    rng = np.random.default_rng(1)
    return rng.standard_normal((4, n)), rng.integers(0, 3, n)


@every_method
def test_a_linear_regression_ends_at_the_least_squares(method):
    (x, y), net = regression(), linear()
    history = WholeBatchTrainer(net, method).fit(x, y, 100)
    ones = np.vstack([x, np.ones(30)])
    expected = y @ np.linalg.pinv(ones)
    np.testing.assert_allclose(np.c_[net[0].w, net[0].b], expected, atol=1e-5)
    assert len(history) < 100
    assert history["training_cost"] == sorted(history["training_cost"], reverse=True)


@every_method
def test_the_steps_are_those_of_scipy(method):
    """With a penalty and in batches, against scipy on a function of theta written out here."""
    (x, y), net, twin = labelled(), classifier(), classifier()
    trainer = WholeBatchTrainer(net, method, L2(1e-2), batch_size=17)
    trainer.fit(x, y, 12)

    def f(theta):
        twin.theta = theta
        twin.forward(x, keep=True)
        twin.backward(y)
        cost, nabla = twin.cost_per_example(y).mean(), twin.nabla.copy()
        for part, _ in twin.root.weight_parts():
            cost += 1e-2 * (theta[part] ** 2).sum()
            nabla[part] += 2e-2 * theta[part]
        return cost, nabla

    names = {"lbfgs": "L-BFGS-B", "cg": "CG"}
    start = classifier().theta.copy()
    found = scipy.optimize.minimize(
        f, start, jac=True, method=names[method], options={"maxiter": 12}
    )
    np.testing.assert_allclose(net.theta, found.x, atol=1e-6)
    assert len(trainer.history) == 12
    assert trainer.history["evaluations"][-1] >= 12
    penalties = [1e-2 * (net.theta[part] ** 2).sum() for part, _ in net.root.weight_parts()]
    assert trainer.history["penalty"][-1] == pytest.approx(sum(penalties))


def test_records_are_those_of_the_network_at_the_end_of_every_iteration():
    x, y = labelled()
    seen = []

    class Looks(Callback):
        def on_epoch_end(self, trainer):
            found = trainer.network.evaluate(x, y)
            record = trainer.history.records[-1]
            seen.append(trainer.epoch)
            assert record["training_cost"] == found["cost"] == record["validation_cost"]
            assert record["training_accuracy"] == found["accuracy"]

    trainer = WholeBatchTrainer(classifier(), callbacks=[Looks()])
    trainer.fit(x, y, 5, validation=(x, y))
    trainer.fit(x, y, 3, validation=(x, y))
    assert seen == trainer.history["epoch"] == list(range(1, 9))
    assert "eta" not in trainer.history.columns


def test_a_callback_ends_it():
    class Third(Callback):
        def on_epoch_end(self, trainer):
            if trainer.epoch == 3:
                trainer.stop("three are enough")

    x, y = labelled()
    trainer = WholeBatchTrainer(classifier(), callbacks=[Third()])
    assert len(trainer.fit(x, y, 50)) == 3
    assert trainer.stopping == "three are enough"
    assert trainer.result is None


@every_method
def test_an_error_leaves_the_network_of_the_last_iteration(method):
    class Kept(Callback):
        def on_epoch_end(self, trainer):
            thetas.append(trainer.network.theta.copy())

    (x, y), elsewhere = labelled(), 0
    for calls in range(2, 16):
        net = classifier()
        thetas, left = [net.theta.copy()], iter(range(calls))

        def interrupt(layer, left=left, net=net, thetas=thetas):
            nonlocal elsewhere
            if next(left, None) is None:
                elsewhere += bool((net.theta != thetas[-1]).any())
                raise KeyboardInterrupt

        trainer = WholeBatchTrainer(net, method, callbacks=[Kept()])
        with net[0].add_hook("forward", interrupt), pytest.raises(KeyboardInterrupt):
            trainer.fit(x, y, 50)
        np.testing.assert_array_equal(net.theta, thetas[-1])
        assert len(trainer.history) == len(thetas) - 1
    assert elsewhere > 5  # a line search was looking there


def test_early_stopping_gives_the_best_network_back():
    (x, y), (val_x, val_y) = labelled(), (regression()[0], np.arange(30) % 3)
    net = classifier()
    stopping = EarlyStopping(4, "validation_cost", restore_best=True)
    trainer = WholeBatchTrainer(net, callbacks=[stopping])
    history = trainer.fit(x, y, 200, validation=(val_x, val_y))
    assert len(history) < 200
    best = min(history["validation_cost"])
    assert net.evaluate(val_x, val_y)["cost"] == best < history["validation_cost"][-1]


def test_what_is_frozen_stays():
    x, y = labelled()
    net = classifier()
    net[0].trainable = False
    before = net[0].theta.copy()
    history = WholeBatchTrainer(net).fit(x, y, 20)
    np.testing.assert_array_equal(net[0].theta, before)
    assert history["training_cost"][-1] < history["training_cost"][0]


def test_float32_networks_keep_their_dtype():
    x, y = labelled()
    net = classifier("float32")
    history = WholeBatchTrainer(net).fit(x.astype("f4"), y, 10)
    assert net.theta.dtype == np.float32
    assert history["training_cost"][-1] < history["training_cost"][0]


@every_method
def test_an_example_of_weight_two_is_as_good_as_two(method):
    """In batches of which the weights have different means, beside a class that weighs 3."""
    x, y = labelled()
    w = np.random.default_rng(2).integers(0, 3, 50)
    copies = np.repeat(np.arange(50), w * np.where(y == 1, 3, 1))
    net, twin = classifier(), classifier()
    history = WholeBatchTrainer(net, method, batch_size=17).fit(
        x, y, 10, (x, y, w.astype(float)), sample_weight=w.astype(float), class_weight={1: 3.0}
    )
    expected = WholeBatchTrainer(twin, method).fit(x[:, copies], y[copies], 10)
    np.testing.assert_allclose(net.theta, twin.theta, rtol=1e-6, atol=1e-8)
    for column in ("training_cost", "training_accuracy"):
        np.testing.assert_allclose(history[column], expected[column], rtol=1e-9)
    assert history["validation_cost"] == history["training_cost"]
    assert WholeBatchTrainer(classifier()).fit(x, y, 10)["training_cost"] != pytest.approx(
        history["training_cost"]
    )


def test_weights_that_do_not_fit_are_refused():
    (x, y), net = labelled(), classifier()
    before = net.theta.copy()
    for weights, told in (
        ({"sample_weight": np.ones(49)}, "50"),
        ({"sample_weight": -np.ones(50)}, "negative"),
        ({"class_weight": {3: 1.0}}, "classes are the integers 0..2"),
        ({"class_weight": [1.0, 2.0, 3.0]}, "dict of label to weight"),
        ({"validation": (x, y, np.ones(3))}, "50"),
    ):
        with pytest.raises((TypeError, ValueError), match=told):
            WholeBatchTrainer(net).fit(x, y, **weights)
    np.testing.assert_array_equal(net.theta, before)


def test_what_does_not_fit_is_refused(tmp_path):
    (x, y), net = labelled(), classifier()
    with pytest.raises(ValueError, match="method must be 'lbfgs' or 'cg', got 'sgd'"):
        WholeBatchTrainer(net, "sgd")
    for wrong in ({"regularizer": 0.1}, {"callbacks": [3]}):
        with pytest.raises(TypeError, match=f"^WholeBatchTrainer: {next(iter(wrong))} must be"):
            WholeBatchTrainer(net, **wrong)
    for callback in (Checkpoint(tmp_path / "c.npz"), ReduceOnPlateau()):
        with pytest.raises(ValueError, match="which scipy keeps to itself"):
            WholeBatchTrainer(net, callbacks=[callback])
    net.credit = "feedback_alignment"
    with pytest.raises(ValueError, match="by design not the gradient"):
        WholeBatchTrainer(net)
    net.credit = None
    before = net.theta.copy()
    with pytest.raises(ValueError, match="labels must be in"):
        WholeBatchTrainer(net).fit(x, y + 7)
    np.testing.assert_array_equal(net.theta, before)
    net.theta = np.full_like(before, np.nan)
    with pytest.raises(DivergenceError, match="C is not finite"):
        WholeBatchTrainer(net).fit(x, y)
