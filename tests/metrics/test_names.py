"""Metrics by name, and in the ways in which they are given: none is without a direction."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

import backprop as bp
import backprop.metrics
from backprop.metrics import Metric, accuracy, as_metrics, default_metrics, metric_named
from backprop.training.callback import Callback


def network(cost: str = "softmax_cross_entropy", n_out: int = 3) -> bp.Network:
    return bp.Network.from_sizes([2, n_out], cost=cost, dtype="float64", rng=0)


def error(a, y):
    return float(np.abs(a - y).mean())


# -- by name ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "greater", "value"),
    [
        ("accuracy", True, 2 / 4),
        ("top_1_accuracy", True, 2 / 4),
        ("top_3_accuracy", True, 1.0),
        ("top_2_accuracy", True, 2 / 4),
        ("log_loss", False, -np.log([0.7, 0.2, 0.4, 0.2]).mean()),
        ("Log-Loss", False, -np.log([0.7, 0.2, 0.4, 0.2]).mean()),
    ],
)
def test_a_simple_metric_of_classes_by_its_name(name, greater, value):
    a = np.array([[0.7, 0.5, 0.3, 0.2], [0.2, 0.3, 0.4, 0.6], [0.1, 0.2, 0.3, 0.2]])
    metric = metric_named(name)
    assert metric.greater_is_better is greater
    assert metric(a, np.array([0, 2, 1, 2])) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("names", "greater", "value"),
    [
        (["mse", "mean_squared_error", "MSE"], False, (1 + 9) / 4),
        (["rmse", "root_mean_squared_error"], False, np.sqrt(10 / 4)),
        (["mae", "mean_absolute_error"], False, 1.0),
        (["r2", "R2"], True, 1 - 10 / 5),
    ],
)
def test_a_simple_metric_of_numbers_by_its_name(names, greater, value):
    y = np.array([[1.0, 2.0, 3.0, 4.0]])
    a = np.array([[2.0, 2.0, 6.0, 4.0]])
    for name in names:
        assert metric_named(name).greater_is_better is greater
        assert metric_named(name)(a, y) == pytest.approx(value, rel=1e-14)


def test_an_unknown_name_is_answered_with_those_there_are():
    pytest.importorskip("sklearn")
    words = "unknown metric 'f1_makro': did you mean 'f1_macro'.* choose from accuracy, .*roc_auc"
    with pytest.raises(ValueError, match=words):
        bp.Trainer(network(), metrics=["f1_makro"])
    for name in ("perplexity", "top_0_accuracy", "top_accuracy", "", "validation_accuracy"):
        with pytest.raises(ValueError, match=f"unknown metric '{name}'"):
            metric_named(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("acc", "accuracy"), ("auc", "roc_auc"), ("loss", "log_loss"), ("accuracy ", "accuracy")],
)
def test_the_beginning_of_a_word_is_answered_with_the_name_that_has_it(name, meant):
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match=f"unknown metric '{name}': did you mean '{meant}'") as e:
        metric_named(name)
    assert str(e.value).count(" accuracy,") == 1  # ours, and scikit-learn has one


def test_scorers_that_were_made_are_called_as_their_functions_are():
    theirs = pytest.importorskip("sklearn.metrics")
    made = [
        theirs.make_scorer(theirs.fbeta_score, beta=2, average="macro"),
        theirs.make_scorer(theirs.median_absolute_error, greater_is_better=False),
        theirs.make_scorer(lambda y, a: 0.0),
    ]
    found = as_metrics("it", made)
    assert list(found) == ["fbeta_score", "neg_median_absolute_error", "scorer"]
    assert all(metric.greater_is_better for metric in found.values())
    with pytest.raises(ValueError, match="of 'mean_squared_error' less is known to be better"):
        as_metrics("it", [theirs.make_scorer(theirs.mean_squared_error)])  # not said: a loss


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("name", ["cost", "penalty", "eta", "Epoch"])
def test_what_is_recorded_anyway_is_no_metric(name, installed, monkeypatch):
    if not installed:
        monkeypatch.setitem(sys.modules, "sklearn", None)
        monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ValueError, match=f"^'{name}' is no metric: it is recorded already"):
        bp.Trainer(network(), metrics=[name])


def test_without_scikit_learn_its_metrics_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ImportError, match=r"'f1_macro' .*pip install 'backprop\[sklearn\]'"):
        bp.Trainer(network(), metrics=["accuracy", "f1_macro"])
    with pytest.raises(ImportError, match=r"'acuracy' is .*did you mean 'accuracy'"):
        bp.Trainer(network(), metrics=["acuracy"])
    trainer = bp.Trainer(network(), metrics=["accuracy", "top_2_accuracy", "log_loss"])
    assert list(trainer.metrics) == ["accuracy", "top_2_accuracy", "log_loss"]
    with pytest.raises(ValueError, match="whether more or less of 'validation_f1_macro' is better"):
        bp.History([{"validation_f1_macro": 1.0}]).best("validation_f1_macro")


def test_simple_metrics_do_not_import_scikit_learn():
    code = """
