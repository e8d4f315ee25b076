"""Each recipe of docs/recipes.md is at most five statements of public names, and works."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from backprop.gradients import central_difference
from tests.docs.pages import PAGES, blocks

PAGE = "docs/recipes.md"
SETUP, *CODE = blocks(PAGE, "python")
RECIPES = dict(zip(re.findall(r"^## (.*)$", PAGES[PAGE], re.MULTILINE), CODE, strict=True))


def names(code):
    """Return the namespace after the beginning of the page and one recipe."""
    space = {"__name__": "recipes"}
    exec(SETUP, space)
    exec(code, space)
    return space


def gradients(network, x, y):
    """Return copies of every layer's delta, and of its gradient, after both passes."""
    network.forward(x, training=True)
    network.backward(y)
    return [(layer.delta.copy(), layer.nabla.copy()) for layer in network.layers]


@pytest.mark.parametrize("title", RECIPES)
def test_it_is_at_most_five_statements_with_public_names(title):
    nodes = list(ast.walk(ast.parse(RECIPES[title])))
    assert sum(isinstance(node, ast.stmt) for node in nodes) <= 5
    assert not any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes)
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    used = attributes | {node.id for node in nodes if isinstance(node, ast.Name)}
    assert not any(name.startswith("_") for name in used)


def test_none_is_without_a_test_of_its_effect():
    source = Path(__file__).read_text(encoding="utf-8")
    assert set(re.findall(r'names\(RECIPES\["(.*?)"\]\)', source)) == set(RECIPES)


def expected_by_feedback(space, sent):
    """Return delta and gradient of every layer, where `sent` says what goes down instead."""
    x, y, layers = space["x"], space["y"], space["network"].layers
    a = [x]
    for layer in layers[:-1]:
        a.append(np.tanh(layer.w @ a[-1] + layer.b))
    z = layers[-1].w @ a[-1] + layers[-1].b
    e = np.exp(z - z.max(axis=0))
    delta = last = (e / e.sum(axis=0) - y) / y.shape[1]
    found = []
    for number in reversed(range(len(layers))):
        found.insert(0, (delta, np.append((delta @ a[number].T).ravel(), delta.sum(axis=1))))
        if number:
            delta = sent(layers[number], delta, last) * (1 - a[number] ** 2)
    return found


def assert_same(found, expected):
    for (delta, nabla), (right_delta, right_nabla) in zip(found, expected, strict=True):
        np.testing.assert_allclose(delta, right_delta, rtol=1e-10, atol=1e-15)
        np.testing.assert_allclose(nabla, right_nabla, rtol=1e-10, atol=1e-15)


def accuracy_after_training(space, epochs=300):
    network, trainer, sgd = space["network"], space["Trainer"], space["SGD"]
    trainer(network, sgd(0.3), batch_size=10, rng=0).fit(space["x"], space["y"], epochs)
    return network.evaluate(space["x"], space["y"])["accuracy"]


def test_feedback_alignment():
    space = names(RECIPES["Feedback alignment"])
    found = gradients(space["network"], space["x"], space["y"])

    def sent(layer, delta, last):
        return layer.downstream.args[0] @ delta

    assert_same(found, expected_by_feedback(space, sent))
    below = space["network"][0].delta
    plain = gradients(space["make_network"](), space["x"], space["y"])
    assert not np.allclose(below, plain[0][0])
    assert accuracy_after_training(space) > 0.9


def test_direct_feedback_alignment():
    space = names(RECIPES["Direct feedback alignment"])
    found = gradients(space["network"], space["x"], space["y"])

    def sent(layer, delta, last):
        return layer.downstream.__defaults__[0] @ last

    assert_same(found, expected_by_feedback(space, sent))
    assert accuracy_after_training(space) > 0.9


def test_gradient_reversal():
    space = names(RECIPES["Gradient reversal"])
    network_of, dense, x, y = (space[name] for name in ("Network", "Dense", "x", "y"))

    def layers():
        return [dense(12, 5, "tanh", rng=0), dense(5, 3, "softmax", rng=1)]

    below, above = layers()
    reversed_ = network_of([below, space["Reversal"](), above], "softmax_cross_entropy")
    plain = network_of(layers(), "softmax_cross_entropy")
    twins = [network.astype("float64") for network in (reversed_, plain)]
    np.testing.assert_array_equal(*(network.predict(x) for network in twins))
    found, expected = (gradients(network, x, y) for network in twins)
    np.testing.assert_allclose(found[0][1], -0.5 * expected[0][1], rtol=1e-12)
    np.testing.assert_array_equal(found[-1][1], expected[-1][1])


