"""Callbacks that look at the history: an early end, the best network, a smaller eta."""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np
import pytest

import backprop as bp
from backprop.layers import BatchNorm, Dense, Dropout
from backprop.schedules import ConstantRate
from backprop.training import checkpoint

N = 40


def data(seed: int = 0, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, and classes that have little to do with them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, n)).astype(np.float32)
    return x, ((x[0] > 0) ^ (rng.random(n) < 0.3)).astype(int)


DATA, HELD_OUT = data(0), data(1)


def network() -> bp.Network:
    rng = np.random.default_rng(0)
    layers = [Dense(4, 8, "identity", rng=rng), BatchNorm(8), Dropout(0.2, rng=rng)]
    return bp.Network([*layers, Dense(8, 2, "softmax", rng=rng)], "softmax_cross_entropy")


def trainer_of(*callbacks: bp.Callback, **options) -> bp.Trainer:
    options = {"optimizer": bp.Adam(0.05), "batch_size": 8, "rng": 1, **options}
    return bp.Trainer(network(), callbacks=callbacks, progress=False, **options)


class Plays(bp.Callback):
    """Record the values of a column that are given, one an epoch."""

    columns = MappingProxyType({"score": True, "loss": False})

    def __init__(self, values, column: str = "score") -> None:
        self.values, self.column = values, column

    def on_epoch_end(self, trainer) -> None:
        trainer.history.records[-1][self.column] = self.values[trainer.epoch - 1]


def states_by_epoch(**options) -> tuple[list[dict[str, np.ndarray]], bp.Trainer]:
    """Return the state of the network after every epoch of a run without early stopping."""
    found = []

    class Keep(bp.Callback):
        def on_epoch_end(self, trainer) -> None:
            found.append(trainer.network.state())

    trainer = trainer_of(Keep(), **options)
    trainer.fit(*DATA, 12, HELD_OUT)
    return found, trainer


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], strict=True, err_msg=name)


# -- an early end ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "options", "epochs"),
    [
        ([1, 2, 3, 3, 3, 9], {"patience": 2}, 5),
        ([1, 2, 1, 3, 1, 1, 9], {"patience": 2}, 6),
        ([1.0, 1.05, 1.1, 1.15, 1.2, 1.25], {"patience": 2, "min_delta": 0.2}, 3),
        ([1.0, 1.1, 1.21, 1.3, 1.43, 1.5, 1.6], {"patience": 3, "min_delta": 0.2}, 7),
        ([1.0, 1.2, 1.4], {"patience": 1, "min_delta": 0.25}, 2),
        ([math.nan, math.nan, math.nan, 1], {"patience": 3}, 3),
        ([math.nan, math.nan, 1, 1, 1], {"patience": 3}, 5),
    ],
)
@pytest.mark.parametrize("greater", [True, False])
def test_early_stopping_counts_epochs_without_the_least_improvement(
    values, options, epochs, greater
):
    column = "score" if greater else "loss"
    plays = Plays([value if greater else -value for value in values] + [100] * 2, column)
    trainer = trainer_of(plays, bp.EarlyStopping(monitor=column, **options))
    trainer.fit(*DATA, len(values))
    assert trainer.epoch == epochs
    assert bool(trainer.stopping) == (column in trainer.stopping)
    assert trainer.stopping or epochs == len(values)


def test_a_falling_error_is_an_improvement():
    x, y = DATA
    plain = bp.Network.from_sizes([4, 2], cost="softmax_cross_entropy", rng=0)
    stop = bp.EarlyStopping(1, "training_log_loss")
    options = {"batch_size": N, "metrics": ["log_loss"], "callbacks": [stop], "progress": False}
    trainer = bp.Trainer(plain, bp.SGD(0.1), **options)  # steps of the whole gradient, and short
    losses = trainer.fit(x, y, 4)["training_log_loss"]
    assert losses == sorted(losses, reverse=True)
    assert trainer.epoch == 4
    assert trainer.history.best("training_log_loss")["epoch"] == 4


@pytest.mark.parametrize("name", ["mse", "mae", "loss", "rmse", "perplexity", "nll", "accurate"])
@pytest.mark.parametrize("greater", [True, False])
def test_the_best_epoch_is_that_of_the_direction_and_not_of_a_name(name, greater, tmp_path):
    if greater and name in ("mse", "mae", "rmse"):  # of which less is known to be better
        return
    values = iter([2.0, 3.0, 1.0, 2.0, 2.0])
    metric = bp.Metric(lambda a, y: next(values), greater, name)
    states = []

    class Keep(bp.Callback):
        def on_epoch_end(self, trainer):
            states.append(trainer.network.state())

    column = f"validation_{name}"
    callbacks = [Keep(), bp.SaveBest(tmp_path / "best.npz", column), bp.EarlyStopping(2, column)]
    trainer = trainer_of(*callbacks, metrics=[metric], monitor_training=False)
    history = trainer.fit(*DATA, 5, HELD_OUT)
    epoch = 2 if greater else 3
    assert history.best(column)["epoch"] == epoch
    assert_same(bp.Network.load(tmp_path / "best.npz").state(), states[epoch - 1])
    assert len(history) == epoch + 2


