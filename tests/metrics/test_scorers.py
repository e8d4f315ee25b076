"""The scorers of scikit-learn: of outputs they say what they say of an estimator."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
import pytest

import backprop as bp
from backprop.metrics import metric_named
from backprop.metrics.scorers import Scorer

sklearn = pytest.importorskip("sklearn")
from sklearn import metrics as theirs  # noqa: E402
from sklearn.linear_model import PoissonRegressor  # noqa: E402
from sklearn.multioutput import MultiOutputClassifier  # noqa: E402
from sklearn.naive_bayes import GaussianNB  # noqa: E402

# Of all versions: neg_max_error was max_error until 1.6.
OF_NUMBERS = {
    "d2_absolute_error_score", "explained_variance", "max_error", "neg_max_error",
    "neg_mean_absolute_error",
    "neg_mean_absolute_percentage_error", "neg_mean_gamma_deviance", "neg_mean_poisson_deviance",
    "neg_mean_squared_error", "neg_mean_squared_log_error", "neg_median_absolute_error",
    "neg_root_mean_squared_error", "neg_root_mean_squared_log_error",
}  # fmt: skip
OURS = {"accuracy", "r2"}  # and no scorers here, though of the same value
SCORERS = sorted(set(theirs.get_scorer_names()) - OURS)
UNWEIGHTED = {
    "adjusted_mutual_info_score", "adjusted_rand_score", "completeness_score",
    "fowlkes_mallows_score", "homogeneity_score", "max_error", "mutual_info_score",
    "neg_max_error", "neg_negative_likelihood_ratio", "normalized_mutual_info_score",
    "positive_likelihood_ratio", "rand_score", "v_measure_score",
}  # fmt: skip


@lru_cache
def problem(kind: str, n: int = 300, seed: int = 0):
    """Return a fitted estimator of scikit-learn, its X and y, and outputs and targets of ours."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    noise = rng.normal(size=(n, 3))
    if kind == "numbers":
        y = np.exp(0.3 * x[:, 0] + 0.2 * noise[:, 0])
        model = PoissonRegressor().fit(x, y)
        return model, x, y, model.predict(x)[np.newaxis], y[np.newaxis]
    if kind == "several labels":
        y = (x[:, :3] + noise > 0.3).astype(int)
        model = MultiOutputClassifier(GaussianNB()).fit(x, y)
        a = np.stack([p[:, 1] for p in model.predict_proba(x)])
        return model, x, y, a, y.T.astype(float)
    y = (x[:, :3] + noise).argmax(axis=1)
    if kind != "three classes":
        y = (y == 1).astype(int)
    model = GaussianNB().fit(x, y)
    a = model.predict_proba(x).T
    if kind == "one output":
        return model, x, y, a[1:], y[np.newaxis].astype(float)
    return model, x, y, a, y


KINDS = ["three classes", "two classes", "one output", "several labels", "numbers"]


