from __future__ import annotations

import math

import numpy as np
import pytest

from backprop.layers import Dropout


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_drops_and_rescales(dtype):
    layer = Dropout(0.2, rng=0)
    x = np.random.default_rng(1).normal(size=(200, 300)).astype(dtype)
    a = layer.forward(x, training=True)
    assert a.dtype == layer.mask.dtype == dtype
    assert set(np.unique(layer.mask)) == {dtype(0), dtype(1.25)}
    np.testing.assert_array_equal(a, layer.mask * x)
    assert np.mean(layer.mask == 0) == pytest.approx(0.2, abs=0.005)
    assert layer.mask.mean() == pytest.approx(1, abs=0.01)


def test_inference_is_the_identity():
    x = np.ones((3, 2), np.float32)
    a = Dropout(0.9, rng=0).forward(x)
    np.testing.assert_array_equal(a, x, strict=True)
    assert not np.shares_memory(a, x)


def test_backward_uses_the_mask_of_the_forward_pass():
    layer = Dropout(0.5, rng=0)
    x = np.ones((20, 10))
    layer.forward(x, training=True)
    mask = layer.mask
    layer.forward(x)  # inference between the two passes
    np.testing.assert_array_equal(layer.backward(3 * x), 3 * mask)
    layer.forward(x, training=True)
    assert not np.array_equal(layer.mask, mask)


def test_masks_come_from_the_seed():
    x = np.ones((20, 10))
    one, same, other = Dropout(rng=1), Dropout(rng=1), Dropout(rng=2)
    a = one.forward(x, training=True)
    np.testing.assert_array_equal(same.forward(x, training=True), a)
    assert not np.array_equal(other.forward(x, training=True), a)
    other.initialize(1)
    np.testing.assert_array_equal(other.forward(x, training=True), a)


def test_one_generator_for_several_layers_gives_each_its_own_stream():
    rng = np.random.default_rng(0)
    one, two = Dropout(rng=rng), Dropout(rng=rng)
    after = rng.bit_generator.state
    x = np.ones((20, 10))
    assert not np.array_equal(one.forward(x, training=True), two.forward(x, training=True))
    assert rng.bit_generator.state == after


def test_p_0_keeps_everything():
    layer = Dropout(0, rng=0)
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(layer.forward(x, training=True), x)


@pytest.mark.parametrize("p", [-0.1, 1, 1.0, 2, math.nan, math.inf])
def test_p_must_be_a_probability_below_1(p):
    with pytest.raises(ValueError, match=r"^Dropout: p must be in \[0, 1\), got "):
        Dropout(p)


@pytest.mark.parametrize("p", ["0.5", None, True])
def test_p_must_be_a_number(p):
    with pytest.raises(TypeError, match=r"^Dropout: p must be a number, got "):
        Dropout(p)


def test_the_description_has_no_random_state():
    assert Dropout(0.25, rng=3).config() == {"class": "Dropout", "p": 0.25}
