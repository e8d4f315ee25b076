"""The trainer: what it computes, how it ends, and that nothing of a run is lost."""

import numpy as np
import pytest

import backprop as bp
from backprop.layers import Dense, Identity, Layer
from backprop.network import Network
from backprop.optimizers import SGD
from backprop.schedules import ConstantRate, StepDecay
from backprop.training.trainer import Trainer
from tests.support import refusal_of
from tests.training.support import N_IN, N_OUT, N, Stop, make_data, make_network, make_trainer

# -- what it computes ------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [None, "l2", "l1"])
def test_an_epoch_is_the_book_s_loop(penalty):
    x, y = make_data(dtype=np.float64)
    network = make_network(dtype="float64", cost="quadratic")
    twin = make_network(dtype="float64", cost="quadratic")
    lmbda, eta = 0.3, 0.5
    regularizer = {None: None, "l2": bp.L2.book(lmbda, N), "l1": bp.L1.book(lmbda, N)}[penalty]
    make_trainer(network, bp.SGD(eta), regularizer=regularizer, rng=3).fit(x, y, 1)

    order = np.random.default_rng(3).permutation(N)
    w = [layer.w.copy() for layer in twin.layers]
    b = [layer.b.copy() for layer in twin.layers]

    def sigma(z):
        return 1 / (1 + np.exp(-z))

    for start in range(0, N, 10):
        chosen = order[start : start + 10]
        nabla_w, nabla_b = [np.zeros_like(v) for v in w], [np.zeros_like(v) for v in b]
        for j in chosen:  # one example at a time, as in the book's network.py
            a0, t = x[:, [j]], y[:, [j]]
            a1 = sigma(w[0] @ a0 + b[0])
            a2 = sigma(w[1] @ a1 + b[1])
            delta2 = (a2 - t) * a2 * (1 - a2)
            delta1 = (w[1].T @ delta2) * a1 * (1 - a1)
            for k, (delta, a) in enumerate([(delta1, a0), (delta2, a1)]):
                nabla_b[k] += delta / len(chosen)
                nabla_w[k] += delta @ a.T / len(chosen)
        for k in range(2):
            if penalty == "l2":
                nabla_w[k] += lmbda / N * w[k]
            if penalty == "l1":
                nabla_w[k] += lmbda / N * np.sign(w[k])
            w[k] -= eta * nabla_w[k]
            b[k] -= eta * nabla_b[k]
    for k, layer in enumerate(network.layers):
        np.testing.assert_allclose(layer.w, w[k], rtol=1e-12)
        np.testing.assert_allclose(layer.b, b[k], rtol=1e-12)


def test_every_example_is_used_once_an_epoch_and_in_another_order_each_time():
    class Seen(Layer):
        def __init__(self):
            self.columns = []

        def output(self, a_prev, mode):
            if mode.training:
                self.columns.append(a_prev[0].copy())
            return a_prev

        def downstream(self, delta):
            return delta

    seen = Seen()
    x = np.arange(N, dtype=np.float32)[np.newaxis] / N
    network = bp.Network([seen, Dense(1, 1, Identity(), rng=0)], "quadratic", (1,))
    make_trainer(network, bp.SGD(1e-6)).fit(x, x.copy(), 2)
    assert [len(c) for c in seen.columns] == [10, 10, 10, 10, 10, 3] * 2
    first, second = np.concatenate(seen.columns[:6]), np.concatenate(seen.columns[6:])
    np.testing.assert_array_equal(np.sort(first), x[0])
    np.testing.assert_array_equal(np.sort(second), x[0])
    assert (first != x[0]).any()
    assert (first != second).any()


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    x, y = make_data()

    def theta(seed):
        network = make_network(dropout=True)
        make_trainer(network, rng=seed).fit(x, y, 2)
        return network.theta

    np.testing.assert_array_equal(theta(4), theta(4))
    assert (theta(4) != theta(5)).any()


def test_the_layout_of_the_data_in_memory_does_not_matter():
    x, y = make_data()
    one, other = make_network(), make_network()
    make_trainer(one).fit(x, y, 2)
    make_trainer(other).fit(np.ascontiguousarray(x), np.ascontiguousarray(y), 2)
    np.testing.assert_array_equal(one.theta, other.theta)


def test_the_global_random_state_and_the_data_are_left_alone():
    x, y = make_data()
    x.flags.writeable = y.flags.writeable = False
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - that it is untouched is the point
    make_trainer(make_network(dropout=True)).fit(x, y, 2)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("ahead", [1, 700, 2**30])