@pytest.mark.parametrize("kind", [bp.EarlyStopping, bp.ReduceOnPlateau])
def test_the_default_monitor_fits_the_task(kind):
    x, labels = DATA
    callback = kind(1)
    trainer = trainer_of(callback, optimizer=bp.SGD(1e-30))
    trainer.fit(x, labels, 3, HELD_OUT)
    assert callback._column == "validation_accuracy"
    regression = bp.Network([Dense(4, 1, "identity", rng=0)], "quadratic")
    trainer = bp.Trainer(regression, bp.SGD(1e-30), callbacks=[callback], progress=False)
    y = x[:1] + 2
    trainer.fit(x, y, 30, (x, y))
    assert callback._column == "validation_cost"
    assert trainer.stopping
    assert callback.monitor is None


def monitors(tmp_path):
    return [
        lambda **k: bp.EarlyStopping(2, **k),
        lambda **k: bp.ReduceOnPlateau(2, **k),
        lambda **k: bp.SaveBest(tmp_path / "best.npz", **k),
    ]


@pytest.mark.parametrize("which", range(3), ids=["EarlyStopping", "ReduceOnPlateau", "SaveBest"])
@pytest.mark.parametrize(
    ("monitor", "options", "validation", "message"),
    [
        (None, {}, None, r"no column 'validation_cost' .* records epoch, .*: give fit\(..., valid"),
        ("validation_accuracy", {}, None, r"validation=\(x, y\)\), or monitor='training_accuracy'"),
        ("training_cost", {"monitor_training": False}, HELD_OUT, "monitor_training=True"),
        ("validation_f1_macro", {}, HELD_OUT, r"metrics=\[..., 'f1_macro'\]"),
        ("validation_acuracy", {}, HELD_OUT, "did you mean 'validation_accuracy'"),
        ("acc", {}, HELD_OUT, "this training records epoch, seconds, eta, training_cost"),
        ("penalty", {}, HELD_OUT, "no column 'penalty'"),
        ("eta", {}, HELD_OUT, "whether more or less of 'eta' is better is not known"),
    ],
)
def test_a_column_that_will_not_be_is_an_error_before_the_first_epoch(
    which, monitor, options, validation, message, tmp_path
):
    callback = monitors(tmp_path)[which](monitor=monitor)
    trainer = trainer_of(callback, **options)
    before = trainer.network.state()
    with pytest.raises(ValueError, match=message):
        trainer.fit(*DATA, 3, validation)
    assert (trainer.epoch, trainer.step) == (0, 0)
    assert_same(trainer.network.state(), before)


def test_the_columns_of_a_training_are_known_before_it_begins():
    seen = []

    class Looks(bp.Callback):
        columns = MappingProxyType({"extra": True})

        def on_fit_start(self, trainer):
            seen.append(list(trainer.columns))

        def on_epoch_end(self, trainer):
            trainer.history.records[-1]["extra"] = 0.5

    trainer = trainer_of(Looks(), regularizer=bp.L2(0.1), metrics=["accuracy", "log_loss"])
    history = trainer.fit(*DATA, 1, HELD_OUT)
    assert set(seen[0]) == set(history.columns)
    assert history.greater_is_better("extra")


SCORES = [1, 3, 2, 5, 4, 4, 4, 6, 5, 5, 5, 5, 5, 5]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: bp.EarlyStopping(1, "score"),
        lambda path: bp.ReduceOnPlateau(1, monitor="score"),
        lambda path: bp.SaveBest(path, "score"),
    ],
)
def test_a_column_recorded_after_its_monitor_looks_is_an_error_before_training(make, tmp_path):
    callback = make(tmp_path / "best.npz")
    trainer = trainer_of(callback, Plays(SCORES))
    name = type(callback).__name__
    with pytest.raises(ValueError, match=rf"^{name}: 'score' is recorded by Plays.*other order$"):
        trainer.fit(*DATA, 3)
    assert (trainer.epoch, trainer.step) == (0, 0)
    trainer.callbacks.reverse()
    trainer.fit(*DATA, 1)
    own = make(tmp_path / "own.npz")
    own.columns = MappingProxyType({"validation_accuracy": True})  # which the trainer records
    own.monitor = "validation_accuracy"
    trainer_of(own).fit(*DATA, 1, HELD_OUT)


