"""Optimizers that divide by the size of the gradients."""

import numpy as np
import pytest

from backprop.optimizers import (
    Adam,
    AdamW,
)
from tests.optimizers.support import BLOCK, adam, problem


def test_first_step_of_adam_is_eta_whatever_the_gradient():
    theta = np.zeros(3)
    Adam(eta=0.5).step(theta, np.array([1e-3, -10.0, 1e6]))
    np.testing.assert_allclose(theta, [-0.5, 0.5, -0.5], rtol=1e-4)


@pytest.mark.usefixtures("small_blocks")
def test_adamw_decays_weights_only():
    size, decay = 3 * BLOCK - 1, 0.3
    theta, gradients = problem(size)
    weights = [slice(0, 3), slice(5, 2 * BLOCK + 2), slice(size - 2, None)]
    is_weight = np.zeros(size, bool)
    for part in weights:
        is_weight[part] = True
    start, optimizer = theta.copy(), AdamW(0.1, weight_decay=decay)
    for nabla in gradients:
        optimizer.step(theta, nabla, weights)
    for i in range(size):
        path = adam(
            start[i], gradients[:, i], 0.1, 0.9, 0.999, 1e-8, decay if is_weight[i] else 0.0
        )
        assert theta[i] == pytest.approx(path[-1], rel=1e-13, abs=1e-14)


def test_adamw_without_decay_is_adam():
    theta, gradients = problem(7)
    same, adamw, plain = theta.copy(), AdamW(weight_decay=0.0), Adam()
    for nabla in gradients:
        adamw.step(theta, nabla)
        plain.step(same, nabla)
    np.testing.assert_array_equal(theta, same)
    decayed = theta.copy()
    AdamW().step(decayed, gradients[0], [])  # there are no weights
    Adam().step(same, gradients[0])
    np.testing.assert_array_equal(decayed, same)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (
            [slice(0, 2), slice(2, 5)],
            ValueError,
            r"^AdamW: weights must be .* 4 elements, got slice\(2, 5, None\)",
        ),
        ([slice(0, 2), 3], TypeError, "^AdamW: weights must be slices of theta, got 3"),
    ],
)
def test_bad_weights_change_nothing(weights, error, message):
    theta, optimizer = np.ones(4), AdamW()
    with pytest.raises(error, match=message):
        optimizer.step(theta, np.ones(4), weights)
    np.testing.assert_array_equal(theta, np.ones(4))
    assert optimizer.t == 0
