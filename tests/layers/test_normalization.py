"""The normalisations against loops over numbers, and the properties that define them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop.gradients.contract import check_layer
from backprop.layers import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from tests.cases import assert_gradients
from tests.layers.normalized import drawn, together
from tests.support import made_with

sizes = st.integers(1, 4)


def feature(layer, index):
    """Return where the g and b of an element stand."""
    if isinstance(layer, (LayerNorm, RMSNorm)):
        return (*index[: len(layer.shape)], 0)
    return index[0], 0


def twin(layer, x, nabla_a):
    """Return a, dC/dx, dC/dg and dC/db, one number at a time.

    The derivative goes through mu and the variance one after the other, as the paper on batch
    normalisation has it, not by the closed formula.
    """
    a, downstream = np.zeros(x.shape), np.zeros(x.shape)
    nabla_g, nabla_b = np.zeros(layer.g.shape), np.zeros(layer.g.shape)
    centred = not isinstance(layer, RMSNorm)
    for indices in together(layer, x.shape):
        m = len(indices)
        mu = sum(x[i] for i in indices) / m if centred else 0.0
        variance = sum((x[i] - mu) ** 2 for i in indices) / m
        deviation = math.sqrt(variance + layer.epsilon)
        by_variance = by_mu = 0.0
        for i in indices:
            j, x_hat = feature(layer, i), (x[i] - mu) / deviation
            a[i] = layer.g[j] * x_hat + (layer.b[j] if centred else 0)
            nabla_g[j] += nabla_a[i] * x_hat
            nabla_b[j] += nabla_a[i]
            u = nabla_a[i] * layer.g[j]
            by_variance += u * (x[i] - mu) * -0.5 * deviation**-3
            by_mu -= u / deviation
        by_mu -= by_variance * 2 * sum(x[i] - mu for i in indices) / m
        for i in indices:
            u = nabla_a[i] * layer.g[feature(layer, i)]
            downstream[i] = u / deviation + by_variance * 2 * (x[i] - mu) / m + centred * by_mu / m
    found = {"a": a, "downstream": downstream, "g": nabla_g}
    return {**found, "b": nabla_b} if centred else found


def every_kind(shape, dtype="float64"):
    """Return layers of all kinds for examples of `shape`."""
    n = shape[0]
    layers = [BatchNorm(n, dtype=dtype), LayerNorm(n, dtype=dtype), LayerNorm(shape, dtype=dtype)]
    layers += [RMSNorm(n, dtype=dtype), RMSNorm(shape, dtype=dtype)]
    divisors = [groups for groups in range(1, n + 1) if n % groups == 0]
    return layers + [GroupNorm(groups, n, dtype=dtype) for groups in divisors]


def every_layer(dtype="float64"):
    return [
        (layer, (*shape, batch))
        for shape, batch in [((4,), 5), ((4, 3), 2), ((2, 3, 3), 4)]
        for layer in every_kind(shape, dtype)
    ]


def has_variance(layer, shape):
    return all(len(indices) > 1 for indices in together(layer, shape))


every = pytest.mark.parametrize(("layer", "shape"), every_layer(), ids=str)
every_with_variance = pytest.mark.parametrize(
    ("layer", "shape"), [case for case in every_layer() if has_variance(*case)], ids=str
)
in_float32 = pytest.mark.parametrize(("layer", "shape"), every_layer("float32"), ids=str)


# -- what is computed --------------------------------------------------------------------------


@settings(max_examples=15)
@given(shape=st.lists(sizes, min_size=1, max_size=3), batch=sizes, seed=st.integers(0, 2**32))
def test_against_loops(shape, batch: int, seed: int):
    rng = np.random.default_rng(seed)
    x, nabla_a = rng.standard_normal((2, *shape, batch))
    for layer in every_kind(tuple(shape)):
        layer = made_with(drawn(layer, rng), epsilon=1e-3)
        found = {"a": layer.forward(x, training=True), "downstream": layer.backward(nabla_a)}
        expected = twin(layer, x, nabla_a)
        for name, array in {**found, **layer.gradients}.items():
            # A mean of equal numbers leaves rounding, which 1 / deviation magnifies.
            np.testing.assert_allclose(array, expected[name], rtol=1e-10, atol=1e-11, err_msg=name)


@pytest.mark.slow
@settings(max_examples=10)
@given(shape=st.lists(sizes, min_size=1, max_size=3), batch=sizes, seed=st.integers(0, 2**32))
def test_gradients_over_shapes(shape, batch: int, seed: int):
    rng = np.random.default_rng(seed)
    x, nabla_a = rng.standard_normal((2, *shape, batch))
    for layer in every_kind(tuple(shape)):
        assert_gradients(made_with(drawn(layer, rng), epsilon=0.1), x, nabla_a)


@pytest.mark.slow
@every
def test_every_option_keeps_the_contract(layer, shape):
    check_layer(layer, shape[:-1], batch=3, elements=6)


def test_batch_norm_by_hand():
    layer = BatchNorm(2, momentum=0.5, epsilon=9, dtype="float64")
    layer.g, layer.b = [[1], [10]], [[0], [3]]
    x = np.array([[0.0, 8.0], [1.0, 1.0]])  # mean 4 and 1, variance 16 and 0, deviation 5 and 3
    np.testing.assert_allclose(layer.forward(x, training=True), [[-0.8, 0.8], [3, 3]], rtol=1e-15)
    np.testing.assert_array_equal(layer.mu, [[4], [1]])
    np.testing.assert_array_equal(layer.deviation, [[5], [3]])
    np.testing.assert_allclose(layer.x_hat, [[-0.8, 0.8], [0, 0]], rtol=1e-15)
    # unbiased: ((0 - 4)^2 + (8 - 4)^2) / 1 = 32
    np.testing.assert_array_equal(layer.running_mean, [[2], [0.5]])
    np.testing.assert_array_equal(layer.running_variance, [[16.5], [0.5]])
    # u - mean u = -+0.5; mean of u x_hat = 0.4; (-0.5 + 0.8 * 0.4) / 5 = -0.036
    downstream = layer.backward(np.array([[0.0, 1.0], [0.0, 3.0]]))
    np.testing.assert_allclose(downstream, [[-0.036, 0.036], [-5, 5]], rtol=1e-14)
    np.testing.assert_allclose(layer.nabla_g, [[0.8], [0]], rtol=1e-15)
    np.testing.assert_array_equal(layer.nabla_b, [[1], [3]])
    # inference: (4 - 2) / sqrt(16.5 + 9) and 3 + 10 (1 - 0.5) / sqrt(0.5 + 9)
    expected = [[2 / math.sqrt(25.5)], [3 + 5 / math.sqrt(9.5)]]
    np.testing.assert_allclose(layer.forward(np.array([[4.0], [1.0]])), expected, rtol=1e-15)


def test_rms_norm_by_hand():
    layer = RMSNorm(2, epsilon=3.5, dtype="float64")
    layer.g = [[1], [2]]
    a = layer.forward(np.array([[3.0], [4.0]]), training=True)  # 12.5 + 3.5 = 4^2
    np.testing.assert_array_equal(a, [[0.75], [2]])
    # mean of u x_hat = (0 + 2) / 2 = 1: (0 - 0.75) / 4 and (2 - 1) / 4
    np.testing.assert_array_equal(layer.backward(np.array([[0.0], [1.0]])), [[-0.1875], [0.25]])
    np.testing.assert_array_equal(layer.nabla_g, [[0], [1]])
    assert list(layer.parameters) == ["g"]
    assert layer.mu is None
    assert not hasattr(layer, "b")


def test_group_norm_joins_the_others():
    x, nabla_a = np.random.default_rng(0).standard_normal((2, 4, 3, 2, 5))

    def both(layer, x, nabla_a):
        a = layer.forward(x, training=True)
        return a, layer.backward(nabla_a)

    close = {"rtol": 1e-12, "atol": 1e-13}
    one_group = both(GroupNorm(1, 4, dtype="float64"), x, nabla_a)
    whole = both(LayerNorm((4, 3, 2), dtype="float64"), x, nabla_a)
    np.testing.assert_allclose(one_group, whole, **close)
    instances = both(GroupNorm(4, 4, dtype="float64"), x, nabla_a)
    for j in range(5):  # every channel of every example goes by itself, as if it were a batch
        one = slice(j, j + 1)
        alone = both(BatchNorm(4, dtype="float64"), x[..., one], nabla_a[..., one])
        np.testing.assert_allclose(alone, [array[..., one] for array in instances], **close)


# -- what a normalisation is for ---------------------------------------------------------------


@in_float32
def test_the_output_has_mean_0_and_variance_1(layer, shape):
    x = np.random.default_rng(1).uniform(3, 9, shape).astype(np.float32)
    a = layer.forward(x, training=True)
    for indices in together(layer, shape):
        values = np.array([a[i] for i in indices], np.float64)
        if not isinstance(layer, RMSNorm):
            assert values.mean() == pytest.approx(0, abs=1e-6)
        if len(indices) > 2:  # epsilon takes off epsilon / deviation^2
            assert (values**2).mean() == pytest.approx(1, abs=1e-3)


@every_with_variance
def test_scale_and_shift_of_the_input_do_not_matter(layer, shape):
    layer = made_with(layer, epsilon=1e-30)  # where it is not small, it does set a scale
    rng = np.random.default_rng(2)
    x, nabla_a = rng.standard_normal((2, *shape))
    a = drawn(layer).forward(x, training=True)
    downstream = layer.backward(nabla_a)
    scaled = 3 * x if isinstance(layer, RMSNorm) else 3 * x + 7
    np.testing.assert_allclose(layer.forward(scaled, training=True), a, rtol=1e-9, atol=1e-11)
    for indices in together(layer, shape):  # so the gradient has no part in these directions
        slopes = np.array([downstream[i] for i in indices])
        inputs = np.array([x[i] for i in indices])
        size = np.abs(slopes).sum() + 1e-3
        assert abs(slopes @ inputs) <= 1e-11 * size * np.abs(inputs).max()
        if not isinstance(layer, RMSNorm):
            assert abs(slopes.sum()) <= 1e-12 * size


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (lambda dtype: BatchNorm(20, dtype=dtype), (20, 300)),
        (lambda dtype: BatchNorm(3, dtype=dtype), (3, 14, 14, 50)),
        (lambda dtype: LayerNorm(1000, dtype=dtype), (1000, 8)),
        (lambda dtype: LayerNorm((16, 20, 20), dtype=dtype), (16, 20, 20, 5)),
        (lambda dtype: GroupNorm(2, 16, dtype=dtype), (16, 20, 20, 5)),
    ],
)
def test_a_large_offset_does_not_destroy_the_result(kind, shape):
    rng = np.random.default_rng(3)
    x = (1e4 + rng.standard_normal(shape)).astype(np.float32)
    nabla_a = rng.standard_normal(shape).astype(np.float32)
    results = []
    for dtype in (np.float32, np.float64):
        layer = kind(dtype)
        a = layer.forward(x.astype(dtype), training=True)
        results.append((a, layer.backward(nabla_a.astype(dtype)), layer.mu))
    # mean(x^2) - mean(x)^2 would leave nothing of it: 1e8 in float32 is rounded to 8.
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(single, double, atol=2e-3)


@in_float32
@pytest.mark.parametrize("value", [0.0, 3.3, 1e4 / 3])
def test_a_constant_input_has_no_variance_but_a_gradient(layer, shape, value):
    x = np.full(shape, value, np.float32)
    a = layer.forward(x, training=True)
    downstream = layer.backward(np.random.default_rng(4).standard_normal(shape).astype(np.float32))
    assert np.isfinite(a).all()
    assert np.isfinite(downstream).all()
    assert np.isfinite(layer.nabla).all()
    if not isinstance(layer, RMSNorm):
        np.testing.assert_allclose(a, 0, atol=1e-6 * max(1, value / layer.epsilon**0.5))


def test_a_dead_channel_of_many_images_stays_at_its_shift():
    # The sum of 131,072 equal numbers, one after the other in float32, is off by 1e-5 of itself.
    a = BatchNorm(1).forward(np.full((1, 32, 32, 128), 100.1, np.float32), training=True)
    np.testing.assert_allclose(a, 0, atol=0.02)
