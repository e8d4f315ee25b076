"""Which way a training goes, that it says so, and that nothing else is different for it."""

import copy
import os
import pickle
import signal
import threading
import warnings

import numpy as np
import pytest

from backprop import Dense, DivergenceError, Network, Trainer, plots  # noqa: F401
from backprop.compiled import NoTwin
from backprop.layers import Dropout, Flatten, Layer
from backprop.optimizers import SGD, Adam
from backprop.regularizers import L2
from backprop.schedules import StepDecay
from backprop.training import checkpoint
from backprop.training.callback import Callback
from backprop.training.callbacks import EarlyStopping
from backprop.training.history import History
from tests.compiled.support import assert_one, needs_compiler, relative, train_both

pytestmark = needs_compiler

RNG = np.random.default_rng(1)
X = RNG.standard_normal((5, 23)).astype("float32")
Y = np.eye(3, dtype="float32")[RNG.integers(0, 3, 23)].T.copy()


def network(rng=1):
    """Return 5-4-3."""
    return Network([Dense(5, 4, "tanh"), Dense(4, 3, "softmax")], "softmax_cross_entropy", rng=rng)


def trainer(compiled=True, **settings):
    """Return a trainer of that network."""
    settings = {"batch_size": 4, "rng": 2, "progress": False, **settings}
    return Trainer(network(), settings.pop("optimizer", SGD(0.5)), compiled=compiled, **settings)


class EveryStep(Callback):
    """Counts."""

    steps = 0

    def on_step_end(self, trainer):
        self.steps += 1


class LimitedTime(Callback):
    """Has a timer stop the training."""

    def on_fit_start(self, trainer):
        threading.Timer(0.3, trainer.stop, ["time is up"]).start()


class Doubled(Dense):
    """A layer of the user's."""

    def weighted_input(self, a_prev):
        return 2 * super().weighted_input(a_prev)


# -- which way, and why ----------------------------------------------------------------------


def test_small_trainings_go_by_numpy_unless_told(monkeypatch):
    one = trainer(None)
    one.fit(X, Y)
    assert one.computed_by.startswith("NumPy: an epoch is so short")
    monkeypatch.setattr("backprop.training.paths.WORTH_WHILE", 0.0)
    one.fit(X, Y)
    assert one.computed_by == "compiled"
    assert [text.partition(":")[0] for text in one.history.computed_by] == ["NumPy", "compiled"]


def test_a_timer_stops_a_training_between_two_stretches():
    x, y = np.tile(X, 10**5), np.tile(Y, 10**5)
    one = trainer(callbacks=[LimitedTime()], shuffle=False, monitor_training=False)
    one.fit(x, y, epochs=1000)
    assert (one.stopping, one.computed_by) == ("time is up", "compiled")
    behind = one.epoch * one.steps_per_epoch + one.step
    assert 0 < behind == one.optimizer.t < 100 * one.steps_per_epoch


def test_arrays_of_more_numbers_than_an_int_counts_are_for_numpy():
    found = Network([Dense(5, 4), Dense(4, 3)], "quadratic")
    most = (2**31 - 1) // 5
    assert "B = 429496729 }" in str(found.program(most, SGD(0.5)))
    for optimizer in (None, SGD(0.5)):
        with pytest.raises(NoTwin, match="an array of 2,147,483,650 numbers"):
            found.program(most + 1, optimizer)


def hooked():
    found = network()
    found[0].add_hook("delta", lambda layer: None)
    return found


def replaced():
    found = network()
    found[0].downstream = lambda delta: None
    return found


def own_layer():
    return Network([Doubled(5, 4), Dense(4, 3, "softmax")], "softmax_cross_entropy")


