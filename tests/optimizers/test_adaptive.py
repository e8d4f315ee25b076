"""Optimizers that divide by the size of the gradients."""

import numpy as np
import pytest

from backprop.optimizers import Adam, AdamW, RMSProp
from tests.optimizers.support import BLOCK, adam, problem, rmsprop


def test_first_step_of_adam_is_eta_whatever_the_gradient():
    theta = np.zeros(3)
    Adam(eta=0.5).step(theta, np.array([1e-3, -10.0, 1e6]))
    np.testing.assert_allclose(theta, [-0.5, 0.5, -0.5], rtol=1e-4)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e-8, 1.0, 1e16, 1e17, 1e18, 1e19, 1e25, 1e35])
@pytest.mark.parametrize("eps", [1e-8, 1e-35])
@pytest.mark.parametrize("kind", [Adam, AdamW, RMSProp])
@pytest.mark.filterwarnings("error")
def test_steps_are_right_for_gradients_of_any_size(kind, eps, size):
    theta, gradients = problem(3 * BLOCK - 1, dtype="float32")
    gradients = np.float32(size) * gradients.astype(np.float32)
    start, optimizer = theta.copy(), kind(0.1, eps=eps)
    for nabla in gradients:
        optimizer.step(theta, nabla)
    for i, column in enumerate(gradients.T.astype(float)):  # whose squares fit into float64
        if kind is RMSProp:
            expected = rmsprop(float(start[i]), column, 0.1, 0.99, eps)[-1]
        else:
            decay = 0.01 if kind is AdamW else 0.0
            expected = adam(float(start[i]), column, 0.1, 0.9, 0.999, eps, decay)[-1]
        assert theta[i] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("size", [1e-250, 1e-150, 1e150, 1e155, 1e160, 1e300])
@pytest.mark.parametrize("kind", [Adam, AdamW, RMSProp])
@pytest.mark.filterwarnings("error")
def test_steps_do_not_depend_on_the_size_of_the_gradients_in_float64(kind, size):
    theta, gradients = problem(7)
    same, big, plain = theta.copy(), kind(0.1, eps=1e-300), kind(0.1, eps=1e-300)
    for nabla in gradients:
        big.step(theta, size * nabla)
        plain.step(same, nabla)
    np.testing.assert_allclose(theta, same, rtol=1e-12)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", [Adam, AdamW, RMSProp])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_large_gradient_after_ordinary_ones(kind, place):
    theta, gradients = problem(3 * BLOCK - 1, dtype="float32")
    gradients = gradients.astype(np.float32)
    gradients[2:, place * BLOCK + 1] = [3e19 * (k - 5.5) for k in range(2, len(gradients))]
    wide, in_float64, optimizer = theta.astype(float), kind(0.1), kind(0.1)
    for k, nabla in enumerate(gradients):
        optimizer.step(theta, nabla)
        in_float64.step(wide, nabla.astype(float))
        assert ("root_v" in optimizer.accumulators) == (k >= 2)
        assert "root_v" not in in_float64.accumulators
        np.testing.assert_allclose(theta, wide, rtol=1e-4, atol=1e-6)
    twin, again = kind(0.1), theta.copy()
    twin.set_state(optimizer.state(), again)
    for nabla in gradients:
        optimizer.step(theta, nabla)
        twin.step(again, nabla)
    np.testing.assert_array_equal(theta, again)


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
