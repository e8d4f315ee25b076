"""KFAC: its equations by hand, its state, and what it makes of ill-conditioned problems."""

import copy
import pickle

import numpy as np
import pytest

from backprop import L2, Network, Trainer
from backprop.compiled import NoTwin
from backprop.layers import BatchNorm, Conv2d, Dense, Flatten
from backprop.optimizers import Momentum
from backprop.research import KFAC, MonteCarloFisher
from backprop.training.callback import Callback
from tests.training.support import assert_resumes


def data(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((5, n)), rng.integers(0, 3, n)


def network(seed=0, sigma="tanh"):
    return Network.from_sizes([5, 6, 3], sigma, "softmax_cross_entropy", dtype="float64", rng=seed)


def step_on(net, optimizer, x, y):
    net.forward(x, training=True)
    net.backward(y)
    optimizer.step(net.theta, net.nabla)


def test_a_step_is_that_of_the_equations():
    net, (x, y) = network(), data()
    kfac = KFAC(0.3, mu=0.5, damping=0.04, trust=np.inf, seed=5)
    kfac.attach(net)
    averages, v = {}, np.zeros(net.n_parameters)
    for t in range(3):
        before = net.theta.copy()
        factors = MonteCarloFisher(net, x, rng=np.random.default_rng([5, t])).kronecker_factors()
        step_on(net, kfac, x, y)
        d = np.zeros_like(v)
        for name, one in factors.items():
            kept = t / (t + 1)
            old = averages.get(name, (0, 0))
            a, g = kept * old[0] + one.input[0] / (t + 1), kept * old[1] + one.output[0] / (t + 1)
            averages[name] = a, g
            pi = np.sqrt(np.trace(a) / len(a) / (np.trace(g) / len(g)))
            nabla = np.c_[net[int(name)].nabla_w, net[int(name)].nabla_b]
            left = np.linalg.inv(g + 0.2 / pi * np.eye(len(g)))
            right = np.linalg.inv(a + 0.2 * pi * np.eye(len(a)))
            found = left @ nabla @ right
            d[one.w], d[one.b] = found[:, :-1].ravel(), found[:, -1]
        v = 0.5 * v - 0.3 * d
        np.testing.assert_allclose(net.theta, before + v, rtol=1e-10, atol=1e-13)


def test_the_trust_bounds_a_step():
    net, (x, y) = network(), data()
    before = net.theta.copy()
    kfac = KFAC(5.0, mu=0.0, damping=0.01, trust=1e-4)
    kfac.attach(net)
    step_on(net, kfac, x, y)
    free = network()
    other = KFAC(5.0, mu=0.0, damping=0.01, trust=np.inf)
    other.attach(free)
    step_on(free, other, x, y)
    bounded, unbounded = net.theta - before, free.theta - before
    ratio = np.linalg.norm(bounded) / np.linalg.norm(unbounded)
    assert ratio < 0.1
    np.testing.assert_allclose(bounded, ratio * unbounded, atol=1e-14)


def test_layers_of_other_kinds_go_by_the_diagonal():
    layers = [
        Conv2d(1, 2, 2, activation="tanh", dtype="float64"),
        Flatten(),
        BatchNorm(8, dtype="float64"),
        Dense(8, 3, "softmax", dtype="float64"),
    ]
    net = Network(layers, "softmax_cross_entropy", input_shape=(1, 3, 3), rng=0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1, 3, 3, 6)), rng.integers(0, 3, 6)
    before, kfac = net.theta.copy(), KFAC(0.1, damping=0.1, trust=np.inf)
    kfac.attach(net)
    net.forward(x, training=True)
    net.backward(y)
    f = MonteCarloFisher(net, x, rng=np.random.default_rng([0, 0])).diagonal()
    kfac.step(net.theta, net.nabla)
    part = slice(net[0].n_parameters, net[0].n_parameters + net[2].n_parameters)
    expected = -0.1 * net.nabla[part] / (f[part] + 0.1)
    np.testing.assert_allclose((net.theta - before)[part], expected, rtol=1e-12)


def test_the_step_leaves_the_layers_and_the_gradient_as_they_are():
    net, (x, y) = network(), data()
    kfac = KFAC(0.1)
    kfac.attach(net)
    net.forward(x, training=True)
    net.backward(y)
    kept = [(layer.z.copy(), layer.a.copy(), layer.delta.copy()) for layer in net.layers]
    nabla = net.nabla.copy()
    kfac.step(net.theta, net.nabla)
    np.testing.assert_array_equal(net.nabla, nabla)
    for layer, arrays in zip(net.layers, kept, strict=True):
        for now, before in zip((layer.z, layer.a, layer.delta), arrays, strict=True):
            np.testing.assert_array_equal(now, before)