def value_or_error(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(function(*arguments, **options))
        except ValueError as error:
            return error


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_says_of_outputs_what_it_says_of_an_estimator(name, kind, weighted):
    if (name in OF_NUMBERS) != (kind == "numbers"):
        return
    model, x, y, a, targets = problem(kind)
    options = {}
    if weighted:
        options = {"sample_weight": np.random.default_rng(1).uniform(0, 2, len(x))}
    metric = metric_named(name)
    if weighted and name in UNWEIGHTED:
        with pytest.raises(ValueError, match=f"^the metric '{name}' cannot weight the examples: l"):
            metric(a, targets, **options)
        return
    expected = value_or_error(theirs.get_scorer(name), model, x, y, **options)
    if isinstance(expected, ValueError):  # such as "f1" of three classes
        with pytest.raises(ValueError, match=f"^the metric '{name}'"):
            metric(a, targets, **options)
        with pytest.raises(ValueError, match=f"^the metric '{name}'"):
            metric.check(a[..., :8], targets, **options)
        return
    assert metric(a, targets, **options) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert metric.greater_is_better
    metric.check(a[..., :8], targets, **options)


def test_the_scorers_that_are_of_numbers():
    found = {name for name in SCORERS if metric_named(name).of_numbers}
    assert found == OF_NUMBERS.intersection(SCORERS)


@pytest.mark.parametrize("name", sorted(OURS - {"accuracy"}))
def test_ours_of_a_scorers_name_have_its_value(name):
    model, x, y, a, targets = problem("numbers")
    expected = theirs.get_scorer(name)(model, x, y)
    assert metric_named(name)(a, targets) == pytest.approx(expected, rel=1e-12)


def test_targets_may_be_one_hot():
    _, _, y, a, _ = problem("three classes")
    one_hot = np.eye(3)[:, y]
    for name in ("f1_macro", "roc_auc_ovr", "neg_log_loss", "balanced_accuracy"):
        assert metric_named(name)(a, one_hot) == metric_named(name)(a, y)


def test_outputs_that_are_no_probabilities_rank_by_themselves():
    _, _, y, a, _ = problem("one output")
    z = np.log(a / (1 - a))
    assert metric_named("roc_auc")(z, y) == pytest.approx(theirs.roc_auc_score(y, a[0]), rel=1e-12)
    two = np.concatenate([-z, z])
    assert metric_named("roc_auc")(two, y) == metric_named("roc_auc")(z, y)


@pytest.mark.parametrize("name", ["neg_log_loss", "roc_auc_ovr", "neg_brier_score"])
def test_a_scorer_that_needs_probabilities_says_so_before_training(name):
    _, _, y, a, _ = problem("three classes")
    words = f"^the metric '{name}' needs probabilities, and the outputs are none"
    for z in (np.log(a), 0.9 * a, 2 * a):
        with pytest.raises(ValueError, match=words):
            metric_named(name)(z, y)
        with pytest.raises(ValueError, match=words):
            metric_named(name).check(z[:, :8], y)


def test_sequences_are_flattened_and_their_padding_left_out():
    rng = np.random.default_rng(0)
    a = rng.dirichlet(np.ones(3), size=(5, 40)).transpose(2, 0, 1)  # 3 x 5 x 40
    y = rng.integers(0, 3, (5, 40))
    y[3:, ::2] = -1
    real = y != -1
    flat = theirs.f1_score(y[real], a.argmax(axis=0)[real], average="macro")
    assert metric_named("f1_macro")(a, y) == pytest.approx(flat, rel=1e-14)
    weight = rng.uniform(1, 2, 40)  # of every step of an example
    each = np.broadcast_to(weight, (5, 40))[real]
    expected = theirs.f1_score(y[real], a.argmax(axis=0)[real], average="macro", sample_weight=each)
    assert metric_named("f1_macro")(a, y, weight) == pytest.approx(expected, rel=1e-14)


def test_several_outputs_of_numbers():
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=(3, 50)), rng.normal(size=(3, 50))
    expected = -theirs.mean_absolute_error(y.T, a.T)
    assert metric_named("neg_mean_absolute_error")(a, y) == pytest.approx(expected, rel=1e-12)
    expected = theirs.r2_score(y.T, a.T)
    assert metric_named("r2")(a, y) == pytest.approx(expected, rel=1e-12)


def test_scorers_of_ones_own_are_metrics():
    _, _, y, a, _ = problem("two classes")
    x = np.zeros((4, len(y)), np.float32)
    network = bp.Network.from_sizes([4, 2], cost="softmax_cross_entropy", rng=0)
    f2 = theirs.make_scorer(theirs.fbeta_score, beta=2)
    found = network.evaluate(x, y, metrics={"f2": f2})
    assert found["f2"] == theirs.fbeta_score(y, network.predict(x).argmax(axis=0), beta=2)
    assert Scorer(f2, "f2")(a, y) == theirs.fbeta_score(y, a.argmax(axis=0), beta=2)


def test_what_is_not_defined_is_no_warning():
    a = np.array([[0.9, 0.8, 0.7], [0.1, 0.2, 0.3]])
    assert metric_named("precision")(a, np.array([0, 1, 1])) == 0


def test_a_function_of_scikit_learn_is_no_metric_and_the_remedy_is_its_scorer():
    network = bp.Network.from_sizes([4, 2], cost="softmax_cross_entropy", rng=0)
    with pytest.raises(TypeError, match='give its scorer by name, as "f1_macro"'):
        bp.Trainer(network, metrics={"f1": theirs.f1_score})
