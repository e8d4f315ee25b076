"""Data, networks and trainers of the tests of training, and what stops one."""

import numpy as np

import backprop as bp
from backprop.layers import Dense, Dropout
from backprop.training import checkpoint

N, N_IN, N_OUT = 53, 6, 3  # 53 examples: the last minibatch of 10 holds 3


def make_data(n=N, seed=1, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, N_IN)).astype(dtype).T
    labels = rng.integers(N_OUT, size=n)
    y = np.zeros((n, N_OUT), dtype)
    y[np.arange(n), labels] = 1
    return x, y.T


def make_network(seed=0, dtype="float32", dropout=False, cost="cross_entropy"):
    rng = np.random.default_rng(seed)
    hidden = Dense(N_IN, 5, dtype=dtype, rng=rng)
    middle = [Dropout(0.3, rng=rng)] if dropout else []
    return bp.Network([hidden, *middle, Dense(5, N_OUT, dtype=dtype, rng=rng)], cost)


def make_trainer(network=None, optimizer=None, **options):
    options = {"batch_size": 10, "rng": 3, "progress": False, **options}
    network = make_network() if network is None else network
    return bp.Trainer(network, optimizer or bp.SGD(0.5), **options)


def assert_resumes(make, x, y, path, epochs=4, before=2):
    """Check that a checkpoint on the way changes no bit, whatever it is restored into.

    Returns the trainers: the one that went all the way, the one that was saved, what went on.
    """
    whole, first, second = make(), make(), make()
    whole.fit(x, y, epochs)
    first.fit(x, y, before)
    checkpoint.save(first, path)
    second.network.initialize(9)
    checkpoint.restore(second, path)
    second.fit(x, y, epochs - before)
    np.testing.assert_array_equal(second.network.theta, whole.network.theta)
    return whole, first, second


class Stop(bp.Callback):
    """Do something at the minibatch that is the `at`-th of all."""

    def __init__(self, at, action):
        self.at, self.action, self.seen = at, action, 0

    def on_step_end(self, trainer):
        self.seen += 1
        if self.seen == self.at:
            self.action(trainer)


class StopAfter(bp.Callback):
    """Ask to stop, once, when so many minibatches of the second epoch are behind."""

    def __init__(self, steps):
        self.steps = steps

    def on_step_end(self, trainer):
        if trainer.step == self.steps and trainer.epoch == 1:
            trainer.stop("enough")


def fingerprint(trainer):
    """Return all that a checkpoint restores, to be compared."""
    state = {k: np.array(v).tobytes() for k, v in trainer.optimizer.state().items()}
    return (
        trainer.network.theta.tobytes(),
        state,
        trainer.rng.bit_generator.state,
        trainer.epoch,
        trainer.step,
        trainer.history.records.copy(),
        trainer.optimizer.eta,
    )
