"""Epoch, record and checkpoint are one: whatever raises, training goes on and can be restored."""

import copy
import math
import random
import signal
import sys

import numpy as np
import pytest

import backprop as bp
from backprop.layers import Dense, Dropout, Layer
from backprop.schedules import CosineDecay, StepDecay
from backprop.training import checkpoint
from tests.support import without_times
from tests.training.support import N_IN, N_OUT, Stop, make_data, make_network, make_trainer

DATA, HELD_OUT = make_data(), make_data(20, seed=2)


class Fault(Exception):
    """What is raised where a training is to fail."""


class Faulty(Layer):
    """The identity, which raises in the pass of that name when it is told to."""

    def __init__(self):
        self.fail = ""

    def output(self, a_prev, mode):
        if self.fail == ("forward" if mode.training else "inference"):
            raise Fault
        return a_prev.copy()

    def downstream(self, delta):
        if self.fail == "backward":
            raise Fault
        return delta.copy()


def faulty_network(dtype="float32"):
    rng = np.random.default_rng(0)
    layers = [Dense(N_IN, 5, dtype=dtype, rng=rng), Faulty(), Dropout(0.3, rng=rng)]
    return bp.Network([*layers, Dense(5, N_OUT, dtype=dtype, rng=rng)], "cross_entropy")


def trainer_of(*callbacks, metrics=None):
    return make_trainer(
        faulty_network(),
        bp.Adam(0.01),
        schedule=StepDecay(0.01, 0.5, every=1),
        regularizer=bp.L2(1e-3),
        callbacks=callbacks,
        metrics=metrics,
    )


def check_consistent(trainer, path):
    """Check that a checkpoint written now is restored, and goes on as the trainer does."""
    assert [record["epoch"] for record in trainer.history] == list(range(1, trainer.epoch + 1))
    assert 0 <= trainer.step <= trainer.steps_per_epoch
    checkpoint.save(trainer, path)
    twin = trainer_of()
    checkpoint.restore(twin, path)
    assert (twin.epoch, twin.step) == (trainer.epoch, trainer.step)
    left = 6 - trainer.epoch
    twin.fit(*DATA, left, HELD_OUT)
    trainer.fit(*DATA, left, HELD_OUT)
    assert trainer.epoch == twin.epoch == 6
    np.testing.assert_array_equal(twin.network.theta, trainer.network.theta)
    assert without_times(twin.history) == without_times(trainer.history)
    checkpoint.save(trainer, path)
    checkpoint.restore(trainer_of(), path)


class Raising(bp.Callback):
    """Raise at the `at`-th event of a name."""

    def __init__(self, event, at, error):
        def fail(trainer):
            self.seen += 1
            if self.seen == at:
                raise error

        self.seen = 0
        setattr(self, event, fail)

    @property
    def wants_steps(self):
        return "on_step_end" in vars(self)


@pytest.mark.parametrize("error", [Fault(), KeyboardInterrupt(), MemoryError()], ids=repr)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("event", "at"),
    [
        ("on_fit_start", 1),
        ("on_step_end", 1),
        ("on_step_end", 6),  # the last of the first epoch
        ("on_step_end", 9),
        ("on_epoch_end", 1),
        ("on_epoch_end", 3),
        ("on_fit_end", 1),
    ],
)
def test_a_callback_that_raises_anywhere(tmp_path, event, at, first, error):
    raising, saving = Raising(event, at, error), bp.Checkpoint(tmp_path / "c.npz")
    trainer = trainer_of(*([raising, saving] if first else [saving, raising]))
    with pytest.raises(type(error)):
        trainer.fit(*DATA, 4, HELD_OUT)
    check_consistent(trainer, tmp_path / "now.npz")
    checkpoint.restore(trainer_of(), tmp_path / "c.npz")  # what the callback wrote