class Seldom(Plays):
    """Record a value in every second epoch only, from the second on; else nothing, or None."""

    def __init__(self, values, none: bool) -> None:
        super().__init__(values)
        self.none = none

    def on_epoch_end(self, trainer) -> None:
        if trainer.epoch % 2 == 0:
            trainer.history.records[-1]["score"] = self.values[trainer.epoch // 2 - 1]
        elif self.none:
            trainer.history.records[-1]["score"] = None


@pytest.mark.parametrize("none", [False, True])
def test_a_column_without_a_value_in_every_epoch_is_judged_by_those_that_it_has(none, tmp_path):
    states, _ = states_by_epoch()
    stop = bp.EarlyStopping(2, "score", restore_best=True)
    trainer = trainer_of(
        Seldom([1, 3, 2, 2, 9], none), stop, bp.SaveBest(tmp_path / "b.npz", "score")
    )
    trainer.fit(*DATA, 1, HELD_OUT)
    trainer.fit(*DATA, 11, HELD_OUT)
    assert (trainer.epoch, stop.best_epoch) == (8, 4)
    assert_same(trainer.network.state(), states[3])
    assert_same(bp.Network.load(tmp_path / "b.npz").state(), states[3])
    plateau = bp.ReduceOnPlateau(1, monitor="score", end=None)
    trainer = trainer_of(Seldom([1, 1, 2, 1], none), plateau, optimizer=bp.SGD(1.0))
    for _ in range(9):
        trainer.fit(*DATA, 1)
    assert trainer.history["eta"] == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


# -- a smaller eta -----------------------------------------------------------------------------


def test_eta_is_halved_where_nothing_improves_until_it_is_1_128_of_the_first():
    trainer = trainer_of(
        Plays([1.0] * 50), bp.ReduceOnPlateau(2, monitor="score"), optimizer=bp.SGD(0.64)
    )
    history = trainer.fit(*DATA, 50)
    # Epoch 1 is the best; every two epochs after it eta is halved, seven times in all.
    assert history["eta"] == [0.64 / 2**k for k in [0] * 3 + [k for k in range(1, 7) for _ in "ab"]]
    assert trainer.optimizer.eta == 0.64 / 128
    assert trainer.stopping == "eta has come down from 0.64 to 0.005"


@pytest.mark.parametrize(
    ("values", "options", "etas"),
    [
        ([1, 1, 2, 2, 2, 2, 2, 3, 3], {"patience": 2}, [1, 1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        ([1, 2, 3, 4, 5], {"patience": 1}, [1, 1, 1, 1, 1]),
        ([1, 1.1, 1.2, 1.3], {"patience": 1, "min_delta": 0.15}, [1, 1, 0.5, 0.5]),
        ([1, 1, 1, 1, 1], {"patience": 1, "factor": 0.1, "end": 0.01}, [1, 1, 0.1]),
        ([1, 1, 1, 1], {"patience": 1, "end": None}, [1, 1, 0.5, 0.25]),
        ([1, 1, 1, 1], {"patience": 1, "end": 0.5}, [1, 1]),
    ],
)
@pytest.mark.parametrize("column", ["score", "loss"])
def test_when_eta_becomes_smaller(values, options, etas, column):
    plays = Plays([value if column == "score" else -value for value in values], column)
    plateau = bp.ReduceOnPlateau(monitor=column, **options)
    trainer = trainer_of(plays, plateau, optimizer=bp.SGD(1.0))
    assert trainer.fit(*DATA, len(values))["eta"] == pytest.approx(etas, rel=1e-14)


@pytest.mark.parametrize("optimizer", [bp.SGD, bp.Momentum, bp.Adam])
@pytest.mark.parametrize("first", [True, False], ids=["checkpoint first", "checkpoint last"])
@pytest.mark.parametrize("epochs", [2, 3, 4, 6])
def test_a_resumed_run_has_the_same_etas(epochs, first, optimizer, tmp_path):
    def trainer():
        pair = [bp.Checkpoint(tmp_path / "c.npz"), bp.ReduceOnPlateau(1, monitor="score")]
        plays = Plays([1, 1, 1, 2, 2, 2, 2, 2, 2])
        return trainer_of(plays, *(pair if first else pair[::-1]), optimizer=optimizer(0.01))

    straight = trainer()
    straight.fit(*DATA, 9)
    trainer().fit(*DATA, epochs)
    resumed = trainer()
    checkpoint.restore(resumed, tmp_path / "c.npz")
    resumed.fit(*DATA, 9 - epochs)
    assert resumed.history["eta"] == straight.history["eta"]
    np.testing.assert_array_equal(resumed.network.theta, straight.network.theta)
    assert resumed.optimizer.eta == straight.optimizer.eta < 0.01


def test_a_run_that_ended_with_a_small_eta_stays_ended():
    trainer = trainer_of(Plays([1.0] * 9), bp.ReduceOnPlateau(1, end=0.5, monitor="score"))
    trainer.fit(*DATA, 9)
    assert trainer.epoch == 2
    trainer.fit(*DATA, 9)
    assert trainer.epoch == 2


def test_a_schedule_and_a_plateau_are_refused_together():
    plateau = bp.ReduceOnPlateau(2, monitor="training_cost")
    trainer = trainer_of(plateau, schedule=ConstantRate(0.1))
    with pytest.raises(ValueError, match=r"^ReduceOnPlateau: the schedule ConstantRate\(eta=0.1\)"):
        trainer.fit(*DATA, 1)
    assert trainer.epoch == trainer.step == 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: bp.ReduceOnPlateau(0), ValueError, "ReduceOnPlateau: patience must be at least 1"),
        (
            lambda: bp.ReduceOnPlateau(factor=1.0),
            ValueError,
            r"factor must be in \(0, 1\), got 1.0",
        ),
        (lambda: bp.ReduceOnPlateau(end=0), ValueError, r"end must be in \(0, 1\), got 0"),
        (lambda: bp.ReduceOnPlateau(min_delta=-1), ValueError, r"min_delta must be in \[0, inf\)"),
        (lambda: bp.EarlyStopping(monitor=3), TypeError, "EarlyStopping: monitor must be the name"),
        (lambda: bp.ReduceOnPlateau(monitor=b"loss"), TypeError, "monitor must be the name of a c"),
        (lambda: bp.SaveBest("a.npz", ["score"]), TypeError, r"SaveBest: .*, got \['score'\]"),
        (lambda: bp.EarlyStopping(min_delta=-1), ValueError, "EarlyStopping: min_delta must be in"),
        (lambda: bp.EarlyStopping(min_delta="a"), TypeError, "min_delta must be a number, got 'a'"),
        (lambda: bp.EarlyStopping(restore_best=1), TypeError, "restore_best must be True or False"),
    ],
)
def test_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


