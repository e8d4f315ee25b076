"""Dropout, of single activations and whole channels, and noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop.gradients.contract import check_layer
from backprop.layers import ChannelDropout, Dropout, GaussianNoise


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


# -- whole channels ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(200, 3, 2, 150), (200, 4, 150), (200, 150)])
def test_a_channel_of_an_example_is_kept_or_left_out_whole(shape, dtype):
    layer = ChannelDropout(0.2, rng=0)
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    a = layer.forward(x, training=True)
    assert a.dtype == layer.mask.dtype == dtype
    assert layer.mask.shape == (200, *(1 for _ in shape[1:-1]), 150)
    assert set(np.unique(layer.mask)) == {dtype(0), dtype(1.25)}
    np.testing.assert_array_equal(a, layer.mask * x)
    np.testing.assert_array_equal(layer.backward(-x), layer.mask * -x)
    kept = (a != 0).reshape(200, -1, 150)
    assert (kept.all(axis=1) == kept.any(axis=1)).all()
    # 30,000 draws: 5 standard deviations of their mean.
    assert np.mean(layer.mask == 0) == pytest.approx(0.2, abs=5 * math.sqrt(0.2 * 0.8 / 30000))


def test_for_plain_features_channels_are_what_dropout_drops():
    x = np.random.default_rng(0).normal(size=(20, 10))
    one, other = ChannelDropout(0.4, rng=5), Dropout(0.4, rng=5)
    np.testing.assert_array_equal(one.forward(x, training=True), other.forward(x, training=True))


def test_channels_differ_between_examples_and_passes():
    layer = ChannelDropout(0.5, rng=0)
    x = np.ones((30, 2, 2, 20))
    layer.forward(x, training=True)
    mask = layer.mask
    assert 0 < np.abs(np.diff(mask, axis=-1)).mean() < 2
    assert 0 < np.abs(np.diff(mask, axis=0)).mean() < 2
    layer.forward(x, training=True)
    assert not np.array_equal(layer.mask, mask)


# -- noise -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_is_added_and_kept(dtype):
    layer = GaussianNoise(0.3, rng=0)
    x = np.random.default_rng(1).normal(size=(100, 5, 80)).astype(dtype)
    a = layer.forward(x, training=True)
    assert a.dtype == layer.noise.dtype == dtype
    np.testing.assert_array_equal(a, x + layer.noise)
    n = x.size  # 5 standard deviations of the mean, and of the standard deviation
    assert layer.noise.mean() == pytest.approx(0, abs=5 * 0.3 / math.sqrt(n))
    assert layer.noise.std() == pytest.approx(0.3, abs=5 * 0.3 / math.sqrt(2 * n))
    assert layer.noise.std(axis=-1).min() > 0.1  # every number has its own
    downstream = layer.backward(3 * x)
    np.testing.assert_array_equal(downstream, 3 * x, strict=True)
    noise = layer.noise
    layer.forward(x, training=True)
    assert not np.array_equal(layer.noise, noise)


def test_noise_of_std_0_is_none():
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(GaussianNoise(0, rng=0).forward(x, training=True), x)


@pytest.mark.parametrize("std", [-0.1, math.nan, math.inf])
def test_std_must_not_be_negative(std):
    with pytest.raises(ValueError, match=r"^GaussianNoise: std must be in \[0, inf\), got "):
        GaussianNoise(std)
    with pytest.raises(TypeError, match=r"^GaussianNoise: std must be a number, got None"):
        GaussianNoise(None)


# -- all of them -------------------------------------------------------------------------------

every = pytest.mark.parametrize(
    "make",
    [
        lambda rng=0: Dropout(0.3, rng),
        lambda rng=0: ChannelDropout(0.3, rng),
        lambda rng=0: GaussianNoise(0.4, rng),
    ],
    ids=["dropout", "channels", "noise"],
)


@every
@pytest.mark.parametrize("shape", [(4,), (3, 2), (2, 3, 2)])
def test_the_contract(make, shape):
    check_layer(make(), shape)


@every
def test_training_keeps_the_expectation_and_inference_is_the_identity(make):
    layer, x = make(), np.array([[[1.0], [-2.0]], [[3.0], [0.5]]])
    n = 20000
    a = layer.forward(np.repeat(x, n, axis=-1), training=True)
    # One activation has the variance x^2 p / (1 - p), or std^2: 5 standard deviations of the mean.
    spread = np.maximum(np.abs(x) * math.sqrt(0.3 / 0.7), 0.4)
    error = a.mean(axis=-1, keepdims=True) - x
    assert (np.abs(error) < 5 * spread / math.sqrt(n)).all()
    assert not np.array_equal(a, np.repeat(x, n, axis=-1))
    inference = layer.forward(x)
    np.testing.assert_array_equal(inference, x, strict=True)
    assert not np.shares_memory(inference, x)


@every
def test_what_is_drawn_comes_from_the_seed(make):
    x = np.ones((20, 3, 10))
    a = make(1).forward(x, training=True)
    np.testing.assert_array_equal(make(1).forward(x, training=True), a)
    other = make(2)
    assert not np.array_equal(other.forward(x, training=True), a)
    other.initialize(1)
    np.testing.assert_array_equal(other.forward(x, training=True), a)
    rng = np.random.default_rng(0)
    one, two = make(rng), make(rng)
    assert not np.array_equal(one.forward(x, training=True), two.forward(x, training=True))


@every
def test_backward_goes_by_the_training_forward(make):
    layer, nabla_a = make(), np.random.default_rng(3).normal(size=(5, 2, 6))
    layer.forward(np.ones((5, 2, 6)), training=True)
    downstream = layer.backward(nabla_a)
    layer.forward(np.zeros((5, 2, 4)))  # inference between the two passes
    np.testing.assert_array_equal(layer.backward(nabla_a), downstream)


def test_repr_and_description():
    for layer, text, config in [
        (ChannelDropout(0.25), "ChannelDropout(0.25)", {"class": "ChannelDropout", "p": 0.25}),
        (GaussianNoise(0.1), "GaussianNoise(0.1)", {"class": "GaussianNoise", "std": 0.1}),
    ]:
        assert repr(layer) == text
        assert layer.config() == config
    with pytest.raises(ValueError, match=r"^ChannelDropout: p must be in \[0, 1\), got 1$"):
        ChannelDropout(1)