@pytest.mark.parametrize(
    ("make", "why"),
    [(hooked, "has hooks"), (replaced, "downstream was replaced"), (own_layer, "has no twin")],
    ids=["hook", "replaced", "own"],
)
def test_what_cannot_be_compiled_goes_by_numpy_and_says_why(make, why, monkeypatch):
    monkeypatch.setattr("backprop.training.paths.WORTH_WHILE", 0.0)
    one = Trainer(make(), "sgd", progress=False)
    one.fit(X, Y)
    assert why in one.computed_by
    demanding = Trainer(make(), "sgd", progress=False, compiled=True)
    theta = demanding.network.theta.copy()
    with pytest.raises(NoTwin, match=why):
        demanding.fit(X, Y)
    np.testing.assert_array_equal(demanding.network.theta, theta)
    assert demanding.n_examples is None
    assert demanding.epoch == 0


def test_a_callback_that_wants_steps_gets_them(monkeypatch):
    monkeypatch.setattr("backprop.training.paths.WORTH_WHILE", 0.0)
    counting = EveryStep()
    one = trainer(None, callbacks=[counting])
    one.fit(X, Y)
    assert counting.steps == 6
    assert "EveryStep() wants every step" in one.computed_by


def test_a_hook_added_by_a_callback_is_called(monkeypatch):
    called = []

    class Hooking(Callback):
        def on_epoch_end(self, trainer):
            if trainer.epoch == 1:
                trainer.network[0].add_hook("forward", called.append)

    one = trainer(True, callbacks=[Hooking()], monitor_training=False)
    one.fit(X, Y, epochs=3)
    assert len(called) == 12
    assert [text.partition(":")[0] for text in one.history.computed_by] == [
        "compiled",
        "NumPy",
        "NumPy",
    ]


# -- the same in all else --------------------------------------------------------------------


def test_what_the_layers_hold_and_the_trainer_knows_afterwards():
    one, other = train_both(network().astype("float64"), X.astype(float), Y.astype(float), 2)
    assert_one(one, other)
    assert other.minibatch_cost() == pytest.approx(one.minibatch_cost(), rel=1e-12)
    assert other.history["seconds"][0] > 0
    assert (other.epoch, other.step, other.seconds) == (2, 0, 0)


def test_records_agree_with_those_of_numpy():
    records = []
    for compiled in (False, True):
        one = trainer(compiled, metrics=["accuracy", "log_loss"])
        one.fit(X, Y, epochs=3, validation=(X[:, :7], Y[:, :7]))
        records.append(one.history)
    for name in records[0].columns:
        if name != "seconds":
            np.testing.assert_allclose(records[1][name], records[0][name], rtol=2e-5)


def test_the_seed_decides_all():
    thetas = []
    for _ in range(2):
        one = trainer(True, optimizer=Adam(0.01))
        one.fit(X, Y, epochs=2)
        thetas.append(one.network.theta)
    np.testing.assert_array_equal(*thetas)