def test_how_many_examples_are_gathered_ahead_does_not_matter(ahead, monkeypatch):
    x, y = make_data()
    networks = [make_network(), make_network()]
    make_trainer(networks[0]).fit(x, y, epochs=2)
    monkeypatch.setattr("backprop.kernels.memory.GATHER_BYTES", ahead)
    stopped = make_trainer(networks[1])
    stopped.callbacks.append(Stop(4, lambda trainer: trainer.stop("enough")))
    stopped.fit(x, y, epochs=2)
    assert (stopped.epoch, stopped.step) == (0, 4)
    stopped.fit(x, y, epochs=2)
    np.testing.assert_array_equal(networks[0].theta, networks[1].theta)


def test_labels_train_as_one_hot_targets_do():
    x, y = make_data()
    networks = [
        bp.Network.from_sizes([N_IN, 5, N_OUT], cost="softmax_cross_entropy", rng=0)
        for _ in range(2)
    ]
    make_trainer(networks[0]).fit(x, y, 3)
    make_trainer(networks[1]).fit(x, y.argmax(axis=0), 3)
    np.testing.assert_array_equal(networks[0].theta, networks[1].theta)


def test_float32_stays_float32():
    x, y = make_data()
    network = make_network()
    make_trainer(network, bp.Adam(), regularizer=bp.L2(0.1), clip_norm=0.1).fit(x, y, 1)
    layer = network.layers[0]
    for array in (network.theta, network.nabla, layer.z, layer.a, layer.delta, layer.nabla_w):
        assert array.dtype == np.float32


@pytest.mark.parametrize("options", [{"clip_norm": 0.01}, {"clip_value": 0.01}])
def test_clipping_bounds_the_step(options):
    x, y = make_data()
    network = make_network()
    before = network.theta.copy()
    make_trainer(network, bp.SGD(1.0), batch_size=N, **options).fit(x, y, 1)
    change = network.theta - before
    size = np.linalg.norm(change) if "clip_norm" in options else np.abs(change).max()
    assert size == pytest.approx(0.01, rel=1e-3)


def test_a_schedule_sets_eta():
    x, y = make_data()
    trainer = make_trainer(schedule=StepDecay(0.5, 0.1, every=1))
    history = trainer.fit(x, y, 3)
    np.testing.assert_allclose(history["eta"], [0.5, 0.05, 0.005])


def test_a_schedule_is_asked_before_every_minibatch():
    class Asked(ConstantRate):
        def __init__(self, eta=0.1):
            super().__init__(eta)
            self.epochs = []

        def __call__(self, epoch):
            self.epochs.append(epoch)
            return super().__call__(epoch)

    schedule = Asked()
    make_trainer(batch_size=20, schedule=schedule).fit(*make_data(), 2)
    np.testing.assert_allclose(schedule.epochs, [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3])


def test_weight_decay_spares_the_biases():
    x, y = make_data()
    plain, decayed = make_network(), make_network()
    options = {"batch_size": N}
    make_trainer(plain, bp.AdamW(0.1, weight_decay=0.0), **options).fit(x, y, 1)
    make_trainer(decayed, bp.AdamW(0.1, weight_decay=0.5), **options).fit(x, y, 1)
    for one, other in zip(plain.layers, decayed.layers, strict=True):
        np.testing.assert_array_equal(one.b, other.b)
        assert (one.w != other.w).any()


def test_the_seconds_of_an_epoch_are_those_of_its_minibatches_alone(monkeypatch):
    clock = iter(range(0, 1000, 7))
    monkeypatch.setattr("backprop.training.trainer.time.perf_counter", lambda: next(clock))
    history = make_trainer().fit(*make_data(), 3)
    assert history["seconds"] == [7, 7, 7]


def test_the_record_of_an_epoch():
    x, y = make_data()
    held_out = make_data(20, seed=2)
    network = make_network()
    regularizer = bp.L2(0.1)
    history = make_trainer(network, regularizer=regularizer).fit(x, y, 2, held_out)
    record = history.records[-1]
    assert list(record) == [
        "epoch", "seconds", "eta", "training_cost", "training_accuracy", "penalty",
        "validation_cost", "validation_accuracy",
    ]  # fmt: skip
    assert record["epoch"] == 2
    assert record["seconds"] > 0
    for name, (inputs, targets) in {"training": (x, y), "validation": held_out}.items():
        a = network.predict(inputs)
        assert record[f"{name}_cost"] == pytest.approx(network.cost.value(a, targets), rel=1e-5)
        assert record[f"{name}_accuracy"] == (a.argmax(0) == targets.argmax(0)).mean()
    weights = sum(float((layer.w**2).sum()) for layer in network.layers)
    assert record["penalty"] == pytest.approx(0.1 * weights, rel=1e-5)


