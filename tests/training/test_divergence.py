"""What cannot be gone on from is neither recorded nor saved."""

import os
import signal

import numpy as np
import pytest

import backprop as bp
from backprop.layers import Dense
from backprop.training import checkpoint
from backprop.training.divergence import check_finite
from tests.training.test_trainer import N, Stop, make_data, make_network, make_trainer


def overflow(trainer):
    """Let a bias be infinite, which a sigmoid makes a 1 of: the cost stays a number."""
    trainer.network[1].b[0] = np.inf


def squared():
    rng = np.random.default_rng(0)
    chain = [Dense(6, 5, rng=rng), Dense(5, 3, "sigmoid", rng=rng), Dense(3, 3, rng=rng)]
    return bp.Network(chain, "quadratic")


@pytest.mark.parametrize("monitor", [True, False])
def test_parameters_that_overflow_in_the_last_minibatch_of_an_epoch(tmp_path, monitor):
    x, y = make_data()
    steps = -(-N // 10)
    callbacks = [Stop(2 * steps, overflow), bp.Checkpoint(tmp_path / "c.npz")]
    trainer = make_trainer(squared(), callbacks=callbacks, monitor_training=monitor)
    match = "parameters became NaN or infinite in epoch 2: first in the update of layer 1, Dense"
    with pytest.raises(bp.DivergenceError, match=match):
        trainer.fit(x, y, 4)
    assert trainer.epoch == 1
    resumed = make_trainer(squared(), monitor_training=monitor)
    checkpoint.restore(resumed, tmp_path / "c.npz")
    assert resumed.epoch == 1
    resumed.fit(x, y, 3)
    assert resumed.epoch == 4


def test_parameters_that_overflow_in_the_minibatch_that_ctrl_c_ends(tmp_path):
    def overflow_and_interrupt(trainer):
        overflow(trainer)
        os.kill(os.getpid(), signal.SIGINT)

    x, y = make_data()
    callbacks = [Stop(9, overflow_and_interrupt), bp.Checkpoint(tmp_path / "c.npz")]
    trainer = make_trainer(squared(), callbacks=callbacks)
    with pytest.raises(bp.DivergenceError, match="parameters became NaN or infinite in epoch 2"):
        trainer.fit(x, y, 4)
    assert checkpoint.load_history(tmp_path / "c.npz")["epoch"] == [1]
    assert np.isfinite(checkpoint.load_network(tmp_path / "c.npz").theta).all()


def test_what_is_finite_passes():
    trainer = make_trainer(make_network())
    check_finite(trainer)
    with pytest.raises(bp.DivergenceError, match="the training cost became nan in epoch 1"):
        check_finite(trainer, float("nan"))
