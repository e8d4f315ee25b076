"""Early stopping that restores the best network, while training stays where it is."""

import copy
import shutil

import numpy as np
import pytest

import backprop as bp
from backprop.layers import Dense
from backprop.training import checkpoint
from tests.support import without_times
from tests.training.test_callbacks import (
    DATA,
    HELD_OUT,
    SCORES,
    Plays,
    assert_same,
    network,
    states_by_epoch,
    trainer_of,
)


class Fault(Exception):
    """What is raised where a training is to fail."""


def test_the_best_network_is_restored_with_its_running_statistics():
    states, _ = states_by_epoch()
    stop = bp.EarlyStopping(3, "score", restore_best=True)
    trainer = trainer_of(Plays(SCORES), stop)
    trainer.fit(*DATA, 12, HELD_OUT)
    assert (trainer.epoch, stop.best_epoch) == (7, 4)
    assert_same(trainer.network.state(), states[3])
    assert "1.running_mean" in states[3]
    assert trainer.network.evaluate(*HELD_OUT)["cost"] == trainer.history["validation_cost"][3]


def test_the_default_monitor_restores_the_best_of_the_validation_data():
    for classes in (True, False):
        x, y = DATA[0], DATA[1] if classes else DATA[0][:1] * 2
        last = ("softmax", "softmax_cross_entropy") if classes else ("identity", "quadratic")
        one = bp.Network([Dense(4, 2 if classes else 1, last[0], rng=0)], last[1])
        stop = bp.EarlyStopping(30, restore_best=True)
        trainer = bp.Trainer(one, bp.SGD(0.2), 4, rng=0, callbacks=[stop], progress=False)
        history = trainer.fit(x, y, 10, (x, y))
        if classes:
            assert one.evaluate(x, y)["accuracy"] == max(history["validation_accuracy"])
        else:
            assert one.evaluate(x, y)["cost"] == min(history["validation_cost"])


def test_without_restore_best_the_network_is_the_last_one():
    states, _ = states_by_epoch()
    trainer = trainer_of(Plays(SCORES), bp.EarlyStopping(3, "score"))
    trainer.fit(*DATA, 12, HELD_OUT)
    assert trainer.epoch == 7
    assert_same(trainer.network.state(), states[6])


@pytest.mark.parametrize("parts", [(1, 11), (5, 7), (6, 3, 3), (12,)])
def test_training_goes_on_from_where_it_was_and_not_from_the_best(parts):
    states, _ = states_by_epoch()
    stop = bp.EarlyStopping(50, "score", restore_best=True)
    trainer = trainer_of(Plays(SCORES), stop)
    for epochs in parts:
        history = trainer.fit(*DATA, epochs, HELD_OUT)
        best = history.best("score")["epoch"]
        assert_same(trainer.network.state(), states[best - 1])
    assert_same(trainer.state()["network"], states[-1])


@pytest.fixture(params=[True, False], ids=["checkpoint first", "checkpoint last"])
def callbacks(request, tmp_path):
    """Give a function that makes callbacks, which keep the best network and write a checkpoint."""

    def made():
        pair = bp.Checkpoint(tmp_path / "c.npz"), bp.EarlyStopping(50, "score", restore_best=True)
        return [Plays(SCORES), *(pair if request.param else pair[::-1])]

    return made


@pytest.mark.parametrize("epochs", [2, 5, 8])
def test_a_resumed_run_restores_the_same_best_network_to_the_bit(epochs, callbacks, tmp_path):
    straight = trainer_of(*callbacks())
    straight.fit(*DATA, 12, HELD_OUT)
    trainer_of(*callbacks()).fit(*DATA, epochs, HELD_OUT)
    resumed = trainer_of(*callbacks())
    checkpoint.restore(resumed, tmp_path / "c.npz")
    resumed.fit(*DATA, 12 - epochs, HELD_OUT)
    assert without_times(resumed.history) == without_times(straight.history)
    assert_same(resumed.network.state(), straight.network.state())
    for trainer in (resumed, straight):  # and so they go on
        trainer.fit(*DATA, 2, HELD_OUT)
    assert_same(resumed.network.state(), straight.network.state())


