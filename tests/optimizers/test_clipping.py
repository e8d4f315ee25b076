import math
import warnings
from fractions import Fraction

import numpy as np
import pytest

from backprop.kernels import memory
from backprop.optimizers.clipping import clip_by_norm, clip_by_value

BLOCK = 8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 5, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 1])
def test_clip_by_norm(monkeypatch, size, dtype):
    monkeypatch.setattr(memory, "UPDATE_BLOCK", BLOCK)
    nabla = np.random.default_rng(size).standard_normal(size).astype(dtype)
    before, norm = nabla.copy(), math.sqrt(math.fsum(float(x) ** 2 for x in nabla))
    assert clip_by_norm(nabla, 2 * norm) == pytest.approx(norm, rel=1e-14)
    np.testing.assert_array_equal(nabla, before)
    found = clip_by_norm(nabla, norm / 4)
    assert type(found) is float
    assert found == pytest.approx(norm, rel=1e-14)
    assert nabla.dtype == dtype
    np.testing.assert_allclose(nabla, before / 4, rtol=4 * np.finfo(dtype).eps)


def test_clip_by_norm_at_the_limit_and_at_zero():
    nabla = np.array([3.0, 4.0])
    assert clip_by_norm(nabla, 5.0) == 5.0
    np.testing.assert_array_equal(nabla, [3.0, 4.0])
    zero = np.zeros(3)
    assert clip_by_norm(zero, 1.0) == 0.0
    np.testing.assert_array_equal(zero, 0.0)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_clip_by_norm_of_float32_extremes(size):
    nabla = np.array([3.0, -4.0], np.float32) * np.float32(size)
    assert clip_by_norm(nabla, 2.5 * size) == pytest.approx(5 * size, rel=1e-6, abs=0)
    np.testing.assert_allclose(nabla / np.float32(size), [1.5, -2.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("bad", "dtype"),
    [(math.nan, "f4"), (math.inf, "f4"), (-math.inf, "f8"), (math.nan, "f8")],
)
def test_clip_by_norm_leaves_what_has_no_direction(bad, dtype):
    nabla = np.array([1.0, bad, 3.0], dtype)
    before = nabla.copy()
    assert not math.isfinite(clip_by_norm(nabla, 1.0))
    np.testing.assert_array_equal(nabla, before)


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("max_norm", [1e-30, 1.0, 1e20, 1e300])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [("f4", 1e-44), ("f4", 1e-38), ("f4", 1e19), ("f4", 1e25), ("f4", 2e37), ("f8", 1e-310),
     ("f8", 1e-170), ("f8", 1e-154), ("f8", 1e154), ("f8", 1e160), ("f8", 1e200), ("f8", 1e307)],
)  # fmt: skip
def test_clip_by_norm_of_extremes(monkeypatch, dtype, size, max_norm, blocks):
    monkeypatch.setattr(memory, "UPDATE_BLOCK", BLOCK)
    exact = [Fraction(float(np.dtype(dtype).type(size))) * k for k in (3, -4, 0, 12)]
    nabla = np.array([*map(float, exact), *[0.0] * BLOCK * (blocks - 1)], dtype)
    norm = 13 * Fraction(float(np.dtype(dtype).type(size)))  # 3, 4, 12 and 13
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        assert clip_by_norm(nabla, max_norm) == pytest.approx(float(norm), rel=1e-6, abs=0)
    factor = min(Fraction(1), Fraction(max_norm) / norm)
    expected = np.array([float(x * factor) for x in exact])
    rtol, least = 8 * np.finfo(dtype).eps, float(np.finfo(dtype).smallest_subnormal)
    np.testing.assert_allclose(nabla[:4], expected, rtol=rtol, atol=4 * least)


def test_a_norm_beyond_the_largest_number_is_clipped_too():
    nabla = np.full(4, 1.5e308)
    assert clip_by_norm(nabla, 2.0) == math.inf
    np.testing.assert_allclose(nabla, 1.0, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_by_value(dtype):
    nabla = np.array([-3.0, -0.5, 0.0, 0.5, 2.0, math.inf, -math.inf, math.nan], dtype)
    assert clip_by_value(nabla, 0.75) is None
    assert nabla.dtype == dtype
    np.testing.assert_array_equal(nabla, [-0.75, -0.5, 0, 0.5, 0.75, 0.75, -0.75, math.nan])


@pytest.mark.parametrize("limit", [1e-300, 1e-42, 1e39])
@pytest.mark.parametrize("clip", [clip_by_norm, clip_by_value])
def test_limits_beyond_the_dtype(clip, limit):
    nabla = np.array([-2.0, 0.0], np.float32)
    with np.errstate(all="raise"):
        clip(nabla, limit)
    np.testing.assert_allclose(nabla, [-min(2, limit), 0], atol=2e-45)


@pytest.mark.parametrize(("clip", "name"), [(clip_by_norm, "max_norm"), (clip_by_value, "limit")])
def test_clip_errors(clip, name):
    nabla, owner = np.ones(3), clip.__name__
    for limit in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(
            ValueError, match=rf"^{owner}: {name} must be in \(0, inf\), got {limit}"
        ):
            clip(nabla, limit)
    with pytest.raises(TypeError, match=f"^{owner}: {name} must be a number, got None"):
        clip(nabla, None)
    with pytest.raises(
        TypeError, match=rf"^{owner}: the gradient nabla must be real floating, got int64"
    ):
        clip(np.ones(3, int), 1.0)
    with pytest.raises(
        ValueError,
        match=rf"^{owner}: the gradient nabla must have one axis, got the shape \(3, 1\)",
    ):
        clip(nabla[:, np.newaxis], 1.0)
    np.testing.assert_array_equal(nabla, 1.0)
