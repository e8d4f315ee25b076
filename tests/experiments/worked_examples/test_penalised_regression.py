"""A regression with a penalty: the steps by hand are the library's, and derivatives."""

import numpy as np
import pytest

from backprop.gradients import central_difference, relative_error
from experiments.worked_examples import penalised_regression as example


def test_it_prints_its_numbers(small_run):
    text = small_run("worked_examples.penalised_regression").stdout
    for shown in ["J = 0.150754100", "g <- g v:  [-0.65063   0.289169]"]:
        assert shown in text


def test_penalised_regression():
    steps = example.by_hand()
    grad_v = steps["grad_v J = g h + 2 lambda v"]
    grad_w = steps["grad_W J = g x^T + 2 lambda W"]
    j, nabla_w, nabla_v = example.by_network()
    assert j == pytest.approx(example.cost(example.W, example.V), rel=1e-15)
    np.testing.assert_allclose(nabla_w, grad_w, rtol=1e-14)
    np.testing.assert_allclose(nabla_v, grad_v, rtol=1e-14)
    numeric_w = central_difference(
        lambda w: example.cost(w, example.V),
        example.W.copy(),
    )
    numeric_v = central_difference(
        lambda v: example.cost(example.W, v),
        example.V.copy(),
    )
    assert relative_error(numeric_w, grad_w) <= 1e-7
    assert relative_error(numeric_v, grad_v) <= 1e-7