@pytest.mark.parametrize("at", [3, 27, 38])
def test_an_interrupted_run_has_the_best_network_and_goes_on_to_the_bit(at, callbacks, tmp_path):
    class Interrupt(bp.Callback):
        steps = 0

        def on_step_end(self, trainer):
            self.steps += 1
            trainer.interrupted = trainer.interrupted or self.steps == at

    states, _ = states_by_epoch()
    straight = trainer_of(*callbacks())
    straight.fit(*DATA, 12, HELD_OUT)
    cut = trainer_of(*callbacks(), Interrupt())
    cut.fit(*DATA, 12, HELD_OUT)
    assert cut.interrupted
    if len(cut.history):
        best = cut.history.best("score")["epoch"]
        assert_same(cut.network.state(), states[best - 1])
    resumed = trainer_of(*callbacks())
    checkpoint.restore(resumed, tmp_path / "c.npz")
    for trainer in (resumed, cut):
        trainer.fit(*DATA, 12 - trainer.epoch, HELD_OUT)
        assert_same(trainer.network.state(), straight.network.state())


def test_a_network_that_was_changed_meanwhile_is_trained_on_as_it_is():
    stop = bp.EarlyStopping(50, "score", restore_best=True)
    trainer = trainer_of(Plays(SCORES), stop)
    trainer.fit(*DATA, 12, HELD_OUT)
    assert stop.best_epoch != 12
    trainer.network.theta += 1
    before = trainer.network.state()
    assert_same(trainer.state()["network"], before)
    trainer.fit(*DATA, 0, HELD_OUT)
    assert_same(trainer.state()["network"], before)


def test_an_error_leaves_the_best_network_and_where_training_was():
    class Fails(bp.Callback):
        def on_fit_start(self, trainer):
            if trainer.epoch:
                raise Fault

    stop = bp.EarlyStopping(50, "score", restore_best=True)
    trainer = trainer_of(Plays(SCORES), stop, Fails())
    trainer.fit(*DATA, 12, HELD_OUT)
    best, last = trainer.network.state(), trainer.state()["network"]
    assert (best["theta"] != last["theta"]).any()
    with pytest.raises(Fault):
        trainer.fit(*DATA, 1, HELD_OUT)
    assert_same(trainer.network.state(), best)
    assert_same(trainer.state()["network"], last)


def test_the_best_network_after_divergence_is_finite():
    stop = bp.EarlyStopping(50, "score", restore_best=True)
    trainer = trainer_of(Plays(SCORES), stop)
    trainer.fit(*DATA, 2, HELD_OUT)

    class Break(bp.Callback):
        def on_step_end(self, trainer):
            trainer.network.theta[:] = np.nan

    trainer.callbacks.append(Break())
    with pytest.raises(bp.DivergenceError):
        trainer.fit(*DATA, 1, HELD_OUT)
    assert np.isfinite(trainer.network.theta).all()
    assert trainer.network.evaluate(*HELD_OUT)["cost"] == trainer.history["validation_cost"][1]


def test_a_best_epoch_whose_network_was_not_kept_is_an_error_before_training():
    trainer = trainer_of(Plays(SCORES))
    trainer.fit(*DATA, 3, HELD_OUT)
    trainer.callbacks.append(bp.EarlyStopping(3, "score", restore_best=True))
    before = trainer.network.state()
    with pytest.raises(
        ValueError, match=r"^EarlyStopping: the network of epoch .* was not kept: g"
    ):
        trainer.fit(*DATA, 3, HELD_OUT)
    assert trainer.epoch == 3
    assert_same(trainer.network.state(), before)


def test_early_stopping_is_for_one_training_after_another():
    stop = bp.EarlyStopping(2, "score", restore_best=True)
    for _ in range(2):
        trainer = trainer_of(Plays(SCORES), stop)
        history = trainer.fit(*DATA, 12, HELD_OUT)
        assert (len(history), stop.best_epoch) == (6, 4)
        assert trainer.network.evaluate(*HELD_OUT)["cost"] == history["validation_cost"][3]


