"""Convolutions: their parameters, and the arguments and shapes that they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from backprop import Network
from backprop.gradients.contract import check_layer
from backprop.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Flatten,
    MaxPool2d,
    ShapeError,
)

# -- parameters --------------------------------------------------------------------------------


def test_the_defaults():
    layer = Conv2d(16, 300, 3, rng=0)
    assert layer.activation.name == "relu"
    assert layer.dtype == np.float32
    assert layer.w.shape == (300, 16, 3, 3)
    assert layer.b.shape == (300, 1, 1, 1)
    assert layer.w.std() == pytest.approx(math.sqrt(2 / (16 * 9)), rel=0.02)
    assert not layer.b.any()
    assert Conv1d(4, 6, 3, groups=2).w.shape == (6, 2, 3)
    assert Conv1d(4, 6, 3).b.shape == (6, 1, 1)
    assert ConvTranspose2d(4, 6, 3, groups=2).w.shape == (4, 3, 3, 3)


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
@pytest.mark.parametrize("groups", [1, 8])
def test_the_fan_in_is_what_z_sums_over(kind, groups: int):
    layer = kind(64, 128, 5, groups=groups, rng=1)
    assert layer.w.std() == pytest.approx(math.sqrt(2 / (64 // groups * 25)), rel=0.02)


def test_a_transposed_convolution_is_drawn_as_the_convolution_of_as_many_channels():
    there, back = (kind(4, 6, 3, groups=2, rng=7) for kind in (Conv2d, ConvTranspose2d))
    for of_in, of_out in ((slice(0, 2), slice(0, 3)), (slice(2, 4), slice(3, 6))):
        np.testing.assert_array_equal(back.w[of_in], there.w[of_out].swapaxes(0, 1))


def test_parameters_come_from_the_seed():
    for kind in (Conv2d, ConvTranspose2d):
        one, same, other = kind(2, 3, 3, rng=7), kind(2, 3, 3, rng=7), kind(2, 3, 3, rng=8)
        np.testing.assert_array_equal(one.theta, same.theta)
        assert not np.array_equal(one.theta, other.theta)
        other.initialize(7)
        np.testing.assert_array_equal(one.theta, other.theta)


def test_repr():
    assert str(Conv2d(1, 20, 5)) == "Conv2d(1 -> 20, kernel 5x5, relu)"
    layer = Conv2d(4, 8, (3, 5), (1, 2), "same", 2, 4, "tanh")
    assert str(layer) == (
        "Conv2d(4 -> 8, kernel 3x5, stride (1, 2), padding same, dilation 2, groups 4, tanh)"
    )
    assert str(Conv1d(4, 8, 3, padding=1)) == "Conv1d(4 -> 8, kernel 3, padding 1, relu)"
    assert str(ConvTranspose2d(4, 8, 3, 2, 1, 1)) == (
        "ConvTranspose2d(4 -> 8, kernel 3x3, stride 2, padding 1, output_padding 1, relu)"
    )


# -- mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"channels_in": 0}, ValueError, "channels_in must be at least 1, got 0"),
        ({"channels_out": 1.5}, TypeError, "channels_out must be an integer, got 1.5"),
        ({"kernel": 0}, ValueError, "kernel must be at least 1, got 0"),
        ({"kernel": "3"}, TypeError, "kernel must be an integer, got '3'"),
        ({"kernel": (1, 2, 3)}, ValueError, r"kernel must be an integer.*, got \(1, 2, 3\)"),
        ({"stride": 0}, ValueError, "stride must be at least 1, got 0"),
        ({"stride": True}, TypeError, "stride must be an integer, got True"),
        ({"dilation": 0}, ValueError, "dilation must be at least 1, got 0"),
        ({"padding": -1}, ValueError, "padding must be at least 0, got -1"),
        ({"padding": 0.5}, TypeError, "padding must be an integer, got 0.5"),
        ({"groups": 3}, ValueError, "groups must divide channels_in and channels_out, got 3 for 2"),
        ({"groups": 0}, ValueError, "groups must be at least 1, got 0"),
        ({"activation": "rely"}, ValueError, "rely"),
    ],
)
def test_wrong_arguments(kind, arguments, error, message):
    good: dict[str, Any] = {"channels_in": 2, "channels_out": 4, "kernel": 3}
    prefix = "" if "activation" in arguments else f"^{kind.__name__}: "
    if arguments.get("kernel") == (1, 2, 3) and kind.axes == 1:  # it takes no tuple at all
        error = TypeError
    with pytest.raises(error, match=prefix + ".*" * (not prefix) + message) as raised:
        kind(**{**good, **arguments})
    assert "\n" not in str(raised.value)


def test_wrong_padding():
    with pytest.raises(ValueError, match=r"^Conv2d: padding must be 'valid', 'same' or .*'full'$"):
        Conv2d(1, 1, 3, padding="full")
    with pytest.raises(
        TypeError, match=r"^ConvTranspose2d: padding must be an integer, got 'same'"
    ):
        ConvTranspose2d(1, 1, 3, padding="same")
    message = r"^ConvTranspose2d: output_padding must be less than the stride, got \(0, 2\) for 2$"
    with pytest.raises(ValueError, match=message):
        ConvTranspose2d(1, 1, 3, 2, output_padding=(0, 2))
    with pytest.raises(TypeError, match=r"^Conv1d: kernel must be an integer, got \(3,\)$"):
        Conv1d(1, 1, (3,))


def test_wrong_channels_and_axes():
    layer = Conv2d(3, 4, 3)
    with pytest.raises(ShapeError, match=r"expected input of shape \(3, H, W\), got \(1, 28, 28\)"):
        layer.output_shape((1, 28, 28))
    with pytest.raises(ShapeError, match=r"expected input of shape \(3, H, W\), got \(3, 28\)"):
        layer.output_shape((3, 28))
    with pytest.raises(ShapeError, match=r"expected input of shape \(2, L, B\), got \(3, 9, 1\)"):
        Conv1d(2, 4, 3).forward(np.zeros((3, 9, 1), np.float32))


def test_other_orders_of_axes_are_recognised():
    layer = Conv2d(3, 4, 3)

    def hint(*shape):
        with pytest.raises(ShapeError) as error:
            layer.forward(np.zeros(shape, np.float32))
        return str(error.value).partition(f"got {shape}; ")[2]

    turned = np.zeros((64, 3, 28, 20))
    assert hint(*turned.shape).endswith("did you mean np.moveaxis(x, 0, -1)?")
    assert hint(64, 28, 20, 3).endswith("did you mean x.transpose(3, 1, 2, 0)?")
    assert hint(28, 20, 3, 64).endswith("did you mean np.moveaxis(x, -2, 0)?")
    assert hint(7, 28, 20, 64) == "the batch is the last axis"
    assert np.moveaxis(turned, 0, -1).shape == (3, 28, 20, 64)
    assert np.zeros((64, 28, 20, 3)).transpose(3, 1, 2, 0).shape == (3, 28, 20, 64)


def test_a_kernel_that_does_not_fit():
    layer = Conv2d(1, 2, 5, padding=(1, 0))
    message = (
        r"^Conv2d\(1 -> 2, kernel 5x5, padding \(1, 0\), relu\): the kernel does not fit into the "
        r"input \(1, 2, 9\): height \(2 \+ 2\*1 - 5\) // 1 \+ 1 = 0, "
        r"width \(9 \+ 2\*0 - 5\) // 1 \+ 1 = 5$"
    )
    with pytest.raises(ShapeError, match=message):
        layer.output_shape((1, 2, 9))
    with pytest.raises(ShapeError, match=message):
        layer.forward(np.zeros((1, 2, 9, 3), np.float32))
    with pytest.raises(
        ShapeError, match=r"the padding leaves nothing .*length \(1 - 1\)\*1 \+ 2 - 2\*1 \+ 0 = 0"
    ):
        ConvTranspose1d(1, 1, 2, padding=1).output_shape((1, 1))


def test_a_network_is_checked_when_it_is_built():
    with pytest.raises(ShapeError) as error:
        Network(
            [Conv2d(1, 4, 5), MaxPool2d(2), Conv2d(4, 8, 5), MaxPool2d(2), Flatten()],
            input_shape=(1, 11, 12),
        )
    message = str(error.value)
    assert "layer 2, Conv2d(4 -> 8, kernel 5x5, relu)" in message
    assert "height (3 + 2*0 - 5) // 1 + 1 = -1" in message
    assert "layer 0, Conv2d(1 -> 4, kernel 5x5, relu): (4, 7, 8), height (11 + 2*0 - 5)" in message
    assert "layer 1, MaxPool2d(2x2): (4, 3, 4), height (7 + 2*0 - 2) // 2 + 1 = 3" in message


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer",
    [
        Conv2d(2, 4, (2, 3), (2, 1), "same", (1, 2), 2, "softplus", rng=1),
        Conv1d(2, 2, 3, padding=2, groups=2, activation="tanh", rng=1),
        ConvTranspose2d(2, 4, 2, (1, 2), (1, 0), (0, 1), (1, 2), 2, "sigmoid", rng=1),
    ],
    ids=str,
)
def test_conformance(layer):
    check_layer(layer, (2, 3, 4)[: layer.axes + 1])