@pytest.mark.parametrize("monitor", [False, 7])
def test_monitoring_the_training_data_may_be_left_out_or_cut_short(monitor):
    x, y = make_data()
    network = make_network()
    history = make_trainer(network, monitor_training=monitor).fit(x, y, 1)
    assert ("training_cost" in history) == bool(monitor)
    if monitor:
        expected = network.evaluate(x[:, :7], y[:, :7])["cost"]
        assert history["training_cost"] == [pytest.approx(expected)]


def test_targets_that_are_no_classes_have_no_accuracy():
    x, _ = make_data()
    network = bp.Network([Dense(N_IN, N_IN, Identity(), rng=0)], "quadratic")
    history = make_trainer(network, bp.SGD(0.1)).fit(x, x.copy(), 1)
    assert "training_accuracy" not in history
    own = {"error": bp.mean_squared_error}
    history = make_trainer(network, bp.SGD(0.1), metrics=own).fit(x, x.copy(), 1)
    assert history["training_error"][0] > 0


def test_fit_goes_on_where_it_was():
    x, y = make_data()
    one, other = make_trainer(), make_trainer()
    one.fit(x, y, 3)
    other.fit(x, y, 1)
    other.fit(x, y, 2)
    np.testing.assert_array_equal(one.network.theta, other.network.theta)
    assert other.history["epoch"] == [1, 2, 3]


# -- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda x, y: (x[:-1], y), ValueError, r"expected input of shape \(6, B\), got \(5, 53\)"),
        (lambda x, y: (x.T, y), ValueError, r"got \(53, 6\).*did you mean x.T"),
        (lambda x, y: (x.astype(np.int64), y), TypeError, "must be float32, got int64"),
        (lambda x, y: (x.astype(object), y), TypeError, "must be float32, got object"),
        (lambda x, y: (x.astype(np.float64), y), TypeError, "must be float32, got float64"),
        (lambda x, y: (x.tolist(), y), TypeError, "must be a numpy array, got list"),
        (lambda x, y: (x, y.tolist()), TypeError, "must be a numpy array, got list"),
        (lambda x, y: (x, y[:, :-1]), ValueError, "53 examples but y has 52 targets"),
        (lambda x, y: (x, y.T), ValueError, r"got \(53, 3\): give y\.T$"),
        (lambda x, y: (x, y.argmax(0)), TypeError, r"give one_hot\(y, 3\)$"),
        (lambda x, y: (x, 2 * y), ValueError, r"targets must be in \[0, 1\], got 0 to 2"),
        (lambda x, y: (x[:, :0], y[:, :0]), ValueError, "the input is empty"),
        (lambda x, y: (_with(x, np.nan), y), ValueError, r"x\[2, 7\] is nan"),
        (lambda x, y: (_with(x, np.inf), y), ValueError, r"x\[2, 7\] is inf"),
        (lambda x, y: (x, _with(y, np.nan)), ValueError, r"y\[2, 7\] is nan"),
    ],
)
def test_bad_data_are_refused_before_anything_changes(change, error, match):
    x, y = make_data()
    trainer = make_trainer(callbacks=[Stop(1, pytest.fail)])
    before = trainer.network.theta.copy()
    state = trainer.rng.bit_generator.state
    bad = change(x, y)
    for arguments in ((*bad, 1), (x, y, 1, bad)):
        with pytest.raises(error, match=match) as raised:
            trainer.fit(*arguments)
        assert "\n" not in str(raised.value)
    np.testing.assert_array_equal(trainer.network.theta, before)
    assert trainer.rng.bit_generator.state == state
    assert len(trainer.history) == 0


def _with(x, value):
    x = x.copy()
    x[2, 7] = value
    return x


def test_labels_out_of_range_are_refused():
    x, y = make_data()
    labels = y.argmax(0)
    labels[11] = 3
    network = bp.Network.from_sizes([N_IN, N_OUT], cost="softmax_cross_entropy", rng=0)
    with pytest.raises(ValueError, match=r"labels must be in 0..2, got 3 at index 11"):
        make_trainer(network).fit(x, labels)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"batch_size": 0}, ValueError, "^Trainer: batch_size must be at least 1, got 0"),
        ({"batch_size": 2.5}, TypeError, "^Trainer: batch_size must be an integer, got 2.5"),
        ({"optimizer": 3}, TypeError, "optimizer must be an Optimizer or its name, got 3"),
        ({"optimizer": "sdg"}, ValueError, "unknown optimizer 'sdg'"),
        ({"regularizer": 0.1}, TypeError, "must be a Regularizer, got 0.1: give L2"),
        ({"schedule": 0.1}, TypeError, "schedule must be a Schedule, got 0.1"),
        ({"clip_norm": 0.0}, ValueError, r"clip_norm must be in \(0, inf\), got 0.0"),
        (
            {"monitor_training": -1},
            ValueError,
            "^Trainer: monitor_training must be at least 0, got -1",
        ),
    ],
)
def test_bad_settings_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        make_trainer(**options)


