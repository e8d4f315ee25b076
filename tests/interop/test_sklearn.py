"""Estimators of scikit-learn: what goes in, what comes out, and where they can stand."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
import joblib
from scipy import sparse
from sklearn import datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from backprop import L2, SGD, Dense, DivergenceError, EarlyStopping
from backprop.interop.sklearn import BackpropClassifier, BackpropRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
NUMBERS = X @ [1.0, -2.0, 0.5, 0.0]
LABELS = np.array(["low", "middle", "high"])[np.digitize(NUMBERS, [-1, 1])]
SIGNS = (X[:, :3] > 0).astype(int)
KINDS = np.column_stack([LABELS, np.where(X[:, 0] > 0, "yes", "no")])
QUICK = {"hidden_sizes": (20,), "epochs": 60, "eta": 0.02, "random_state": 0}


def quick(**parameters):
    return BackpropClassifier(**{**QUICK, **parameters})


def quick_numbers(**parameters):
    return BackpropRegressor(**{**QUICK, **parameters})


# -- what goes in and comes out ------------------------------------------------------------------


def test_labels_may_be_text():
    model = quick().fit(X, LABELS)
    assert model.classes_.tolist() == ["high", "low", "middle"]
    assert model.score(X, LABELS) > 0.95
    assert set(model.predict(X)) <= {"low", "middle", "high"}


def test_probabilities_are_those_of_the_classes_in_order():
    model = quick().fit(X, LABELS)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert (model.classes_[p.argmax(axis=1)] == model.predict(X)).all()
    np.testing.assert_array_equal(model.predict_log_proba(X), np.log(p))
    np.testing.assert_array_equal(p.T, model.network_.predict(model.columns(X)))


def test_decisions_are_log_odds_that_do_not_saturate():
    model = quick().fit(X, LABELS)
    scores, p = model.decision_function(X), model.predict_proba(X)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), p, rtol=1e-9)
    far = model.decision_function(1e3 * X)
    assert np.isfinite(far).all()
    assert (model.classes_[far.argmax(axis=1)] == model.predict(1e3 * X)).all()


@pytest.mark.parametrize("cost", [None, "quadratic"])
@pytest.mark.parametrize("units", [1, 2])
def test_of_two_classes_the_second_is_predicted_above_0(units, cost):
    sigma = {(2, None): "softmax", (1, None): "sigmoid"}.get((units, cost), "tanh")
    y = np.where(NUMBERS > 0, "yes", "no")
    model = quick(layers=[Dense(4, units, sigma)], cost=cost).fit(X, y)
    scores = model.decision_function(X)
    assert scores.shape == (60,)
    assert ((scores > 0) == (model.predict(X) == "yes")).all()
    if cost is None:
        np.testing.assert_allclose(1 / (1 + np.exp(-scores)), model.predict_proba(X)[:, 1], 1e-5)


def test_decisions_of_several_labels_and_outputs():
    model = quick().fit(X, SIGNS)
    assert ((model.decision_function(X) > 0) == model.predict(X)).all()
    several = quick().fit(X, KINDS)
    three, two = several.decision_function(X)
    assert (three.shape, two.shape) == ((60, 3), (60,))
    assert ((two > 0) == (several.predict(X)[:, 1] == "yes")).all()
    assert (several.classes_[0][three.argmax(axis=1)] == several.predict(X)[:, 0]).all()


def test_several_labels_a_row():
    model = quick(epochs=200).fit(X, SIGNS)
    assert model.predict(X).dtype == SIGNS.dtype
    assert model.score(X, SIGNS) > 0.9
    p = model.predict_proba(X)
    assert p.shape == SIGNS.shape
    assert ((p > 0.5) == model.predict(X)).all()
    thin = quick(epochs=200).fit(X, sparse.csr_array(SIGNS))
    np.testing.assert_array_equal(thin.predict_proba(X), p)


def test_several_outputs_a_row():
    model = quick(epochs=200).fit(X, KINDS)
    assert [c.tolist() for c in model.classes_] == [["high", "low", "middle"], ["no", "yes"]]
    assert model.predict(X).shape == KINDS.shape
    assert model.score(X, KINDS) > 0.9
    of_first, of_second = model.predict_proba(X)
    assert (of_first.shape, of_second.shape) == ((60, 3), (60, 2))
    assert (model.classes_[1][of_second.argmax(axis=1)] == model.predict(X)[:, 1]).all()
    assert model.network_.output_shape == ((3,), (2,))
    assert model.n_outputs_ == 2


@pytest.mark.parametrize("first", [0, 1])
def test_several_outputs_may_be_numbers_and_texts(first):
    sure = np.array(X[:, 0] > 0).astype(int)
    y = np.empty((60, 2), object)
    y[:, first], y[:, 1 - first] = sure.tolist(), LABELS.tolist()
    model = quick(class_weight="balanced").fit(X, y)
    assert [one.tolist() for one in model.classes_][first] == [0, 1]
    assert model.predict(X)[:, first].tolist() == model.predict(X)[:, first].astype(int).tolist()
    assert {type(one) for one in model.predict(X)[:, first]} == {int}
    assert model.score(X, y) > 0.9
    coded = np.column_stack([sure, LABELS][:: 1 - 2 * first])
    for ours, theirs in zip(
        model.predict_proba(X), quick(class_weight="balanced").fit(X, coded).predict_proba(X),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(ours, theirs)
    parts = quick().partial_fit(X, y, classes=model.classes_)
    assert parts.predict(X).shape == (60, 2)
    y[3, first] = "maybe"
    with pytest.raises(ValueError, match="Unknown label type"):
        quick().fit(X, y)


def test_of_several_outputs_one_may_be_always_the_same():
    y = np.column_stack([LABELS, np.full(60, "so")])
    model = quick().fit(X, y)
    assert set(model.predict(X)[:, 1]) == {"so"}
    np.testing.assert_array_equal(model.predict_proba(X)[1], np.ones((60, 1)))


@pytest.mark.parametrize("n", [1, 2])
def test_numbers_come_back_in_their_own_scale_and_shape(n):
    y = 1e4 + 300 * np.column_stack([NUMBERS, X[:, 0]])[:, :n]
    model = quick_numbers(epochs=200).fit(X, y)
    assert model.predict(X).shape == (60, n)
    assert model.score(X, y) > 0.95
    flat = quick_numbers(epochs=200).fit(X, y[:, 0]).predict(X)
    assert flat.shape == (60,)
    if n == 1:
        np.testing.assert_array_equal(flat, model.predict(X)[:, 0])


def test_frames_give_names_to_features():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = quick().fit(frame, pandas.Series(LABELS))
    assert model.feature_names_in_.tolist() == list("abcd")
    assert (model.predict(frame) == quick().fit(X, LABELS).predict(X)).all()
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("dcba")])


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_sparse_rows_are_as_good_as_dense_ones(kind):
    thin = np.where(np.abs(X) > 1, X, 0)
    dense = quick().fit(thin, LABELS).predict_proba(thin)
    np.testing.assert_array_equal(quick().fit(kind(thin), LABELS).predict_proba(kind(thin)), dense)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("options", [{}, {"standardize": False}, {"early_stopping": True}])
def test_large_sparse_rows_are_made_dense_a_minibatch_at_a_time(kind, options, monkeypatch):
    thin = np.where(np.abs(X) > 1, X, 0)
    w = 1 + np.arange(60) % 3
    dense = quick(batch_size=25, **options).fit(thin, LABELS, w)
    monkeypatch.setattr("backprop.interop.sklearn.thin.DENSE_BYTES", 0)
    monkeypatch.setattr("backprop.interop.sklearn.thin.BATCH", 25)
    large = quick(batch_size=25, **options).fit(kind(thin), LABELS, w)
    rows = kind(thin)
    for method in ("predict_proba", "decision_function", "columns"):
        expected = getattr(dense, method)(thin)
        np.testing.assert_allclose(getattr(large, method)(rows), expected, rtol=1e-6, atol=1e-9)
    if options.get("early_stopping"):
        return
    large.partial_fit(rows, LABELS)
    assert (dense.partial_fit(thin, LABELS).predict(thin) == large.predict(rows)).all()


def test_large_sparse_rows_of_numbers_and_several_outputs(monkeypatch):
    monkeypatch.setattr("backprop.interop.sklearn.thin.DENSE_BYTES", 0)
    rows = sparse.csr_array(X)
    np.testing.assert_allclose(
        quick_numbers().fit(rows, NUMBERS).predict(rows),
        quick_numbers().fit(X, NUMBERS).predict(X),
        rtol=1e-6,
    )
    several = quick().fit(rows, KINDS).predict_proba(rows)
    for one, other in zip(several, quick().fit(X, KINDS).predict_proba(X), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("of_x", ["float32", "float64"])
@pytest.mark.parametrize("given", [None, "float32", "float64"])
def test_the_network_has_the_dtype_of_the_rows_unless_told(of_x, given):
    model = quick(dtype=given).fit(X.astype(of_x), LABELS)
    assert model.network_.dtype == (given or of_x)
    assert model.score(X, LABELS) > 0.9


# -- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "y"), [(quick, LABELS), (quick_numbers, NUMBERS), (quick, SIGNS)])
def test_a_weight_is_as_good_as_that_many_rows(make, y):
    w = np.arange(60) % 3
    weighted, repeated = make(), make()
    weighted.fit(X, y, sample_weight=w)
    repeated.fit(X.repeat(w, axis=0), y.repeat(w, axis=0))
    name = "predict" if make is quick_numbers else "predict_proba"
    a, b = (getattr(model, name)(X) for model in (weighted, repeated))
    np.testing.assert_allclose(a, b, rtol=1e-7)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-7)


def test_class_weights_are_those_of_the_labels():
    w = np.where(LABELS == "high", 3.0, 1.0)
    of_rows = quick().fit(X, LABELS, sample_weight=w)
    of_classes = quick(class_weight={"high": 3.0, "low": 1, "middle": 1}).fit(X, LABELS)
    np.testing.assert_array_equal(of_rows.predict_proba(X), of_classes.predict_proba(X))


def test_balanced_classes_weigh_alike():
    rng = np.random.default_rng(1)
    y = np.array([0] * 190 + [1] * 10)
    x = rng.normal(size=(200, 2)) + y[:, None]
    plain = quick(hidden_sizes=()).fit(x, y)
    balanced = quick(hidden_sizes=(), class_weight="balanced").fit(x, y)
    assert (balanced.predict(x) == 1).sum() > 2 * (plain.predict(x) == 1).sum()
    w = np.where(y == 1, 200 / 20, 200 / 380)
    by_hand = quick(hidden_sizes=()).fit(x, y, sample_weight=w)
    np.testing.assert_allclose(balanced.predict_proba(x), by_hand.predict_proba(x), rtol=1e-10)


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


# -- how well ------------------------------------------------------------------------------------

CLASSES = {"iris": 0.93, "wine": 0.95, "breast_cancer": 0.95, "digits": 0.95}


@pytest.mark.parametrize("name", CLASSES)
def test_defaults_train_well_on_rows_as_they_are(name):
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    model = BackpropClassifier(random_state=0)
    assert cross_val_score(model, x, y, cv=cv).mean() > CLASSES[name]


def test_defaults_train_well_on_numbers_of_any_scale():
    cv = KFold(3, shuffle=True, random_state=0)
    model = BackpropRegressor(random_state=0)
    x, y = load_diabetes(return_X_y=True)
    assert cross_val_score(model, x, y, cv=cv).mean() > 0.3
    x, y = datasets.make_friedman1(500, noise=1.0, random_state=0)
    assert cross_val_score(model, 1e3 * x + 1e4, 1e5 + 1e3 * y, cv=cv).mean() > 0.75


# -- when it ends --------------------------------------------------------------------------------


def test_early_stopping_keeps_the_network_of_the_best_epoch():
    x, y = load_diabetes(return_X_y=True)
    model = BackpropRegressor(early_stopping=True, eta=0.02, random_state=0).fit(x, y)
    costs = model.history_["validation_cost"]
    assert model.best_epoch_ == int(np.argmin(costs)) + 1
    assert len(costs) == model.n_iter_ < model.epochs
    # what is held out is drawn from the seed: the least cost is that of the network kept
    first = BackpropRegressor(early_stopping=True, eta=0.02, random_state=0, n_iter_no_change=None)
    first.set_params(epochs=model.best_epoch_).fit(x, y)
    np.testing.assert_array_equal(first.network_.theta, model.network_.theta)


def test_early_stopping_by_a_metric():
    x, y = load_iris(return_X_y=True)
    model = quick(early_stopping="f1_macro", epochs=200).fit(x, y)
    assert model.history_["validation_f1_macro"][model.best_epoch_ - 1] == max(
        model.history_["validation_f1_macro"]
    )
    assert model.n_iter_ < 200


def test_held_out_are_so_many_of_each_class():
    model = quick(early_stopping=True, validation_fraction=0.25)
    y = np.repeat([0, 1, 2], [20, 30, 10])
    training, held_out = model._split(y, np.random.default_rng(0))
    assert np.bincount(y[held_out]).tolist() == [5, 7, 3] or np.bincount(y[held_out]).sum() == 15
    assert sorted([*training, *held_out]) == list(range(60))
    rare = np.repeat([0, 1, 2], [39, 20, 1])
    assert len(model._split(rare, np.random.default_rng(0))[1]) == 15


def test_training_ends_when_it_does_not_get_better():
    model = quick(epochs=3000, tol=1e-3, n_iter_no_change=5).fit(X, LABELS)
    assert model.n_iter_ < 3000
    assert quick(epochs=70, tol=1.0, n_iter_no_change=None).fit(X, LABELS).n_iter_ == 70


# -- where it stands -----------------------------------------------------------------------------


def test_in_a_pipeline_and_a_grid_search_of_two_processes():
    x, y = load_wine(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), quick(epochs=30))
    grid = {
        "backpropclassifier__hidden_sizes": [(5,), (20,)],
        "backpropclassifier__regularizer": [None, L2(1e-3)],
        "backpropclassifier__optimizer": ["adam", "momentum"],
    }
    search = GridSearchCV(pipeline, grid, n_jobs=2, cv=3).fit(x, y)
    assert search.best_score_ > 0.93
    alone = GridSearchCV(pipeline, grid, cv=3).fit(x, y)
    assert search.cv_results_["mean_test_score"].tolist() == pytest.approx(
        alone.cv_results_["mean_test_score"].tolist()
    )


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated(method):
    x, y = load_iris(return_X_y=True)
    model = CalibratedClassifierCV(quick(), method=method, cv=3).fit(x, y)
    assert model.score(x, y) > 0.9


@pytest.mark.parametrize("scorer", ["roc_auc_ovr", "neg_log_loss", "f1_macro", "accuracy"])
def test_scorers_by_name(scorer):
    x, y = load_iris(return_X_y=True)
    assert cross_val_score(quick(), x, y, scoring=scorer, cv=3).min() > -0.5


def test_scorers_of_two_classes_and_of_numbers():
    assert cross_val_score(quick(), X, SIGNS[:, 0], scoring="roc_auc", cv=3).min() > 0.8
    found = cross_val_score(quick_numbers(), X, NUMBERS, scoring="neg_mean_absolute_error", cv=3)
    assert found.min() > -1


@pytest.mark.parametrize(
    ("make", "y"), [(quick, LABELS), (quick, SIGNS), (quick, KINDS), (quick_numbers, NUMBERS)]
)
def test_pickled_copied_and_stored_by_joblib(make, y, tmp_path):
    model = make().fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    expected = model.predict(X)
    for twin in (
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        joblib.load(tmp_path / "model.joblib"),
    ):
        np.testing.assert_array_equal(twin.predict(X), expected)
        assert twin.loss_curve_ == model.loss_curve_


def test_the_same_seed_gives_the_same_network():
    seeds = [0, 0, 1, np.random.RandomState(0), np.random.default_rng(0), np.random.default_rng(0)]
    thetas = [quick(random_state=seed).fit(X, LABELS).network_.theta for seed in seeds]
    same = [[bool((a == b).all()) for b in thetas] for a in thetas]
    assert same[0][:3] == [True, True, False]
    assert same[4][5]
    np.random.seed(3)  # noqa: NPY002 - without a state it is the global one, as of scikit-learn
    first = quick(random_state=None).fit(X, LABELS).network_.theta
    assert not (first == thetas[0]).all()
    np.random.seed(3)  # noqa: NPY002
    np.testing.assert_array_equal(quick(random_state=None).fit(X, LABELS).network_.theta, first)


def test_an_optimizer_is_a_template_too():
    optimizer = SGD(0.3)
    models = [quick(optimizer=optimizer, eta=eta).fit(X, LABELS) for eta in (None, 0.5, None)]
    assert (optimizer.eta, optimizer.t) == (0.3, 0)
    assert [model.history_["eta"][0] for model in models] == [0.3, 0.5, 0.3]


def test_verbose_prints_a_line_an_epoch(capsys):
    quick(epochs=3, verbose=True).fit(X, LABELS)
    assert len(capsys.readouterr().out.splitlines()) == 3
    quick(epochs=3).fit(X, LABELS)
    assert capsys.readouterr().out == ""


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
        ({"class_weight": "even"}, "class_weight"),
        (
            {"class_weight": {"low": -1, "high": 1, "middle": 1}},
            "class_weight must be at least 0, got",
        ),
        ({"callbacks": EarlyStopping()}, r"callbacks must be a sequence of them, got .*: give \["),
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
    ],
)
def test_wrong_data_are_refused_and_change_nothing(x, y, w, message):
    model = quick().fit(X, LABELS)
    before = {**vars(model)}
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, sample_weight=w)
    assert vars(model) == before


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