@pytest.mark.parametrize("schedule", [None, StepDecay(0.5, 0.5, 1)])
def test_a_training_goes_on_from_a_checkpoint_to_the_bit(schedule, tmp_path):
    straight = trainer(optimizer=Adam(0.01), schedule=schedule)
    straight.fit(X, Y, epochs=4)
    first = trainer(optimizer=Adam(0.01), schedule=schedule)
    first.fit(X, Y, epochs=2)
    checkpoint.save(first, tmp_path / "c.npz")
    second = trainer(optimizer=Adam(0.01), schedule=schedule)
    checkpoint.restore(second, tmp_path / "c.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(second.network.theta, straight.network.theta)
    assert second.history.computed_by == ["compiled"] * 4


@pytest.mark.parametrize("first", [True, False])
def test_a_checkpoint_says_so_when_the_other_way_goes_on(first, tmp_path):
    one = trainer(first)
    one.fit(X, Y)
    checkpoint.save(one, tmp_path / "c.npz")
    other = trainer(not first)
    checkpoint.restore(other, tmp_path / "c.npz")
    with pytest.warns(UserWarning, match="the checkpoint was computed by"):
        other.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.fit(X, Y)


def test_ctrl_c_ends_it_between_stretches_and_it_goes_on_to_the_bit(monkeypatch):
    straight = trainer(optimizer=Adam(0.01))
    straight.fit(X, Y, epochs=3)
    one = trainer(optimizer=Adam(0.01))
    stretch = type(one).go_by
    from backprop.training.compiled import Compiled

    real, seen = Compiled._stretch, []

    def interrupted(path, order, step):
        found = real(path, order, step)
        seen.append(step)
        if len(seen) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    monkeypatch.setattr(Compiled, "_stretch", interrupted)
    one.fit(X, Y, epochs=3)
    assert one.interrupted
    left = 3 - one.epoch
    assert left
    one.fit(X, Y, epochs=left)
    np.testing.assert_array_equal(one.network.theta, straight.network.theta)
    assert stretch is type(one).go_by


def test_divergence_is_found_where_it_is():
    messages = []
    for compiled in (False, True):
        one = trainer(compiled, optimizer=SGD(1e38), monitor_training=False)
        with pytest.raises(DivergenceError) as caught:
            one.fit(100 * X, Y, epochs=5)
        messages.append(str(caught.value))
        assert one.step == int(str(caught.value).split("minibatch ")[1].split()[0]) - 1
    assert messages[0] == messages[1]


@pytest.mark.parametrize("optimizer", [Adam(0.01), Adam(0.01, eps=1e-30)], ids=["large", "eps"])
def test_gradients_whose_squares_do_not_fit_are_left_to_numpy(optimizer):
    networks = []
    for compiled in (False, None):
        net = Network([Dense(5, 3, "identity", rng=0)], "quadratic")
        one = Trainer(net, copy.deepcopy(optimizer), 4, rng=0, progress=False, compiled=compiled)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("backprop.training.paths.WORTH_WHILE", 0.0)
            one.fit(X, 1e25 * Y, epochs=2)
        networks.append(one)
    first, second = networks
    assert relative(second.network.theta, first.network.theta) <= 1e-5
    assert "by roots" in second.computed_by
    assert second.optimizer.t == first.optimizer.t
    assert second.optimizer.accumulators.keys() == {"mean", "root_v"}


def test_freezing_in_a_callback_is_heeded():
    class Freeze(Callback):
        def on_epoch_end(self, trainer):
            trainer.network[0].trainable = trainer.epoch % 2 == 0

    found = []
    for compiled in (False, True):
        net = network().astype("float64")
        one = Trainer(net, Adam(0.01), 4, rng=0, compiled=compiled, callbacks=[Freeze()],
                      progress=False)  # fmt: skip
        one.fit(X.astype(float), Y.astype(float), epochs=4)
        assert one.computed_by.startswith("compiled" if compiled else "NumPy")
        found.append(one)
    assert_one(*found)


def trained_both_ways(callback: Callback) -> list[Trainer]:
    """Return a training through NumPy and a compiled one, which are held to be the same."""
    found = []
    for compiled in (False, True):
        net = network().astype("float64")
        one = Trainer(net, SGD(0.5), 4, rng=0, compiled=compiled, callbacks=[callback],
                      progress=False)  # fmt: skip
        one.fit(X.astype(float), Y.astype(float), epochs=3)
        found.append(one)
    assert_one(*found)
    return found


def test_another_regularizer_is_heeded_at_once():
    class Decay(Callback):
        def on_epoch_end(self, trainer):
            trainer.regularizer = L2(0.1 * trainer.epoch)

    found = trained_both_ways(Decay())
    assert found[0].history["penalty"] == pytest.approx(found[1].history["penalty"], nan_ok=True)


def test_another_batch_size_is_heeded_at_once():
    class Larger(Callback):
        def on_epoch_end(self, trainer):
            trainer.batch_size += 3

    found = trained_both_ways(Larger())
    assert found[1].history.computed_by == ["compiled"] * 3


def test_early_stopping_restores_the_best():
    one = trainer(callbacks=[EarlyStopping(2, "training_cost", restore_best=True)],
                  optimizer=SGD(20.0))  # fmt: skip
    one.fit(X, Y, epochs=10)
    best = one.history.best("training_cost")["training_cost"]
    assert one.network.evaluate(X, Y)["cost"] == pytest.approx(best, rel=1e-5)


def test_a_bar_is_shown(capsys):
    trainer().fit(X, Y, epochs=2, progress="lines")
    assert capsys.readouterr().out.count("epoch") == 2
    trainer().fit(X, Y, epochs=2, progress="bar")


def test_copies_and_histories_know_how(tmp_path):
    one = trainer()
    one.fit(X, Y)
    for twin in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert twin.computed_by == "compiled"
        twin.fit(X, Y)
    one.history.to_json(tmp_path / "h.json")
    assert History.from_json(tmp_path / "h.json").computed_by == ["compiled"]


# -- predicting ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
def test_predictions_are_the_same(n):
    net = network().astype("float64")
    x = RNG.standard_normal((5, n))
    y = RNG.integers(0, 3, n)
    found = net.predict(x, compiled=True)
    assert found.flags.c_contiguous
    assert relative(found, net.predict(x, compiled=False)) <= 1e-12
    one, other = (net.evaluate(x, y, compiled=compiled) for compiled in (False, True))
    assert other == pytest.approx(one, rel=1e-12)


def test_predictions_of_a_network_without_a_twin():
    net = own_layer()
    with pytest.raises(NoTwin, match="has no twin"):
        net.predict(X, compiled=True)
    net.predict(X, compiled=None)


def test_complex_numbers_are_left_to_numpy(monkeypatch):
    net, x = network().astype("float64"), X.astype(float) + 0.5j
    monkeypatch.setattr("backprop.network.programs.WORTH_WHILE", 0.0)
    found = net.predict(x)
    assert found.dtype == np.complex128
    np.testing.assert_array_equal(found, net.predict(x, compiled=False))
    with pytest.raises(NoTwin, match="numbers are complex"):
        net.predict(x, compiled=True)
    with pytest.raises(NoTwin, match="numbers are complex"):
        Trainer(net, "sgd", compiled=True, progress=False).fit(x, Y.astype(float))


@pytest.mark.parametrize("n", [1, 5, 64, 70])
def test_predictions_of_layers_that_move_no_number(n):
    layers = [Flatten(), Dropout(0.5)]
    x = RNG.standard_normal((2, 3, n))
    net = Network(layers, "quadratic", input_shape=(2, 3)).astype("float64")
    np.testing.assert_array_equal(net.predict(x, compiled=True), x.reshape(6, n))


def test_a_program_can_be_read():
    text = str(network().program(batch_size=10, optimizer=SGD(3.0)))
    calls = ["dense_weighted_input", "tanh_(", "softmax(", "BP1", "BP2", "BP3", "BP4", "sgd("]
    places = [text.index(call) for call in calls]
    assert places[:3] == sorted(places[:3])
    assert "int64_t run(" in str(network().program(batch_size=1))
    with pytest.raises(NoTwin, match="Doubled"):
        own_layer().program()


def test_no_name_ends_the_comment_that_it_stands_in():
    class Odd(Network):
        def __repr__(self):
            return "*/ int\nmain"

    net = Odd([Dense(5, 3)], "quadratic")
    assert relative(net.predict(X, compiled=True), net.predict(X, compiled=False)) <= 1e-6


def test_every_layer_says_whether_it_has_a_twin():
    class Nothing(Layer):
        def output(self, a_prev, mode):
            return a_prev.copy()

        def downstream(self, delta):
            return delta.copy()

    with pytest.raises(NoTwin, match="has no twin in C"):
        Network([Dense(5, 3), Nothing()], "quadratic").program()
    assert Dropout(0.5)