def test_a_metric_that_raises_leaves_the_epoch_under_way_until_its_record_is_there(tmp_path):
    broken = [True]

    def moody(a, y):
        if broken[0]:
            raise Fault
        return 0.5

    trainer = trainer_of(bp.Checkpoint(tmp_path / "c.npz"), metrics=[bp.Metric(moody, True)])
    for _ in range(2):
        with pytest.raises(Fault):
            trainer.fit(*DATA, 2, HELD_OUT)
        assert (trainer.epoch, trainer.step, len(trainer.history)) == (0, 6, 0)
    theta = trainer.network.theta.copy()
    checkpoint.save(trainer, tmp_path / "pending.npz")
    broken[0] = False
    trainer.fit(*DATA, 1, HELD_OUT)  # only the record was left to do
    np.testing.assert_array_equal(trainer.network.theta, theta)
    assert (trainer.epoch, trainer.step) == (1, 0)
    straight = trainer_of(metrics=[bp.Metric(moody, True)])
    straight.fit(*DATA, 3, HELD_OUT)
    resumed = trainer_of(metrics=[bp.Metric(moody, True)])
    checkpoint.restore(resumed, tmp_path / "pending.npz")
    assert (resumed.epoch, resumed.step) == (0, 6)
    resumed.fit(*DATA, 3, HELD_OUT)
    trainer.fit(*DATA, 2, HELD_OUT)
    for one in (trainer, resumed):
        np.testing.assert_array_equal(one.network.theta, straight.network.theta)
        assert one.history["epoch"] == [1, 2, 3]
        assert one.history["training_cost"] == straight.history["training_cost"]
    checkpoint.restore(resumed, tmp_path / "c.npz")


@pytest.mark.parametrize("where", ["forward", "backward", "inference"])
def test_a_layer_that_raises_in_a_pass(tmp_path, where):
    def spoil(trainer):
        trainer.network[1].fail = where

    trainer = trainer_of(Stop(9, spoil), bp.Checkpoint(tmp_path / "c.npz"))
    with pytest.raises(Fault):
        trainer.fit(*DATA, 4, HELD_OUT)
    assert (trainer.epoch, trainer.step) == (1, 6 if where == "inference" else 3)
    trainer.network[1].fail = ""
    check_consistent(trainer, tmp_path / "now.npz")
    checkpoint.restore(trainer_of(), tmp_path / "c.npz")


@pytest.mark.parametrize("at", [6, 9, 12])
def test_a_divergence_in_an_epoch_or_in_its_record(tmp_path, at):
    trainer = trainer_of(bp.Checkpoint(tmp_path / "c.npz"))
    kept = []

    def spoil(trainer):
        kept.append(trainer.network.theta.copy())
        trainer.network.theta[...] = np.nan

    trainer.callbacks.append(Stop(at, spoil))
    with pytest.raises(bp.DivergenceError, match=rf"epoch {-(-at // 6)}\b"):
        trainer.fit(*DATA, 4, HELD_OUT)
    assert (trainer.epoch, trainer.step) == ((at - 1) // 6, at - 6 * ((at - 1) // 6))
    trainer.network.theta[...] = kept[0]
    check_consistent(trainer, tmp_path / "now.npz")


def test_two_ctrl_c_in_the_measuring_keep_all_consistent(tmp_path):
    calls = []

    def slow(a, y):
        calls.append(len(y))
        if len(calls) in (3, 4):
            signal.raise_signal(signal.SIGINT)
        return 0.5

    trainer = trainer_of(
        bp.Checkpoint(tmp_path / "c.npz"), metrics=[bp.Metric(slow, True, "slow_accuracy")]
    )
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*DATA, 4, HELD_OUT)
    assert signal.getsignal(signal.SIGINT) is before
    assert (trainer.epoch, trainer.step) == (1, 6)
    assert isinstance(trainer.error, KeyboardInterrupt)
    checkpoint.restore(trainer_of(), tmp_path / "c.npz")
    trainer.metrics = None
    trainer.history.records[0].pop("training_slow_accuracy")
    trainer.history.records[0].pop("validation_slow_accuracy")
    check_consistent(trainer, tmp_path / "now.npz")