def test_a_network_without_a_cost_is_refused():
    with pytest.raises(ValueError, match=r"^Trainer: the network has no cost: set it, as"):
        bp.Trainer(bp.Network([Dense(2, 2)]))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"network": 3}, "network must be a Network, got 3"),
        ({"callbacks": [3]}, "callbacks must be Callbacks, got 3"),
        ({"metrics": "accuracy"}, r"metrics must be a sequence of .*, such as \['accuracy'\]"),
        ({"metrics": [np.mean]}, "of the metric 'mean', a bare function, nobody knows whether mo"),
        ({"clip_norm": "a"}, "clip_norm must be a number, got 'a'"),
    ],
)
def test_settings_of_the_wrong_type_are_refused(arguments, match):
    with pytest.raises(TypeError, match=match):
        make_trainer(**arguments)


def test_validation_data_must_be_a_pair():
    x, y = make_data()
    with pytest.raises(
        TypeError, match=r"validation must be \(x, y\) or \(x, y, sample_weight\), got one array"
    ):
        make_trainer().fit(x, y, 1, x)
    with pytest.raises(TypeError, match=r"^fit: .*got 0\.1: datasets\.split\(x, y, n\) cuts off"):
        make_trainer().fit(x, y, 1, 0.1)


def test_parameters_that_are_not_finite_are_refused():
    trainer = make_trainer()
    trainer.network.layers[1].w[0, 2] = np.inf
    match = r"layer 1, Dense\(5 -> 3, sigmoid\), begins with parameters that are not finite"
    with pytest.raises(ValueError, match=match):
        trainer.fit(*make_data())


@pytest.mark.parametrize("make", [lambda: bp.Checkpoint("c", 0), lambda: bp.EarlyStopping(0)])
def test_callbacks_check_their_arguments(make):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        make()


@pytest.mark.parametrize("epochs", [-1, 1.5, "3"])
def test_bad_epochs_are_refused(epochs):
    error, message = refusal_of(epochs, least=0)
    with pytest.raises(error, match=f"^fit: epochs {message}"):
        make_trainer().fit(*make_data(), epochs)


# -- callbacks -------------------------------------------------------------------------------


def test_callbacks_are_told_of_everything_in_order():
    class Log(bp.Callback):
        def __init__(self):
            self.events = []

        def on_fit_start(self, trainer):
            self.events.append("start")

        def on_step_end(self, trainer):
            assert trainer.network.layers[0].delta is not None
            self.events.append("step")

        def on_epoch_end(self, trainer):
            assert trainer.history.records[-1]["epoch"] == trainer.epoch
            self.events.append("epoch")

        def on_fit_end(self, trainer):
            self.events.append("end")

    log = Log()
    make_trainer(batch_size=30, callbacks=[log]).fit(*make_data(), 2)
    assert log.events == ["start", "step", "step", "epoch", "step", "step", "epoch", "end"]


def test_a_callback_that_fails_does_not_hide_its_error():
    def fail(trainer):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        make_trainer(callbacks=[Stop(2, fail)]).fit(*make_data(), 1)


def test_early_stopping_counts_epochs_without_improvement():
    stop = bp.EarlyStopping(patience=2, monitor="training_cost")
    trainer = make_trainer(optimizer=bp.SGD(1e-30), callbacks=[stop])
    trainer.fit(*make_data(), 50)
    assert trainer.epoch == 3
    assert "training_cost has not improved" in trainer.stopping


def test_save_best_keeps_the_best_network(tmp_path):
    x, y = make_data()
    path = tmp_path / "best.npz"
    best = bp.SaveBest(path, monitor="training_cost")
    trainer = make_trainer(optimizer=bp.SGD(0.5), callbacks=[best])
    trainer.fit(x, y, 5)
    trainer.optimizer.eta = 100.0
    trainer.fit(x, y, 2)
    cost = bp.Network.load(path).evaluate(x, y)["cost"]
    assert cost == pytest.approx(min(trainer.history["training_cost"]), rel=1e-6)


def test_the_optimizer_is_told_the_network_before_the_first_minibatch():
    class _Looks(SGD):
        attached = ()

        def attach(self, network):
            self.attached = (*self.attached, network)

        def update(self, *vectors):
            assert len(self.attached) > 0
            super().update(*vectors)

    network = Network.from_sizes([3, 2], rng=0)
    optimizer = _Looks(0.1)
    trainer = Trainer(network, optimizer, rng=0, progress=False)
    x, y = np.zeros((3, 20), "f4"), np.zeros((2, 20), "f4")
    trainer.fit(x, y, 1)
    trainer.fit(x, y, 1)
    assert optimizer.attached == (network, network)
