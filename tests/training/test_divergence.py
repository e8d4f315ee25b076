"""What cannot be gone on from is neither recorded nor saved."""

import os
import signal

import numpy as np
import pytest

import backprop as bp
from backprop.layers import Dense, Layer
from backprop.training import checkpoint
from backprop.training.divergence import check_finite
from tests.training.support import N_IN, N_OUT, N, Stop, make_data, make_network, make_trainer


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


# -- divergence ------------------------------------------------------------------------------


def diverge(network, x, y, **options):
    trainer = make_trainer(network, **options)
    with pytest.raises(bp.DivergenceError) as raised:
        trainer.fit(x, y, 50)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_a_cost_that_overflows_names_epoch_minibatch_and_layer():
    x, _ = make_data()
    rng = np.random.default_rng(0)
    layers = [Dense(N_IN, 8, "relu", rng=rng), Dense(8, 2, "identity", rng=rng)]
    y = np.ones((2, N), np.float32)
    message = diverge(bp.Network(layers, "quadratic"), x, y, optimizer=bp.SGD(1e6))
    assert message.startswith("the cost became")
    assert "epoch 1, minibatch" in message
    assert "layer" in message
    assert "Dense" in message


def test_a_cost_that_is_lost_in_the_last_step_of_an_epoch_is_noticed():
    x, y = make_data()
    trainer = make_trainer(batch_size=N, optimizer=bp.SGD(1e38), regularizer=bp.L2(1e10))
    with pytest.raises(bp.DivergenceError, match="the training cost became nan in epoch 1: first"):
        trainer.fit(x, y, 1)


class Faulty(Layer):
    """The identity, until it is told to give NaN in one of the two passes."""

    def __init__(self):
        self.fail = ""

    def output(self, a_prev, mode):
        return a_prev * np.float32(np.nan) if self.fail == "forward" else a_prev.copy()

    def downstream(self, delta):
        return delta * np.float32(np.nan) if self.fail == "backward" else delta


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("forward", "minibatch 4 of 6: first in a of layer 2, Faulty()"),
        (
            "backward",
            "minibatch 5 of 6: first in the gradient of layer 1, Dense(5 -> 4, sigmoid), "
            "one step before",
        ),
    ],
)
def test_the_layer_where_nan_appeared_first_is_named(fault, expected):
    x, y = make_data()
    faulty = Faulty()
    rng = np.random.default_rng(0)
    layers = [Dense(N_IN, 5, rng=rng), Dense(5, 4, rng=rng), faulty, Dense(4, N_OUT, rng=rng)]
    network = bp.Network(layers, "cross_entropy")
    break_it = Stop(3, lambda trainer: setattr(faulty, "fail", fault))
    assert expected in diverge(network, x, y, callbacks=[break_it])


def test_a_parameter_that_overflows_in_the_update_is_named():
    x, y = make_data()
    network = make_network()

    def overflow(trainer):
        trainer.network.layers[1].b[...] = np.inf

    message = diverge(network, x, y, callbacks=[Stop(2, overflow)])
    assert "first in the update of layer 1, Dense(5 -> 3, sigmoid)" in message


def test_a_run_that_diverges_keeps_its_history_and_its_last_good_checkpoint(tmp_path):
    x, y = make_data()
    path = tmp_path / "c.npz"
    network = make_network()
    spoil = Stop(14, lambda trainer: trainer.network.theta.fill(np.nan))
    trainer = make_trainer(network, callbacks=[spoil, bp.Checkpoint(path)])
    with pytest.raises(bp.DivergenceError):
        trainer.fit(x, y, 5)
    assert len(trainer.history) == 2
    fresh = make_trainer()
    checkpoint.restore(fresh, path)
    assert fresh.epoch == 2
    assert np.isfinite(fresh.network.theta).all()
