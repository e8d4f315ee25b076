"""Estimators over layers that are given: templates, which are copied and never trained."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from backprop import (
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Graph,
    MaxPool2d,
    Network,
    Sequential,
)
from backprop.graph import Input, apply
from backprop.interop.sklearn import BackpropClassifier, BackpropRegressor
from tests.interop.estimators import KINDS, LABELS, NUMBERS, SIGNS, X


def dense(n_out=3, sigma="softmax"):
    return [Dense(4, 10, "tanh", rng=0), Dense(10, n_out, sigma, rng=1)]


def test_layers_are_copied_and_never_trained():
    layers = dense()
    before = [layer.theta.copy() for layer in layers]
    model = BackpropClassifier(layers=layers, random_state=0, eta=0.01).fit(X, LABELS)
    for layer, theta in zip(layers, before, strict=True):
        np.testing.assert_array_equal(layer.theta, theta)
        assert layer.owner is None
    assert model.score(X, LABELS) > 0.9
    again = BackpropClassifier(layers=layers, random_state=0, eta=0.01).fit(X, LABELS)
    np.testing.assert_array_equal(again.network_.theta, model.network_.theta)
    other = BackpropClassifier(layers=layers, random_state=1, eta=0.01).fit(X, LABELS)
    assert not (other.network_.theta == model.network_.theta).any()


def test_layers_of_a_network_in_use_stay_in_it():
    network = Network(dense(), "softmax_cross_entropy")
    theta = network.theta.copy()
    BackpropClassifier(layers=network.layers, epochs=2).fit(X, LABELS)
    np.testing.assert_array_equal(network.theta, theta)
    network.forward(X.T.astype(np.float32))  # still whole
    with pytest.raises(TypeError, match=r"layers must not be a Network, give its root: net"):
        BackpropClassifier(layers=lambda n, k: network).fit(X, LABELS)
    BackpropClassifier(layers=network.root, epochs=2).fit(X, LABELS)


def test_a_callable_builds_layers_for_what_it_is_given():
    seen = []

    def build(n_features, n_outputs):
        seen.append((n_features, n_outputs))
        return [Dense(n_features, 8, "relu"), Dense(8, n_outputs, "softmax")]

    BackpropClassifier(layers=build, epochs=2).fit(X, LABELS)
    BackpropClassifier(layers=build, epochs=2).fit(X[:, :3], SIGNS[:, 0])
    BackpropRegressor(
        layers=lambda n, k: seen.append((n, k)) or [Dense(n, k, "identity")], epochs=2
    ).fit(X, np.column_stack([NUMBERS, NUMBERS]))
    assert seen == [(4, 3), (3, 2), (4, 2)]


def test_convolutions_see_rows_as_images():
    x, y = load_digits(return_X_y=True)
    layers = [
        Conv2d(1, 6, 3),
        MaxPool2d(2),
        Flatten(),
        Dense(54, 10, "softmax"),
    ]
    model = BackpropClassifier(
        layers=layers, input_shape=(1, 8, 8), standardize=False, epochs=15, random_state=0, eta=0.01
    ).fit(x[:1000] / 16, y[:1000])
    assert model.network_.input_shape == (1, 8, 8)
    assert model.score(x[1000:] / 16, y[1000:]) > 0.85
    model.set_params(input_shape=None)
    with pytest.raises(
        ValueError,
        match=r"^BackpropClassifier: layer 0, .*\(1, H, W\), got \(64,\)"
        " from the input: give input_shape",
    ):
        model.fit(x, y)


def test_dropout_and_batch_normalization_are_seeded():
    layers = [Dense(4, 10, "relu"), BatchNorm(10), Dropout(0.3), Dense(10, 3, "softmax")]
    fits = [BackpropClassifier(layers=layers, random_state=3).fit(X, LABELS) for _ in range(2)]
    np.testing.assert_array_equal(*(model.network_.theta for model in fits))
    np.testing.assert_array_equal(*(model.predict_proba(X) for model in fits))


def test_frozen_layers_keep_their_numbers():
    layers = dense()
    layers[0].trainable = False
    before = layers[0].theta.copy()
    model = BackpropClassifier(layers=layers, random_state=0, epochs=5).fit(X, LABELS)
    np.testing.assert_array_equal(model.network_[0].theta, before)
    assert not (model.network_[1].theta == layers[1].theta).any()


def test_two_classes_by_one_sigmoid_or_two_softmax_units():
    y = np.where(X[:, 0] > 0, "yes", "no")
    for n_out, sigma, cost in (
        (1, "sigmoid", "CrossEntropy"),
        (2, "softmax", "SoftmaxCrossEntropy"),
        (2, "sigmoid", "CrossEntropy"),
    ):
        model = BackpropClassifier(layers=dense(n_out, sigma), random_state=0, eta=0.01).fit(X, y)
        assert type(model.network_.cost).__name__ == cost
        assert model.score(X, y) > 0.9
        p = model.predict_proba(X)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
        assert (model.classes_[p.argmax(axis=1)] == model.predict(X)).all()


@pytest.mark.parametrize(
    ("cost", "end"),
    [
        (None, "softmax"),
        ("softmax_cross_entropy", "softmax"),
        ("cross_entropy", "sigmoid"),
        ("quadratic", "softmax"),
    ],
)
def test_hidden_sizes_end_in_what_the_cost_demands(cost, end):
    model = BackpropClassifier((20,), cost=cost, eta=0.02, random_state=0).fit(X, LABELS)
    assert model.network_[-1].activation.name == end
    assert model.score(X, LABELS) > 0.9
    shares = BackpropRegressor((20,), cost="cross_entropy", eta=0.02, random_state=0)
    y = 1 / (1 + np.exp(-NUMBERS))
    assert shares.fit(X, y).score(X, y) > 0.9


def test_the_books_network_of_sigmoids_and_the_quadratic_cost():
    model = BackpropClassifier(
        layers=dense(3, "sigmoid"), cost="quadratic", optimizer="sgd", eta=3.0, batch_size=10,
        random_state=0,
    ).fit(X, LABELS)  # fmt: skip
    assert model.score(X, LABELS) > 0.9
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    lines = BackpropClassifier(layers=dense(3, "identity"), cost="quadratic", random_state=0)
    assert lines.fit(X, LABELS).score(X, LABELS) > 0.6
    with pytest.raises(AttributeError, match=r'outputs are no probabilities: .* "softmax"'):
        lines.predict_proba(X)


def test_targets_stay_as_they_are_below_an_activation_that_has_a_range():
    y = 1 / (1 + np.exp(-NUMBERS))
    model = BackpropRegressor(layers=dense(1, "sigmoid"), random_state=0, eta=0.02).fit(X, y)
    assert model.y_scaler_ is None
    assert model.score(X, y) > 0.9
    assert 0 <= model.predict(X).min() <= model.predict(X).max() <= 1


def test_a_graph_of_several_outputs():
    x = Input("x", shape=(4,))
    h = apply(Dense(4, 10, "tanh"), x)
    graph = Graph([apply(Dense(10, 3, "softmax"), h), apply(Dense(10, 1, "sigmoid"), h)])
    model = BackpropClassifier(layers=graph, random_state=0, eta=0.02).fit(X, KINDS)
    assert model.score(X, KINDS) > 0.8
    assert [p.shape for p in model.predict_proba(X)] == [(60, 3), (60, 2)]


def shared():
    layer = Dense(4, 4, "tanh", rng=0)
    return [layer, layer, Dense(4, 3, "softmax", rng=1)]


def tied():
    encoder = Dense(4, 2, "tanh", rng=0)
    decoder = Dense(2, 4, "tanh", rng=1).tie("w", encoder, transposed=True)
    return [encoder, decoder, Dense(4, 3, "softmax")]


@pytest.mark.parametrize("make", [shared, tied])
def test_what_layers_share_they_share_in_clones_too(make):
    model = BackpropClassifier(layers=make(), random_state=0, epochs=3)
    twins = [model, clone(model), clone(clone(model))]
    thetas = [twin.fit(X, LABELS).network_.theta for twin in twins]
    assert thetas[0].size == Network(make()).theta.size
    for theta in thetas[1:]:
        np.testing.assert_array_equal(theta, thetas[0])


def test_a_grid_of_layers():
    grid = {"layers": [dense(), [Dense(4, 3, "softmax")], shared()], "eta": [0.01, 0.001]}
    search = GridSearchCV(BackpropClassifier(random_state=0, epochs=20), grid, cv=2)
    assert len(search.fit(X, LABELS).cv_results_["params"]) == 6
    assert search.best_score_ > 0.5


@pytest.mark.parametrize(
    ("layers", "y", "message"),
    [
        (dense(2), LABELS, r'y has 3 classes, and the layers give \(2,\): .* Dense\(..., 3, "soft'),
        (dense(3, "relu"), LABELS, 'the layers give any numbers: end them with the activation "so'),
        (dense(3), SIGNS, 'of rows with several labels end them with the activation "sigmoid"'),
        (dense(2, "sigmoid"), SIGNS, r"y has 3 labels, and the layers give \(2,\)"),
        (dense(3), KINDS, "y has 2 labels a row, and the layers give 1 outputs: give a Graph"),
        ([Dense(5, 3, "softmax")], LABELS, r"take \(5,\), 5 numbers a row, and X has 4 features"),
        ([], LABELS, "a network needs at least one layer"),
        (3, LABELS, "layers must be a sequence of layers, one Layer, or a callable"),
        (["relu"], LABELS, "relu"),
        ([Dropout(0.5), Dense(4, 3, "relu"), Dense(2, 3, "softmax")], LABELS, r"\(2,\)"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers, y, message):
    with pytest.raises((TypeError, ValueError), match=message):
        BackpropClassifier(layers=layers).fit(X, y)


def test_layers_of_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match=r'y has 1 numbers a row, .* Dense\(..., 1, "identity"\)'):
        BackpropRegressor(layers=dense(3)).fit(X, NUMBERS)


def test_a_sequential_is_a_chain_too():
    model = BackpropClassifier(layers=Sequential(dense()), random_state=0, epochs=5).fit(X, LABELS)
    same = BackpropClassifier(layers=dense(), random_state=0, epochs=5).fit(X, LABELS)
    np.testing.assert_array_equal(model.network_.theta, same.network_.theta)
