"""Normalisations keep their digits, whatever the size and offset of their inputs."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from backprop.layers import BatchNorm, GroupNorm, RMSNorm
from tests.layers.normalized import (
    KINDS,
    extreme,
    of_any_constant,
    of_any_size_and_offset,
    of_every_kind,
    together,
)


def test_a_large_mean_does_not_cost_batch_norm_its_digits():
    x = (np.random.default_rng(0).standard_normal((2, 64)) + 1e4).astype("f4")
    layer = BatchNorm(2)
    layer.forward(x, training=True)
    exact = x.astype("f8") - x.astype("f8").mean(axis=1, keepdims=True)
    exact /= np.sqrt((exact**2).mean(axis=1, keepdims=True) + 1e-5)
    assert np.abs(layer.x_hat - exact).max() < 2e-6


def test_group_norm_of_large_images_keeps_its_digits():
    x = (np.random.default_rng(0).standard_normal((1, 128, 128, 8))).astype("f4")
    layer = GroupNorm(1, 1)
    layer.forward(x, training=True)
    exact = np.sqrt(x.astype("f8").reshape(-1, 8).var(axis=0) + 1e-5)
    np.testing.assert_allclose(layer.deviation[0], exact, rtol=3e-6)


def exact_x_hat(layer, x):
    """Return x_hat of numbers that fit into float64 in size, as float64 has it."""
    x_hat = np.zeros(x.shape)
    for indices in together(layer, x.shape):
        numbers = [Fraction(float(x[i])) for i in indices]
        mu = 0 if isinstance(layer, RMSNorm) else sum(numbers) / len(numbers)
        variance = sum((number - mu) ** 2 for number in numbers) / len(numbers)
        # The root of a fraction, whose parts may not fit: by way of integers.
        total = variance + Fraction(layer.epsilon)
        shift = 2 * max(0, 120 + total.denominator.bit_length() - total.numerator.bit_length())
        root = Fraction(math.isqrt((total.numerator << shift) // total.denominator))
        deviation = root / 2 ** (shift // 2)
        for i, number in zip(indices, numbers, strict=True):
            x_hat[i] = float((number - mu) / deviation)
    return x_hat


@of_every_kind
@of_any_size_and_offset
@pytest.mark.filterwarnings("error")
def test_inputs_of_any_size_and_offset_are_standardised(kind, dtype, size, offset):
    layer, x, _ = extreme(kind, dtype, size, offset)
    a = layer.forward(x, training=True)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(a, exact_x_hat(layer, x), rtol=20 * eps, atol=20 * eps)
    np.testing.assert_array_equal(a, layer.x_hat)
    downstream = layer.backward(np.ones_like(x))
    assert np.isfinite(downstream).all()
    if kind is BatchNorm:
        assert np.isfinite(layer.running_variance).all()


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("float32", 1e-20), ("float32", 1e19), ("float32", 1e20), ("float32", 1e30),
     ("float32", 8e37), ("float64", 1e-150), ("float64", 1e20), ("float64", 1e150)],
)  # fmt: skip
@pytest.mark.parametrize("n", [2, 40])
def test_inference_standardises_inputs_of_any_size(dtype, size, n):
    layer = BatchNorm(3, momentum=1.0, epsilon=float(np.float32(1e-37)), dtype=dtype)
    x = np.random.default_rng(0).standard_normal((3, n)) * size
    layer.forward(x.astype(dtype), training=True)
    variance = (x / size).var(axis=1, ddof=1, keepdims=True)  # the running one, as momentum is 1
    expected = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(variance * size**2 + layer.epsilon)
    a = layer.forward(x.astype(dtype))
    np.testing.assert_allclose(a, expected, rtol=1e-4, atol=1e-5)
    assert a.dtype == dtype
    layer.forward(x.astype(dtype), keep=True)
    assert layer.deviation.dtype == layer.backward(a).dtype == dtype


@of_every_kind
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@of_any_constant
@pytest.mark.filterwarnings("error")
def test_a_constant_becomes_0_whatever_its_size(kind, dtype, value):
    layer = kind(6, dtype=dtype)
    a = layer.forward(np.full((6, 5, 7), value, dtype), training=True)
    if isinstance(layer, RMSNorm):
        expected = value / math.hypot(value, math.sqrt(layer.epsilon))
        np.testing.assert_allclose(a, expected, rtol=1e-5)
    else:
        np.testing.assert_array_equal(a, 0)
    assert np.isfinite(layer.backward(np.ones_like(a))).all()


def test_the_gradient_of_large_inputs_is_that_of_small_ones():
    rng = np.random.default_rng(0)
    x, nabla_a = rng.standard_normal((2, 6, 5, 7)).astype(np.float32)
    for kind in KINDS:
        small, large = kind(6, epsilon=1e-30), kind(6, epsilon=1e-30)
        a = small.forward(x, training=True)
        np.testing.assert_allclose(large.forward(x * np.float32(2**70), training=True), a, 1e-5)
        downstream = large.backward(nabla_a) * np.float32(2**70)
        np.testing.assert_allclose(downstream, small.backward(nabla_a), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(large.nabla_g, small.nabla_g, rtol=1e-5)
