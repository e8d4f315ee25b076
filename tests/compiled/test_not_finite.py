"""NaN and infinity from outside are met at one place, and told in one way, whoever computes."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import DivergenceError, Network, Trainer
from backprop.compiled.passes import both_passes
from backprop.graph import Graph, Input, apply
from backprop.graph.nodes import log
from backprop.layers import (
    ELU,
    GELU,
    GRU,
    LSTM,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    LeakyReLU,
    ReLU,
    Residual,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
    TimeStep,
)
from backprop.layers.mode import TRAINING
from backprop.optimizers import SGD
from backprop.training.callback import Callback
from tests.compiled.support import needs_compiler

# What is no number depends on what a compiler leaves out.
pytestmark = [needs_compiler, pytest.mark.usefixtures("full_speed")]

RNG = np.random.default_rng(0)


def dense(n_in, n_out, sigma="tanh"):
    return Dense(n_in, n_out, sigma, dtype="f8", rng=n_in)


def vectors():
    return Network([dense(5, 4), Residual([dense(4, 4)]), dense(4, 2, "identity")], "quadratic")


def classes():
    layers = [dense(5, 4, "relu"), BatchNorm(4, dtype="f8"), dense(4, 3, "softmax")]
    return Network(layers, "softmax_cross_entropy")


def images():
    layers = [Conv2d(1, 2, 2, dtype="f8", rng=0), Flatten(), dense(24, 2, "identity")]
    return Network(layers, "quadratic", input_shape=(1, 4, 5))


def sequences():
    layers = [LSTM(3, 4, dtype="f8", rng=0), GRU(4, 3, dtype="f8", rng=1), TimeStep(-1)]
    return Network([*layers, dense(3, 2, "identity")], "quadratic", input_shape=(3, 4))


def logarithm():
    x = Input("x", (5,))
    return Network(Graph(log(apply(dense(5, 2, "identity"), x))), "quadratic")


MAKERS = [vectors, classes, images, sequences, logarithm]


def data(network, n=22):
    x = np.abs(RNG.standard_normal((*network.input_shape, n)))
    classes = network.output_shape[0]
    return x, RNG.integers(0, 3, n) if classes == 3 else RNG.standard_normal((classes, n))


class Spoil(Callback):
    """Gives the third parameter from behind this value after an epoch."""

    def __init__(self, value):
        self.value = value

    def on_epoch_end(self, trainer):
        trainer.network.theta[-3] = self.value


def told(make, x, y, spoil=None, eta=0.1, **settings):
    """Return what either way says, where it stands then, and which parameters are finite."""
    found = []
    for compiled in (False, True):
        network = make()
        settings = {"monitor_training": False, "progress": False, **settings}
        trainer = Trainer(network, SGD(eta), 4, rng=1, compiled=compiled, **settings)
        if spoil is not None:
            trainer.callbacks.append(Spoil(spoil))
        with pytest.raises(DivergenceError) as caught:
            trainer.fit(x, y, epochs=40)
        place = trainer.epoch, trainer.step, trainer.optimizer.t
        found.append((str(caught.value), place, np.isfinite(network.theta).tolist()))
    return found


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_parameters_that_are_no_numbers(make, number):
    x, y = data(make())
    one, other = told(make, x, y, number)
    assert other == one


@pytest.mark.parametrize("eta", [1e100, 1e200, 1e300])
def test_steps_that_are_too_long(eta):
    x, y = data(vectors())
    one, other = told(vectors, x, y, eta=eta)
    assert other == one


@pytest.mark.parametrize("at", [7, 21])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_of_a_file(at, number, tmp_path):
    """Which are not looked at before they are read."""
    x, y = data(vectors())
    rows = np.ascontiguousarray(x.T)
    rows[at, 2] = number
    np.save(tmp_path / "x.npy", rows)
    one, other = told(vectors, np.load(tmp_path / "x.npy", mmap_mode="r").T, y)
    assert other == one


@pytest.mark.parametrize("monitor", [True, False])
def test_what_is_met_after_the_last_step(monitor):
    """The last update of an epoch leaves what the record, or the next epoch, meets."""
    x, y = data(vectors(), 4)
    one, other = told(vectors, x, y, eta=1e300, monitor_training=monitor)
    assert other == one


def test_the_steps_before_are_behind(tmp_path):
    """Whoever goes on does not take them again."""
    x, y = data(vectors())
    rows = np.ascontiguousarray(x.T)
    rows[13] = np.nan
    np.save(tmp_path / "x.npy", rows)
    x, thetas = np.load(tmp_path / "x.npy", mmap_mode="r").T, []
    for compiled in (False, True):
        trainer = Trainer(
            vectors(), SGD(0.1), 4, shuffle=False, compiled=compiled, progress=False,
            monitor_training=False,
        )  # fmt: skip
        with pytest.raises(DivergenceError):
            trainer.fit(x, y)
        assert trainer.step == trainer.optimizer.t == 3
        thetas.append(trainer.network.theta)
    np.testing.assert_allclose(*thetas, rtol=1e-12)


SIGMAS = [ReLU(), Sigmoid(), Tanh(), GELU(), GELU(tanh=True), SiLU(), Softplus(), ELU(), ELU(0.0),
          LeakyReLU(), LeakyReLU(0.0)]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", SIGMAS, ids=repr)
def test_sigma_and_its_derivative_times_what_is_no_number(sigma, dtype):
    """Many columns, so that most go through vectors: compilers may take 0 times infinity for 0."""
    z = np.array([-1e30, -1e3, -1.0, 0.0, 1.0, 1e3, 1e30, np.nan], dtype)
    nabla_a = np.array([np.inf, -np.inf, np.nan, 1.0, 0.0], dtype)
    z, nabla_a = (one.repeat(9).reshape(1, -1) for one in np.meshgrid(z, nabla_a))
    found = both_passes(sigma, z, nabla_a)
    with np.errstate(all="ignore"):
        a = sigma.run(z, TRAINING)
        below = sigma.go_back(nabla_a, True)
    np.testing.assert_allclose(found["output"], a, rtol=1e-6, atol=1e-30)
    known = ~np.isnan(z)  # where it is, a is NaN, and the training ends
    np.testing.assert_allclose(found["nabla_a_prev"][known], below[known], rtol=1e-6, atol=1e-30)
