"""The delta rule by hand is the library's; a forgotten sigma' is noticed."""

from itertools import pairwise

import numpy as np

from experiments.worked_examples import delta_rule as example


def test_it_prints_its_numbers(small_run):
    text = small_run("worked_examples.delta_rule").stdout
    for shown in ["ratio [4.622779 4.622779 4.622779]", "without        0.78"]:
        assert shown in text


def test_delta_rule():
    sigmoid = example.Sigmoid()
    right, squared = example.network(sigmoid), example.network(sigmoid, "squared_error")
    np.testing.assert_allclose(example.gradient(right), example.by_hand(), rtol=1e-14)
    np.testing.assert_allclose(example.gradient(squared), 2 * example.by_hand(), rtol=1e-14)


def test_without_the_derivative():
    right, wrong = (
        example.network(example.Sigmoid()),
        example.network(example._ForgottenPrime()),
    )
    ratio = example.gradient(wrong) / example.gradient(right)
    o = right.predict(example.X)
    np.testing.assert_allclose(ratio, 1 / (o * (1 - o)) * np.ones((1, 3)), rtol=1e-12)
    assert abs(ratio[0, 0] - ratio[1, 0]) > 0.1  # each row has its own
    assert example.check(right) <= 1e-7
    assert example.check(wrong) > 0.7
    costs = example.costs(example._ForgottenPrime(), 200)
    assert all(after < before for before, after in pairwise(costs))