@pytest.mark.parametrize("seed", range(40))
def test_an_interrupt_between_any_two_instructions(tmp_path, seed):
    """A KeyboardInterrupt out of nowhere in the package's own code, as of a second Ctrl-C."""
    rng = random.Random(seed)
    left = [rng.randrange(1, 76_000)]

    def trace(frame, event, argument):
        if "/backprop/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return trace

    trainer = trainer_of(bp.Checkpoint(tmp_path / "c.npz"))
    tracing = sys.gettrace()
    try:
        sys.settrace(trace)
        trainer.fit(*DATA, 3, HELD_OUT)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(tracing)
    check_consistent(trainer, tmp_path / "now.npz")
    if (tmp_path / "c.npz").exists():
        checkpoint.restore(trainer_of(), tmp_path / "c.npz")


def test_a_callback_that_fails_at_the_end_keeps_no_other_from_its_end(tmp_path):
    trainer = trainer_of(Raising("on_fit_end", 1, Fault()), bp.Checkpoint(tmp_path / "c.npz", 9))
    with pytest.raises(Fault):
        trainer.fit(*DATA, 2)
    fresh = trainer_of()
    checkpoint.restore(fresh, tmp_path / "c.npz")
    assert fresh.epoch == 2


def test_an_error_at_the_start_is_told_at_the_end():
    ended = []

    class Ends(bp.Callback):
        def on_fit_end(self, trainer):
            ended.append(trainer.error)

    error = Fault()
    trainer = trainer_of(Ends(), Raising("on_fit_start", 1, error))
    with pytest.raises(Fault):
        trainer.fit(*DATA, 1)
    assert ended == [error]


def test_an_epoch_recorded_by_a_later_fit_has_the_eta_of_its_last_minibatch(tmp_path):
    def raising(a, y):
        if broken:
            raise Fault
        return 0.5

    def cosine_trainer():
        schedule, metrics = CosineDecay(0.02, epochs=3), [bp.Metric(raising, True)]
        return make_trainer(faulty_network(), bp.Adam(0.5), schedule=schedule, metrics=metrics)

    broken = False
    trainer, twin = cosine_trainer(), cosine_trainer()
    trainer.fit(*DATA, 1)
    broken = True
    with pytest.raises(Fault):
        trainer.fit(*DATA, 2)
    broken = False
    assert (trainer.epoch, trainer.step, trainer.optimizer.eta) == (1, 6, 0.5)
    checkpoint.save(trainer, tmp_path / "pending.npz")
    checkpoint.restore(twin, tmp_path / "pending.npz")
    expected = [0.01 * (1 + math.cos(math.pi * (k - 1 / 6) / 3)) for k in (1, 2, 3)]
    for one in (trainer, twin):
        one.fit(*DATA, 2)
        assert one.history["eta"] == pytest.approx(expected, rel=1e-12)


def test_a_record_that_could_not_be_restored_is_not_saved(tmp_path):
    class Notes(bp.Callback):
        def on_epoch_end(self, trainer):
            trainer.history.records[-1]["note"] = object

    trainer = trainer_of(Notes(), bp.Checkpoint(tmp_path / "c.npz"))
    with pytest.raises(TypeError, match="record 1: note must be a number, got <class 'object'>"):
        trainer.fit(*DATA, 1)
    assert not (tmp_path / "c.npz").exists()


# -- one optimizer for several trainings ---------------------------------------------------------


@pytest.mark.parametrize("make", [bp.SGD, bp.Momentum, bp.Adam, bp.AdamW])
def test_a_second_network_trains_as_with_an_optimizer_of_its_own(make):
    def second(optimizer):
        trainer = make_trainer(make_network(seed=5), optimizer, rng=8)
        trainer.fit(*DATA, 2)
        return trainer

    right = second(make(eta=0.3))
    optimizer = make(eta=0.3)
    schedule = CosineDecay(0.3, epochs=2)  # ends at 0
    make_trainer(make_network(), optimizer, schedule=schedule).fit(*DATA, 3)
    assert optimizer.eta == 0.3
    found = second(optimizer)
    np.testing.assert_array_equal(found.network.theta, right.network.theta)
    assert found.history["eta"] == right.history["eta"] == [0.3, 0.3]
    assert found.settings == right.settings