def test_a_checkpoint_whose_kept_network_is_another_one_is_damaged(tmp_path):
    stop = bp.EarlyStopping(50, "score", restore_best=True)
    trainer = trainer_of(Plays(SCORES), stop)
    trainer.fit(*DATA, 3, HELD_OUT)
    stop._best = {name: array[:-1] for name, array in stop._best.items()}
    checkpoint.save(trainer, tmp_path / "c.npz")
    other = trainer_of(Plays(SCORES), bp.EarlyStopping(50, "score", restore_best=True))
    before = copy.deepcopy(other.state())
    with pytest.raises(bp.FileError, match="EarlyStopping: its best network is not one of this k"):
        checkpoint.restore(other, tmp_path / "c.npz")
    assert other.state()["callbacks"] == before["callbacks"] == {}
    assert_same(other.network.state(), before["network"])


# -- at the edges -----------------------------------------------------------------------------


def stop_at_best() -> bp.EarlyStopping:
    return bp.EarlyStopping(50, "score", restore_best=True)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("error", [Fault, KeyboardInterrupt])
@pytest.mark.parametrize("at", [3, 4])
def test_an_error_between_a_record_and_early_stopping_loses_no_best_network(at, error, first):
    class Raises(bp.Callback):
        def on_epoch_end(self, trainer):
            if trainer.epoch == at:
                raise error

    states, _ = states_by_epoch()
    stop = stop_at_best()
    trainer = trainer_of(Plays(SCORES), *([Raises(), stop] if first else [stop, Raises()]))
    with pytest.raises(error):
        trainer.fit(*DATA, 12, HELD_OUT)
    best = {3: 2, 4: 4}[at]
    assert (trainer.epoch, stop.best_epoch) == (at, best)
    assert_same(trainer.network.state(), states[best - 1])
    trainer.fit(*DATA, 12 - at, HELD_OUT)
    assert_same(trainer.network.state(), states[7])
    assert_same(trainer.state()["network"], states[11])


@pytest.mark.parametrize("place", [0, 1, 2, "by hand"])
@pytest.mark.parametrize("at", [3, 4, 8])
def test_a_killed_run_goes_on_to_the_bit_wherever_its_checkpoint_stands(at, place, tmp_path):
    class ByHand(bp.Callback):
        def on_epoch_end(self, trainer):
            checkpoint.save(trainer, tmp_path / "c.npz")

    class Records(Plays):  # what it has seen goes into its values
        def __init__(self):
            super().__init__(SCORES)
            self.seen = 0

        def on_epoch_end(self, trainer):
            super().on_epoch_end(trainer)
            self.seen += trainer.epoch

        def state(self):
            return {"seen": self.seen}

        def set_state(self, state, trainer):
            self.seen = state.get("seen", 0)

    class Killed(bp.Callback):
        comes_last = True

        def on_epoch_end(self, trainer):
            if trainer.epoch == at:
                shutil.copy(tmp_path / "c.npz", tmp_path / "killed.npz")

    def callbacks():
        found = [Records(), stop_at_best()]
        if place == "by hand":  # called where it stands
            found.insert(1, ByHand())
        else:
            found.insert(place, bp.Checkpoint(tmp_path / "c.npz"))
        return found

    straight = trainer_of(*callbacks(), Killed())
    straight.fit(*DATA, 12, HELD_OUT)
    parts = callbacks()
    resumed = trainer_of(*parts)
    checkpoint.restore(resumed, tmp_path / "killed.npz")
    resumed.fit(*DATA, 12 - at, HELD_OUT)
    assert resumed.history["score"] == straight.history["score"]
    assert_same(resumed.network.state(), straight.network.state())
    assert_same(resumed.state()["network"], straight.state()["network"])
    assert next(c.seen for c in parts if isinstance(c, Records)) == sum(range(13))