# -- state -----------------------------------------------------------------------------------


def test_the_state_of_callbacks_survives_a_checkpoint(tmp_path):
    class Counts(bp.Callback):
        def __init__(self):
            self.steps, self.seen = 0, np.zeros(3)

        def on_step_end(self, trainer):
            self.steps += 1
            self.seen[self.steps % 3] += 1

        def state(self):
            return {"steps": self.steps, "seen": self.seen.copy()}

        def set_state(self, state, trainer):
            self.steps = state.get("steps", 0)
            self.seen = state.get("seen", np.zeros(3))

    straight = [Counts(), Counts()]
    trainer_of(*straight).fit(*DATA, 3)
    trainer_of(Counts(), Counts(), bp.Checkpoint(tmp_path / "c.npz")).fit(*DATA, 1)
    parts = [Counts(), Counts()]
    resumed = trainer_of(*parts)
    checkpoint.restore(resumed, tmp_path / "c.npz")
    assert parts[0].steps == 5
    resumed.fit(*DATA, 2)
    for one, other in zip(parts, straight, strict=True):
        assert one.steps == other.steps == 15
        np.testing.assert_array_equal(one.seen, other.seen)


def test_the_records_of_gradient_health_survive_a_checkpoint(tmp_path):
    straight = bp.GradientHealth(every=2, window=3)
    trainer_of(straight).fit(*DATA, 4)
    trainer_of(bp.GradientHealth(every=2, window=3), bp.Checkpoint(tmp_path / "c.npz")).fit(
        *DATA, 2
    )
    health = bp.GradientHealth(every=2, window=3)
    resumed = trainer_of(health)
    checkpoint.restore(resumed, tmp_path / "c.npz")
    resumed.fit(*DATA, 2)
    assert health.history == straight.history
    assert (health.layers, health.messages) == (straight.layers, straight.messages)


@pytest.mark.parametrize("kind", [bp.Checkpoint, bp.SaveBest])
def test_a_folder_in_the_place_of_a_file_is_refused_before_the_first_step(tmp_path, kind):
    trainer = trainer_of(kind(tmp_path))
    before = trainer.network.theta.copy()
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: .* is a folder: give a file, such"):
        trainer.fit(*DATA, 2, HELD_OUT)
    np.testing.assert_array_equal(trainer.network.theta, before)
    assert trainer.epoch == 0