def excess_after(optimizer, steps):
    """Return C above its least, of a linear regression whose inputs differ in size by 300."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 200)) * np.logspace(0, -2.5, 8)[:, None]
    y = rng.standard_normal((3, 8)) * np.logspace(0, 2.5, 8) @ x + rng.standard_normal((3, 200))
    net = Network([Dense(8, 3, "identity", dtype="float64")], "quadratic", rng=1)
    trainer = Trainer(net, optimizer, 200, rng=0, progress=False, compiled=False)
    cost = trainer.fit(x, y, steps)["training_cost"][-1]
    ones = np.vstack([x, np.ones(200)])
    best = y - y @ np.linalg.pinv(ones) @ ones
    return cost - 0.5 * np.square(best).sum() / 200


def test_it_is_ahead_of_momentum_where_scales_differ():
    """Of one linear layer the input's factor is all the curvature there is."""
    best = min(excess_after(Momentum(eta), 100) for eta in (0.03, 0.1, 0.3, 1.0))
    assert excess_after(KFAC(1.0, mu=0.0, damping=1e-8, trust=np.inf), 20) < 1e-3 * best


def test_what_is_frozen_stays_and_factors_of_eta_count():
    x, y = data()
    net = network()
    net[0].trainable = False
    net[1].eta_factor = 0.5
    before = net.theta.copy()
    Trainer(net, KFAC(0.1, mu=0.0), 40, rng=0, progress=False).fit(x, y, 1)
    n = net[0].n_parameters
    np.testing.assert_array_equal(net.theta[:n], before[:n])
    whole = network()
    whole[0].trainable = False
    Trainer(whole, KFAC(0.1, mu=0.0), 40, rng=0, progress=False).fit(x, y, 1)
    step, twice = (net.theta - before)[n:], (whole.theta - before)[n:]
    np.testing.assert_allclose(twice, 2 * step, rtol=1e-10)


@pytest.mark.parametrize("every", [1, 3])
def test_a_checkpoint_goes_on_to_the_bit(every, tmp_path):
    x, y = data()

    def made():
        optimizer = KFAC(0.2, every=every, seed=3)
        return Trainer(network(), optimizer, 16, L2(1e-3), rng=0, progress=False)

    assert_resumes(made, x, y, tmp_path / "half.npz")


def test_a_copied_trainer_goes_on_alike_and_apart():
    x, y = data()
    trainer = Trainer(network(), KFAC(0.2, every=2), 16, rng=0, progress=False)
    trainer.fit(x, y, 1)
    for twin in (copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))):
        trainer_2 = copy.deepcopy(trainer)
        trainer_2.fit(x, y, 1)
        twin.fit(x, y, 1)
        np.testing.assert_array_equal(twin.network.theta, trainer_2.network.theta)


def test_initialize_begins_anew():
    x, y = data()
    net = network()
    trainer = Trainer(net, KFAC(0.2), 16, rng=0, progress=False)
    trainer.fit(x, y, 1)
    net.initialize(0)
    assert trainer.optimizer.t == 0
    fresh = Trainer(network(), KFAC(0.2), 16, rng=7, progress=False)
    again = Trainer(net, trainer.optimizer, 16, rng=7, progress=False)
    fresh.network.theta = net.theta
    for one in (fresh, again):
        one.fit(x, y, 1)
    np.testing.assert_array_equal(net.theta, fresh.network.theta)


def test_callbacks_see_the_layers_of_training():
    class Looks(Callback):
        def on_step_end(self, trainer):
            layer = trainer.network[0]
            np.testing.assert_array_equal(layer.nabla_w, layer.delta @ layer.a_prev.T)

    x, y = data()
    settings = {"rng": 0, "progress": False, "callbacks": [Looks()]}
    Trainer(network(), KFAC(0.1), 16, **settings).fit(x, y, 1)


def test_there_is_no_twin_in_c():
    x, y = data()
    trainer = Trainer(network(), KFAC(0.1), 16, rng=0, progress=False, compiled=True)
    with pytest.raises(NoTwin, match=r"the optimizer KFAC.*has no twin in C"):
        trainer.fit(x, y, 1)


def test_what_it_cannot_do_is_refused_with_the_reason():
    net, (x, y) = network(), data()
    kfac = KFAC(0.1)
    with pytest.raises(RuntimeError, match=r"say kfac\.attach\(network\) first"):
        step_on(net, kfac, x, y)
    kfac.attach(net)
    other = network()
    with pytest.raises(ValueError, match="theta must be that of the network attached"):
        step_on(other, kfac, x, y)
    fresh = network()
    kfac.attach(fresh)
    with pytest.raises(RuntimeError, match="has not gone forward"):
        kfac.step(fresh.theta, fresh.nabla)
    with pytest.raises(ValueError, match="damping"):
        KFAC(0.1, damping=0)
    with pytest.raises(ValueError, match="no two factors"):
        kfac.set_state({"t": np.array(1), "0.input": np.zeros((1, 2, 2))}, fresh.theta)
    assert repr(KFAC(0.1)) == "KFAC(eta=0.1)"
    assert KFAC(0.1, every=2).config()["every"] == 2