def test_zeroing_a_delta():
    space = names(RECIPES["Zeroing one layer's δ"])
    network, x, y = space["network"], space["x"], space["y"]
    found = gradients(network, x, y)
    plain = gradients(space["make_network"](), x, y)
    for delta, nabla in found[:2]:
        assert not delta.any()
        assert not nabla.any()
    np.testing.assert_array_equal(found[2][0], plain[2][0])
    np.testing.assert_array_equal(found[2][1], plain[2][1])
    assert all(nabla.any() for _, nabla in plain)
    space["hook"].remove()
    assert_same(gradients(network, x, y), plain)


def test_freezing():
    space = names(RECIPES["Freezing"])
    network = space["network"]
    before = [layer.theta.copy() for layer in network.layers]
    accuracy_after_training(space, epochs=1)
    changed = [
        (layer.theta != start).any() for layer, start in zip(network.layers, before, strict=True)
    ]
    assert changed == [False, True, True]
    assert not network[0].nabla.any()


def test_rates_by_layer():
    space = names(RECIPES["Learning rates by layer"])
    network, plain = space["network"], space["make_network"]()
    steps = []
    for one in (network, plain):
        start = [layer.theta.copy() for layer in one.layers]
        trainer = space["Trainer"](one, space["SGD"](0.3), batch_size=40, rng=0)
        trainer.fit(space["x"], space["y"], epochs=1)
        steps.append([layer.theta - s for layer, s in zip(one.layers, start, strict=True)])
    for mine, full, factor in zip(*steps, (0.25, 0.5, 1), strict=True):
        np.testing.assert_allclose(mine, factor * full, rtol=1e-9, atol=1e-15)


def test_saliency():
    space = names(RECIPES["A saliency map"])
    network, x, labels = space["network"], space["x"], space["labels"]
    before = network.state()

    def own_scores(x):
        return network.predict(x)[labels, np.arange(labels.size)].sum()

    numeric = central_difference(own_scores, x.copy())
    np.testing.assert_allclose(space["saliency"], abs(numeric), atol=1e-8)
    network.forward(x, keep=True)
    after = network.state()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    of_z = network.root.backward_from(space["y"])
    assert of_z.shape == x.shape
    assert not np.allclose(abs(of_z), space["saliency"])


def test_tied_autoencoder():
    space = names(RECIPES["A tied autoencoder"])
    encoder, decoder, x = space["encoder"], space["decoder"], space["x"]
    np.testing.assert_array_equal(decoder.w, encoder.w.T)
    network = space["network"]
    assert network.n_parameters == 12 * 5 + 5 + 12
    network.forward(x, training=True)
    network.backward(x)

    def cost(w):
        encoder.w = w
        return network.evaluate(x, x, metrics={})["cost"]

    numeric = central_difference(cost, encoder.w.copy())
    np.testing.assert_allclose(encoder.nabla_w, numeric, atol=1e-8)


def test_two_heads():
    space = names(RECIPES["Two heads"])
    network, x, y = space["network"], space["x"], space["y"]
    network.forward(x, training=True)
    network.backward((y, x[:1]))

    def cost(theta):
        network.theta = theta
        a, b = network.predict(x)
        return -(y * np.log(a)).sum() / 40 + ((b - x[:1]) ** 2).sum() / 80

    nabla = network.nabla.copy()
    np.testing.assert_allclose(nabla, central_difference(cost, network.theta.copy()), atol=1e-8)


def test_hessian_vector_products():
    space = names(RECIPES["Hessian-vector products"])
    network, v, h = space["make_network"](), space["v"], 1e-5
    sides = []
    for sign in (1, -1):
        network.theta += sign * h * v
        gradients(network, space["x"], space["y"])
        sides.append(network.nabla.copy())
        network.theta -= sign * h * v
    numeric = (sides[0] - sides[1]) / (2 * h)
    np.testing.assert_allclose(space["product"], numeric, atol=1e-8)
