"""Estimators of scikit-learn: what goes in, what comes out, and where they can stand."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")
import joblib
import sklearn
from scipy import sparse
from sklearn import datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from backprop import L2, SGD, Dense
from backprop.interop.sklearn import BackpropClassifier, BackpropRegressor
from tests.interop.estimators import KINDS, LABELS, NUMBERS, SIGNS, X, quick, quick_numbers

# -- what goes in and comes out ------------------------------------------------------------------


def test_labels_may_be_text():
    model = quick().fit(X, LABELS)
    assert model.classes_.tolist() == ["high", "low", "middle"]
    assert model.score(X, LABELS) > 0.95
    assert set(model.predict(X)) <= {"low", "middle", "high"}


@pytest.mark.parametrize("kind", [int, bool])
def test_numbers_that_are_kept_as_objects_are_numbers(kind):
    y = (NUMBERS > 0).astype(kind)
    found = quick().fit(X, y.astype(object)).predict(X)
    np.testing.assert_array_equal(found, quick().fit(X, y).predict(X))
    assert found.dtype == y.dtype


def test_scikit_learn_may_be_set_to_give_frames():
    pytest.importorskip("pandas")
    with sklearn.config_context(transform_output="pandas"):
        model = quick().fit(X, LABELS)
        assert (model.predict(X) == quick().fit(X, LABELS).predict(X)).all()
        assert quick_numbers().fit(X, NUMBERS).predict(X).shape == (60,)


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
    with pytest.raises(ValueError, match="labels of the types int and str"):
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
