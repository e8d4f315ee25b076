import math

import numpy as np
import pytest

from backprop import SGD, Network, Trainer
from backprop.core.config import from_config
from backprop.gradients import check_gradients
from backprop.kernels import memory
from backprop.regularizers import L1, L2, Regularizer

W = np.array([[1.0, -2.0, 0.0], [0.5, 3.0, -4.0]])
SHAPES = [(7,), (1, 1), (5, 3), (3, 5), (8, 2), (9, 4), (1, 40), (40, 1), (4, 3, 2, 2)]


def test_values_by_hand():
    assert L2(0.5).value(W) == 0.5 * (1 + 4 + 0.25 + 9 + 16)
    assert L1(0.5).value(W) == 0.5 * (1 + 2 + 0.5 + 3 + 4)
    assert isinstance(L2(1).value(W), float)
    assert isinstance(L1(1).value(W.astype(np.float32)), float)


def test_gradients_by_hand():
    nabla_w = np.ones_like(W)
    L2(0.5).add_gradient(W, nabla_w)
    np.testing.assert_array_equal(nabla_w, 1 + W)
    nabla_w = np.ones_like(W)
    L1(0.5).add_gradient(W, nabla_w)
    np.testing.assert_array_equal(nabla_w, [[1.5, 0.5, 1.0], [1.5, 1.5, 0.5]])


def test_the_books_conventions():
    lmbda, n = 5.0, 1000
    l2, l1 = L2.book(lmbda, n), L1.book(lmbda, n)
    assert l2.value(W) == pytest.approx(lmbda / (2 * n) * (W**2).sum(), rel=1e-15)
    assert l1.value(W) == pytest.approx(lmbda / n * np.abs(W).sum(), rel=1e-15)
    for regularizer, gradient in [(l2, lmbda / n * W), (l1, lmbda / n * np.sign(W))]:
        nabla_w = np.zeros_like(W)
        regularizer.add_gradient(W, nabla_w)
        np.testing.assert_allclose(nabla_w, gradient, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("block", [8, 1000])
def test_blocks_of_any_shape(monkeypatch, shape, dtype, block):
    monkeypatch.setattr(memory, "UPDATE_BLOCK", block)
    rng = np.random.default_rng(0)
    w = np.array(rng.standard_normal(shape), dtype)
    before, nabla_w = w.copy(), np.array(rng.standard_normal(shape), dtype)
    for regularizer, value, gradient in [
        (L2(0.25), 0.25 * (w.astype(float) ** 2).sum(), w * np.array(0.5, dtype)),
        (L1(0.25), 0.25 * np.abs(w.astype(float)).sum(), np.sign(w) * np.array(0.25, dtype)),
    ]:
        expected = nabla_w + gradient
        assert regularizer.value(w) == pytest.approx(value, rel=1e-14)
        regularizer.add_gradient(w, nabla_w)
        assert nabla_w.dtype == dtype
        np.testing.assert_array_equal(nabla_w, expected)
    np.testing.assert_array_equal(w, before)


@pytest.mark.parametrize("block", [8, 1000])
def test_arrays_in_any_memory_order(monkeypatch, block):
    monkeypatch.setattr(memory, "UPDATE_BLOCK", block)
    rng = np.random.default_rng(0)
    w = rng.standard_normal((6, 5)).T
    nabla_w = np.zeros((10, 6))[::2]
    L2(1.0).add_gradient(w, nabla_w)
    np.testing.assert_array_equal(nabla_w, 2 * w)
    assert L2(1.0).value(w) == pytest.approx((w**2).sum(), rel=1e-14)


def test_more_than_one_block_as_shipped():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, memory.UPDATE_BLOCK // 2 + 1)).astype(np.float32)
    nabla_w = np.zeros_like(w)
    L2(0.5).add_gradient(w, nabla_w)
    np.testing.assert_array_equal(nabla_w, w)
    w = w.reshape(-1)
    assert L2(1.0).value(w) == pytest.approx(float((w.astype(float) ** 2).sum()), rel=1e-13)


def test_float32_weights_are_summed_in_double_precision():
    w = np.full(2**17, 0.1, np.float32)
    assert L2(1.0).value(w) == pytest.approx(w.size * float(w[0]) ** 2, rel=1e-12)
    assert L1(1.0).value(w) == pytest.approx(w.size * float(w[0]), rel=1e-12)


@pytest.mark.parametrize("regularizer", [L2(0.3), L1(0.3)], ids=repr)
def test_gradient_by_the_complex_step(regularizer):
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, 4))
    nabla_w = np.zeros_like(w)
    regularizer.add_gradient(w, nabla_w)
    h = 1e-100
    for index in np.ndindex(w.shape):
        z = w.astype(complex)
        z[index] += 1j * h
        value = regularizer.value(z)
        assert isinstance(value, complex)
        assert value.real == pytest.approx(regularizer.value(w), rel=1e-14)
        assert value.imag / h == pytest.approx(nabla_w[index], rel=1e-14)