def test_a_copy_of_a_network_is_another_and_a_copied_trainer_goes_on():
    optimizer = bp.Adam(0.05)
    trainer = make_trainer(make_network(), optimizer)
    trainer.fit(*DATA, 2)
    twin, on = copy.deepcopy(trainer.network), copy.deepcopy(trainer)
    right = make_trainer(copy.deepcopy(twin), bp.Adam(0.05), rng=4)
    found = make_trainer(twin, optimizer, rng=4)
    wide = make_trainer(twin.astype("float64"), optimizer, rng=4)
    wide.fit(*make_data(dtype=np.float64), 1)
    for one in (right, found):
        one.fit(*DATA, 2)
    np.testing.assert_array_equal(found.network.theta, right.network.theta)
    np.testing.assert_allclose(
        wide.history["training_cost"], [found.history["training_cost"][0]], 1e-5
    )
    for one in (trainer, on):  # and the first goes on, as its copy does
        one.fit(*DATA, 1)
    np.testing.assert_array_equal(on.network.theta, trainer.network.theta)


def test_two_trainers_in_turn_with_one_optimizer_and_their_checkpoints(tmp_path):
    def trainers(one, other):
        return [
            make_trainer(make_network(), one, schedule=StepDecay(0.1, 0.5, every=1)),
            make_trainer(make_network(seed=1), other, rng=9),
        ]

    right = trainers(bp.Adam(0.1), bp.Adam(0.1))
    shared = bp.Adam(0.1)
    found = trainers(shared, shared)
    for _ in range(3):
        for trainer in (*right, *found):
            trainer.fit(*DATA, 1)
    resumed = trainers(bp.Adam(0.1), bp.Adam(0.1))
    for number, (one, two, again) in enumerate(zip(right, found, resumed, strict=True)):
        np.testing.assert_array_equal(two.network.theta, one.network.theta)
        checkpoint.save(two, tmp_path / f"{number}.npz")  # the optimizer has been elsewhere since
        checkpoint.restore(again, tmp_path / f"{number}.npz")
        one.fit(*DATA, 1)
        again.fit(*DATA, 1)
        np.testing.assert_array_equal(again.network.theta, one.network.theta)


def test_an_eta_that_a_callback_halves_stays_with_its_network(tmp_path):
    class Halve(bp.Callback):
        def on_epoch_end(self, trainer):
            trainer.optimizer.eta /= 2

    optimizer = bp.Momentum(0.4)
    trainer = make_trainer(make_network(), optimizer, callbacks=[Halve()])
    trainer.fit(*DATA, 2)
    assert optimizer.eta == 0.1
    other = make_trainer(make_network(), optimizer)
    other.fit(*DATA, 1)
    assert other.history["eta"] == [0.4]
    checkpoint.save(trainer, tmp_path / "c.npz")
    resumed = make_trainer(make_network(), bp.Momentum(0.4), callbacks=[Halve()])
    checkpoint.restore(resumed, tmp_path / "c.npz")
    for one in (trainer, resumed):
        one.fit(*DATA, 2)
        assert one.history["eta"] == [0.4, 0.2, 0.1, 0.05]
    np.testing.assert_array_equal(trainer.network.theta, resumed.network.theta)


def test_a_failed_restore_leaves_the_optimizer_s_other_trainings_alone(tmp_path):
    optimizer = bp.Adam(0.1)
    one, other = make_trainer(make_network(), optimizer), make_trainer(make_network(1), optimizer)
    one.fit(*DATA, 1)
    other.fit(*DATA, 1)
    checkpoint.save(one, tmp_path / "c.npz")
    before = other.state()["optimizer"]
    with pytest.raises(ValueError, match="another trainer"):
        checkpoint.restore(make_trainer(make_network(), bp.Adam(0.2)), tmp_path / "c.npz")
    for name, array in other.state()["optimizer"].items():
        np.testing.assert_array_equal(array, before[name])
    assert math.isfinite(other.optimizer.eta)
