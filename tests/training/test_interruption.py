"""A training that Ctrl-C ends, and goes on: nothing of it is lost, and nothing differs."""

import signal
import threading

import numpy as np
import pytest

import backprop as bp
from backprop.schedules import StepDecay
from backprop.training import checkpoint
from tests.support import without_times
from tests.training.support import Stop, make_data, make_network, make_trainer


def interrupt(trainer):
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_after_the_minibatch_and_saves(tmp_path):
    x, y = make_data()
    path = tmp_path / "c.npz"
    handler = signal.getsignal(signal.SIGINT)
    trainer = make_trainer(
        make_network(dropout=True),
        bp.Adam(0.01),
        callbacks=[Stop(9, interrupt), bp.Checkpoint(path)],
    )
    history = trainer.fit(x, y, 5)
    assert trainer.interrupted
    assert (trainer.epoch, trainer.step) == (1, 3)
    assert len(history) == 1
    assert path.exists()
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_interrupts_at_once():
    def twice(trainer):
        interrupt(trainer)
        interrupt(trainer)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(callbacks=[Stop(2, twice)]).fit(*make_data(), 5)
    assert signal.getsignal(signal.SIGINT) is handler


def test_fit_works_outside_the_main_thread():
    trainer = make_trainer()
    thread = threading.Thread(target=trainer.fit, args=(*make_data(), 2))
    thread.start()
    thread.join()
    assert trainer.epoch == 2


OPTIMIZERS = {
    "sgd": bp.SGD,
    "momentum": bp.Momentum,
    "nesterov": bp.Nesterov,
    "rmsprop": bp.RMSProp,
    "adam": bp.Adam,
    "adamw": bp.AdamW,
}


@pytest.mark.parametrize("at", [1, 6, 9, 12])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_resuming_is_exact_to_the_bit(tmp_path, name, at):
    x, y = make_data()
    held_out = make_data(20, seed=2)
    path = tmp_path / "c.npz"

    def trainer(*callbacks):
        return make_trainer(
            make_network(dropout=True),
            OPTIMIZERS[name](eta=0.01),
            regularizer=bp.L2(1e-3),
            schedule=StepDecay(0.01, 0.5, every=1),
            callbacks=callbacks,
        )

    whole = trainer()
    whole.fit(x, y, 4, held_out)

    first = trainer(Stop(at, interrupt), bp.Checkpoint(path))
    first.fit(x, y, 4, held_out)
    second = trainer()
    second.network.theta = 0 * second.network.theta  # all must come from the file
    checkpoint.restore(second, path)
    second.fit(x, y, 4 - second.epoch, held_out)

    np.testing.assert_array_equal(second.network.theta, whole.network.theta)
    for key, value in whole.optimizer.state().items():
        np.testing.assert_array_equal(second.optimizer.state()[key], value)
    assert second.rng.bit_generator.state == whole.rng.bit_generator.state
    assert without_times(second.history) == without_times(whole.history)


def test_resuming_is_exact_even_if_others_draw_from_the_trainer_s_generator(tmp_path):
    class Draws(bp.Callback):
        def on_step_end(self, trainer):
            trainer.network.theta[...] += np.float32(1e-3) * trainer.rng.standard_normal(
                dtype=np.float32
            )

    x, y = make_data()
    path = tmp_path / "c.npz"

    def trainer(*callbacks):
        return make_trainer(callbacks=[Draws(), *callbacks])

    whole = trainer()
    whole.fit(x, y, 3)
    trainer(Stop(9, interrupt), bp.Checkpoint(path)).fit(x, y, 3)
    second = trainer()
    checkpoint.restore(second, path)
    second.fit(x, y, 2)
    np.testing.assert_array_equal(second.network.theta, whole.network.theta)


def test_resuming_an_epoch_needs_the_same_number_of_examples(tmp_path):
    x, y = make_data()
    trainer = make_trainer(callbacks=[Stop(2, interrupt)])
    trainer.fit(x, y, 1)
    with pytest.raises(ValueError, match="over 53 examples is under way, got 40"):
        trainer.fit(x[:, :40], y[:, :40], 1)