@pytest.mark.parametrize("regularizer", [L2(0.3), L1(0.3), L2(0)], ids=repr)
def test_description_round_trip(regularizer):
    again = from_config(regularizer.config())
    assert type(again) is type(regularizer)
    assert again.lmbda == regularizer.lmbda


def test_repr():
    assert repr(L2(0.1)) == "L2(lmbda=0.1)"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: L2(-1.0), ValueError, r"^L2: lmbda must be in \[0, inf\), got -1.0"),
        (lambda: L1(float("inf")), ValueError, r"^L1: lmbda must be in \[0, inf\), got inf"),
        (lambda: L1(float("nan")), ValueError, r"^L1: lmbda must be in \[0, inf\), got nan"),
        (lambda: L2("0.1"), TypeError, r"^L2: lmbda must be a number, got '0.1'"),
        (
            lambda: L2.book(-5.0, 100),
            ValueError,
            r"^L2.book: lmbda must be in \[0, inf\), got -5.0",
        ),
        (lambda: L2.book(5.0, 0), ValueError, r"^L2.book: n must be at least 1, got 0"),
        (lambda: L1.book(5.0, 0.5), TypeError, r"^L1.book: n must be an integer, got 0.5"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("regularizer", [L2(0.1), L1(0.1)], ids=repr)
@pytest.mark.parametrize(
    ("w", "nabla_w", "error", "message"),
    [
        (W.tolist(), W.copy(), TypeError, "the weights w must be a numpy array, got list"),
        (W.astype(int), W.copy(), TypeError, "the weights w must be floating, got int64"),
        (W, W.astype(np.float32), TypeError, "gradient nabla_w must be float64, got float32"),
        (W, W.tolist(), TypeError, "gradient nabla_w must be a numpy array, got list"),
        (W[0, :1].reshape(()), W, ValueError, "w must have at least one axis, got a scalar"),
        (W, W.T.copy(), ValueError, r"the shape \(2, 3\) of w, got \(3, 2\)"),
        (W[:1], W.copy(), ValueError, r"the shape \(1, 3\) of w, got \(2, 3\)"),
    ],
)
def test_bad_arrays_change_nothing(regularizer, w, nabla_w, error, message):
    before = np.array(nabla_w)
    with pytest.raises(error, match=f"^{type(regularizer).__name__}: .*{message}"):
        regularizer.add_gradient(w, nabla_w)
    np.testing.assert_array_equal(nabla_w, before)


def test_the_base_is_abstract():
    with pytest.raises(TypeError, match=r"abstract class Regularizer .*gradient.*penalty"):
        Regularizer(0.1)


@pytest.mark.parametrize(
    ("penalty", "w", "expected"),
    [
        (L2(1e-100), np.full(5, 1e160), 5e220),
        (L2(0), np.full(5, 1e160), 0.0),
        (L2(0.5), np.full(3, 1e25, np.float32), 1.5e50),
        (L1(1e-10), np.full(5, -1e308), 5e298),
        (L1(0), np.full(5, 1e308), 0.0),
        (L2(1.0), np.full(5, 1e160), math.inf),
        (L2(1e300), np.full(5, 1e-140), 5e20),
    ],
)
@pytest.mark.filterwarnings("error")
def test_penalties_of_large_weights_are_finite_where_the_result_is(penalty, w, expected):
    assert penalty.value(w) == pytest.approx(expected, rel=1e-6)


def test_a_penalty_says_what_of_theta_it_is_on():
    """Of a penalty that is on biases alone, all that trains or differentiates a network hears."""

    class OnBiases(L2):
        def parts(self, root):
            ends = np.cumsum([layer.n_parameters for layer in root.children])
            return [
                (slice(end - len(layer.b), end), self)
                for layer, end in zip(root.children, ends, strict=True)
            ]

    network = Network.from_sizes([3, 4, 2], dtype="float64", rng=0)
    x, y = np.random.default_rng(0).random((3, 5)), np.random.default_rng(1).random((2, 5))
    trainer = Trainer(network, SGD(0.1), 5, OnBiases(0.5), rng=0, progress=False, shuffle=False)
    before = network.theta.copy()
    network.forward(x, training=True)
    network.backward(y)
    nabla = network.nabla.copy()
    for start, stop in ((12, 16), (24, 26)):
        nabla[start:stop] += before[start:stop]
    trainer.fit(x, y, 1)
    np.testing.assert_allclose(network.theta, before - 0.1 * nabla, rtol=1e-13)
    b = [layer.b for layer in network.layers]
    expected = 0.5 * sum(float((one**2).sum()) for one in b)
    assert trainer.history["penalty"] == [pytest.approx(expected)]
    report = check_gradients(network, x, y, regularizer=OnBiases(0.5))
    assert report.passed, str(report)
