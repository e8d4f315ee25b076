"""Estimators that go on, and what they refuse; nothing of them has changed then."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")
from sklearn.exceptions import NotFittedError

from backprop import SGD, DivergenceError, EarlyStopping
from tests.interop.estimators import KINDS, LABELS, NUMBERS, SIGNS, X, quick, quick_numbers

# -- going on ------------------------------------------------------------------------------------


def test_partial_fit_goes_on_with_optimizer_and_order():
    whole = quick(epochs=3, n_iter_no_change=None, batch_size=20).fit(X, LABELS)
    parts = quick(batch_size=20)
    for _ in range(3):
        parts.partial_fit(X, LABELS, classes=np.unique(LABELS))
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), rtol=1e-12)
    assert parts.n_iter_ == 3
    assert parts.history_["epoch"] == [1, 2, 3]
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-12)


def test_partial_fit_goes_on_after_a_pickle():
    models = [quick().partial_fit(X, LABELS, classes=np.unique(LABELS))]
    models.append(pickle.loads(pickle.dumps(models[0])))
    one, other = (model.partial_fit(X, LABELS).predict_proba(X) for model in models)
    np.testing.assert_array_equal(one, other)


def test_partial_fit_learns_from_parts_that_lack_a_class():
    model = quick()
    for _ in range(40):
        for part in (LABELS != "low", LABELS != "high"):
            model.partial_fit(X[part], LABELS[part], classes=["low", "middle", "high"])
    assert model.score(X, LABELS) > 0.9


@pytest.mark.parametrize(
    ("y", "classes"), [(SIGNS, None), (KINDS, [["low", "middle", "high"], ["no", "yes"]])]
)
def test_partial_fit_of_several_labels(y, classes):
    model = quick()
    for _ in range(60):
        model.partial_fit(X, y, classes=classes)
    assert model.score(X, y) > 0.8


def test_partial_fit_of_numbers():
    model = quick_numbers()
    for _ in range(100):
        model.partial_fit(X, NUMBERS)
    assert model.score(X, NUMBERS) > 0.95


def test_what_partial_fit_refuses():
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        quick().partial_fit(X, LABELS)
    model = quick().partial_fit(X, LABELS, classes=np.unique(LABELS))
    with pytest.raises(ValueError, match="y has the label 'huge', and the classes are"):
        model.partial_fit(X, np.where(LABELS == "low", "huge", LABELS))
    with pytest.raises(ValueError, match=r"classes are \['a'\], and were .* before"):
        model.partial_fit(X, LABELS, classes=["a"])
    with pytest.raises(ValueError, match="cannot stop early: give early_stopping=False"):
        quick(early_stopping=True).partial_fit(X, LABELS, classes=np.unique(LABELS))
    with pytest.raises(ValueError, match="give partial_fit a dict of label to weight"):
        quick(class_weight="balanced").partial_fit(X, LABELS, classes=np.unique(LABELS))


def test_a_warm_start_goes_on_with_the_network():
    model = quick(epochs=5, warm_start=True).fit(X, LABELS)
    first = model.network_.theta.copy()
    model.fit(X, LABELS)
    assert model.n_iter_ == 10
    assert model.loss_curve_[5] < model.loss_curve_[4]
    cold = quick(epochs=5).fit(X, LABELS)
    np.testing.assert_array_equal(cold.network_.theta, first)
    np.testing.assert_array_equal(cold.fit(X, LABELS).network_.theta, first)
    with pytest.raises(ValueError, match="y has the label 'huge'"):
        model.fit(X, np.where(LABELS == "low", "huge", LABELS))


def test_a_warm_start_of_other_layers_is_refused():
    model = quick(epochs=2, warm_start=True).fit(X, LABELS)
    before = model.network_.theta.copy()
    with pytest.raises(ValueError, match=r"describe another network .*give warm_start=False"):
        model.set_params(hidden_sizes=(7,)).fit(X, LABELS)
    np.testing.assert_array_equal(model.network_.theta, before)


# -- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_sizes": (10, 0)}, "BackpropClassifier: hidden_sizes must be at least 1, got 0"),
        ({"hidden_sizes": "10"}, "BackpropClassifier: hidden_sizes must be a sequence of integers"),
        ({"activation": "rectifier"}, "unknown activation 'rectifier'"),
        ({"optimizer": "adamm"}, "unknown optimizer 'adamm': .* did you mean 'adam'"),
        ({"eta": -1}, r"BackpropClassifier: eta must be in \[0, inf\), got -1"),
        ({"epochs": 0}, "BackpropClassifier: epochs must be at least 1, got 0"),
        ({"batch_size": 0.5}, "BackpropClassifier: batch_size must be an integer, got 0.5"),
        ({"validation_fraction": 1}, r"validation_fraction must be in \(0, 1\), got 1"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be at least 1, got 0"),
        ({"tol": "little"}, "tol must be a number, got 'little'"),
        ({"dtype": "int8"}, "dtype must be float32 or float64, got int8"),
        ({"standardize": "yes"}, "standardize must be True or False, got 'yes'"),
        ({"early_stopping": 3}, "early_stopping must be True or False, got 3"),
        ({"verbose": None}, "verbose must be True, False"),
        ({"regularizer": 0.1}, "regularizer must be a Regularizer, got 0.1"),
        ({"cost": "hinge"}, "unknown cost 'hinge'"),
        (
            {"class_weight": "even"},
            "BackpropClassifier: class_weight must be a dict .*, got 'even'",
        ),
        (
            {"class_weight": {"low": -1, "high": 1, "middle": 1}},
            r"class_weight of 'low' must be in \[0, inf\), got -1",
        ),
        ({"class_weight": {"low": "2"}}, "class_weight of 'low' must be a number, got '2'"),
        (
            {"callbacks": EarlyStopping()},
            r"^BackpropClassifier: callbacks must be a seq.*: give \[",
        ),
        ({"metrics": ["f1"]}, "f1_macro"),
        ({"early_stopping": "f2_micro"}, "f2_micro"),
        ({"input_shape": (2, 3)}, r"input_shape is \(2, 3\), 6 numbers a row, and X has 4 feat"),
        ({"random_state": "seed"}, "seed"),
        ({"compiled": "yes"}, "compiled must be True or False"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_parameters_are_named_by_fit_and_change_nothing(parameters, message):
    model = quick().fit(X, LABELS)
    before = pickle.dumps(model.network_), model.classes_, model.n_iter_
    model.set_params(**parameters)
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(X, LABELS)
    assert (pickle.dumps(model.network_), model.classes_, model.n_iter_) == before


@pytest.mark.parametrize(
    ("x", "y", "w", "message"),
    [
        (X[:, 0], LABELS, None, "Expected 2D array, got 1D array"),
        (X, LABELS[:-1], None, "inconsistent numbers of samples"),
        (np.where(X > 1, np.nan, X), LABELS, None, "contains NaN"),
        (X, NUMBERS, None, "Unknown label type"),
        (X, np.full(60, "so"), None, "y has only one class, 'so': give two or more"),
        (X, None, None, "requires y to be passed, but the target y is None"),
        (X, LABELS, -np.ones(60), "sample_weight must be at least 0, got -1"),
        (X, LABELS, np.zeros(60), "zero"),
        (X, LABELS, np.ones(3), "sample_weight"),
        (np.full((60, 1), "text"), LABELS, None, "could not convert string to float"),
        (X, np.where(LABELS == "low", None, LABELS), None, "y lacks .* labels, the first in row"),
        (X, np.where(LABELS == "low", 3, LABELS.astype(object)), None, "of the types int and str"),
        (sparse.dok_matrix(np.where(X > 1, np.nan, X)), LABELS, None, "contains NaN"),
        (X * 1e300, LABELS, None, "the numbers of X are too large to be standardized"),
    ],
)
def test_wrong_data_are_refused_and_change_nothing(x, y, w, message):
    model = quick().fit(X, LABELS)
    before = {**vars(model)}
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(x, y, sample_weight=w)
    assert vars(model) == before


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (LABELS, "y must be numbers, got .*: for labels there is BackpropClassifier"),
        (np.datetime64("2020-01-01") + np.arange(60), "y holds dates or times, such as 2020-01-01"),
        (NUMBERS * 1e300, "the numbers of y are too large to be standardized"),
    ],
)
def test_what_is_no_number_is_refused_as_target_of_a_regression(y, message):
    with pytest.raises(ValueError, match=f"BackpropRegressor: {message}"):
        quick_numbers().fit(X, y)


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        (LABELS, "low", "classes must be a sequence of labels, got 'low'"),
        (LABELS, 3, "classes must be a sequence of labels, got 3"),
        (KINDS, ["low", "middle", "high"], "classes must be a list of 2 sequences of labels"),
        (KINDS, [["low", "middle", "high"]], "classes must be a list of 2 sequences of labels"),
    ],
)
def test_classes_of_the_wrong_form_are_refused(y, classes, message):
    with pytest.raises(TypeError, match=message):
        quick().partial_fit(X, y, classes=classes)


def test_columns_of_a_frame_that_are_no_numbers_are_named():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = quick().fit(frame, LABELS)
    for wrong in (frame.assign(c="text"), frame.assign(c=pandas.Timestamp("2020-01-01"))):
        for use in (lambda x: model.fit(x, LABELS), model.predict):
            with pytest.raises(ValueError, match=r"columns that are no numbers, 'c': encode them"):
                use(wrong)
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(frame.assign(c=np.nan))


def test_a_training_that_diverges_leaves_what_was_there():
    model = quick_numbers(standardize=False, batch_size=1).fit(X, NUMBERS)
    model.set_params(optimizer=SGD(), eta=1e300)
    network, theta, state = model.network_, model.network_.theta.copy(), vars(model).copy()
    for train in (model.fit, model.set_params(warm_start=True).fit, model.partial_fit):
        with pytest.raises(DivergenceError, match="smaller eta"):
            train(X, NUMBERS)
        assert model.network_ is network
        np.testing.assert_array_equal(network.theta, theta)
        assert vars(model).keys() == state.keys()


def test_without_a_fit_there_is_nothing_to_predict():
    for method in (quick().predict, quick().predict_proba, quick_numbers().predict):
        with pytest.raises(NotFittedError):
            method(X)


def test_the_error_names_the_extra_where_scikit_learn_is_missing():
    code = """
import sys
sys.modules["sklearn"] = None
try:
    import backprop.interop.sklearn
except ImportError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == (
        "backprop.interop.sklearn needs sklearn, which is not installed: "
        "pip install 'backprop[sklearn]'\n"
    )