import sys
import numpy as np
import backprop as bp
network = bp.Network.from_sizes([2, 3], cost="softmax_cross_entropy", rng=0)
x, y = np.zeros((2, 9), np.float32), np.zeros(9, int)
trainer = bp.Trainer(network, metrics=["accuracy", "log_loss"], callbacks=[bp.EarlyStopping(3)],
                     progress=False)
trainer.fit(x, y, 2, (x, y)).best("validation_log_loss")
print("sklearn" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# -- as they are given -------------------------------------------------------------------------


def test_the_ways_in_which_metrics_are_given():
    own = Metric(error, greater_is_better=False)
    assert list(as_metrics("it", ["accuracy", "MSE", own])) == ["accuracy", "mse", "error"]
    assert list(as_metrics("it", ("top_2_accuracy", accuracy))) == ["top_2_accuracy", "accuracy"]
    given = {"right": "accuracy", "wrong": own, "hit": accuracy}
    found = as_metrics("it", given)
    assert list(found) == ["right", "wrong", "hit"]
    assert [metric.greater_is_better for metric in found.values()] == [True, False, True]
    assert as_metrics("it", []) == as_metrics("it", {}) == {}


@pytest.mark.parametrize(
    "given", [{"error": error}, [error], {"f": lambda a, y: 0.0}, {"n": np.mean}]
)
def test_a_bare_function_is_an_error_before_training_and_the_remedy_works(given):
    words = r"a bare function, nobody knows whether more is better: give (Metric\(.*?\))"
    for call in (
        lambda: bp.Trainer(network(), metrics=given),
        lambda: network().evaluate(np.zeros((2, 3)), np.zeros(3, int), metrics=given),
    ):
        with pytest.raises(TypeError, match=words) as caught:
            call()
    remedy = re.search(words, str(caught.value))[1]
    scope = {"Metric": Metric, "error": error, "f": error, "mean": np.mean}
    assert eval(remedy, scope).greater_is_better


@pytest.mark.parametrize(
    ("cost", "metric", "message"),
    [
        ("cross_entropy", "log_loss", "^log_loss: the outputs a must be probabilities that add up"),
        ("cross_entropy", "neg_log_loss", "^the metric 'neg_log_loss' needs probabilities"),
        ("cross_entropy", "f1", "^the metric 'f1': .*; there are also f1_macro"),
        (
            "softmax_cross_entropy",
            "roc_auc",
            "there are also roc_auc_ovo, roc_auc_ovo_weighted, ro",
        ),
        ("softmax_cross_entropy", "top_4_accuracy", "k must be at most the number of outputs, 3"),
        ("softmax_cross_entropy", "neg_mean_poisson_deviance", "non-negative|strictly positive"),
    ],
)
def test_a_metric_that_cannot_be_had_of_the_data_is_an_error_before_training(cost, metric, message):
    pytest.importorskip("sklearn")
    x, y = np.ones((2, 30)), np.eye(3)[:, np.arange(30) % 3]
    one = network(cost)
    one[-1].b[:] = 0.7  # so that the outputs do not add up to 1 by chance
    if metric == "neg_mean_poisson_deviance":
        one = bp.Network([bp.Dense(2, 1, "identity", dtype="float64", rng=0)], "quadratic")
        one[0].b[:], y = -9, y[:1]
    before = one.theta.copy()
    trainer = bp.Trainer(one, metrics=[metric], progress=False)
    with pytest.raises(ValueError, match=message):
        trainer.fit(x, y, 2)
    np.testing.assert_array_equal(one.theta, before)
    assert (trainer.epoch, trainer.step) == (0, 0)


def test_several_labels_have_no_accuracy_and_early_stopping_looks_at_the_cost():
    x, y = np.ones((2, 9)), np.eye(3)[:, np.arange(9) % 3]
    y[0] = 1  # two labels, or one
    trainer = bp.Trainer(network("cross_entropy"), metrics=["accuracy"], progress=False)
    with pytest.raises(ValueError, match=r"subset_accuracy.*binary_accuracy.*f1_samples"):
        trainer.fit(x, y)
    assert (trainer.epoch, trainer.step) == (0, 0)
    stop = bp.EarlyStopping(50)
    trainer = bp.Trainer(network("cross_entropy"), callbacks=[stop], progress=False)
    assert "validation_accuracy" not in trainer.fit(x, y, 2, (x, y))
    assert network("cross_entropy").evaluate(x, y).keys() == {"cost"}


def test_top_k_accuracy_itself_is_answered_with_its_name():
    with pytest.raises(TypeError, match='give it by its name and k, "top_5_accuracy"'):
        bp.Trainer(network(), metrics=[bp.top_k_accuracy])


@pytest.mark.parametrize("name", ["cost", "epoch", "eta", "penalty", "seconds", ""])
def test_the_name_of_a_column_that_there_is_is_refused(name):
    for given in ({name: "accuracy"}, [Metric(error, False, name)]):
        with pytest.raises(ValueError, match=f"^Trainer: no metric can be called '{name}'"):
            bp.Trainer(network(), metrics=given)


@pytest.mark.parametrize(
    ("given", "error_type", "message"),
    [
        ("accuracy", TypeError, r"must be a sequence of names and Metrics, such as \['accuracy'\]"),
        (accuracy, TypeError, "must be a sequence"),
        (3, TypeError, "must be a sequence of names and Metrics, or a dict of them, got 3"),
        ([3], TypeError, "a metric must be a name or a Metric, got 3"),
        ({3: "accuracy"}, TypeError, "the name of a metric must be a string, got 3"),
        (["accuracy", accuracy], ValueError, "two metrics are called 'accuracy'"),
        ([Metric(lambda a, y: 0, True)], ValueError, "a metric needs a name"),
        ({"mse": Metric(error, True)}, ValueError, "of 'mse' less is known to be better"),
        (
            {"accuracy": Metric(error, False)},
            ValueError,
            "of 'accuracy' more is known to be better",
        ),
        ({"top_5_accuracy": "mse"}, ValueError, "of 'top_5_accuracy' more is known to be better"),
    ],
)
def test_what_is_no_metric_is_refused(given, error_type, message):
    with pytest.raises(error_type, match=f"^Trainer: .*{message}"):
        bp.Trainer(network(), metrics=given)


# -- that none is without a direction ---------------------------------------------------------


def test_every_metric_of_the_package_knows_its_direction():
    """Whatever is called as a metric is, (a, y), and public, is a Metric."""
    found = 0
    for name in backprop.metrics.__all__:
        value = getattr(backprop.metrics, name)
        if not callable(value) or inspect.isclass(value):
            continue
        arguments = list(inspect.signature(value).parameters.values())
        needed = [p.name for p in arguments if p.default is p.empty]
        if needed[:2] == ["a", "y"] and str(inspect.signature(value).return_annotation) == "float":
            if needed == ["a", "y"]:
                assert isinstance(value, Metric), name
                assert isinstance(value.greater_is_better, bool)
                assert value.takes_weights
                assert metric_named(name) is value
                found += 1
            else:
                assert needed == ["a", "y", "k"]  # a metric once its k is in its name
                assert name == "top_k_accuracy"
    assert found >= 8


def test_every_name_has_a_direction():
    scorers = pytest.importorskip("sklearn.metrics").get_scorer_names()
    for name in [*backprop.metrics.names.OURS, *backprop.metrics.names.SHORT, *scorers]:
        assert isinstance(metric_named(name).greater_is_better, bool)
        assert isinstance(backprop.metrics.greater_is_better(name), bool)
    with pytest.raises(TypeError):
        Metric(error)


def callbacks_that_monitor() -> list[type[Callback]]:
    """Return all callbacks of the package that look at a column."""
    found, waiting = [], [Callback]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if (
            cls.__module__.startswith("backprop.")
            and "monitor" in inspect.signature(cls).parameters
        ):
            found.append(cls)
    return found


@pytest.mark.parametrize("cls", callbacks_that_monitor(), ids=lambda cls: cls.__name__)
def test_no_callback_monitors_a_column_without_a_direction(cls, tmp_path):
    class Records(Callback):
        def on_epoch_end(self, trainer):
            trainer.history.records[-1]["mystery"] = 1.0

    parameters = inspect.signature(cls).parameters.values()
    arguments = {p.name: tmp_path / "best" for p in parameters if p.default is p.empty}
    x, y = np.zeros((2, 5)), np.zeros(5, int)
    for monitor in ("mystery", "training_loss", "epoch", "eta"):
        callbacks = [Records(), cls(**arguments, monitor=monitor)]
        trainer = bp.Trainer(network(), callbacks=callbacks, progress=False)
        before = trainer.network.theta.copy()
        with pytest.raises(ValueError, match=f"{cls.__name__}|is not known"):
            trainer.fit(x, y, 3, (x, y))
        assert len(trainer.history) == 0
        np.testing.assert_array_equal(trainer.network.theta, before)


def test_there_are_callbacks_that_monitor():
    assert {bp.EarlyStopping, bp.SaveBest} <= set(callbacks_that_monitor())


def test_no_plot_rings_an_epoch_without_a_direction():
    from backprop import plots

    records = [{"epoch": e, "validation_nll": 1 / e} for e in (1, 2, 3)]
    with pytest.raises(ValueError, match="whether more or less of 'validation_nll' is better is n"):
        plots.learning_curves(bp.History(records), "nll")
    for greater, epoch in ((True, 1), (False, 3)):
        history = bp.History(records, {"validation_nll": greater})
        *_, ring = plots.learning_curves(history, "nll").lines
        assert list(ring.get_xdata()) == [epoch]


# -- by default --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (np.array([0, 1, 2]), ["accuracy"]),
        (np.eye(3), ["accuracy"]),
        (np.array([[0.0, 1.0, 1.0]]), ["accuracy"]),
        (np.array([[1, 1, 0], [0, 1, 0]]), []),  # several labels, or none
        (np.array([[0.2, 0.8]]), []),
        (np.array([[3, 5, 7]]), []),  # counts
        (np.array([[0.5, 1.0], [0.5, 0.0]]), []),
    ],
)
def test_the_default_is_accuracy_where_the_targets_are_classes(y, names):
    assert list(default_metrics(y, 1)) == names
    assert list(default_metrics((y, y), (1, 1))) == [f"{n}_{k}" for k in (0, 1) for n in names]