@pytest.mark.parametrize("epochs", [5, 8, 9])
@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_that_restore_the_last_has_its_way_and_training_goes_on(epochs, swapped):
    losses = [9, 9, 9, 9, 1, 9, 9, 9, 9, 9, 9, 9]
    states, _ = states_by_epoch()
    both = [stop_at_best(), bp.EarlyStopping(50, "loss", restore_best=True)]
    trainer = trainer_of(Plays(SCORES), Plays(losses, "loss"), *(both[::-1] if swapped else both))
    trainer.fit(*DATA, epochs, HELD_OUT)
    best = (4 if epochs == 5 else 8) if swapped else 5
    assert_same(trainer.network.state(), states[best - 1])
    assert_same(trainer.state()["network"], states[epochs - 1])
    trainer.fit(*DATA, 12 - epochs, HELD_OUT)
    assert_same(trainer.state()["network"], states[11])


def test_a_checkpoint_has_the_network_of_the_training_and_not_the_best(tmp_path):
    states, _ = states_by_epoch()
    trainer = trainer_of(Plays(SCORES), stop_at_best(), bp.Checkpoint(tmp_path / "c.npz"))
    trainer.fit(*DATA, 6, HELD_OUT)
    assert_same(trainer.network.state(), states[3])
    assert_same(checkpoint.load_network(tmp_path / "c.npz").state(), states[5])
    without = trainer_of(Plays(SCORES))
    checkpoint.restore(without, tmp_path / "c.npz")
    assert_same(without.network.state(), states[5])
    without.fit(*DATA, 6, HELD_OUT)
    assert_same(without.network.state(), states[11])


def test_a_restore_that_fails_leaves_the_best_network_and_where_training_was(tmp_path):
    states, _ = states_by_epoch()
    other = trainer_of(Plays(SCORES), stop_at_best())
    other.fit(*DATA, 3, HELD_OUT)
    state = other.state()
    state["callbacks"]["EarlyStopping.0"]["best_epoch"] = "two"  # found when half is put
    trainer = trainer_of(Plays(SCORES), stop_at_best())
    trainer.fit(*DATA, 6, HELD_OUT)
    with pytest.raises(TypeError, match="EarlyStopping: best_epoch must be an integer"):
        trainer.set_state(state)
    assert_same(trainer.network.state(), states[3])
    trainer.fit(*DATA, 6, HELD_OUT)
    assert_same(trainer.network.state(), states[7])
    assert_same(trainer.state()["network"], states[11])


def test_after_divergence_training_goes_on_from_the_best_network():
    class Explode(bp.Callback):
        def on_epoch_end(self, trainer):
            if trainer.epoch == 3:
                trainer.optimizer.eta = 1e30

    states, _ = states_by_epoch(optimizer=bp.SGD(0.05))
    trainer = trainer_of(Plays(SCORES), stop_at_best(), Explode(), optimizer=bp.SGD(0.05))
    with pytest.raises(bp.DivergenceError):
        trainer.fit(*DATA, 12, HELD_OUT)
    assert_same(trainer.network.state(), states[1])
    assert_same(trainer.state()["network"], states[1])
    trainer.optimizer.eta = 0.05
    trainer.fit(*DATA, 1, HELD_OUT)
    assert trainer.epoch == 4
    assert trainer.history["training_cost"][3] < 2 * trainer.history["training_cost"][2]


def test_the_network_of_another_training_is_not_put_into_this_one():
    class Fails(bp.Callback):
        def on_fit_start(self, trainer):
            raise Fault

    stop = stop_at_best()
    trainer_of(Plays(SCORES), stop).fit(*DATA, 8, HELD_OUT)  # of which the last epoch is the best
    for callbacks, error in (([Fails(), stop], Fault), ([stop], ValueError)):
        trainer = trainer_of(*callbacks)
        with pytest.raises(error):
            trainer.fit(*DATA, 1, HELD_OUT)
        assert_same(trainer.network.state(), network().state())


def test_what_was_kept_of_another_training_does_not_stand_in_for_a_first_epoch():
    stop = stop_at_best()
    trainer_of(Plays([1, 0]), stop).fit(*DATA, 2, HELD_OUT)
    other = trainer_of(Plays([1, 0]), stop, rng=5)
    other.set_state(copy.deepcopy(other.state()))
    other.fit(*DATA, 2, HELD_OUT)
    cost = other.network.evaluate(*HELD_OUT)["cost"]
    assert cost == other.history["validation_cost"][0] != other.history["validation_cost"][1]
